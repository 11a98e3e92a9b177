"""Other people's networks, made dynamic or opened to any channels: ResNet, DenseNet, MobileNet, your own.

The study's outlook names "the module in ResNet, DenseNet and others". ``to_dynamic`` puts a ``DynamicConv2d`` in place
of every plain convolution; ``AnyChannels`` puts a ``ChannelAttention`` before a network of RGB pictures. Both keep what
the network has learned and leave its code alone; what they add is trained with it, in your own loop.

>>> network = to_dynamic(torchvision.models.resnet18(), num_kernels=4)
>>> network = AnyChannels(torchvision.models.resnet18(), bands="B,G,R,0.74,NIR")
>>> logits = network(x, "R+NIR")  # x: (B, 2, H, W)
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from models.adaptive_conv import TUNING_UM, ChannelAttention, tuning_for, usual_spread
from models.bands import parse_bands, wavelength_of, wavelengths_of
from models.channels import CHANNELS
from models.classifier import ImageClassifier
from models.dynamic_conv import DynamicConv2d

PLAIN = "plain nn.Conv2d (zero padding, weights of its own, no hooks)"


def to_dynamic(
    network: nn.Module,
    *,
    layers: Iterable[str] | None = None,
    num_kernels: int = 4,
    reduction: float = 0.25,
    temperature: float = 1.0,
    noise: float = 0.5,
    seed: int = 0,
) -> nn.Module:
    """Replace the plain convolutions of ``network`` by dynamic ones and return it (changed, as by PyTorch's own
    ``convert_sync_batchnorm``).

    ``layers`` are the names of those to replace, as in ``named_modules``; by default every plain ``nn.Conv2d``: with
    zeros for padding, alike on both sides, weights of its own and no hooks (by which ``spectral_norm``, ``prune`` and
    ``weight_norm`` work). Each of the K kernels is the plain one plus noise, by which they can part: ``noise`` times
    the spread of its weights, and zero in sum over the K. With even attention, which a high ``temperature`` gives
    (``set_temperature`` anneals it), the network therefore answers as before. Each kernel gets a K-th of the plain
    one's gradient; a higher learning rate on them makes up for that. Weights that do not require gradients still do
    not; routers are new and do. What the network also holds in a plain list, or whose weight it reads itself, must be
    left out by ``layers``: replaced is what is registered, and called as a module. ``seed`` is that of the noise; the
    routers draw from PyTorch's own generator.

    Raises ``ValueError`` for a layer that is not there or no such convolution, and where there is none.
    """
    found = {name: module for name, module in network.named_modules(remove_duplicate=False) if is_plain(module)}
    owners = Counter(id(weight) for module in network.modules() for weight in module._parameters.values())
    shared = {key for key, count in owners.items() if count > 1} - {id(None)}
    found = {name: module for name, module in found.items() if not shared & {*map(id, module._parameters.values())}}
    chosen = list(found) if layers is None else [layers] if isinstance(layers, str) else list(layers)
    if unknown := [name for name in chosen if name not in found]:
        raise ValueError(
            f"{unknown[0]!r} is no {PLAIN}; those of {type(network).__name__} are "
            f"{', '.join(list(found)[:6]) or 'none'}{', …' if len(found) > 6 else ''}"
        )
    if not chosen:
        raise ValueError(f"{type(network).__name__} has no {PLAIN} to replace")
    generator = torch.Generator().manual_seed(seed)
    options = {"num_kernels": num_kernels, "reduction": reduction, "temperature": temperature}
    made = {}
    for conv in map(found.get, chosen):
        if conv not in made:
            made[conv] = from_plain(conv, noise, generator, **options)
    for parent in list(network.modules()):
        for name, child in parent._modules.items():  # which names a module as often as it is used
            if child in made:
                setattr(parent, name, made[child])
    return made.get(network, network)


def is_plain(module: nn.Module) -> bool:
    """Whether a ``DynamicConv2d`` can stand in its place: a subclass, or one with hooks, may do more than convolve."""
    if (
        type(module) is not nn.Conv2d
        or module.padding_mode != "zeros"
        or not {"weight", "bias"} <= module._parameters.keys()
    ):
        return False
    reach = (d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True))
    uneven = module.padding == "same" and any(side % 2 for side in reach)
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return not (uneven or "forward" in vars(module) or any(getattr(module, kind) for kind in hooks))


def from_plain(conv: nn.Conv2d, noise: float, generator: torch.Generator, **options) -> DynamicConv2d:
    """The dynamic convolution whose kernels are ``conv``'s plus noise; ``options`` are those of ``DynamicConv2d``."""
    dynamic = DynamicConv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, stride=conv.stride, padding=conv.padding,
        dilation=conv.dilation, groups=conv.groups, bias=conv.bias is not None,
        device=conv.weight.device, dtype=conv.weight.dtype, **options,
    ).train(conv.training)  # fmt: skip
    if not conv.weight.is_contiguous():
        dynamic = dynamic.to(memory_format=torch.channels_last)
    with torch.no_grad():
        dynamic.weight.copy_(noisy_kernels(conv.weight.detach(), dynamic.num_kernels, noise, generator))
        dynamic.weight.requires_grad_(conv.weight.requires_grad)
        if conv.bias is not None:
            dynamic.bias.copy_(conv.bias.repeat(dynamic.num_kernels))
            dynamic.bias.requires_grad_(conv.bias.requires_grad)
    return dynamic


