"""Convolving each sample with its own mixture of K kernels: y_b = (Σ_k π_bk W_k) * x_b.

Five methods compute the same function and the same gradients:

- ``grouped``: mix the kernels of every sample, then one convolution with the batch as groups. All
  published implementations do this (Chen et al., CVPR 2020; CondConv, Yang et al., NeurIPS 2019). For one
  sample it is one dense convolution;
- ``mix``: convolution is linear, so convolve with all K kernels at once and mix the outputs, or on a GPU the inputs. No
  kernel per sample, K times the arithmetic, in one large matrix product; a graph for any batch size;
- ``loop``: mix the kernels of a few samples, convolve them one by one in the layout they have;
- ``matmul``: gather the patches and multiply matrices. Its backward pass goes over the kernel in slices
  whose mixtures stay in cache for the whole batch;
- ``tiled``: the same thought to its end, in C: a tile of the kernel is mixed, multiplied at once and never
  written to memory (``tiled.py``; where there is a compiler).

The last three keep only x, π and W for the backward pass and mix the kernels again there, so
their memory does not grow by a kernel per sample. ``choose_method`` says which is cheapest.

Sizes in this file: B batch, K kernels, C channels, H and W height and width, k kernel size. ``weight`` is
(K·C_out, C_in / groups, k, k), the kernels stacked; ``attention`` is (B, K).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from models import tiled
from models.precision import autocast_dtype, full_precision
from models.processor import has
from models.second_order import twice_differentiable

METHODS = ("grouped", "mix", "loop", "matmul", "tiled")
CHUNK = 8  # samples whose kernels exist at the same time
SLICE_SAMPLES = 32  # samples that a slice of the kernel is mixed for at once
TILED_UP_TO = 256  # positions: 16x16 maps
MIXED_UP_TO = 256  # positions, on a GPU without groups: there a kernel per sample is slow on small maps
SLICE_BYTES = 8 * 2**20  # of these mixtures


@dataclass(frozen=True)
class Geometry:
    """Stride, padding and dilation as (vertical, horizontal) pairs, and groups, as of ``nn.Conv2d``."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def out_size(self, size: tuple[int, int], kernel: tuple[int, int]) -> tuple[int, int]:
        """(H', W'); ``ValueError`` where the kernel, dilated, is larger than the padded map."""
        sides = zip(size, kernel, self.stride, self.padding, self.dilation, strict=True)
        out = tuple((side + 2 * p - d * (k - 1) - 1) // s + 1 for side, k, s, p, d in sides)
        if not torch.compiler.is_compiling() and min(out) < 1:
            raise ValueError(
                f"a map of {size[0]}x{size[1]} with padding {self.padding} is smaller than the {kernel[0]}x{kernel[1]} "
                f"kernel with dilation {self.dilation}; give larger maps or more padding"
            )
        return out


def convolve(x: Tensor, attention: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, method: str):
    """(B, C_in, H, W) → (B, C_out, H', W') by ``method``; ``bias`` is (K·C_out,) or None."""
    B, K = attention.shape
    attention = attention.to(weight.dtype).contiguous()
    geometry.out_size(x.shape[2:], weight.shape[2:])  # refuses maps smaller than the kernel, whatever the method
    if not torch.compiler.is_compiling() and B == 0:  # the sum is 0 and gives the router zero gradients
        y = F.conv2d(x, weight[: len(weight) // K], None, *arguments(geometry)) + attention.sum()
    elif method == "grouped":
        y = grouped(x, attention, weight, geometry)
    elif method == "mix":
        y = mix(x, attention, weight, geometry)
    elif method == "tiled":
        if reason := tiled.obstacle(x, weight, K, geometry):
            raise ValueError(f"method 'tiled' cannot convolve this: {reason}; use auto")
        y = tiled.TiledConvolution.apply(x.to(autocast_dtype(x)), attention, weight, geometry)
    else:
        x = x.to(autocast_dtype(x))
        with full_precision(x):  # which rounds no attention; what the methods round they round themselves
            y = {"loop": LoopConvolution, "matmul": MatmulConvolution}[method].apply(x, attention, weight, geometry)
    return y if bias is None else y + (attention @ bias.view(K, -1))[..., None, None].to(y.dtype)


def choose_method(x: Tensor, weight: Tensor, num_kernels: int, geometry: Geometry) -> str:
    """The cheapest method for ``x`` (B, C_in, H, W), by the positions of the output map.

    On a CPU (crossovers measured by ``python -m benchmarks.dynamic_conv --layers``, see ``benchmarks/LOG.md``):
    large maps are convolved one by one; on smaller ones a sample's kernel weighs more than its map, so it is mixed
    and multiplied tile by tile. Where tiles are impossible (no compiler, kernels that do not lie channels_last,
    16 bits without AVX-512) or slower (16 bits with AMX), its trips through memory decide: one sample is one dense
    convolution, and on the smallest maps K times the arithmetic costs less than any kernel per sample, sooner
    where matrix products are fast.
    Elsewhere, in compiled graphs and where operations are counted or transformed (``FlopCounterMode``,
    ``torch.func``, forward mode), which cannot see into the C program, only the two forms without
    loops: on a GPU K times the arithmetic costs less on small maps than a kernel per sample (timed without groups).
    """
    size = geometry.out_size(x.shape[2:], weight.shape[2:])
    positions = size[0] * size[1]
    if torch.compiler.is_exporting() or torch.jit.is_tracing():
        return "mix"  # a graph for any batch size: groups cannot depend on it
    on_gpu = x.device.type != "cpu"
    if on_gpu or torch.compiler.is_compiling() or is_in_torch_dispatch_mode() or is_transformed():
        large = positions > (MIXED_UP_TO if on_gpu and geometry.groups == 1 else 16)
        return "grouped" if x.shape[0] == 1 or (large and x.shape[0]) else "mix"  # no groups for no samples
    in_place = weight.is_contiguous(memory_format=torch.channels_last)  # else all kernels would be copied first
    half = autocast_dtype(x).itemsize == 2
    amx = half and has("amx_bf16")
    for_tiles = positions <= TILED_UP_TO and in_place and not amx
    if for_tiles and not tiled.obstacle(x, weight, num_kernels, geometry) and tiled.enough_blocks(x):
        return "tiled"
    if x.shape[0] == 1:
        return "grouped"
    mix_up_to = 64 if amx else 16  # 8x8 or 4x4 maps
    matmul_up_to = 256 if half else 64  # 16x16 or 8x8 maps
    if geometry.groups > 1 or positions > matmul_up_to:
        return "loop"
    return "mix" if positions <= mix_up_to else "matmul"


def is_transformed() -> bool:
    """Whether ``torch.func`` (``grad``, ``vmap``, …) or forward-mode differentiation is at work: only PyTorch's own
    operations know their rules."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def grouped(x: Tensor, attention: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """(B, C_in, H, W) → (B, C_out, H', W'): each sample's kernel is mixed, then one convolution, samples as groups."""
    B, K = attention.shape
    with full_precision(x):  # casts the mixture, not all K kernels
        kernels = unflatten(attention @ flatten(weight, K), weight)  # (B·C_out, C_in/g, k, k)
    if B > 1:  # one sample as it is: PyTorch 2.14 gets gradients wrong for a reshaped batch stride, in fp64
        x = x.reshape(1, -1, *x.shape[2:])  # (1, B·C_in, H, W)
    y = F.conv2d(x, kernels, None, geometry.stride, geometry.padding, geometry.dilation, B * geometry.groups)
    return y.view(B, -1, *y.shape[2:])


def mix(x: Tensor, attention: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """(B, C_in, H, W) → (B, C_out, H', W'): convolved with all K kernels, then mixed by ``attention`` (B, K). On
    other devices than a CPU as ``mix_inputs``."""
    if x.device.type != "cpu":
        return mix_inputs(x, attention, weight, geometry)
    B, K = attention.shape
    out = geometry.out_size(x.shape[2:], weight.shape[2:])
    if geometry.groups > 1 or torch.compiler.is_compiling() or torch.jit.is_tracing():
        kernels = weight.unflatten(0, (K, geometry.groups, -1)).transpose(0, 1).flatten(0, 2)
        y = F.conv2d(x, kernels, None, *arguments(geometry)).unflatten(1, (geometry.groups, K, -1))
        return (y * attention.view(B, 1, K, 1, 1, 1)).sum(2).flatten(1, 2).to(y.dtype)
    kernels = weight.permute(0, 2, 3, 1).reshape(len(weight), -1)  # (K·C_out, k·k·C_in)
    y = patches(pad(x, geometry), weight, geometry, out).flatten(0, 1) @ kernels.t()  # (B·H'·W', K·C_out)
    y = (y.view(B, -1, K, len(weight) // K) * attention.view(B, 1, K, 1)).sum(2).to(y.dtype)
    y = y.view(B, *out, -1).permute(0, 3, 1, 2)  # which is channels_last
    return y if is_channels_last(x) or is_channels_last(weight) else y.contiguous()


def mix_inputs(x: Tensor, attention: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """As ``mix``, in one convolution of K weighed copies of the input, side by side as channels: on a GPU faster.

    With s = Σ_k π_k and the mean kernel W̄, y = W̄ * (s x) + Σ_{k<K} (W_k − W_K) * ((π_k − s/K) x): in 16 bits the
    copies π_k x themselves would lose what tells nearly even weights apart (see ``Stored``).
    """
    (B, K), groups = attention.shape, geometry.groups
    total = attention.sum(dim=1, keepdim=True)
    weights = torch.cat([total, attention[:, :-1] - total / K], dim=1)  # (B, K)
    copies = x.permute(0, 2, 3, 1).unflatten(3, (groups, 1, -1)) * weights.view(B, 1, 1, 1, K, 1)
    kernels = weight.unflatten(0, (K, groups, -1))  # (K, groups, C_out/groups, C_in/groups, k, k)
    kernels = torch.cat([kernels.mean(dim=0, keepdim=True), kernels[:-1] - kernels[-1:]])
    kernels = kernels.permute(1, 2, 0, 3, 4, 5).flatten(2, 3).flatten(0, 1)  # (C_out, K·C_in/groups, k, k)
    return F.conv2d(copies.flatten(3).permute(0, 3, 1, 2), kernels, None, *arguments(geometry))


class LoopConvolution(torch.autograd.Function):
    """Dense convolutions one sample at a time."""

    @staticmethod
    def forward(ctx, x: Tensor, attention: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, attention, weight)
        ctx.geometry = geometry
        K = attention.shape[1]
        stored = flatten(weight, K)
        y = []
        for pi, inputs in zip(attention.split(CHUNK), x.split(CHUNK), strict=True):
            kernels = unflatten((pi @ stored).to(x.dtype), weight).chunk(len(pi))
            pairs = zip(inputs.split(1), kernels, strict=True)
            y += [F.conv2d(one, kernel, None, *arguments(geometry)) for one, kernel in pairs]
        return torch.cat(y)

    @staticmethod
    @twice_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, attention, weight = ctx.saved_tensors
        K = attention.shape[1]
        stored = flatten(weight, K)
        grad_x, grad_attention, grad_stored = [], [], torch.zeros_like(stored)
        for pi, inputs, outer in zip(attention.split(CHUNK), x.split(CHUNK), grad.split(CHUNK), strict=True):
            kernels = unflatten((pi @ stored).to(x.dtype), weight).chunk(len(pi))
            grads = stored.new_empty(len(pi), stored.shape[1])  # of each sample's own kernel
            for index, (one, kernel, g) in enumerate(zip(inputs.split(1), kernels, outer.split(1), strict=True)):
                dx, dw, _ = torch.ops.aten.convolution_backward(
                    g, one, kernel, None, ctx.geometry.stride, ctx.geometry.padding, ctx.geometry.dilation,
                    False, (0, 0), ctx.geometry.groups, (ctx.needs_input_grad[0], True, False),
                )  # fmt: skip
                grad_x.append(dx)
                grads[index] = in_order_of(dw, weight).flatten()
            grad_stored.addmm_(pi.t(), grads)
            grad_attention.append(grads @ stored.t())
        grad_x = torch.cat(grad_x) if ctx.needs_input_grad[0] else None  # pixels need none
        return grad_x, torch.cat(grad_attention), unflatten(grad_stored, weight), None


class Stored:
    """Kernels (K, N) in the type ``dtype`` of the maps, to be mixed by attention (b, K) of full precision.

    In 16 bits a nearly even mix would become an even one if the attention were rounded. What is rounded instead is how
    far it is from an even one: π W = W̄ + (π − 1/K) W with the mean kernel W̄.
    """

    def __init__(self, kernels: Tensor, dtype: torch.dtype):
        self.mean = None if dtype == kernels.dtype else kernels.mean(dim=0).to(dtype)  # (N,)
        self.kernels = kernels.to(dtype)

    def mixed(self, attention: Tensor) -> Tensor:
        """(b, N)"""
        if self.mean is None:
            return attention @ self.kernels
        return torch.addmm(self.mean, (attention - 1 / len(self.kernels)).to(self.kernels.dtype), self.kernels)


class MatmulConvolution(torch.autograd.Function):
    """Products of gathered patches with mixed kernels; ``groups`` must be 1."""

    @staticmethod
    def forward(ctx, x: Tensor, attention: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, attention, weight)
        ctx.geometry = geometry
        K = attention.shape[1]
        stored = Stored(weight.permute(0, 2, 3, 1).reshape(K, -1), x.dtype)  # (K, C_out·k·k·C_in)
        out = geometry.out_size(x.shape[2:], weight.shape[2:])
        y = []
        for pi, inputs in zip(attention.split(CHUNK), pad(x, geometry).split(CHUNK), strict=True):
            kernels = stored.mixed(pi).view(len(pi), len(weight) // K, -1)  # (chunk, C_out, k·k·C_in)
            y.append(torch.bmm(kernels, patches(inputs, weight, geometry, out).transpose(1, 2)))
        y = torch.cat(y).view(len(x), -1, *out)  # (B, C_out, H', W')
        return y.contiguous(memory_format=torch.channels_last) if is_channels_last(x) else y

    @staticmethod
    @twice_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, attention, weight = ctx.saved_tensors
        geometry, K = ctx.geometry, attention.shape[1]
        B, C = x.shape[:2]
        out = grad.shape[2:]
        stored = weight.permute(0, 2, 3, 1).view(K, -1, *weight.shape[2:], C)  # (K, C_out, k, k, C_in)
        padded = pad(x, geometry)  # (B, H+2p, W+2p, C_in)
        grad_padded = torch.zeros_like(padded, dtype=weight.dtype)
        grad_stored = torch.empty_like(stored)
        grad_attention = torch.zeros_like(attention)
        outer = grad.permute(0, 2, 3, 1).reshape(B, -1, stored.shape[1])  # (B, H'·W', C_out)
        width = max(16, SLICE_BYTES // (min(B, SLICE_SAMPLES) * stored.shape[1] * weight.element_size()))
        for (i, j), view in taps_of(padded, weight, geometry, out):
            grad_view = grad_padded[tap_slices(i, j, geometry, out)]
            for start in range(0, C, width):
                part = slice(start, start + width)
                some_kernels = Stored(stored[:, :, i, j, part].reshape(K, -1), x.dtype)  # (K, C_out·n)
                kernels = some_kernels.kernels
                inputs = view[..., part].reshape(B, outer.shape[1], -1)  # (B, H'·W', n)
                total = None
                for first in range(0, B, SLICE_SAMPLES):
                    some = slice(first, first + SLICE_SAMPLES)
                    pi, g = attention[some].to(x.dtype), outer[some]
                    mixed = some_kernels.mixed(attention[some]).view(len(pi), stored.shape[1], -1)  # (b, C_out, n)
                    grad_view[some, ..., part] += torch.bmm(g, mixed).view(len(pi), *out, -1)
                    grads = torch.bmm(g.transpose(1, 2), inputs[some]).flatten(1)  # (b, C_out·n)
                    total = pi.t() @ grads if total is None else total + pi.t() @ grads
                    grad_attention[some] += (kernels @ grads.t()).t()
                grad_stored[:, :, i, j, part] = total.view(K, stored.shape[1], -1)
        top, left = geometry.padding
        grad_x = grad_padded[:, top : top + x.shape[2], left : left + x.shape[3]].permute(0, 3, 1, 2).to(x.dtype)
        return grad_x, grad_attention, grad_stored.flatten(0, 1).permute(0, 3, 1, 2), None


def pad(x: Tensor, geometry: Geometry) -> Tensor:
    """(B, C, H, W) → (B, H + 2p, W + 2p, C)."""
    vertical, horizontal = geometry.padding
    return F.pad(x.permute(0, 2, 3, 1), (0, 0, horizontal, horizontal, vertical, vertical)).contiguous()


def tap_slices(i: int, j: int, geometry: Geometry, out: tuple[int, int]) -> tuple[slice, ...]:
    """Where tap (i, j) of the kernel meets the padded input."""
    starts = (i * geometry.dilation[0], j * geometry.dilation[1])
    sides = zip(starts, geometry.stride, out, strict=True)
    return (slice(None), *[slice(start, start + step * (size - 1) + 1, step) for start, step, size in sides])


def taps_of(padded: Tensor, weight: Tensor, geometry: Geometry, out: tuple[int, int]):
    """Each tap's indices and its view (B, H', W', C) of the padded input."""
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            yield (i, j), padded[tap_slices(i, j, geometry, out)]


def patches(padded: Tensor, weight: Tensor, geometry: Geometry, out: tuple[int, int]) -> Tensor:
    """The inputs under the kernel at each position, (B, H'·W', k·k·C_in)."""
    taps = [view for _, view in taps_of(padded, weight, geometry, out)]
    return torch.stack(taps, dim=3).view(len(padded), out[0] * out[1], -1)


def arguments(geometry: Geometry) -> tuple:
    return geometry.stride, geometry.padding, geometry.dilation, geometry.groups


def flatten(weight: Tensor, num_kernels: int) -> Tensor:
    """The kernels as (K, C_out·C_in/g·k·k) in the order in which they lie in memory: no copy."""
    return in_order_of(weight, weight).reshape(num_kernels, -1)


def unflatten(kernels: Tensor, weight: Tensor) -> Tensor:
    """The inverse: (N, C_out·C_in/g·k·k) → (N·C_out, C_in/g, k, k) in ``weight``'s memory format."""
    if is_channels_last(weight):
        return kernels.view(-1, *weight.shape[2:], weight.shape[1]).permute(0, 3, 1, 2)
    return kernels.view(-1, *weight.shape[1:])


def in_order_of(kernel: Tensor, weight: Tensor) -> Tensor:
    return kernel.permute(0, 2, 3, 1) if is_channels_last(weight) else kernel


def is_channels_last(weight: Tensor) -> bool:
    """Not by its memory format: ``vmap`` does not know of any."""
    return not weight.is_contiguous() and weight.permute(0, 2, 3, 1).is_contiguous()
