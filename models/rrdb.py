"""Residual-in-residual dense block.

Wang et al., "ESRGAN", ECCV Workshops 2018, section 3.1, as the study sizes it (Task 2): dense
blocks of three 3x3 convolutions, ReLU after the first two, residual scaling 0.2 inside and
outside.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DenseBlock(nn.Module):
    """(B, C, H, W) → the same shape: x + residual_scale · conv3(x and what conv1 and conv2 add, G maps each)."""

    def __init__(self, channels: int, growth_channels: int = 32, residual_scale: float = 0.2):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, growth_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels + growth_channels, growth_channels, 3, padding=1)
        self.conv3 = nn.Conv2d(channels + 2 * growth_channels, channels, 3, padding=1)
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(self.conv1(x))  # (B, G, H, W)
        b = F.relu(self.conv2(torch.cat([x, a], 1)))  # (B, G, H, W)
        y = self.conv3(torch.cat([x, a, b], 1))  # (B, C, H, W)
        return x + self.residual_scale * y


class RRDB(nn.Module):
    """(B, C, H, W) → the same shape: x + residual_scale · three dense blocks in sequence.

    ``growth_channels`` G is how many maps each of a block's first two convolutions adds.
    """

    def __init__(self, channels: int, growth_channels: int = 32, residual_scale: float = 0.2):
        super().__init__()
        self.body = nn.Sequential(*[DenseBlock(channels, growth_channels, residual_scale) for _ in range(3)])
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.residual_scale * self.body(x)
