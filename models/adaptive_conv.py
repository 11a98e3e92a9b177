"""A first layer for any number of channels: attention over K kernels, one mixture per channel.

K kernels of one channel each are shared by all. Every present channel c gets its own mixture, and the
output sums over the channels that are there:

    W_c = Σ_k π_ck W_k,        y = 3/C · Σ_c W_c * x_c = 3/C · Σ_k W_k * (Σ_c π_ck x_c)

The second form is how it is computed: the attention sorts the C channels into K virtual bands, then one
dense convolution. Its cost hardly depends on C, and the order of the channels does not matter.

π_c is a softmax over K of two terms:

- a tuning curve b_k − (ln λ_c − μ_k)² / 2σ_k², since a kernel responds to wavelengths near its own, as a
  cone of the eye does; a channel of unknown wavelength has one learned term per kernel instead;
- a small router of the channel's statistics and of its company: how many channels are present, their
  mean statistics and which kernels their tuning curves already cover. A lone channel can thus be spread
  over all kernels, which is what the study's filling does by copying it.

A channel of one constant value carries nothing (a dead sensor), so it counts as absent unless all are.

Sources: attention over kernels, Chen et al., CVPR 2020; conditioning on the wavelength, DOFA (Xiong et al.,
2024); normalising by the number of channels and sampling them in training, ChannelViT (Bao et al., ICLR
2024). The tuning curve and the router's view of the other channels are this project's.

Sizes in this file: B batch, C channels, K kernels, H and W height and width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.precision import full_precision

REFERENCE = 3  # channels at which the sum is not rescaled: the layer then takes over an RGB kernel as it is


class ChannelAdaptiveConv2d(nn.Module):
    """(B, C, H, W) and C wavelengths → (B, C_out, H', W') for any C of at least 1, in any order.

    ``tuning_um`` are the wavelengths, in µm, that the first kernels are tuned to at the start; the further
    ones respond to all alike. Raises ``ValueError`` for non-positive sizes, or more of them than kernels.
    """

    def __init__(
        self,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        num_kernels: int = 4,
        tuning_um: tuple[float, ...] = (0.665, 0.560, 0.490),
    ):
        super().__init__()
        if min(out_channels, kernel_size, stride, num_kernels) < 1:
            raise ValueError(
                "out_channels, kernel_size, stride and num_kernels must be at least 1, "
                f"got {out_channels}, {kernel_size}, {stride} and {num_kernels}"
            )
        if len(tuning_um) > num_kernels:
            raise ValueError(f"{len(tuning_um)} wavelengths to tune to need as many kernels, got {num_kernels}")
        self.out_channels, self.num_kernels = out_channels, num_kernels
        self.stride, self.padding, self.tuning_um = stride, padding, tuning_um
        self.weight = nn.Parameter(torch.empty(out_channels, num_kernels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.center = nn.Parameter(torch.empty(num_kernels))  # μ, of the logarithm of µm
        self.log_width = nn.Parameter(torch.empty(num_kernels))  # ln σ
        self.level = nn.Parameter(torch.empty(num_kernels))  # b
        self.unknown = nn.Parameter(torch.empty(num_kernels))
        self.router = nn.Sequential(nn.Linear(5 + 2 * num_kernels, 32), nn.ReLU(), nn.Linear(32, num_kernels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """He initialisation of the kernels; the tuning curves alone decide at first: the router gives zero."""
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        tuned = len(self.tuning_um)
        with torch.no_grad():
            self.center[:tuned] = torch.tensor(self.tuning_um).log()
            self.center[tuned:] = self.center[:tuned].mean() if tuned else 0.0
            self.log_width[:tuned] = torch.tensor(0.06).log()  # neighbours among R, G, B overlap a little
            self.log_width[tuned:] = torch.tensor(2.0).log()
            self.level[:tuned], self.level[tuned:] = 0.0, -4.0  # the broad kernels take over far from the others
            self.unknown[:tuned], self.unknown[tuned:] = -1.0, 0.0
        nn.init.zeros_(self.router[-1].weight)
        nn.init.zeros_(self.router[-1].bias)

    def forward(
        self,
        x: Tensor,
        wavelengths_um: Tensor,
        *,
        present: Tensor | None = None,
        return_attention: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Convolve ``x`` (B, C, H, W); ``wavelengths_um`` is (C,) or (B, C), NaN where nobody knows.

        ``present`` (B, C), boolean, leaves channels of single samples out, whatever they hold. With
        ``return_attention`` also gives π (B, C, K), zero for absent channels.
        """
        attention = self.attend(x, wavelengths_um, present)  # (B, C, K)
        counted = (attention.sum(dim=2) > 0).sum(dim=1).clamp_min(1)  # (B,)
        shares = attention * (REFERENCE / counted).view(-1, 1, 1)
        bands = torch.einsum("bck,bchw->bkhw", shares.to(x.dtype), x)  # (B, K, H, W)
        y = F.conv2d(bands, self.weight, self.bias, self.stride, self.padding)  # (B, C_out, H', W')
        return (y, attention) if return_attention else y

    def attend(self, x: Tensor, wavelengths_um: Tensor, present: Tensor | None = None) -> Tensor:
        """Attention weights (B, C, K): over K they sum to one, or are zero for an absent channel."""
        with full_precision(x):
            B, C = x.shape[:2]
            x = x.to(torch.promote_types(x.dtype, torch.float32)).flatten(2)  # (B, C, H·W)
            here = torch.ones(B, C, dtype=torch.bool, device=x.device) if present is None else present
            varies = here & (x.amax(dim=2) > x.amin(dim=2))
            here = torch.where(varies.any(dim=1, keepdim=True), varies, here)[..., None].to(x.dtype)  # (B, C, 1)
            statistics = torch.stack([x.mean(dim=2), x.std(dim=2, correction=0)], dim=2)  # (B, C, 2)
            curves = self.tuning_curves(wavelengths_um).expand(B, C, -1)  # (B, C, K)
            own = torch.cat([statistics, curves.softmax(dim=2)], dim=2)  # (B, C, 2 + K)
            count = here.sum(dim=1, keepdim=True).clamp_min(1)  # (B, 1, 1)
            company = (own * here).sum(dim=1, keepdim=True) / count  # (B, 1, 2 + K)
            view = torch.cat([own, company.expand(-1, C, -1), (1 / count).expand(-1, C, -1)], dim=2)
            return (curves + self.router(view)).softmax(dim=2) * here

    def tuning_curves(self, wavelengths_um: Tensor) -> Tensor:
        """Log-response of every kernel to the wavelengths (…, C), in µm or NaN: (…, C, K)."""
        known = wavelengths_um.isfinite()
        position = wavelengths_um.where(known, torch.ones_like(wavelengths_um)).log()[..., None]  # (…, C, 1)
        curves = self.level - (position - self.center) ** 2 / (2 * self.log_width.exp() ** 2)
        return curves.where(known[..., None], self.unknown)

    def extra_repr(self) -> str:
        return (
            f"{self.out_channels}, kernel_size={tuple(self.weight.shape[2:])}, stride={self.stride}, "
            f"padding={self.padding}, num_kernels={self.num_kernels}"
        )
