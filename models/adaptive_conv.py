"""A first layer for any number of channels: K kernels attend to the channels that are there.

K kernels of one channel each are shared by all. Every kernel draws what it sees from the C present channels
by attention, and the output sums over kernels; so each channel gets its own mixture of the K kernels:

    y = Σ_k g_k W_k * (Σ_c π_ck x_c),        W_c = Σ_k g_k π_ck W_k,        Σ_c π_ck = 1

The attention sorts C channels into K virtual bands, then comes one dense convolution. Its cost hardly
depends on C, the order of the channels does not matter, and nothing grows with their number.

π is a softmax over the channels of two terms:

- a fixed tuning curve −ln(1 + (ln λ_c − μ_k)² / σ_k²), since a kernel responds to wavelengths near its own, as a cone
  of the eye does; a channel of unknown wavelength has a constant instead. Alone, this term interpolates the
  spectrum at the kernels' wavelengths by inverse squared distance (Shepard, 1968), regularised by σ: R, G and B go
  nearly all to their own kernels, one channel is copied to all, and of two the nearer weighs more in place of the
  missing one, where the study fills in their plain mean;
- a small learned router of the channel's statistics, its tuning and its company: how many channels are
  there, and their mean statistics and tuning. It also gives the gates g_k, so that the kernels can be weighed
  differently for a lone channel, where every π is 1.

A channel that hardly varies beside the others carries nothing (a dead sensor and its noise), so it counts as absent:
one whose standard deviation is at most ``least_spread`` of the strongest channel's. This is a rule, not learned, and
its default is for photographs; where live bands differ more in contrast, choose 0, which leaves out constant ones
alone. Where none varies all are kept.

What a kernel tuned to a missing channel gets is interpolated, and looks like the channel itself. With ``own_kernels``
each kernel has a second part, W'_k, which counts as far as some channel is near its wavelength,

    y = Σ_k g_k (W_k + n_k W'_k) * (Σ_c π_ck x_c),        n_k = max_c 1 / (1 + (ln λ_c − μ_k)² / σ_k²)

so that what is there and what stands in for it are seen by different kernels, for K planes more in one convolution.
A channel of unknown wavelength has the same constant, and thus some nearness, to every kernel.
On photographs they did not help (``results/README.md``); they are for sensors whose bands show different things.

Sources: attention over kernels, Chen et al., CVPR 2020; conditioning on the wavelength, DOFA (Xiong et al.,
2024); sampling channels in training, ChannelViT (Bao et al., ICLR 2024). Tuning curves and a softmax over the
channels instead of the kernels are this project's.

Sizes in this file: B batch, C channels, K kernels, H and W height and width.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.bands import BANDS_UM, check_count, check_wavelengths, is_readable, wavelengths_of
from models.dynamic_conv import pair
from models.precision import full_precision

TUNING_UM = tuple(BANDS_UM[name] for name in "RGB")
WIDTH = 0.03  # σ of a tuned kernel, of the logarithm of µm: neighbours among R, G and B overlap a little
LEAST_SPREAD = 1 / 32  # standard deviation, of the strongest channel's: less is noise (in photographs 0.06 and more)
TINY = 1e-24  # variance of a constant channel: its square root has no derivative at 0
UNKNOWN_SCORE = -2.0  # of a channel of unknown wavelength: after those near a kernel, before those far from it


class Routing(NamedTuple):
    """What the layer decides about a batch before it convolves."""

    attention: Tensor  # π (B, C, K), summing to one over the present channels, zero for absent ones
    gates: Tensor  # g (B, K) in 0..2
    company: Tensor  # (B, K + 3): mean statistics and tuning of the present channels, one over their number
    nearness: Tensor  # n (B, K) in 0..1: how near the nearest present channel is to the kernel's wavelength


def tuning_for(wavelengths_um: Iterable[float]) -> tuple[float, ...]:
    """What to tune kernels to for a sensor with channels of these wavelengths, in µm, NaN for unknown.

    R, G and B come first, so that kernels trained on pictures stay of use, then the sensor's own, each unless another
    kernel is within ``WIDTH``. K kernels see C channels through K mixtures of them: with fewer, many are seen as one.
    """
    tuning = list(TUNING_UM)
    for value in wavelengths_um:
        if math.isfinite(value) and all(abs(math.log(value / other)) > WIDTH for other in tuning):
            tuning.append(value)
    return tuple(tuning)


def usual_spread(bands: Iterable[str | float] | str | None) -> float:
    """``least_spread`` where nobody says it: 0 for a sensor's bands, which may differ far more in contrast than R, G
    and B, of leaves, say, red beside near infrared."""
    return 0.0 if bands else LEAST_SPREAD


class ZeroLinear(nn.Linear):
    """A linear layer that gives zero until it is trained, in whatever order the layers of a network are reset."""

    def reset_parameters(self) -> None:
        super().reset_parameters()  # so that the random numbers of the layers after it are those after any linear layer
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class ChannelAttention(nn.Module):
    """(B, C, H, W) and C wavelengths → K virtual bands (B, K, H, W), for any C of at least 1, in any order.

    ``tuning_um`` are the wavelengths, in µm, that the first kernels are tuned to; the further ones respond to
    all alike. Channels of at most ``least_spread``, 0 to 1, of the strongest one's standard deviation count as absent.
    Raises ``ValueError`` for wavelengths that cannot be µm, or more of them than kernels, and for another spread.
    """

    def __init__(
        self, num_kernels: int = 4, *, tuning_um: Iterable[float] = TUNING_UM, least_spread: float = LEAST_SPREAD
    ):
        super().__init__()
        if not 0 <= least_spread < 1:
            raise ValueError(f"least_spread must be at least 0 and below 1, got {least_spread}")
        self.least_spread = least_spread
        tuning_um = tuple(tuning_um)
        if num_kernels < 1:
            raise ValueError(f"num_kernels must be at least 1, got {num_kernels}")
        if tuning_um and not all(map(math.isfinite, check_wavelengths(tuning_um))):
            raise ValueError(f"kernels are tuned to known wavelengths, got {tuning_um}")
        if len(tuning_um) > num_kernels:
            raise ValueError(f"{len(tuning_um)} wavelengths to tune to need as many kernels, got {num_kernels}")
        self.num_kernels, self.tuning_um = num_kernels, tuning_um
        self.register_buffer("center", torch.empty(num_kernels))  # μ, of the logarithm of µm
        self.register_buffer("width", torch.empty(num_kernels))  # σ
        self.company_size = num_kernels + 3
        view_size = num_kernels + 2 + self.company_size
        # the tuning curves alone decide at first, for the router gives zero
        self.router = nn.Sequential(nn.Linear(view_size, 32), nn.ReLU(), ZeroLinear(32, 2 * num_kernels))
        self.reset_tuning()

    def reset_parameters(self) -> None:
        """The tuning curves; the router's layers reset themselves."""
        self.reset_tuning()

    def reset_tuning(self) -> None:
        """The curves that it was made with, as after ``to_empty``."""
        tuned = len(self.tuning_um)
        self.center[:tuned] = torch.tensor(self.tuning_um).log()
        self.center[tuned:] = self.center[:tuned].mean() if tuned else 0.0
        self.width[:tuned], self.width[tuned:] = WIDTH, 100.0

    def forward(
        self,
        x: Tensor,
        wavelengths_um: Tensor | Iterable[float | None],
        present: Tensor | None = None,
    ) -> tuple[Tensor, Routing]:
        """What the kernels draw from ``x`` (B, C, H, W); ``wavelengths_um`` is (C,) or (B, C), NaN where nobody knows.

        ``present`` (B, C), boolean, leaves channels of single samples out, whatever they hold, NaN included. Also gives
        what the layer decided. Raises ``ValueError`` for other shapes, and for wavelengths that cannot be µm (those on
        a GPU are not read, which would wait for it).
        """
        if not isinstance(wavelengths_um, Tensor):
            wavelengths_um = wavelengths_of(wavelengths_um=wavelengths_um)
        if is_readable(wavelengths_um):
            check_wavelengths(wavelengths_um.flatten().tolist())
        wavelengths_um = check_count(wavelengths_um, x)
        if present is not None:
            present = torch.as_tensor(present)
            if present.dtype != torch.bool or present.shape != x.shape[:2]:
                raise ValueError(
                    f"expected present of shape {tuple(x.shape[:2])} and type bool, one value for each channel of each "
                    f"sample, got {tuple(present.shape)} of {present.dtype}"
                )
            if is_readable(present) and not present.any(dim=1).all():
                raise ValueError("each sample needs at least one channel that is present")
            present = present.to(x.device)
            x = x.where(present[..., None, None], 0)
        routing = self.route(x, wavelengths_um, present)
        shares = routing.attention * routing.gates[:, None]  # (B, C, K)
        return torch.einsum("bck,bchw->bkhw", shares.to(x.dtype), x), routing  # (B, K, H, W)

    def route(self, x: Tensor, wavelengths_um: Tensor, present: Tensor | None = None) -> Routing:
        """Who attends to whom; arguments as in ``forward``."""
        with full_precision(x):
            B, C = x.shape[:2]
            x = x.to(torch.promote_types(x.dtype, torch.float32)).flatten(2)  # (B, C, H·W)
            here = torch.ones(B, C, dtype=torch.bool, device=x.device) if present is None else present
            spread = x.var(dim=2, correction=0).clamp_min(TINY).sqrt()  # (B, C), with finite derivatives at 0
            strongest = spread.where(here, 0).amax(dim=1, keepdim=True)
            varies = here & (x.amax(dim=2) > x.amin(dim=2)) & (spread > self.least_spread * strongest)
            here = (varies | here & ~varies.any(dim=1, keepdim=True))[..., None]  # (B, C, 1); all where none varies
            statistics = torch.stack([x.mean(dim=2), spread], dim=2)  # (B, C, 2)
            curves = self.tuning_curves(wavelengths_um).expand(B, C, -1)  # (B, C, K)
            own = torch.cat([statistics, curves.exp()], dim=2).where(here, 0)  # (B, C, 2 + K)
            count = here.sum(dim=1, keepdim=True).clamp_min(1).to(x.dtype)  # (B, 1, 1)
            company = torch.cat([own.sum(dim=1, keepdim=True) / count, 1 / count], dim=2)  # (B, 1, K + 3)
            view = torch.cat([own, company.expand(-1, C, -1)], dim=2)
            view = view.to(self.router[-1].weight.dtype)
            scores, gates = self.router(view).to(x.dtype).chunk(2, dim=2)  # (B, C, K) each
            attention = (curves + scores).masked_fill(~here, -torch.inf).softmax(dim=1).where(here, 0)
            gates = 2 * torch.sigmoid((gates * here).sum(dim=1) / count[:, 0])  # (B, K)
            return Routing(attention, gates, company[:, 0], nearness=own[..., 2:].amax(dim=1))

    def tuning_curves(self, wavelengths_um: Tensor) -> Tensor:
        """Log-response of every kernel to the wavelengths (…, C), in µm or NaN: (…, C, K)."""
        known = wavelengths_um.isfinite()
        position = wavelengths_um.where(known, 1).log()[..., None]  # (…, C, 1)
        curves = -torch.log1p(((position - self.center) / self.width) ** 2)
        return curves.where(known[..., None], UNKNOWN_SCORE)


