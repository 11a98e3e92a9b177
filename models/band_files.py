"""Files of several bands as instruments write them: a TIFF or a NumPy array → (C, H, W) in 0..1.

Training, the demo and your own code share it, so that a network meets the same values everywhere:

>>> values = open_bands("field.tif").values
>>> logits = model(model.config.preprocess(values)[None], "B+G+R+NIR")

Every failure is a ``BandFileError``. Sizes in this file: C bands, H and W height and width.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.lib import format as npy
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPage, TiffPageSeries

from models.band_tags import GDAL_METADATA, band_names, calibration, read_items
from models.bands import number
from models.gaps import filled
from models.tiff_directories import check_directories

MAX_BANDS = 16  # where nobody says how many there are
MAX_VALUES = 50_000_000  # H x W x C; more is refused before it is decoded
MIN_SIDE = 8  # pixels
MAX_METADATA = 500_000  # characters about the bands; hundreds are usual
DIM, CUT = 0.03, 0.05  # of the brightest value, and the share of values that are cut: what a right scale rarely does
DARKEST = 1e-6  # the brightest of floats in 0..1 that are more than rounding errors
PERCENTILE = 99.9  # of all values: what becomes 1 where a file does not say how bright its brightest can be

TIFF, NUMPY = (".tif", ".tiff"), (".npy",)
COMPRESSIONS = (
    COMPRESSION.NONE, COMPRESSION.LZW, COMPRESSION.DEFLATE, COMPRESSION.ADOBE_DEFLATE, COMPRESSION.PACKBITS,
    COMPRESSION.ZSTD,
)  # fmt: skip
BRIGHTNESS = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.RGB)
GDAL_NODATA = 42113  # the tag with the value that stands for "nothing was measured here"
INSTRUMENTS = tifffile.TIFF.FILE_FLAGS - {"shaped", "imagej", "uniform"}  # whose kinds of TIFF tifffile knows

PROBLEMS = {
    "missing": "There is no file {came}.",
    "suffix": "The file's ending is {came}, not .tif, .tiff or .npy: please export the picture as one of these.",
    "too_many_values": "This picture has {came} million values (width × height × bands), at most {limit} million are "
    "taken: please crop or reduce it.",
    "numpy_unreadable": "This file is not a readable NumPy array: it is damaged, or a pickle, which is refused because "
    "it could run code. Please save the array with numpy.save.",
    "tiff_unreadable": "This file cannot be read as a TIFF: it is damaged or of a rare kind. Please save it again as "
    "an uncompressed TIFF, or as .npy.",
    "compression": "This TIFF is compressed with {came}; only uncompressed, LZW, Deflate, ZSTD and PackBits "
    "files can be read: please save it again as one of these.",
    "not_brightness": "The values of this TIFF are not brightness: its colours are stored as {came}. Please export the "
    "picture as RGB or grey.",
    "type": "The values are of type {came}, but must be real numbers: please save array.astype('float32').",
    "shape": "The array is {came}; it must have 2 axes (one band) or 3 (height × width × bands): please save one "
    "picture.",
    "too_many": "The picture is {came}, which is more than {limit} bands; the order is height × width × bands: please "
    "keep {limit} bands or fewer.",
    "too_small": "The picture is {came}; it needs at least {limit} × {limit} pixels and one band: please choose a "
    "larger one.",
    "not_finite": "The picture holds infinite values ({count:,}), but must hold numbers only: please replace them by "
    "NaN where nothing was measured.",
    "empty": "Every value is missing (NaN, or what the file calls no data), so there is nothing to see: please check "
    "the file.",
    "dark": "Hardly any value is above 0 (the largest is {came}), so there is nothing to see; 0 must be dark and "
    "larger values brighter: please check the file.",
    "constant": "Every band has one constant value, so there is nothing to see: please check the file.",
    "cut": "Divided by {divisor:g}, every value is cut to 0 or 1 (the largest is {came}), so there is nothing to see: "
    "please check the scale.",
}


class BandFileError(ValueError):
    """A file cannot be used; ``key`` is that of the sentence in ``PROBLEMS`` whose braces ``values`` fill."""

    def __init__(self, key: str, **values: object):
        super().__init__(PROBLEMS[key].format(**values))
        self.key, self.values = key, values


@dataclass(frozen=True)
class BandPicture:
    """``values`` (C, H, W) in 0..1 and how they came about.

    ``scaling`` is ``scaled_fixed``, ``scaled_8bit``, ``scaled_not`` or ``scaled_percentile``, ``divisor`` what the
    file's values, of type ``dtype``, were divided by. ``missing`` values were never measured; they are
    filled from those around them (``gaps.py``).
    ``channels_first`` is True for an array that was taken to be (C, H, W) for want of a short last axis. ``names`` are
    what a TIFF itself calls its bands, as ``parse_bands`` takes them, ``?`` for unknown ones; () where it does not say.
    ``calibrated`` is True where its own scales and offsets made its values physical before the scaling. ``cut`` is the
    share of values that a given scale left above 1, which became 1.
    """

    values: np.ndarray
    scaling: str
    divisor: float
    dtype: str
    missing: int = 0
    channels_first: bool = False
    names: tuple[str, ...] = ()
    calibrated: bool = False
    cut: float = 0.0

    @property
    def doubt(self) -> str | None:
        """``dim`` or ``cut`` where the scale that was given hardly is that of this file, None where it may be."""
        if self.scaling != "scaled_fixed":
            return None
        return "cut" if self.cut > CUT else "dim" if self.values.max() < DIM else None


@dataclass(frozen=True)
class Stored:
    """What a file holds: ``values`` (C, H, W) of its own type, and where they are ``missing``; see ``BandPicture``."""

    values: np.ndarray
    missing: np.ndarray
    channels_first: bool = False
    names: tuple[str, ...] = ()
    calibration: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def measured(self) -> np.ndarray:
        """The values times the file's own scale plus its offset, float32 (C, H, W)."""
        scales, offsets = (np.array(values, np.float32)[:, None, None] for values in self.calibration)
        with np.errstate(over="ignore", invalid="ignore"):  # ``scaled`` refuses what is infinite, and not missing
            return self.values.astype(np.float32) * scales + offsets


