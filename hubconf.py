"""Entry points for ``torch.hub``; the bundled weights come with the repository.

>>> model = torch.hub.load("OWNER/REPO", "dynamic_vgg19", pretrained=True)
>>> logits = model(x, channels="RG")  # x: (B, 2, H, W)

``models`` is imported on use, so that torch.hub can name a missing dependency first.
"""

import sys
from pathlib import Path

dependencies = ["torch", "torchvision", "numpy", "tifffile", "huggingface_hub", "httpx2", "safetensors", "PIL"]


def vgg19(pretrained: bool = False, *, device=None, **arguments):
    """VGG19: with ``pretrained`` the bundled weights in eval mode, else a new one of ``num_classes``, ``fill`` and
    ``width``."""
    return _load("vgg19", pretrained, device, arguments)


def dynamic_vgg19(pretrained: bool = False, *, device=None, **arguments):
    """VGG19 of dynamic convolutions; arguments as for ``vgg19``, also ``num_kernels``, ``reduction`` and
    ``temperature``."""
    return _load("dynamic_vgg19", pretrained, device, arguments)


def adaptive_vgg19(pretrained: bool = False, *, device=None, **arguments):
    """VGG19 for any channels: ``num_classes`` and ``width``, further those of ``models.vgg.AdaptiveVGG19``."""
    return _load("adaptive_vgg19", pretrained, device, arguments)


def compact(pretrained: bool = False, *, device=None, **arguments):
    """The compact network: ``num_classes``, ``fill`` and ``blocks``."""
    return _load("compact", pretrained, device, arguments)


def resnet34(pretrained: bool = False, *, device=None, **arguments):
    """ResNet34: ``num_classes`` and ``fill``."""
    return _load("resnet34", pretrained, device, arguments)


def _load(name: str, pretrained: bool, device, arguments: dict):
    file = getattr(sys.modules.get("models"), "__file__", None)
    another = "models" in sys.modules and not str(file).startswith(str(Path(__file__).parent))
    try:
        from models import build_model, load_model
        from models.checkpoint import BUNDLED
    except ImportError as error:
        if not another:
            raise
        raise ImportError(
            "this project's package is named models, and another of that name is imported already; load the network "
            "first in a process of its own, or work in a clone of the repository"
        ) from error

    device = "cpu" if device is None else device
    if not pretrained:
        return build_model(name, **arguments).to(device)
    if arguments:
        raise ValueError(
            f"pretrained weights of {name} come with their own arguments, got {', '.join(arguments)}; "
            "leave them out, or give pretrained=False"
        )
    return load_model(BUNDLED / name, device=device)  # also where a folder of that name is in the way