def noisy_kernels(kernel: Tensor, num_kernels: int, noise: float, generator: torch.Generator) -> Tensor:
    """K kernels (K·C_out, C_in / groups, k, k) around ``kernel``, which is their mean.

    Identical ones would get identical gradients and never part.
    """
    deviation = kernel.std() if kernel.numel() > 1 else kernel.abs().mean()
    spread = torch.randn(num_kernels, *kernel.shape, generator=generator, device="cpu").to(kernel) * deviation
    return (kernel + noise * (spread - spread.mean(dim=0))).flatten(0, 1)


class AnyChannels(nn.Module):
    """A network of RGB pictures behind a ``ChannelAttention``: it takes any channels, in any order.

    Untrained it fills: R, G and B go nearly all to their own inputs, one channel is copied to all three, of two the
    nearer in wavelength weighs more in place of the missing one. ``bands`` of a sensor (``parse_bands``) add a kernel
    for each further wavelength, which the first convolution, changed for it, sees as a further input; these weigh
    nothing at first. ``least_spread`` is that of ``ChannelAttention``, by default 0 with ``bands``, which may differ
    far more in contrast than R, G and B.

    Raises ``ValueError`` for bands that are none, and where a further kernel is needed but the network's first
    ``nn.Conv2d``, in the order of ``modules``, is not one of three channels, or it normalises or fills these itself.
    """

    def __init__(
        self, network: nn.Module, *, bands: str | Iterable[str | float] = "", least_spread: float | None = None
    ):
        super().__init__()
        self.bands = parse_bands(bands) if bands else ()
        tuning_um = tuning_for(map(wavelength_of, self.bands)) if bands else TUNING_UM
        if least_spread is None:
            least_spread = usual_spread(bands)
        self.attention = ChannelAttention(len(tuning_um), tuning_um=tuning_um, least_spread=least_spread)
        self.network = network if len(tuning_um) == len(CHANNELS) else widen_input(network, len(tuning_um))
        if (weight := next(network.parameters(), None)) is not None:
            self.attention.to(weight.device)

    def forward(
        self,
        x: Tensor,
        channels: str | Iterable[str | float] | None = None,
        *,
        wavelengths_um: Sequence[float | None] | Tensor | None = None,
        present: Tensor | None = None,
        return_attention: bool = False,
        **options,
    ):
        """What the network makes of ``x`` (B, C, H, W), normalised as its own pictures are.

        Unless named, the channels are the ``bands`` it was made for, or R, G and B.
        ``channels``, ``wavelengths_um`` and ``present`` are those of ``AdaptiveVGG19``, ``options`` go to the network.
        With ``return_attention`` also the attention (B, C, K) of the kernels to the channels. Raises ``ValueError``.
        """
        if channels is None and wavelengths_um is None:
            channels = self.bands or CHANNELS
        bands, routing = self.attention(x, wavelengths_of(channels, wavelengths_um), present)  # (B, K, H, W)
        y = self.network(bands, **options)
        return (y, routing.attention) if return_attention else y


def widen_input(network: nn.Module, num_inputs: int) -> nn.Module:
    """Let the first convolution take ``num_inputs`` channels, the further ones with weights of zero."""
    if isinstance(network, ImageClassifier):
        raise ValueError(
            f"{type(network).__name__} takes R, G and B and fills those missing; for other bands use adaptive_vgg19"
        )
    if getattr(network, "transform_input", False):
        raise ValueError(
            f"{type(network).__name__} normalises its three inputs by itself (transform_input=True) and takes no more; "
            "set transform_input=False and normalise the pictures"
        )
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d | DynamicConv2d))
    first = next(convolutions, None)
    if isinstance(first, DynamicConv2d):
        raise ValueError(
            f"the first convolution of {type(network).__name__} is dynamic already and takes no more channels; use "
            "AnyChannels first, then to_dynamic"
        )
    if not is_plain_rgb(first):
        found = "none" if first is None else f"{type(first).__name__} of {first.in_channels} channels"
        if first is not None and "weight" not in first._parameters:
            found += " whose weight is computed (spectral_norm, prune, …)"
        raise ValueError(
            f"the first convolution of {type(network).__name__} must be an nn.Conv2d of three channels to take more, "
            f"found {found}; without bands a network need not have one"
        )
    more = first.weight.new_zeros(len(first.weight), num_inputs - first.in_channels, *first.kernel_size)
    weight = torch.cat([first.weight.detach(), more], dim=1)
    first.weight = nn.Parameter(weight, requires_grad=first.weight.requires_grad)
    first.in_channels = num_inputs
    return network


def is_plain_rgb(module: nn.Module | None) -> bool:
    plain = type(module) is nn.Conv2d and "weight" in module._parameters  # else a hook makes the weight
    return plain and module.in_channels == len(CHANNELS) and module.groups == 1
