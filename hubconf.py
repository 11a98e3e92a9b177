"""Entry points for ``torch.hub``; the bundled weights come with the repository.

>>> model = torch.hub.load("OWNER/REPO", "dynamic_vgg19", pretrained=True)
>>> logits = model(x, channels="RG")  # x: (B, 2, H, W)

``models`` is imported on use, so that torch.hub can name a missing dependency first.
"""

dependencies = ["torch", "torchvision", "huggingface_hub", "httpx2", "safetensors", "PIL"]


def vgg19(pretrained: bool = False, *, device=None, **arguments):
    """VGG19: with ``pretrained`` the bundled weights in eval mode, else a new one of ``num_classes``, ``fill`` and
    ``width``."""
    return _load("vgg19", pretrained, device, arguments)


def dynamic_vgg19(pretrained: bool = False, *, device=None, **arguments):
    """VGG19 of dynamic convolutions; arguments as for ``vgg19``, also ``num_kernels`` and ``temperature``."""
    return _load("dynamic_vgg19", pretrained, device, arguments)


def adaptive_vgg19(pretrained: bool = False, *, device=None, **arguments):
    """VGG19 for any channels: ``num_classes``, ``width`` and ``num_kernels``."""
    return _load("adaptive_vgg19", pretrained, device, arguments)


def compact(pretrained: bool = False, *, device=None, **arguments):
    """The compact network: ``num_classes``, ``fill`` and ``blocks``."""
    return _load("compact", pretrained, device, arguments)


def resnet34(pretrained: bool = False, *, device=None, **arguments):
    """ResNet34: ``num_classes`` and ``fill``."""
    return _load("resnet34", pretrained, device, arguments)


def _load(name: str, pretrained: bool, device, arguments: dict):
    from models import build_model, load_model
    from models.checkpoint import BUNDLED

    if not pretrained:
        return build_model(name, **arguments).to(device or "cpu")
    if arguments:
        raise ValueError(
            f"pretrained weights of {name} come with their own arguments, got {', '.join(arguments)}; "
            "leave them out, or give pretrained=False"
        )
    return load_model(BUNDLED / name, device=device or "cpu")  # also where a folder of that name is in the way
