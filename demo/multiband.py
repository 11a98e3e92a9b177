"""Files of several bands that visitors bring, and what they say that the bands are called.

A file → ``BandPicture`` (``models/band_files.py``); a line such as ``R, G, B, NIR`` or ``0.665, 0.842, ?`` → names
and wavelengths. Every failure is a ``FriendlyError``.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from demo.pictures import check_file
from demo.text import FriendlyError
from models import BANDS_UM, CHANNELS, ModelConfig
from models.band_files import BandFileError, BandPicture
from models.bands import COLOUR_WORDS, LONGEST_UM, SHORTEST_UM, UNKNOWN, agree, number, split_names

WORDS = COLOUR_WORDS | {"紅": "R", "綠": "G", "藍": "B", "红": "R", "绿": "G", "蓝": "B"}
LONGEST_NAMES = 1000  # characters


@dataclass(frozen=True)
class Bands:
    """Band names as they were typed and the wavelengths they stand for, in µm, NaN for unknown."""

    names: tuple[str, ...]
    wavelengths_um: tuple[float, ...]


def open_bands(path: str | Path | None, config: ModelConfig) -> BandPicture:
    """The picture of a file of at most ``pictures.MAX_MEGABYTES``, read as in the training of ``config``."""
    if path is None:
        raise FriendlyError("bands_no_file")
    check_file(path, "bands_too_large")
    try:
        return config.open_bands(path)
    except BandFileError as error:
        raise FriendlyError(f"bands_{error.key}", **error.values) from error


def names_of(picture: BandPicture, config: ModelConfig) -> tuple[str, ...]:
    """What the bands of a file are called where nobody says it: what it calls them, unless they can be those that the
    network was trained on, which did not go by the file's names either. Raises ``FriendlyError`` where these are more
    or fewer than the file has."""
    names = picture.names or config.bands or tuple(CHANNELS)
    if config.bands and agree(picture.names, config.bands):
        names = config.bands
    if len(names) != (found := len(picture.values)):
        raise FriendlyError("bands_unnamed", found=found, example=example_of(found))
    return names


def read_names(text: str | None) -> Bands:
    """``R, G, B, NIR``, ``0.665, 0.842, ?`` or a mixture of both → ``Bands``, split as by ``split_names``.

    The colours may be written out.
    """
    if len(text or "") > LONGEST_NAMES:
        raise FriendlyError("bands_unknown", came=text[:24], known=", ".join(BANDS_UM))
    words = [word for word in split_names(text or "") if word]
    if len(words) == 1 and set(words[0]) <= WORDS.keys():
        words = list(words[0])  # 紅綠藍
    words = [WORDS.get(word.upper(), word) for word in words]
    check_points(words)
    check_unit(words)
    pairs = [(word.upper(), number(word)) for word in words]
    check_names([name for name, value in pairs if value is None])
    check_numbers([value for _, value in pairs if value is not None])
    names = tuple(name if value is None else f"{value:g} µm" for name, value in pairs)
    wavelengths = tuple(BANDS_UM[name] if value is None else value for name, value in pairs)
    return Bands(names, wavelengths)


def check_points(words: list[str]) -> None:
    """No ``0,665``, or a ``FriendlyError`` with the whole line as it is meant."""
    line = ", ".join(words)
    if (remedy := re.sub(r"(?:^|(?<=, ))0, (?=\d+(?:,|$))", "0.", line)) != line:
        raise FriendlyError("bands_points", remedy=remedy)


def check_unit(words: list[str]) -> None:
    """No nanometres, or a ``FriendlyError`` with the whole line in µm."""
    remedy = [in_micrometres(word) for word in words]
    if remedy != words:
        came = next(word for word, changed in zip(words, remedy, strict=True) if word != changed)
        raise FriendlyError("bands_nanometres", came=came, remedy=", ".join(remedy))


def in_micrometres(word: str) -> str:
    """``842 nm`` or ``842`` → ``0.842``; any other word stays."""
    bare = word[:-2].rstrip() if word.lower().endswith("nm") else word
    value = number(bare)
    nanometres = value is not None and (bare != word or value >= LONGEST_UM)
    return f"{value / 1000:g}" if nanometres else word


def check_names(names: list[str]) -> None:
    if unknown := [name for name in names if name not in BANDS_UM]:
        raise FriendlyError("bands_unknown", came=unknown[0][:24], known=", ".join(BANDS_UM))
    for name in names:
        if name != UNKNOWN and names.count(name) > 1:
            raise FriendlyError("bands_repeated", came=name, unknown=UNKNOWN)


def check_numbers(values: list[float]) -> None:
    for value in values:
        if value < SHORTEST_UM:
            limits = {"low": f"{SHORTEST_UM:g}", "high": f"{LONGEST_UM:g}"}
            raise FriendlyError("bands_wavelength", came=f"{value:g}", **limits)


def check_count(picture: BandPicture, bands: Bands) -> None:
    """One name per band, or a ``FriendlyError``."""
    found = len(picture.values)
    if len(bands.names) != found:
        raise FriendlyError("bands_count", found=found, typed=len(bands.names), example=example_of(found))


def example_of(count: int) -> str:
    """So many bands, as they can be typed, more than three in sensors' order."""
    names = ["R", "G", "B"] if count <= 3 else ["B", "G", "R", "NIR", *[UNKNOWN] * count]
    return ", ".join(names[:count])