def open_bands(path: str | Path, *, bands: int | None = None, scale: float | None = None) -> BandPicture:
    """The picture of a ``.tif``, ``.tiff`` or ``.npy`` file with at most ``MAX_BANDS`` bands, or as many as expected.

    An array is height x width (one band), height x width x bands, or bands x height x width where only its first
    axis is short enough for bands, or of the length ``bands``. Values are divided by ``scale`` where it is given (10000
    for reflectance as satellites have it). Else the scales and offsets that GDAL wrote down, if any, make them floats;
    then 8-bit ones are divided by 255; floats that lie within 0..1, but for one in a thousand at either end, stay; any
    others are divided by the 99.9th percentile over all bands, so that such files do not compare. All are cut to 0..1.
    NaN and what a TIFF calls no data are filled from what lies around and do not count. Pickles are never read. Raises
    ``BandFileError``, and ``ValueError`` for a scale that is not positive.
    """
    check_scale(scale)
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in TIFF + NUMPY:
        raise BandFileError("suffix", came=suffix[:12] or "?")
    if not path.is_file():
        raise BandFileError("missing", came=path.name)
    stored = read_tiff(path, bands) if suffix in TIFF else read_numpy(path, bands)
    calibrated = scale is None and stored.calibration is not None
    values, scaling, divisor = scaled(stored.measured() if calibrated else stored.values, stored.missing, scale)
    # after the scaling, which cuts what no sensor meant, lest it spread
    values = filled(torch.from_numpy(values), torch.from_numpy(~stored.missing)).numpy()
    if is_constant(values):
        if scale is None or is_constant(np.ma.array(stored.values, mask=stored.missing)):
            raise BandFileError("constant")
        raise BandFileError("cut", divisor=scale, came=f"{stored.values[~stored.missing].max():g}")
    measured = values.size - (missing := int(stored.missing.sum()))
    cut = int((~stored.missing & (stored.values > scale)).sum()) / measured if scale else 0.0
    return BandPicture(
        values, scaling, divisor, dtype=str(stored.values.dtype), missing=missing,
        channels_first=stored.channels_first, names=stored.names, calibrated=calibrated,
        cut=cut,
    )  # fmt: skip


def is_constant(values: np.ndarray) -> bool:
    """Whether each band (C, H, W) has one value alone, or of a masked array none."""
    return bool(np.ma.filled(values.min(axis=(1, 2)) == values.max(axis=(1, 2)), True).all())


