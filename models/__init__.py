"""Dynamic convolution for variable input channels: the study's four networks and an adaptive one.

>>> from models import load_model
>>> model = load_model("dynamic_vgg19")  # bundled weights
>>> logits = model(x, channels="RG")  # x: (B, 2, H, W)
"""

from models.adaptive_conv import ChannelAdaptiveConv2d
from models.bands import BANDS_UM
from models.channels import CHANNELS, FILLS, SUBSETS, fill_channels, select_channels
from models.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from models.classifier import ImageClassifier, ModelConfig
from models.convert import AnyChannels, to_dynamic
from models.dynamic_conv import DynamicConv2d, KernelAttention, set_temperature
from models.hub import load_model
from models.registry import MODELS, build_model

__all__ = [
    "BANDS_UM",
    "CHANNELS",
    "FILLS",
    "MODELS",
    "SUBSETS",
    "AnyChannels",
    "ChannelAdaptiveConv2d",
    "CheckpointError",
    "DynamicConv2d",
    "ImageClassifier",
    "KernelAttention",
    "ModelConfig",
    "build_model",
    "fill_channels",
    "load_checkpoint",
    "load_model",
    "save_checkpoint",
    "select_channels",
    "set_temperature",
    "to_dynamic",
]
