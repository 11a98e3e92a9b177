"""Dynamic convolution: attention over K convolution kernels.

A router squeezes the input by global average pooling and turns it into K weights that sum
to one; the layer convolves each sample with its own mixture of K kernels:

    π(x) = softmax(FC₂(ReLU(FC₁(GAP(x)))) / temperature),   W(x) = Σ_k π_k(x) · W_k

Chen et al., "Dynamic Convolution: Attention over Convolution Kernels", CVPR 2020, section 3;
the study, Task 1. Hidden width of the router as the study's own counts fix it:
int(0.25·C_in) + 1, except K for a 3-channel input. The authors anneal the temperature from
30 to 1 over the first 10 epochs (section 3.2); the study kept it at 34.

Sizes in this file: B batch, K kernels, C channels, H and W height and width, k kernel size.
"""

from collections.abc import Iterable
from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.mixture import METHODS, Geometry, choose_method, convolve


class KernelAttention(nn.Module):
    """The router: (B, C, H, W) → attention weights (B, K) that sum to one.

    ``reduction`` (> 0) is the hidden width as a fraction of C. ``temperature`` (> 0) is saved state:
    high values flatten the weights towards 1/K, 1 leaves the softmax as it is. ``factory`` is ``device`` and ``dtype``.
    """

    def __init__(
        self, in_channels: int, num_kernels: int, *, reduction: float = 0.25, temperature: float = 1.0, **factory
    ):
        super().__init__()
        if not reduction > 0:
            raise ValueError(f"reduction must be above 0, got {reduction}; 0.25 is usual")
        hidden = num_kernels if in_channels == 3 else int(reduction * in_channels) + 1
        self.fc1 = nn.Linear(in_channels, hidden, bias=False, **factory)
        self.fc2 = nn.Linear(hidden, num_kernels, **factory)
        self.register_buffer("temperature", torch.ones((), **factory))
        self.first_temperature = check_temperature(temperature)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The temperature it was made with, as after ``to_empty``; the linear layers reset themselves."""
        self.set_temperature(self.first_temperature)

    def set_temperature(self, temperature: float) -> None:
        """Set the softmax temperature; ``ValueError`` unless it is a positive number."""
        self.temperature.fill_(check_temperature(temperature))

    def forward(self, x: Tensor, temperature: float | None = None) -> Tensor:
        """Weights of shape (B, K). ``temperature`` overrides the saved one for this call only."""
        temperature = self.temperature if temperature is None else check_temperature(temperature)
        squeezed = x.mean(dim=(2, 3))  # (B, C)
        scores = self.fc2(F.relu(self.fc1(squeezed)))  # (B, K)
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))  # also under autocast
        return F.softmax(scores / temperature, dim=1)  # (B, K)


class DynamicConv2d(nn.Module):
    """In place of ``nn.Conv2d``: its kernel is a per-sample mixture of ``num_kernels`` kernels.

    Takes the arguments of ``nn.Conv2d``, by keyword from ``stride`` on; pads with zeros only.

    The K kernels are stacked along the first axis, so that ``weight`` (K·C_out, C_in / groups, k, k)
    has a convolution's four axes and takes any memory format; ``bias`` is (K·C_out,) or None.
    Takes (B, C_in, H, W) of any H and W, returns (B, C_out, H', W') as ``nn.Conv2d`` would.
    ``method`` is one of ``METHODS`` of ``mixture.py``, all of which compute the same; ``auto`` takes
    the cheapest for the input at hand. On a CPU that is cheapest with channels_last weights and a C compiler.
    Under ``torch.compile``, training on a CPU with pictures of several sizes needs ``dynamic=False``: PyTorch 2.14
    fails there on a convolution whose groups, one for each sample, are of no fixed number.

    Raises ``ValueError`` for sizes that are not whole and positive, channels that ``groups`` does not divide or an
    unknown method; when called, for maps of another shape or smaller than the kernel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        num_kernels: int = 4,
        reduction: float = 0.25,
        temperature: float = 1.0,
        method: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        sizes = (in_channels, out_channels, groups, num_kernels)
        if not all(isinstance(size, Integral) and size >= 1 for size in sizes):
            raise ValueError(
                "in_channels, out_channels, groups and num_kernels must be whole numbers of at least 1, "
                "got {}, {}, {} and {}".format(*sizes)
            )
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"groups={groups} must divide in_channels={in_channels} and out_channels={out_channels}")
        if method != "auto" and method not in METHODS:
            raise ValueError(f"unknown method {method!r}; known are auto, {', '.join(METHODS)}")
        if method in ("matmul", "tiled") and groups > 1:
            raise ValueError(f"method {method!r} needs groups=1, got {groups}; use auto or loop")
        self.method = method
        self.in_channels, self.out_channels, self.num_kernels = in_channels, out_channels, num_kernels
        self.kernel_size, self.stride = pair("kernel_size", kernel_size), pair("stride", stride)
        self.dilation, self.groups = pair("dilation", dilation), groups
        if isinstance(padding, str):
            padding = named_padding(padding, self.kernel_size, self.stride, self.dilation)
        self.padding = pair("padding", padding, least=0)
        factory = {"device": device, "dtype": dtype}
        outputs, inputs = num_kernels * out_channels, in_channels // groups
        options = {"reduction": reduction, "temperature": temperature}
        self.attention = KernelAttention(in_channels, num_kernels, **options, **factory)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *self.kernel_size, **factory))
        self.bias = nn.Parameter(torch.empty(outputs, **factory)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """He initialisation (fan-out, ReLU) of every kernel, zero bias: as VGG's convolutions."""
        for kernel in self.weight.chunk(self.num_kernels):
            nn.init.kaiming_normal_(kernel, mode="fan_out", nonlinearity="relu")
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, bias={self.bias is not None}, "
            f"num_kernels={self.num_kernels}"
        )

    def forward(
        self, x: Tensor, *, temperature: float | None = None, return_attention: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Convolve each sample with its own kernel; with ``return_attention`` also give π (B, K)."""
        self.check_maps(x)
        attention = self.attention(x, temperature)  # (B, K)
        y = self.convolve(x, attention)  # (B, C_out, H', W')
        return (y, attention) if return_attention else y

    def check_maps(self, x: Tensor) -> None:
        """``ValueError`` unless ``x`` is (B, C_in, H, W)."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"expected x of shape (B, {self.in_channels}, H, W), got {tuple(x.shape)}; "
                "a single picture needs a batch axis, x[None]"
            )

    @torch.no_grad()
    def kernel_spread(self) -> float:
        """How far the kernels have parted: root mean square distance from their mean, over the mean's own.

        At 0 the layer is a plain convolution, whatever the attention; independent kernels have √(K − 1).
        """
        kernels = self.weight.unflatten(0, (self.num_kernels, -1)).float()  # (K, C_out, C_in / groups, k, k)
        mean = kernels.mean(dim=0, keepdim=True)
        return ((kernels - mean).norm() / mean.expand_as(kernels).norm()).item()

    def convolve(self, x: Tensor, attention: Tensor) -> Tensor:
        """The convolution of each sample of ``x`` (B, C_in, H, W) with Σ_k π_k W_k; ``attention`` is π (B, K)."""
        self.check_maps(x)
        if attention.shape != (x.shape[0], self.num_kernels):
            raise ValueError(
                f"expected attention of shape {(x.shape[0], self.num_kernels)}, one row of weights for each sample, "
                f"got {tuple(attention.shape)}; expand one row for all to this shape"
            )
        geometry = Geometry(self.stride, self.padding, self.dilation, self.groups)
        method = choose_method(x, self.weight, self.num_kernels, geometry) if self.method == "auto" else self.method
        return convolve(x, attention, self.weight, self.bias, geometry, method)


