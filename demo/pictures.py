"""Opening pictures as people have them: any mode, rotation, size or common format → RGB.

Every failure is a ``FriendlyError``.
"""

from functools import cache
from pathlib import Path

from PIL import Image

from demo.text import FriendlyError
from models.pictures import on_white, to_8_bit, upright

MAX_MEGABYTES = 20  # of a file, also of one with several bands
MAX_PIXELS = 50_000_000  # a 50-megapixel photograph; more is refused before it is decoded
WORKING_SIZE = 512  # longer sides are reduced to this, far above any network's input

# Of pictures that people take and draw. Pillow knows 40 more, among them one that starts another program (EPS) and one
# that is decoded before its size is known (ICO).
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA")
SHOWN_BY_BROWSERS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif")
JPEG_MODES = ("RGB", "L")  # the modes in which a JPEG decoder can reduce while it decodes


def check_file(path: str | Path, too_large: str) -> None:
    """``FriendlyError``: ``file_gone`` after a day, with the key ``too_large`` for a file above ``MAX_MEGABYTES``."""
    if not Path(path).is_file():
        raise FriendlyError("file_gone")
    if (size := Path(path).stat().st_size) > MAX_MEGABYTES * 1e6:
        raise FriendlyError(too_large, came=f"{size / 1e6:.1f}", limit=MAX_MEGABYTES)


def open_picture(path: str | Path | None) -> Image.Image:
    """The RGB picture of a file: upright, first frame, transparency on white, at most 512 pixels a side.

    Raises ``FriendlyError``: ``no_picture`` for None, ``file_gone`` after a day, ``file_too_large`` above
    ``MAX_MEGABYTES``, ``picture_too_large`` above ``MAX_PIXELS`` (known from the header, nothing is decoded),
    ``picture_unreadable`` for anything else.
    """
    if path is None:
        raise FriendlyError("no_picture")
    check_file(path, "file_too_large")
    try:
        with Image.open(path, formats=readable()) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise FriendlyError("picture_too_large")
            if picture.mode in JPEG_MODES:
                picture.draft(picture.mode, (WORKING_SIZE, WORKING_SIZE))
            picture.load()
            return shrink(picture)
    except FriendlyError:
        raise
    except Image.DecompressionBombError as error:
        raise FriendlyError("picture_too_large") from error
    except Exception as error:  # a damaged file can fail anywhere in a decoder, with any exception
        raise FriendlyError("picture_unreadable") from error


@cache
def readable() -> tuple[str, ...]:
    """Those of ``FORMATS`` that this Pillow reads."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def shrink(picture: Image.Image) -> Image.Image:
    """Any PIL picture → upright RGB with sides of 1 to ``WORKING_SIZE``."""
    picture = to_8_bit(upright(picture))
    if max(picture.size) > WORKING_SIZE:
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")  # palettes do not average
        picture.thumbnail((WORKING_SIZE, WORKING_SIZE), Image.Resampling.BOX)
    return on_white(picture)
