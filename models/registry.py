"""The networks by name. The same words name checkpoint folders, CLI values and table rows."""

from models.classifier import ImageClassifier
from models.compact import Compact
from models.resnet import ResNet34
from models.vgg import VGG19, AdaptiveVGG19, DynamicVGG19

MODELS: dict[str, type[ImageClassifier]] = {
    model.name: model for model in (VGG19, DynamicVGG19, AdaptiveVGG19, Compact, ResNet34)
}


def build_model(name: str, **arguments) -> ImageClassifier:
    """A freshly initialised network; ``ValueError`` for an unknown name or argument."""
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; known are {', '.join(MODELS)}")
    try:
        return MODELS[name](**arguments)
    except TypeError as error:
        raise ValueError(f"bad arguments for {name}: {error}") from error