def names_in(path: str | Path) -> tuple[str, ...]:
    """``BandPicture.names`` of a file whose pixels are not read; () also where it cannot be read."""
    if Path(path).suffix.lower() not in TIFF:
        return ()
    try:
        with open_tiff(path) as file:
            series = file.series[0]
            height, width = (series.shape[series.axes.index(axis)] for axis in "YX")
            count = series.size // (height * width)
            return band_names(read_items(metadata_of(series)), count) if count <= MAX_BANDS else ()
    except Exception:  # a damaged file can fail anywhere in the reader; ``open_bands`` says so
        return ()


class PlainTiff(TiffFile):
    """A TIFF as its pages: what instruments embed can name other files, which would be opened, or sizes without end."""


for kind in INSTRUMENTS:  # what a file is, some versions of tifffile take from no argument
    setattr(PlainTiff, f"is_{kind}", False)


def open_tiff(path: str | Path) -> PlainTiff:
    """A TIFF that is safe to look into, to be closed; raises what tifffile raises."""
    check_directories(Path(path))
    return PlainTiff(path)


def metadata_of(series: TiffPageSeries) -> str | None:
    """The tag that tells of a picture's bands, unless it is endless or they are pages of their own."""
    tag = series.keyframe.tags.get(GDAL_METADATA)
    return tag.value if tag and len(series) == 1 and tag.count <= MAX_METADATA else None


def read_numpy(path: Path, expected: int | None) -> Stored:
    """An array of numbers. Its header is checked before its content."""
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read_header(file)
        check_type(dtype)
        axis = axis_of_bands(shape, 2, expected)
        check_shape(shape, axis, expected)
        array = np.load(path, allow_pickle=False)
    except BandFileError:
        raise
    except Exception as error:  # a damaged header can fail anywhere in NumPy's reader, in Python's tokenizer, say
        raise BandFileError("numpy_unreadable") from error
    values = bands_first(array, axis)
    return Stored(values, missing_of(values), channels_first=axis == 0)


def read_tiff(path: Path, expected: int | None) -> Stored:
    """The first picture of a TIFF, more being brighter; pages of one size are its bands."""
    try:
        with open_tiff(path) as file:
            series = file.series[0]
            if series.keyframe.compression not in COMPRESSIONS:
                raise BandFileError("compression", came=COMPRESSION(series.keyframe.compression).name)
            if (kind := series.keyframe.photometric) not in BRIGHTNESS:
                raise BandFileError("not_brightness", came=getattr(kind, "name", kind))
            check_type(series.dtype)
            rest = series.axes.replace("Y", "").replace("X", "")
            axis = axis_of_bands(series.shape, series.axes.index(rest[0]) if rest else 2, expected)
            check_shape(series.shape, axis, expected)
            if series.keyframe.is_tiled:  # a tile may be far larger than the picture, and is unpacked whole
                check_count(math.prod(series.keyframe.chunks))
            if not {"Y", "X"} <= set(series.axes):
                raise BandFileError("shape", came=times(series.shape))
            array = series.asarray(maxworkers=1)
            missing = missing_of(array, series.keyframe.tags.valueof(GDAL_NODATA))
            array = brightness(array, series.keyframe)
            metadata = metadata_of(series)
    except BandFileError:
        raise
    except Exception as error:  # a damaged file can fail anywhere in the reader, with any exception
        raise BandFileError("tiff_unreadable") from error
    values = bands_first(array, axis)
    items = read_items(metadata)
    told = {"names": band_names(items, len(values)), "calibration": calibration(items, len(values))}
    return Stored(values, bands_first(missing, axis), **told)


def brightness(array: np.ndarray, page: TiffPage) -> np.ndarray:
    """The values with 0 for black, and those of fewer than 8 bits spread over 0..255."""
    if page.photometric == PHOTOMETRIC.MINISWHITE and array.dtype.kind == "b":
        array = ~array
    if array.dtype.kind == "u":
        largest = array.dtype.type(2**page.bitspersample - 1)
        if page.photometric == PHOTOMETRIC.MINISWHITE:
            array = largest - array
        if array.dtype == np.uint8 and largest < 255:
            array = np.rint(array * (255 / largest)).astype(np.uint8)
    return array


def missing_of(array: np.ndarray, no_data: str | None = None) -> np.ndarray:
    """Where nothing was measured: NaN, or the value that GDAL wrote down as ``no_data``."""
    missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, bool)
    value = number(str(no_data or "").strip(" \0"))
    if value is not None and array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            value = array.dtype.type(value)  # which may be written with more digits than a pixel has
    if value is not None and np.isfinite(value):
        missing |= array == value
    return missing


