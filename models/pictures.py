"""Pictures as people have them → what the networks see. Training, the demo and ``preprocess`` share it."""

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import v2

DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "F")


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any PIL picture as upright 8-bit RGB: turned as its camera says, transparency on white."""
    return on_white(to_8_bit(upright(picture)))


def upright(picture: Image.Image) -> Image.Image:
    """Turned as its camera says; as it is, like browsers show it, where that cannot be read."""
    picture.load()  # damaged pixels are an error, and are one only once
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # a camera's damaged notes can fail anywhere
        return picture


def on_white(picture: Image.Image) -> Image.Image:
    """An 8-bit picture of any mode as RGB, transparency on white."""
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def to_8_bit(picture: Image.Image) -> Image.Image:
    """A deep grey picture in 8 bits, which Pillow would clip; any other as it is.

    16-bit values are divided by 257, wider ones stretch over their finite range: infinity is its end, NaN is 0, or the
    end that is nearest to it.
    """
    if picture.mode not in DEEP_MODES:
        return picture
    deep = np.asarray(picture)
    scaled, rows = np.empty(deep.shape, np.uint8), [slice(row, row + 256) for row in range(0, len(deep), 256)]
    low, high = 0.0, 65535.0
    if not picture.mode.startswith("I;16"):
        finite = (deep[part][np.isfinite(deep[part])] for part in rows)
        extremes = [(float(values.min()), float(values.max())) for values in finite if values.size] or [(0.0, 0.0)]
        low, high = min(least for least, _ in extremes), max(most for _, most in extremes)
    for part in rows:  # in full precision, and not all at once: large pictures would take gigabytes
        values = np.nan_to_num(deep[part].astype(np.float64), nan=np.clip(0, low, high), posinf=high, neginf=low)
        scaled[part] = ((values - low) / max(high - low, 1e-9) * 255).round()
    return Image.fromarray(scaled)


def resize(picture: Image.Image | Tensor, size: int, crop_pct: float = 1.0) -> Tensor:
    """A picture (PIL, or (…, H, W) of any type) as a square (…, size, size) of its middle.

    ``crop_pct`` is the share of each side that is kept: 1, as in the study, shows the whole picture. Networks that
    learned from random crops know things enlarged and are better on somewhat less (Touvron et al., NeurIPS 2019).
    """
    whole = resized_size(size, crop_pct)
    picture = v2.functional.to_image(picture)
    pixels = v2.functional.resize(picture, [whole, whole], antialias=True)
    return within(v2.functional.center_crop(pixels, [size, size]), picture)


def within(resized: Tensor, picture: Tensor) -> Tensor:
    """``resized`` without rounding errors beyond the values of ``picture``, both (…, H, W): a channel of one value
    keeps it (``adaptive_conv.py``)."""
    if resized.is_floating_point():
        resized = resized.clamp(picture.amin(dim=(-2, -1), keepdim=True), picture.amax(dim=(-2, -1), keepdim=True))
    return resized.as_subclass(Tensor)


def resized_size(size: int, crop_pct: float) -> int:
    """To how many pixels a side is resized so that ``size`` of them are the share ``crop_pct``."""
    return round(size / crop_pct)


def check_values(values: Tensor) -> Tensor:
    """``values`` if they are a picture's, (C, H, W), uint8 or floats in 0..1; else ``ValueError``."""
    remedy = "models.band_files.open_bands reads and scales files"
    if values.ndim != 3:
        raise ValueError(f"expected values (C, H, W), got {tuple(values.shape)}; {remedy}")
    if not values.numel():
        raise ValueError(f"expected at least one value, got none: {tuple(values.shape)}; {remedy}")
    if values.shape[2] in (1, 3, 4) and min(values.shape[:2]) > 16:  # as NumPy has the pictures of Pillow and OpenCV
        raise ValueError(
            f"expected values (C, H, W), got {tuple(values.shape)}, which looks like (H, W, C); pass the PIL picture "
            "itself, or array.transpose(2, 0, 1)"
        )
    if values.dtype != torch.uint8 and not values.is_floating_point():
        raise ValueError(f"expected uint8 or floats in 0..1, got {values.dtype}; {remedy}")
    if values.is_floating_point():
        lowest, highest = values.aminmax()
        if not (lowest >= 0 and highest <= 1):
            raise ValueError(f"expected floats in 0..1, got {lowest:g} to {highest:g}; {remedy}")
    return values


def normalize(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """uint8, or floats in 0..1, (…, C, H, W) → float with the given mean and std, C of each or one, on that scale."""
    mean, std = (torch.tensor(v).view(-1, 1, 1).to(pixels.device, non_blocking=True) for v in (mean, std))
    values = pixels.float() if pixels.is_floating_point() else pixels.float() / 255
    return (values - mean) / std
