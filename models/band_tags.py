"""What GDAL wrote into a TIFF about its bands: their names, or the wavelengths of their middles.

Programs for satellite pictures (GDAL, QGIS, rasterio) keep descriptions of bands as XML in one tag. Names there are
anybody's: known are those of ``bands.py``, colours and infrareds in full, and wavelengths with their unit. ``B4`` is
another band on every satellite, and so is unknown.
"""

import re
from collections import Counter
from xml.etree import ElementTree

from models.bands import BANDS_UM, LONGEST_UM, SHORTEST_UM, UNKNOWN, number, spell_band

GDAL_METADATA = 42112  # the tag
WORDS = {"RED": "R", "GREEN": "G", "BLUE": "B", "NEARINFRARED": "NIR", "COASTALAEROSOL": "COASTAL"}
MICROMETRES = {"UM": 1.0, "µM": 1.0, "ΜM": 1.0, "MICROMETERS": 1.0, "NM": 1e-3, "NANOMETERS": 1e-3}  # both characters µ


def band_names(metadata: str | None, count: int) -> tuple[str, ...]:
    """The ``count`` bands of a file as ``parse_bands`` takes them, ``?`` for what is unknown; () where all are.

    ``metadata`` is the content of the tag ``GDAL_METADATA``. A wavelength counts before a name; a name that several
    bands have says nothing.
    """
    items = read_items(metadata)
    names = [name_of(items.get(place, {})) for place in range(count)]
    several = {name for name, times in Counter(names).items() if times > 1}
    names = tuple(UNKNOWN if name in several else name for name in names)
    return names if {*names} != {UNKNOWN} else ()


def read_items(metadata: str | None) -> dict[int, dict[str, str]]:
    """What the XML says of each band, by its place from 0 and the item's name in capitals; {} for any other text."""
    items: dict[int, dict[str, str]] = {}
    if not isinstance(metadata, str) or "<!" in metadata:  # GDAL writes no entities, which could grow without end
        return items
    try:
        found = list(ElementTree.fromstring(metadata.strip(" \0\r\n")).iter("Item"))
    except ElementTree.ParseError:
        return items
    for item in found:
        place, name = item.get("sample", ""), item.get("name", "").upper()
        if place.isdecimal():
            items.setdefault(int(place), {})[name] = (item.text or "").strip()
    return items


def name_of(said: dict[str, str]) -> str:
    """One band's name or wavelength in µm from its items; ``?`` where they say neither."""
    description = said.get("DESCRIPTION", "").upper()
    word = re.sub(r"[\s_-]", "", description)
    known = WORDS.get(word, word)
    return (
        in_micrometres(said.get("CENTRAL_WAVELENGTH_UM", ""), "UM")
        or in_micrometres(said.get("WAVELENGTH", ""), said.get("WAVELENGTH_UNIT", ""))
        or (known if known in BANDS_UM else None)
        or in_micrometres(*re.fullmatch(r"([\d.]*)\s*(.*)", description, re.DOTALL).groups())
        or UNKNOWN
    )


def in_micrometres(value: str, unit: str) -> str | None:
    """``"842", "nm"`` → ``"0.842"``; None for what is no wavelength."""
    length, factor = number(value), MICROMETRES.get(unit.upper())
    if length is None or factor is None or not SHORTEST_UM <= length * factor < LONGEST_UM:
        return None
    return spell_band(length * factor)