def axis_of_bands(shape: tuple[int, ...], usual: int, expected: int | None) -> int:
    """``usual``, or the opposite end of three axes where only that has the length expected, or one short enough."""
    other = 2 - usual
    if len(shape) != 3 or shape[usual] == expected:
        return usual
    return other if shape[other] == expected or shape[usual] > MAX_BANDS >= shape[other] else usual


def bands_first(array: np.ndarray, axis: int) -> np.ndarray:
    """(C, H, W) of an array with its bands in ``axis``, or of one band (H, W)."""
    return np.moveaxis(array, axis, 0) if array.ndim == 3 else array[None]


def check_type(dtype: np.dtype) -> None:
    if dtype.kind not in "buif":
        raise BandFileError("type", came="object" if dtype.hasobject else str(dtype)[:24])


def check_shape(shape: tuple[int, ...], band_axis: int, expected: int | None) -> None:
    """2-D, or 3-D with the bands in ``band_axis``, of a size that makes sense."""
    if len(shape) not in (2, 3):
        raise BandFileError("shape", came=times(shape))
    bands = shape[band_axis] if len(shape) == 3 else 1
    if bands > (most := max(MAX_BANDS, expected or 0)):
        raise BandFileError("too_many", came=times(shape), limit=most)
    height, width = [side for axis, side in enumerate(shape) if len(shape) == 2 or axis != band_axis]
    if min(height, width) < MIN_SIDE or bands < 1:
        raise BandFileError("too_small", came=times(shape), limit=MIN_SIDE)
    check_count(math.prod(shape))


def check_count(values: int) -> None:
    """So many values may be unpacked."""
    if values > MAX_VALUES:
        raise BandFileError("too_many_values", came=f"{values / 1e6:.0f}", limit=f"{MAX_VALUES / 1e6:.0f}")


def times(shape: tuple[int, ...]) -> str:
    """(64, 64, 5) → ``64 × 64 × 5``; the shape of a single number is empty: ``1``."""
    return " × ".join(map(str, shape)) or "1"


def check_scale(scale: float | None) -> None:
    """``ValueError`` unless values can be divided by it."""
    if scale is not None and not 0 < scale < math.inf:
        raise ValueError(f"scale must be above 0 and finite, such as 10000, got {scale}")


def values_of(scale: float | None) -> str:
    """What ``open_bands`` does to the values of a file, in a sentence for those who do without it."""
    filling = "what is missing (NaN, no data) is filled from what lies around (models/gaps.py)"
    if scale is not None:
        return f"those of the file divided by {scale:g}, cut to 0 and 1; {filling}"
    return (
        "those of the file after the scale and offset that GDAL wrote into it, if any: 8-bit ones divided by 255, "
        f"floats in 0..1 as they are, any others divided by their {PERCENTILE}th percentile over all its bands, cut to "
        f"0 and 1; {filling}"
    )


def scaled(array: np.ndarray, missing: np.ndarray, divisor: float | None = None) -> tuple[np.ndarray, str, float]:
    """float32 values in 0..1, 0 where they are ``missing``, the name of the rule that was applied, and the divisor."""
    if missing.all():
        raise BandFileError("empty")
    values = np.where(missing, 0, array).astype(np.float32)  # no data may be more than a float32 can hold
    if count := values.size - int(np.isfinite(values).sum()):
        raise BandFileError("not_finite", count=count)
    if divisor is not None:
        return (values / divisor).clip(0, 1), "scaled_fixed", divisor
    if array.dtype == np.uint8:
        return values / 255, "scaled_8bit", 255.0
    real = array.dtype.kind in "bf"
    brightest = values.max()
    if real and 0 < brightest < DARKEST:
        raise BandFileError("dark", came=f"{brightest:g}")
    if real and values.min() >= 0 and brightest <= 1:  # most files of floats: no need to sort them
        return values, "scaled_not", 1.0
    lowest, divisor = np.percentile(values[~missing], (100 - PERCENTILE, PERCENTILE)).tolist()
    if real and lowest >= 0 and divisor <= 1:
        return values.clip(0, 1), "scaled_not", 1.0
    if divisor <= 0:
        raise BandFileError("dark", came=f"{values[~missing].max():g}")
    return (values / divisor).clip(0, 1), "scaled_percentile", divisor
