"""What GDAL wrote into a TIFF about its bands: their names or middle wavelengths, and what makes values physical.

Programs for satellite pictures (GDAL, QGIS, rasterio) keep descriptions of bands as XML in one tag. Names there are
anybody's: known are those of ``bands.py``, colours and infrareds in full, and wavelengths with their unit. ``B4`` is
another band on every satellite, and so is unknown.
"""

import re
from collections import Counter
from xml.etree import ElementTree

from models.bands import BANDS_UM, LONGEST_UM, SHORTEST_UM, UNKNOWN, number, spell_band

GDAL_METADATA = 42112  # the tag
ROLES = ("DESCRIPTION", "SCALE", "OFFSET")  # the items that GDAL itself gives a meaning
WORDS = {"NEARINFRARED": "NIR", "COASTALAEROSOL": "COASTAL", "SWIR16": "SWIR1", "SWIR22": "SWIR2"}
NANOMETRES, MICROMETRES = r"nm|nanomet\w*", r"um|µm|μm|micromet\w*"  # with both characters for µ
NUMBER, UNIT = r"(\d+(?:\.\d*)?|\.\d+)", rf"(?:(?P<nano>{NANOMETRES})|{MICROMETRES})"
# ``842 nm`` and ``0.45-0.52 µm``, or with the unit twice
LENGTH = re.compile(
    rf"(?<![^\W_])(?<![.,]){NUMBER}(?:\s*(?:{NANOMETRES}|{MICROMETRES})?\s*(?:[-–—]|to)\s*{NUMBER})?\s*{UNIT}(?P<rest>\W*$)?",
    re.IGNORECASE,
)
WIDTH = re.compile(r"width|fwhm|±|\+/-", re.IGNORECASE)
LONGEST_TEXT = 200  # characters of what is said of a band
BROADEST = 0.35  # of a band's middle; what seems broader are other numbers
Items = dict[str, dict[str, str]]  # what is said of each band, by its place from 0 and the item's name in capitals


def band_names(items: Items, count: int) -> tuple[str, ...]:
    """The ``count`` bands of a file as ``parse_bands`` takes them, ``?`` for what is unknown; () where all are.

    A wavelength counts before a name; a name that several bands have says nothing.
    """
    if not items:
        return ()
    names = [name_of(items.get(str(place), {})) for place in range(count)]
    several = {name for name, times in Counter(names).items() if times > 1}
    names = tuple(UNKNOWN if name in several else name for name in names)
    return names if {*names} != {UNKNOWN} else ()


def calibration(items: Items, count: int) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Scale and offset of each of the ``count`` bands: what is stored, times the one, plus the other, was measured.

    None where the tag says nothing of the kind, or of any band no finite number, or 0 times.
    """
    bands = [items.get(str(place), {}) for place in range(count)]
    scales = tuple(number(band.get("SCALE", "1")) for band in bands)
    offsets = tuple(number(band.get("OFFSET", "0")) for band in bands)
    told = {*scales} != {1.0} or {*offsets} != {0.0}
    return (scales, offsets) if told and None not in scales + offsets and 0 not in scales else None


def read_items(metadata: str | None) -> Items:
    """What the XML of the tag ``GDAL_METADATA`` says of the bands; {} for any other text."""
    items: Items = {}
    if not isinstance(metadata, str) or "<!" in metadata:  # GDAL writes no entities, which could grow without end
        return items
    try:
        found = ElementTree.fromstring(metadata.strip(" \0\r\n")).findall("Item")
    except ElementTree.ParseError:
        return items
    for item in found:
        place, name, role = item.get("sample"), item.get("name", "").upper(), item.get("role", "")
        if place and (name not in ROLES or role == name.lower()):  # else anybody's item of that name
            items.setdefault(place, {})[name] = (item.text or "").strip()
    return items


def name_of(said: dict[str, str]) -> str:
    """One band's name or wavelength in µm from its items; ``?`` where they say neither."""
    description, unit = said.get("DESCRIPTION", ""), said.get("WAVELENGTH_UNITS", said.get("WAVELENGTH_UNIT", ""))
    word = re.sub(r"[\s_-]", "", description.upper())
    known = spell_band(WORDS.get(word, word))
    return (
        in_micrometres(f"{said.get('CENTRAL_WAVELENGTH_UM', '')} µm")
        or in_micrometres(f"{said.get('WAVELENGTH', '')} {unit}")
        or (known if known in BANDS_UM else None)
        or in_micrometres(description)
        or UNKNOWN
    )


def in_micrometres(text: str) -> str | None:
    """``"842 nm"``, or ``"B8 (842.0 Nanometers)"`` → ``"0.842"``, the middle of ``"0.45-0.52 µm"`` → ``"0.485"``.

    None for what ends in no wavelength, or names several lengths.
    """
    lengths = list(LENGTH.finditer(text)) if len(text) <= LONGEST_TEXT and not WIDTH.search(text) else []
    if len(lengths) != 1 or lengths[0]["rest"] is None:
        return None
    ends = [float(end) / (1000 if lengths[0]["nano"] else 1) for end in lengths[0].groups()[:2] if end]
    middle = sum(ends) / len(ends)
    broad = max(ends) - min(ends) > BROADEST * middle
    return spell_band(middle) if SHORTEST_UM <= middle < LONGEST_UM and not broad else None
