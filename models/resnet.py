"""ResNet34, torchvision's, with a head for our classes: the yardstick of Task 2.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. It is torchvision's
class, so the keys are those of ``torchvision.models.resnet34``.
"""

from torch import Tensor
from torchvision.models.resnet import BasicBlock, ResNet

from models.classifier import ImageClassifier


class ResNet34(ImageClassifier, ResNet):
    """(B, 3, H, W) → logits (B, num_classes), for any H and W; below 33 px its last map is one position."""

    name = "resnet34"

    def __init__(self, *, num_classes: int = 50, fill: str = "aligned"):
        self.describe(num_classes=num_classes, fill=fill)
        ResNet.__init__(self, BasicBlock, [3, 4, 6, 3], num_classes=num_classes)

    def classify(self, x: Tensor) -> Tensor:
        return self._forward_impl(x)
