"""The compact network, the study's AdvancedTwoLayerCNN (Task 2).

Two convolutions with an RRDB and a self-attention block in parallel between them, their
outputs added; 447,491 parameters. ``blocks`` leaves out either or both, for the ablation.
"""

from torch import Tensor, nn

from models.attention import SelfAttention2d
from models.channels import CHANNELS, fill_channels
from models.classifier import ImageClassifier
from models.rrdb import RRDB

BLOCKS = {"none": (), "rrdb": ("rrdb",), "attention": ("attention",), "both": ("rrdb", "attention")}


class Compact(ImageClassifier):
    """(B, 3, H, W) → logits (B, num_classes), for H and W of at least 4."""

    name = "compact"

    def __init__(self, *, num_classes: int = 50, fill: str = "aligned", blocks: str = "both"):
        super().__init__(num_classes=num_classes, fill=fill, blocks=blocks)
        if blocks not in BLOCKS:
            raise ValueError(f"unknown blocks {blocks!r}; known are {', '.join(BLOCKS)}")
        self.stem = conv_stage(3, 64)
        branches = {"rrdb": RRDB, "attention": SelfAttention2d}
        self.branches = nn.ModuleDict({name: branches[name](64) for name in BLOCKS[blocks]})
        self.neck = conv_stage(64, 128)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(128, num_classes)

    def classify(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 64, H/2, W/2)
        if self.branches:
            x = sum(branch(x) for branch in self.branches.values())  # (B, 64, H/2, W/2)
        x = self.neck(x)  # (B, 128, H/4, W/4)
        return self.classifier(self.pool(x).flatten(1))  # (B, num_classes)

    @property
    def gamma(self) -> float | None:
        """The learned weight of self-attention against its input; None without that block."""
        return self.branches["attention"].gamma.item() if "attention" in self.branches else None

    def attention_at(
        self, x: Tensor, positions: Tensor, channels: str = CHANNELS, *, fill: str | None = None
    ) -> Tensor:
        """Self-attention of the chosen positions, (B, P, H/2, W/2), each map summing to 1.

        ``positions`` is (P, 2), integer (row, column) on the H/2 x W/2 map. Raises
        ``ValueError`` for a model without the attention block, ``IndexError`` off the map.
        """
        if "attention" not in self.branches:
            raise ValueError("this compact model has no attention block; build it with blocks='attention' or 'both'")
        x = self.stem(fill_channels(x, channels, fill or self.fill))
        return self.branches["attention"].attention_at(x, positions)


def conv_stage(in_channels: int, out_channels: int) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU, halving: (B, C, H, W) → (B, C', H/2, W/2)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU(), nn.MaxPool2d(2)
    )
