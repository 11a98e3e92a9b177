"""Parameters and multiply-accumulates, to the digit of the study's two cost tables (``train/costs.py``).

Each network is run once on shapes alone (the meta device) and every module that does arithmetic
is counted from what went in and came out of it. Two conventions:

- ``fvcore``: as ``fvcore.nn.FlopCountAnalysis`` counts in train mode: convolutions, linear layers and
  matrix products by their multiply-accumulates, batch normalisation 5 and average pooling 1 per
  input value, everything else 0.
- ``thop``: as the study counted ``compact``: the matrix products of self-attention are missed, batch
  normalisation is 4 per value, average pooling one more than its window per output.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.adaptive_conv import ChannelAdaptiveConv2d, ZeroLinear
from models.attention import SelfAttention2d
from models.classifier import ImageClassifier
from models.conditional_norm import ConditionalBatchNorm2d, Modulation
from models.dynamic_conv import DynamicConv2d, KernelAttention
from models.registry import build_model


@dataclass(frozen=True)
class Cost:
    """``parameters`` of a network and ``macs``, its multiply-accumulates for one picture."""

    parameters: int
    macs: int


Count = Callable[[nn.Module, Tensor, Tensor], int]


def count_conv(conv: nn.Module, x: Tensor, y: Tensor) -> int:
    """Each output value sums C_in / groups · k² products."""
    return y.numel() * conv.in_channels // conv.groups * math.prod(conv.kernel_size)


def count_dynamic_conv(conv: DynamicConv2d, x: Tensor, y: Tensor) -> int:
    """The convolution itself and, for each sample, the mixture of its K kernels."""
    return count_conv(conv, x, y) + x.shape[0] * conv.weight.numel()


def count_router(router: KernelAttention, x: Tensor, y: Tensor) -> int:
    """The squeeze reads the whole map; the two linear layers count for themselves."""
    return x.numel()


def count_adaptive_conv(conv: ChannelAdaptiveConv2d, x: Tensor, y: Tensor) -> int:
    """Squeeze, sorting C channels into K virtual bands, and a convolution over these."""
    return x.numel() * (1 + conv.num_kernels) + y.numel() * math.prod(conv.weight.shape[1:])


def count_linear(linear: nn.Linear, x: Tensor, y: Tensor) -> int:
    return y.numel() * linear.in_features


def count_attention(block: SelfAttention2d, x: Tensor, y: Tensor) -> int:
    """Q Kᵀ and its product with V, as the formula says; the 1x1 convolutions count for themselves.

    ``SelfAttention2d`` pads queries and keys to the width of the values, which takes more (see there).
    """
    positions = math.prod(x.shape[2:])
    return x.shape[0] * positions**2 * (block.query.out_channels + block.value.out_channels)


FVCORE: dict[type[nn.Module], Count] = {
    nn.Conv2d: count_conv,
    **dict.fromkeys((nn.Linear, ZeroLinear, Modulation), count_linear),
    **dict.fromkeys((nn.BatchNorm2d, ConditionalBatchNorm2d), lambda norm, x, y: 5 * x.numel()),
    nn.AdaptiveAvgPool2d: lambda pool, x, y: x.numel(),
    DynamicConv2d: count_dynamic_conv,
    KernelAttention: count_router,
    ChannelAdaptiveConv2d: count_adaptive_conv,
    SelfAttention2d: count_attention,
}
THOP: dict[type[nn.Module], Count] = FVCORE | {
    **dict.fromkeys((nn.BatchNorm2d, ConditionalBatchNorm2d), lambda norm, x, y: 4 * x.numel()),
    nn.AdaptiveAvgPool2d: lambda pool, x, y: x.numel() + y.numel(),
    SelfAttention2d: lambda block, x, y: 0,  # its products are missed
}
COUNTS = {"fvcore": FVCORE, "thop": THOP}


def count(model: nn.Module, image_size: int, convention: str = "fvcore") -> Cost:
    """Cost of one picture of ``image_size`` pixels; ``model`` must live on the meta device.

    Raises ``ValueError`` for an unknown convention.
    """
    if convention not in COUNTS:
        raise ValueError(f"unknown convention {convention!r}; known are {', '.join(COUNTS)}")
    macs = 0

    def hook(rule: Count) -> Callable:
        def add(module: nn.Module, inputs: tuple, output: Tensor | tuple) -> None:
            nonlocal macs
            macs += rule(module, inputs[0], output[0] if isinstance(output, tuple) else output)

        return add

    rules = COUNTS[convention]
    handles = [m.register_forward_hook(hook(rules[type(m)])) for m in model.modules() if type(m) in rules]
    try:
        model.eval()(torch.empty(1, 3, image_size, image_size, device="meta"))  # train mode refuses maps of one value
    finally:
        for handle in handles:
            handle.remove()
    return Cost(sum(parameter.numel() for parameter in model.parameters()), macs)


def cost_of(name: str, image_size: int = 256, convention: str = "fvcore", **arguments) -> Cost:
    """Cost of a registered network, built with ``arguments`` on the meta device."""
    with torch.device("meta"):
        return count(build_model(name, **arguments), image_size, convention)


def cost_of_loaded(model: ImageClassifier) -> Cost:
    """Cost of a loaded network at its own input size and with its own arguments."""
    return cost_of(model.name, model.config.input_size, **model.arguments)
