"""The networks by name. The same words name checkpoint folders, CLI values and table rows."""

from models.classifier import ImageClassifier
from models.compact import Compact
from models.resnet import ResNet34
from models.vgg import VGG19, AdaptiveVGG19, DynamicVGG19

MODELS: dict[str, type[ImageClassifier]] = {
    model.name: model for model in (VGG19, DynamicVGG19, AdaptiveVGG19, Compact, ResNet34)
}

VGG19S = tuple(name for name, network in MODELS.items() if issubclass(network, VGG19))
THAT_FILL = tuple(name for name, network in MODELS.items() if not network.any_channels)
ONLY_FOR = {  # settings of a training that only some networks have: which
    "width": VGG19S,
    "num_kernels": ("dynamic_vgg19", "adaptive_vgg19"),
    "own_kernels": ("adaptive_vgg19",),
    "plain_norm": ("adaptive_vgg19",),
    "least_spread": ("adaptive_vgg19",),
    "pseudo_share": ("adaptive_vgg19",),
    "colour_mixing": THAT_FILL,
    "temperature_start": ("dynamic_vgg19",),
    "temperature_end": ("dynamic_vgg19",),
    "init_noise": ("dynamic_vgg19",),
    "blocks": ("compact",),
    "fill": THAT_FILL,
}


def build_model(name: str, **arguments) -> ImageClassifier:
    """A freshly initialised network; ``ValueError`` for an unknown name or argument."""
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; known are {', '.join(MODELS)}")
    try:
        return MODELS[name](**arguments)
    except TypeError as error:
        raise ValueError(f"bad arguments for {name}: {error}") from error