def set_temperature(network: nn.Module, temperature: float) -> None:
    """Set the softmax temperature of every router in ``network``: annealed from 30 to 1 in the first epochs (Chen et
    al., CVPR 2020, section 3.2). ``ValueError`` unless positive, or where there is no router."""
    routers = [module for module in network.modules() if isinstance(module, KernelAttention)]
    if not routers:
        raise ValueError(f"{type(network).__name__} has no dynamic convolution; models.to_dynamic gives it some")
    for router in routers:
        router.set_temperature(temperature)


def pair(name: str, value: int | tuple[int, int], *, least: int = 1) -> tuple[int, int]:
    """(vertical, horizontal); ``ValueError`` unless ``value`` is one or two whole numbers of at least ``least``."""
    both = tuple(value) if isinstance(value, Iterable) else (value, value)
    if len(both) != 2 or not all(isinstance(side, Integral) and side >= least for side in both):
        raise ValueError(f"{name} must be one or two whole numbers of at least {least}, got {value!r}")
    return int(both[0]), int(both[1])


def named_padding(
    name: str, kernel_size: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int]:
    """The padding that ``nn.Conv2d`` calls ``"same"`` or ``"valid"``; ``ValueError`` where there is none."""
    if name == "valid":
        return 0, 0
    reach = tuple(d * (k - 1) for k, d in zip(kernel_size, dilation, strict=True))
    if name != "same" or stride != (1, 1) or any(side % 2 for side in reach):
        raise ValueError(
            f"padding {name!r} with kernel_size={kernel_size}, stride={stride}, dilation={dilation} is not possible; "
            "'same' needs stride 1 and an even reach on both sides, 'valid' is none: give numbers"
        )
    return reach[0] // 2, reach[1] // 2


def check_temperature(temperature: float) -> float:
    """Return ``temperature``; ``ValueError`` unless it is a finite number above 0."""
    try:
        fits = 0 < temperature < float("inf")
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"temperature must be a positive number, got {temperature!r}; 1 is a plain softmax")
    return temperature
