"""Pictures as people have them → what the networks see. Training, the demo and ``preprocess`` share it."""

import numpy as np
from PIL import Image, ImageOps

DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "F")


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any PIL picture as upright 8-bit RGB: turned as its camera says, transparency on white."""
    picture = ImageOps.exif_transpose(to_8_bit(picture))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def to_8_bit(picture: Image.Image) -> Image.Image:
    """A deep grey picture in 8 bits, which Pillow would clip; any other as it is.

    16-bit values are divided by 257, wider ones stretch over their range.
    """
    if picture.mode not in DEEP_MODES:
        return picture
    values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    low, high = (0.0, 65535.0) if picture.mode.startswith("I;16") else (values.min(), values.max())
    scaled = (values - low) / max(high - low, 1e-9) * 255
    return Image.fromarray(scaled.round().astype(np.uint8))
