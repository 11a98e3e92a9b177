"""Opening pictures as people have them: any mode, rotation, size or common format → RGB.

Every failure is a ``FriendlyError``.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from demo.text import FriendlyError

MAX_PIXELS = 50_000_000  # a 50-megapixel photograph; more is refused before it is decoded
WORKING_SIZE = 512  # longer sides are reduced to this, far above any network's input

JPEG_MODES = ("RGB", "L")  # the modes in which a JPEG decoder can reduce while it decodes
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "F")


def open_picture(path: str | Path | None) -> Image.Image:
    """The RGB picture of a file: upright, first frame, transparency on white, at most 512 pixels a side.

    Raises ``FriendlyError``: ``no_picture`` for None, ``picture_too_large`` above ``MAX_PIXELS``
    (known from the header, nothing is decoded), ``picture_unreadable`` for anything else.
    """
    if path is None:
        raise FriendlyError("no_picture")
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise FriendlyError("picture_too_large")
            if picture.mode in JPEG_MODES:
                picture.draft(picture.mode, (WORKING_SIZE, WORKING_SIZE))
            picture.load()
            return to_rgb(picture)
    except FriendlyError:
        raise
    except Image.DecompressionBombError as error:
        raise FriendlyError("picture_too_large") from error
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:  # what Pillow's decoders raise
        raise FriendlyError("picture_unreadable") from error


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any PIL picture → upright RGB with sides of 1 to ``WORKING_SIZE``."""
    if picture.mode in DEEP_MODES:
        picture = scale_to_8_bit(picture)
    picture = ImageOps.exif_transpose(picture)
    if max(picture.size) > WORKING_SIZE:
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")  # palettes do not average
        picture.thumbnail((WORKING_SIZE, WORKING_SIZE), Image.Resampling.BOX)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def scale_to_8_bit(picture: Image.Image) -> Image.Image:
    """A deep grey picture → 8 bits: 16-bit values keep their top byte, wider ones stretch over their range."""
    values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    low, high = (0.0, 65535.0) if picture.mode.startswith("I;16") else (values.min(), values.max())
    scaled = (values - low) / max(high - low, 1e-9) * 255
    return Image.fromarray(scaled.round().astype(np.uint8))
