"""What lies behind an answer: the picture as a network sees it, and where self-attention looks.

Pure functions on PIL pictures and loaded models. Sizes: S is a network's input size.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from demo.inference import network_input
from models import CHANNELS, ImageClassifier, ModelConfig, fill_channels, select_channels
from models.compact import Compact

GLOW = (255, 138, 36)  # orange


def seen(
    network: ImageClassifier, picture: Image.Image, channels: str = CHANNELS, fill: str = "aligned"
) -> Image.Image:
    """The S x S RGB picture a network gets, missing channels filled."""
    pixels = network.config.resize(picture).unsqueeze(0).float()  # (1, 3, S, S)
    filled = fill_channels(select_channels(pixels, channels), channels, fill)[0]
    return Image.fromarray(filled.round().byte().permute(1, 2, 0).contiguous().numpy())


def channel_pictures(network: ImageClassifier, picture: Image.Image) -> dict[str, Image.Image]:
    """The three channels at the network's resolution, each an S x S picture in its own colour."""
    pixels = network.config.resize(picture)  # (3, S, S)
    pictures = {}
    for index, name in enumerate(CHANNELS):
        alone = torch.zeros_like(pixels)
        alone[index] = pixels[index]
        pictures[name] = Image.fromarray(alone.permute(1, 2, 0).contiguous().numpy())
    return pictures


def false_colour_bands(wavelengths_um: Sequence[float]) -> tuple[int, int, int]:
    """Which bands to show as red, green and blue: the longest, the middle and the shortest known wavelength.

    Bands of unknown wavelength count only where none is known, in the file's order.
    """
    known = [index for index, value in enumerate(wavelengths_um) if math.isfinite(value)]
    order = sorted(known, key=lambda index: -wavelengths_um[index]) or list(range(len(wavelengths_um)))
    return order[0], order[len(order) // 2], order[-1]


def false_colour(values: np.ndarray, bands: tuple[int, int, int], size: int = 256) -> Image.Image:
    """Three bands of (C, H, W) in 0..1 as an RGB picture with sides of at most ``size``."""
    picture = Image.fromarray((values[list(bands)] * 255).round().astype(np.uint8).transpose(1, 2, 0).copy())
    picture.thumbnail((size, size), Image.Resampling.BOX)
    return picture


def brightening(values: np.ndarray) -> float:
    """What values (C, H, W) in 0..1 are multiplied by to be seen: a sensor's reflectance is mostly dark.

    1 where one in 200 is above 0.5; else so much that this one becomes 1, in two digits, the same for all bands.
    """
    step = math.ceil((values.size / 1e6) ** 0.5)  # which is enough to know
    bright = np.percentile(values[:, ::step, ::step], 99.5)
    return float(f"{1 / bright:.2g}") if 0 < bright < 0.5 else 1.0


def brightened(values: np.ndarray, factor: float) -> np.ndarray:
    """The same values as bright as they are shown."""
    return (values * factor).clip(0, 1)


def band_pictures(network: ImageClassifier, values: np.ndarray) -> list[Image.Image]:
    """Every band of (C, H, W) in 0..1 in grey, S x S, as the network gets it."""
    pixels = (network.config.resize(torch.from_numpy(values)) * 255).round().byte().numpy()  # (C, S, S)
    return [Image.fromarray(band) for band in pixels]


@torch.inference_mode()
def attention_from(
    network: Compact,
    picture: Image.Image,
    point: tuple[float, float],
    channels: str = CHANNELS,
    fill: str = "aligned",
) -> np.ndarray:
    """Where self-attention looks from ``point``: (S/2, S/2) over the part that the network sees, summing to 1.

    ``point`` is (x, y) as shares of the picture's width and height, clipped to that part.
    Raises ``ValueError`` for a network without the attention block.
    """
    x = select_channels(network_input(network, picture), channels)  # (1, C, S, S)
    size = network.config.input_size // 2
    margin = margin_of(size, network.config.crop_pct)
    column, row = (min(max(int(share * (size + 2 * margin)) - margin, 0), size - 1) for share in point)
    attention = network.attention_at(x, torch.tensor([[row, column]]), channels, fill=fill)[0, 0]
    return attention.float().cpu().numpy()


def margin_of(size: int, crop_pct: float) -> int:
    """How many more positions the whole picture has on each side of the ``size`` in the part that is seen."""
    return round(size * (1 / crop_pct - 1) / 2)


def clip_to_seen(point: tuple[float, float], config: ModelConfig) -> tuple[float, float]:
    """The point (x, y), shares of the picture's sides, or the nearest one in the part that the network sees."""
    border = (1 - config.crop_pct) / 2
    return tuple(min(max(share, border), 1 - border) for share in point)


def concentration(attention: np.ndarray) -> float:
    """How much of the attention, 0..1, lies on the strongest tenth of positions (flat: 0.1)."""
    values = np.sort(attention.ravel())[::-1]
    return float(values[: max(1, round(values.size / 10))].sum())


def overlay(picture: Image.Image, attention: np.ndarray, crop_pct: float = 1.0) -> Image.Image:
    """The picture, darkened, glowing where attention is above an even spread.

    ``attention`` (P, P) lies on the middle ``crop_pct`` of each side; nothing glows around it.
    The glow grows with the logarithm of that ratio and is full at the strongest position, or at
    four times even where attention is flatter than that: a flat map does not glow.
    """
    ratio = np.maximum(attention * attention.size, 1e-12)
    strength = np.clip(np.log2(ratio) / np.log2(max(float(ratio.max()), 4.0)), 0, 1)
    strength = np.pad(strength, margin_of(len(strength), crop_pct))
    mask = Image.fromarray((strength * 255).astype(np.uint8)).resize(picture.size, Image.Resampling.BICUBIC)
    dimmed = Image.blend(picture, Image.new("RGB", picture.size, "black"), 0.45)
    return Image.composite(Image.blend(dimmed, Image.new("RGB", picture.size, GLOW), 0.75), dimmed, mask)
