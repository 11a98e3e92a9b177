"""VGG19 with batch normalisation; the convolution it is given makes it plain or dynamic.

Configuration E of Simonyan & Zisserman 2015, as the study trims it (Task 1): batch
normalisation after each of the 16 convolutions, adaptive average pooling to 7x7, and one
linear layer for a head. Plain convolutions have a bias, dynamic ones have none. The keys of
``features`` are those of torchvision's ``vgg19_bn``.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.adaptive_conv import LEAST_SPREAD, TUNING_UM, ChannelAdaptiveConv2d
from models.bands import wavelengths_of
from models.channels import CHANNELS
from models.classifier import ImageClassifier
from models.conditional_norm import ConditionalBatchNorm2d
from models.dynamic_conv import DynamicConv2d, set_temperature

CONFIGURATION_E = (64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4, "M")
POOLED = 7  # the head sees the last maps, 512 at full width, as 7x7


def configuration(width: float = 1.0) -> tuple[int | str, ...]:
    """Configuration E with ``width`` (above 0) times as many channels in every layer, at least one.

    A network whose channels are all thinned alike: the width multiplier of MobileNet (Howard et al., 2017,
    section 3.3). ``ValueError`` for a width that is no positive number.
    """
    if not 0 < width < float("inf"):
        raise ValueError(f"width must be a number above 0, got {width}; 1 is the whole network, 0.25 a quarter")
    return tuple(item if item == "M" else max(1, round(width * item)) for item in CONFIGURATION_E)


class VGG19(ImageClassifier):
    """(B, 3, H, W) → logits (B, num_classes), for H and W of at least 32."""

    name = "vgg19"
    min_input_size = 32  # five poolings

    def __init__(
        self,
        *,
        num_classes: int = 50,
        fill: str | None = "aligned",
        width: float = 1.0,
        conv: Callable[..., nn.Module] = nn.Conv2d,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ):
        """``width`` is that of ``configuration``; ``conv(in_channels, out_channels, 3, padding=1)`` builds each
        convolution, ``norm(out_channels)`` the normalisation after it."""
        super().__init__(num_classes=num_classes, fill=fill, width=width)
        layers: list[nn.Module] = []
        in_channels = 3
        for item in configuration(width):
            if item == "M":
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [conv(in_channels, item, 3, padding=1), norm(item), nn.ReLU(inplace=True)]
            in_channels = item
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(POOLED)
        self.classifier = nn.Linear(in_channels * POOLED**2, num_classes)
        self.reset_parameters()

    def describe(self, *, width: float = 1.0, **arguments) -> None:
        """As in ``ImageClassifier``; full width goes unsaid, as in checkpoints from before there was another."""
        super().describe(**arguments, **({"width": width} if width != 1 else {}))

    def reset_parameters(self) -> None:
        """He initialisation of the plain convolutions; the dynamic ones have done their own.

        A map smaller than 7x7 is replicated before the head, so its inputs, 25,088 at full width, are far
        from independent: a narrow start keeps the first logits small.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.classifier.weight, std=0.0015)
        nn.init.zeros_(self.classifier.bias)

    def classify(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    def head(self, x: Tensor) -> Tensor:
        x = self.avgpool(x)  # (B, C, 7, 7), C of 512 at full width
        return self.classifier(x.flatten(1))  # (B, num_classes)

    def head_replication(self, image_size: int) -> float:
        return (POOLED / min(POOLED, max(1, image_size // 32))) ** 2


class DynamicVGG19(VGG19):
    """VGG19 in which each of the 16 convolutions is a ``DynamicConv2d`` (the study, Task 1)."""

    name = "dynamic_vgg19"

    def __init__(
        self,
        *,
        num_classes: int = 50,
        fill: str = "aligned",
        width: float = 1.0,
        num_kernels: int = 4,
        reduction: float = 0.25,
        temperature: float = 1.0,
    ):
        """``width`` is that of ``configuration``; ``num_kernels``, ``reduction`` and ``temperature`` are those of every
        ``DynamicConv2d``."""
        conv = partial(DynamicConv2d, bias=False, num_kernels=num_kernels, reduction=reduction, temperature=temperature)
        super().__init__(num_classes=num_classes, fill=fill, width=width, conv=conv)
        self.describe(num_classes=num_classes, fill=fill, width=width, num_kernels=num_kernels, reduction=reduction)

    @property
    def dynamic_layers(self) -> list[DynamicConv2d]:
        return [layer for layer in self.features if isinstance(layer, DynamicConv2d)]

    @property
    def temperature(self) -> float:
        """The routers' softmax temperature, one for all layers."""
        return self.dynamic_layers[0].attention.temperature.item()

    def set_temperature(self, temperature: float) -> None:
        """Set every router's temperature; ``ValueError`` unless positive."""
        set_temperature(self, temperature)

    def kernel_spread(self) -> float:
        """How far the K kernels of a layer have parted, mean over the layers; see ``DynamicConv2d``."""
        return sum(layer.kernel_spread() for layer in self.dynamic_layers) / len(self.dynamic_layers)

    def classify(
        self, x: Tensor, *, temperature: float | None = None, return_attention: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Logits; with ``return_attention`` also the attention weights (B, 16, K).

        ``temperature`` overrides the saved one for this call only.
        """
        if temperature is None and not return_attention:
            return self.head(self.features(x))
        attention = []
        for layer in self.features:
            if isinstance(layer, DynamicConv2d):
                x, weights = layer(x, temperature=temperature, return_attention=True)
                attention.append(weights)
            else:
                x = layer(x)
        logits = self.head(x)
        return (logits, torch.stack(attention, dim=1)) if return_attention else logits

    def kernel_attention(self, x: Tensor, channels: str = "RGB", **options) -> Tensor:
        """Attention weights over the kernels, (B, 16, K), summing to 1 over K."""
        return self(x, channels, return_attention=True, **options)[1]


class AdaptiveVGG19(VGG19):
    """VGG19 whose first layer takes any channels: ``ChannelAdaptiveConv2d``; the other convolutions are plain.

    All normalisations follow which channels there are: ``ConditionalBatchNorm2d``, which has no synchronised form
    (after ``convert_sync_batchnorm`` a call fails); with ``plain_norm`` they are plain ones.
    ``features`` is called layer by layer, so that hooks on the whole of it do not run. It fills nothing.
    ``model(x, "RG")``, ``model(x, "R+NIR")``, ``model(x, wavelengths_um=[0.665, 0.842])``.
    """

    name = "adaptive_vgg19"
    any_channels = True

    def __init__(
        self,
        *,
        num_classes: int = 50,
        width: float = 1.0,
        num_kernels: int = 4,
        tuning_um: Sequence[float] = TUNING_UM,
        least_spread: float = LEAST_SPREAD,
        own_kernels: bool = False,
        plain_norm: bool = False,
    ):
        """``width`` is that of ``configuration``; ``plain_norm`` makes all normalisations plain ones; the others
        are those of ``ChannelAdaptiveConv2d``; see ``tuning_for`` for a sensor."""
        options = {"num_kernels": num_kernels, "tuning_um": tuple(tuning_um), "own_kernels": own_kernels}
        options |= {"least_spread": least_spread}
        first = ChannelAdaptiveConv2d(configuration(width)[0], 3, padding=1, **options)
        conditional = partial(ConditionalBatchNorm2d, description_size=first.company_size)
        norm = nn.BatchNorm2d if plain_norm else conditional
        super().__init__(num_classes=num_classes, fill=None, width=width, norm=norm)
        options |= {"plain_norm": True} if plain_norm else {}  # unsaid otherwise, as from before there was a choice
        self.describe(num_classes=num_classes, width=width, **options)
        self.features[0], self.plain_norm = first, plain_norm

    def forward(
        self,
        x: Tensor,
        channels: str | Iterable[str] | None = None,
        *,
        wavelengths_um: Sequence[float | None] | Tensor | None = None,
        fill: str | None = None,
        **options,
    ):
        """Logits (B, num_classes) of ``x`` (B, C, H, W), normalised by mean and std, for any C of at least 1.

        Its channels are named (``bands.py``; ``"?"`` for an unknown one) or given by wavelength in µm (None or
        NaN for an unknown one); without either they are the bands it was trained on (``config.bands``), or R, G, B.
        ``fill`` is taken for the sake of the other
        networks' calls and has nothing to do. ``options`` go to ``classify``. Raises ``ValueError``.
        """
        if channels is None and wavelengths_um is None:
            channels = (self.config and self.config.bands) or CHANNELS
        return self.classify(x, wavelengths_of(channels, wavelengths_um), **options)

    def classify(
        self, x: Tensor, wavelengths_um: Tensor, *, present: Tensor | None = None, return_attention: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Logits; with ``return_attention`` also the attention (B, C, K) of the K kernels over the channels.

        ``present`` (B, C), boolean, says which channels each sample of a mixed batch has.
        """
        first, *others = self.features
        x, routing = first(x, wavelengths_um, present=present, return_routing=True)  # (B, C_out, H, W)
        for layer in others:
            told = isinstance(layer, _BatchNorm) and not self.plain_norm
            x = layer(x, routing.company) if told else layer(x)
        logits = self.head(x)
        return (logits, routing.attention) if return_attention else logits

    def kernel_attention(self, x: Tensor, channels: str | Iterable[str] | None = None, **options) -> Tensor:
        """What each kernel takes from each channel, (B, C, K), summing to 1 over the present channels."""
        return self(x, channels, return_attention=True, **options)[1]