class ChannelAdaptiveConv2d(ChannelAttention):
    """(B, C, H, W) and C wavelengths → (B, C_out, H', W') for any C of at least 1, in any order.

    ``num_kernels``, ``tuning_um`` and ``least_spread`` are those of ``ChannelAttention``; with ``own_kernels`` the
    weight has 2 K planes, the W_k and then the W'_k. Raises ``ValueError`` for non-positive sizes and as that does.
    """

    def __init__(
        self,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        bias: bool = True,
        num_kernels: int = 4,
        tuning_um: Iterable[float] = TUNING_UM,
        least_spread: float = LEAST_SPREAD,
        own_kernels: bool = False,
    ):
        if out_channels < 1:
            raise ValueError(f"out_channels must be at least 1, got {out_channels}")
        kernel_size, stride = pair("kernel_size", kernel_size), pair("stride", stride)
        padding = pair("padding", padding, least=0)
        super().__init__(num_kernels, tuning_um=tuning_um, least_spread=least_spread)
        self.out_channels, self.stride, self.padding = out_channels, stride, padding
        self.own_kernels = own_kernels
        planes = 2 * num_kernels if own_kernels else num_kernels
        self.weight = nn.Parameter(torch.empty(out_channels, planes, *kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """He initialisation of the W_k, zeros for the W'_k, the tuning curves; the router's layers reset themselves."""
        first = torch.empty_like(self.weight[:, : self.num_kernels])  # by itself, so that both kinds start alike
        nn.init.kaiming_normal_(first, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.weight)
        with torch.no_grad():
            self.weight[:, : self.num_kernels] = first
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        self.reset_tuning()

    def forward(
        self,
        x: Tensor,
        wavelengths_um: Tensor | Iterable[float | None],
        *,
        present: Tensor | None = None,
        return_routing: bool = False,
    ) -> Tensor | tuple[Tensor, Routing]:
        """Convolve ``x`` (B, C, H, W); arguments and errors as in ``ChannelAttention``, whose routing comes with
        ``return_routing``."""
        bands, routing = super().forward(x, wavelengths_um, present)  # (B, K, H, W)
        if self.own_kernels:
            bands = torch.cat(
                [bands, bands * routing.nearness.to(bands.dtype)[..., None, None]], dim=1
            )  # (B, 2 K, H, W)
        y = F.conv2d(bands, self.weight, self.bias, self.stride, self.padding)  # (B, C_out, H', W')
        return (y, routing) if return_routing else y

    def extra_repr(self) -> str:
        return (
            f"{self.out_channels}, kernel_size={tuple(self.weight.shape[2:])}, stride={self.stride}, "
            f"padding={self.padding}, num_kernels={self.num_kernels}, own_kernels={self.own_kernels}"
        )
