"""Files of several bands as instruments write them, and what their bands are called.

A TIFF (several channels or several pages) or a NumPy array → (C, H, W) in 0..1; a line such as
``R, G, B, NIR`` or ``0.665, 0.842, ?`` → names and wavelengths. Every failure is a ``FriendlyError``.

Sizes in this file: C bands, H and W height and width.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from tifffile import COMPRESSION, TiffFile

from demo.text import FriendlyError
from models import BANDS_UM
from models.bands import LONGEST_UM, SHORTEST_UM, UNKNOWN

MAX_BANDS = 16
COLOURS = {"RED": "R", "GREEN": "G", "BLUE": "B", "紅": "R", "綠": "G", "藍": "B"}
MAX_MEGABYTES = 20
MAX_VALUES = 50_000_000  # H x W x C; more is refused before it is decoded
MIN_SIDE = 8  # pixels
PERCENTILE = 99.9  # of all values: what becomes 1 where a file does not say how bright its brightest can be

TIFF, NUMPY = (".tif", ".tiff"), (".npy",)
COMPRESSIONS = (COMPRESSION.NONE, COMPRESSION.DEFLATE, COMPRESSION.ADOBE_DEFLATE, COMPRESSION.PACKBITS)


@dataclass(frozen=True)
class BandPicture:
    """``values`` (C, H, W) in 0..1 and how they came about.

    ``scaling`` is ``scaled_8bit``, ``scaled_not`` or ``scaled_percentile``, the key of its sentence, ``divisor``
    what the file's values, of type ``dtype``, were divided by. ``channels_first`` is True for an array that was
    taken to be (C, H, W) for want of a short last axis.
    """

    values: np.ndarray
    scaling: str
    divisor: float
    dtype: str
    channels_first: bool = False


@dataclass(frozen=True)
class Bands:
    """Band names as they were typed and the wavelengths they stand for, in µm, NaN for unknown."""

    names: tuple[str, ...]
    wavelengths_um: tuple[float, ...]


def open_bands(path: str | Path | None) -> BandPicture:
    """The picture of a ``.tif``, ``.tiff`` or ``.npy`` file with at most ``MAX_BANDS`` bands.

    An array is height x width (one band), height x width x bands, or bands x height x width where only its first
    axis is short enough for bands. 8-bit values are divided by 255; floats that lie within 0..1 stay; any others
    are divided by the 99.9th percentile over all bands and cut to 0..1. Pickles are never read.
    """
    if path is None:
        raise FriendlyError("bands_no_file")
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in TIFF + NUMPY:
        raise FriendlyError("bands_suffix", came=suffix[:12] or "?")
    if (size := path.stat().st_size) > MAX_MEGABYTES * 1e6:
        raise FriendlyError("bands_too_large", came=f"{size / 1e6:.1f}", limit=MAX_MEGABYTES)
    array, channels_first = (read_tiff(path), False) if suffix in TIFF else read_numpy(path)
    values, scaling, divisor = scale(array)
    if (values.min(axis=(1, 2)) == values.max(axis=(1, 2))).all():
        raise FriendlyError("bands_constant")
    return BandPicture(values, scaling, divisor, str(array.dtype), channels_first)


def read_numpy(path: Path) -> tuple[np.ndarray, bool]:
    """An array of numbers as (C, H, W), and whether it was so already. Its header is checked before its content."""
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read_header(file)
        check_type(dtype)
        axis = axis_of_bands(shape, 2)
        check_shape(shape, axis)
        array = np.load(path, allow_pickle=False)
    except FriendlyError:
        raise
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise FriendlyError("bands_numpy_unreadable") from error
    return bands_first(array, axis), axis == 0


def read_tiff(path: Path) -> np.ndarray:
    """The first picture of a TIFF as (C, H, W); pages of one size are its bands."""
    try:
        with TiffFile(path) as file:
            series = file.series[0]
            if series.keyframe.compression not in COMPRESSIONS:
                raise FriendlyError("bands_compression", came=COMPRESSION(series.keyframe.compression).name)
            check_type(series.dtype)
            rest = series.axes.replace("Y", "").replace("X", "")
            axis = axis_of_bands(series.shape, series.axes.index(rest[0]) if rest else 2)
            check_shape(series.shape, axis)
            if not {"Y", "X"} <= set(series.axes):
                raise FriendlyError("bands_shape", came=times(series.shape))
            array = series.asarray(maxworkers=1)
    except FriendlyError:
        raise
    except Exception as error:  # a damaged file can fail anywhere in the reader, with any exception
        raise FriendlyError("bands_tiff_unreadable") from error
    return bands_first(array, axis)


def axis_of_bands(shape: tuple[int, ...], usual: int) -> int:
    """``usual``, or the opposite end of three axes where only that is short enough for bands."""
    other = 2 - usual
    return other if len(shape) == 3 and shape[usual] > MAX_BANDS >= shape[other] else usual


def bands_first(array: np.ndarray, axis: int) -> np.ndarray:
    """(C, H, W) of an array with its bands in ``axis``, or of one band (H, W)."""
    return np.moveaxis(array, axis, 0) if array.ndim == 3 else array[None]


def check_type(dtype: np.dtype) -> None:
    if dtype.kind not in "buif":
        raise FriendlyError("bands_type", came="object" if dtype.hasobject else str(dtype)[:24])


def check_shape(shape: tuple[int, ...], band_axis: int) -> None:
    """2-D, or 3-D with the bands in ``band_axis``, of a size that makes sense."""
    if len(shape) not in (2, 3):
        raise FriendlyError("bands_shape", came=times(shape))
    bands = shape[band_axis] if len(shape) == 3 else 1
    if bands > MAX_BANDS:
        raise FriendlyError("bands_too_many", came=times(shape), limit=MAX_BANDS)
    height, width = [side for axis, side in enumerate(shape) if len(shape) == 2 or axis != band_axis]
    if min(height, width) < MIN_SIDE or bands < 1:
        raise FriendlyError("bands_too_small", came=times(shape), limit=MIN_SIDE)
    if math.prod(shape) > MAX_VALUES:
        values = f"{math.prod(shape) / 1e6:.0f}"
        raise FriendlyError("bands_too_many_values", came=values, limit=f"{MAX_VALUES / 1e6:.0f}")


def times(shape: tuple[int, ...]) -> str:
    """(64, 64, 5) → ``64 × 64 × 5``; the shape of a single number is empty: ``1``."""
    return " × ".join(map(str, shape)) or "1"


def scale(array: np.ndarray) -> tuple[np.ndarray, str, float]:
    """float32 values in 0..1, the key of the rule that was applied, and the divisor."""
    values = array.astype(np.float32)
    if count := values.size - int(np.isfinite(values).sum()):
        raise FriendlyError("bands_not_finite", count=count)
    if array.dtype == np.uint8:
        return values / 255, "scaled_8bit", 255.0
    if array.dtype.kind in "bf" and values.min() >= 0 and values.max() <= 1:
        return values, "scaled_not", 1.0
    divisor = float(np.percentile(values, PERCENTILE))
    if divisor <= 0:
        raise FriendlyError("bands_dark", came=f"{values.max():g}")
    return (values / divisor).clip(0, 1), "scaled_percentile", divisor


def read_names(text: str | None) -> Bands:
    """``R, G, B, NIR``, ``0.665, 0.842, ?`` or a mixture of both → ``Bands``; ``RGB`` is three names.

    Commas, Chinese or not, semicolons or, without any, spaces separate; ``µm`` may follow a number. The colours may
    be written out.
    """
    text = re.sub(r"(?<=\d)\s*[µμu]m\b", "", text or "", flags=re.IGNORECASE)
    words = [word.strip() for word in re.split(r"[,，、;；]", text)]
    if len(words) == 1:
        words = re.split(r"\s+(?!nm\b)", words[0], flags=re.IGNORECASE)
    words = [COLOURS.get(word.upper(), word) for word in words if word]
    check_unit(words)
    if len(words) == 1 and number(words[0]) is None and words[0].upper() not in BANDS_UM:
        words = list(words[0])
    pairs = [(word.upper(), number(word)) for word in words]
    check_names([name for name, value in pairs if value is None])
    check_numbers([value for _, value in pairs if value is not None])
    names = tuple(name if value is None else f"{value:g} µm" for name, value in pairs)
    wavelengths = tuple(BANDS_UM[name] if value is None else value for name, value in pairs)
    return Bands(names, wavelengths)


def number(word: str) -> float | None:
    """A finite number, or None for a name."""
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def check_unit(words: list[str]) -> None:
    """No nanometres, or a ``FriendlyError`` with the whole line in µm."""
    remedy = [in_micrometres(word) for word in words]
    if remedy != words:
        came = next(word for word, changed in zip(words, remedy, strict=True) if word != changed)
        raise FriendlyError("bands_nanometres", came=came, remedy=", ".join(remedy))


def in_micrometres(word: str) -> str:
    """``842 nm`` or ``842`` → ``0.842``; any other word stays."""
    bare = re.sub(r"\s*nm$", "", word, flags=re.IGNORECASE)
    value = number(bare)
    nanometres = value is not None and (bare != word or value >= LONGEST_UM)
    return f"{value / 1000:g}" if nanometres else word


def check_names(names: list[str]) -> None:
    for name in names:
        if name not in BANDS_UM:
            raise FriendlyError("bands_unknown", came=name[:24], known=", ".join(BANDS_UM))
        if name != UNKNOWN and names.count(name) > 1:
            raise FriendlyError("bands_repeated", came=name, unknown=UNKNOWN)


def check_numbers(values: list[float]) -> None:
    for value in values:
        if value < SHORTEST_UM:
            limits = {"low": f"{SHORTEST_UM:g}", "high": f"{LONGEST_UM:g}"}
            raise FriendlyError("bands_wavelength", came=f"{value:g}", **limits)


def check_count(picture: BandPicture, bands: Bands) -> None:
    """One name per band, or a ``FriendlyError`` with as many as an example."""
    found = len(picture.values)
    if len(bands.names) != found:
        example = ", ".join([*"RGB", *[UNKNOWN] * found][:found])
        raise FriendlyError("bands_count", found=found, typed=len(bands.names), example=example)
