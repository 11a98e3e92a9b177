"""What GDAL wrote into a TIFF about its bands: their names, or the wavelengths of their middles.

Programs for satellite pictures (GDAL, QGIS, rasterio) keep descriptions of bands as XML in one tag. Names there are
anybody's: known are those of ``bands.py``, colours and infrareds in full, and wavelengths with their unit. ``B4`` is
another band on every satellite, and so is unknown.
"""

import re
from collections import Counter
from xml.etree import ElementTree

from models.bands import BANDS_UM, COLOUR_WORDS, LONGEST_UM, SHORTEST_UM, UNKNOWN, spell_band

GDAL_METADATA = 42112  # the tag
WORDS = COLOUR_WORDS | {"NEARINFRARED": "NIR", "COASTALAEROSOL": "COASTAL", "SWIR16": "SWIR1", "SWIR22": "SWIR2"}
NANOMETRES, MICROMETRES = r"nm|nanomet\w*", r"um|µm|μm|micromet\w*"  # with both characters for µ
LENGTH = re.compile(rf"(?P<value>\d+\.?\d*|\.\d+)\s*(?:(?P<nano>{NANOMETRES})|{MICROMETRES})\W*$", re.IGNORECASE)


def band_names(metadata: str | None, count: int) -> tuple[str, ...]:
    """The ``count`` bands of a file as ``parse_bands`` takes them, ``?`` for what is unknown; () where all are.

    ``metadata`` is the content of the tag ``GDAL_METADATA``. A wavelength counts before a name; a name that several
    bands have says nothing.
    """
    items = read_items(metadata)
    if not items:
        return ()
    names = [name_of(items.get(str(place), {})) for place in range(count)]
    several = {name for name, times in Counter(names).items() if times > 1}
    names = tuple(UNKNOWN if name in several else name for name in names)
    return names if {*names} != {UNKNOWN} else ()


def read_items(metadata: str | None) -> dict[str, dict[str, str]]:
    """What the XML says of each band, by its place from 0 and the item's name in capitals; {} for any other text."""
    items: dict[str, dict[str, str]] = {}
    if not isinstance(metadata, str) or "<!" in metadata:  # GDAL writes no entities, which could grow without end
        return items
    try:
        found = ElementTree.fromstring(metadata.strip(" \0\r\n")).findall("Item")
    except ElementTree.ParseError:
        return items
    for item in found:
        place, name, role = item.get("sample"), item.get("name", "").upper(), item.get("role", "")
        if place and (name != "DESCRIPTION" or role == "description"):  # else anybody's item of that name
            items.setdefault(place, {})[name] = (item.text or "").strip()
    return items


def name_of(said: dict[str, str]) -> str:
    """One band's name or wavelength in µm from its items; ``?`` where they say neither."""
    description, unit = said.get("DESCRIPTION", ""), said.get("WAVELENGTH_UNITS", said.get("WAVELENGTH_UNIT", ""))
    word = re.sub(r"[\s_-]", "", description.upper())
    known = WORDS.get(word, word)
    return (
        in_micrometres(f"{said.get('CENTRAL_WAVELENGTH_UM', '')} µm")
        or in_micrometres(f"{said.get('WAVELENGTH', '')} {unit}")
        or (known if known in BANDS_UM else None)
        or in_micrometres(description)
        or UNKNOWN
    )


def in_micrometres(text: str) -> str | None:
    """``"842 nm"``, or ``"B8 (842.0 Nanometers)"`` → ``"0.842"``; None for what ends in no wavelength."""
    found = LENGTH.search(text)
    value = float(found["value"]) / (1000 if found["nano"] else 1) if found else 0.0
    return spell_band(value) if SHORTEST_UM <= value < LONGEST_UM else None
