"""Names of spectral bands and their wavelengths in micrometres.

The centres are those of Sentinel-2's bands, which DOFA (Xiong et al., 2024) also uses for R, G and B.
``?`` is a channel of which nobody knows what it is. A band without a name here goes by its wavelength: ``0.74``.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

UNKNOWN = "?"
BANDS_UM = {
    "R": 0.665,
    "G": 0.560,
    "B": 0.490,
    "COASTAL": 0.443,
    "REDEDGE": 0.705,
    "NIR": 0.842,
    "SWIR1": 1.610,
    "SWIR2": 2.190,
    UNKNOWN: math.nan,
}
COLOUR_WORDS = {"RED": "R", "GREEN": "G", "BLUE": "B"}
LETTERS = {name for name in BANDS_UM if len(name) == 1}  # which need no separator: RGB
SHORTEST_UM, LONGEST_UM = 0.01, 100.0  # from ultraviolet to thermal infrared
FAR = 0.15  # of the logarithm of wavelengths: as far as green from red, and no two satellites' red


def parse_bands(channels: str | Iterable[str | float]) -> tuple[str, ...]:
    """``"RG"``, ``"R,NIR"``, ``"R+0.74"`` or ``("R", "NIR")`` → names in capitals, order kept.

    A text is split as by ``split_names``. A number is a wavelength in µm. Raises ``ValueError`` for an empty, unknown
    or repeated name and for a wavelength that cannot be µm; ``?`` may come more than once.
    """
    if isinstance(channels, str):
        channels = split_names(channels)
    names = tuple(spell_band(name) for name in channels)
    if not names:
        raise ValueError(f"channels is empty; name at least one of {', '.join(BANDS_UM)}")
    if unknown := [name for name in names if not is_band(name)]:
        raise ValueError(
            f"unknown channel {unknown[0]!r}; known are {', '.join(BANDS_UM)} ({UNKNOWN} for one nobody knows); "
            "any other goes by its wavelength in µm, such as 0.74"
        )
    check_wavelengths([wavelength_of(name) for name in names])
    if repeated := [name for name in names if name != UNKNOWN and names.count(name) > 1]:
        raise ValueError(f"channel {repeated[0]} is repeated in {', '.join(names)}; name each channel once")
    return names


def split_names(text: str) -> list[str]:
    """The words of a line: ``R, G, NIR``, ``R+NIR``, ``R G NIR`` or ``0.665 µm; 0.842 µm``; ``RGB`` is three.

    Commas, Chinese ones too, semicolons and plus signs separate, one of them may end the line, and without any spaces
    do. Full-width characters count as the usual ones, ``µm`` may follow a number, and between semicolons a comma
    within a number is its point: ``0,665; 0,842``.
    """
    if not text.isascii():  # which compiled graphs can do without
        text = unicodedata.normalize("NFKC", text)  # which also makes one of the two characters for µ
    text = re.sub(r"(?<=\d)\s*[μu]m\b", "", text, flags=re.IGNORECASE)
    if ";" in text:
        text = re.sub(r"(?<![\d.])(\d+),(\d+)(?![\d.])", r"\1.\2", text)
    words = [word.strip() for word in re.split("[,、;+]", text)]
    while words and not words[-1]:
        words.pop()
    if len(words) == 1:
        words = re.split(r" (?!nm\b)", " ".join(words[0].split()), flags=re.IGNORECASE)
    return list(words[0]) if len(words) == 1 and set(words[0].upper()) <= LETTERS else words


def is_band(name: str) -> bool:
    """Whether it is a known name or a number."""
    return spell_band(name) in BANDS_UM or number(name) is not None


def number(text: str) -> float | None:
    """A finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def spell_band(name: str | float) -> str:
    """A name in capitals, or a wavelength the short way: ``nir`` → ``NIR``, ``red`` → ``R``, ``.740`` → ``0.74``."""
    name = str(name).strip().upper()
    name = COLOUR_WORDS.get(name, name)
    return name if name in BANDS_UM or number(name) is None else f"{number(name):g}"


def spell(names: Iterable[str]) -> str:
    """The names in one word that ``parse_bands`` reads: ``RGB``, ``R+NIR``."""
    names = tuple(names)
    return "".join(names) if LETTERS.issuperset(names) else "+".join(names)


def wavelength_of(name: str | float) -> float:
    """Of a name as ``parse_bands`` gives it, or of a number, in µm; NaN for an unknown one."""
    return BANDS_UM[name] if name in BANDS_UM else float(name)


def places_of(channels: str | Iterable[str], bands: Sequence[str]) -> list[int]:
    """Where a sensor of these ``bands`` has the named channels: ``"R+NIR"`` of B, G, R, NIR → [2, 3].

    Raises ``ValueError`` for one that it does not have.
    """
    left = dict(enumerate(bands))
    places = []
    for name in parse_bands(channels):
        found = [place for place, band in left.items() if band == name]
        if not found:
            raise ValueError(f"there is no channel {name} among {', '.join(bands)}")
        places.append(found[0])
        del left[found[0]]
    return places


def check_wavelengths(wavelengths_um: Sequence[float | None] | Tensor) -> tuple[float, ...]:
    """The wavelengths as floats, NaN for None; ``ValueError`` for one that cannot be micrometres."""
    try:
        values = tuple(math.nan if value is None else float(value) for value in wavelengths_um)
    except (TypeError, ValueError, RuntimeError) as error:  # the last for a tensor of more dimensions
        raise ValueError(
            f"wavelengths_um must be one number or None per channel, got {wavelengths_um!r:.80}"
        ) from error
    if not values:
        raise ValueError("wavelengths_um is empty; give one wavelength per channel, in micrometres")
    for value in values:
        if math.isnan(value):
            continue
        if value >= LONGEST_UM:
            raise ValueError(f"wavelength {value:g} µm looks like nanometres; give micrometres: {value / 1000:g}")
        if not value >= SHORTEST_UM:
            raise ValueError(
                f"wavelength {value:g} µm is not between {SHORTEST_UM:g} and {LONGEST_UM:g}; red light is 0.665, "
                "None stands for an unknown one"
            )
    return values


def is_readable(values: Tensor) -> bool:
    """Whether a look at the values neither waits for a GPU nor breaks a compiled graph."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def wavelengths_of(
    channels: str | Iterable[str] | None = None, wavelengths_um: Sequence[float | None] | Tensor | None = None
) -> Tensor:
    """Wavelengths of named channels or as given, (C,), or (B, C) if each picture has its own; NaN for unknown.

    Raises ``ValueError`` for both or neither, and for what cannot be micrometres.
    """
    if (channels is None) == (wavelengths_um is None):
        raise ValueError("give either channels, such as ('R', 'NIR'), or wavelengths_um, such as [0.665, 0.842]")
    if channels is not None:
        return torch.tensor([wavelength_of(name) for name in parse_bands(channels)])
    if isinstance(wavelengths_um, Tensor):  # itself, since somebody may want its gradient
        if is_readable(wavelengths_um):
            check_wavelengths(wavelengths_um.flatten().tolist())
        return wavelengths_um.float()
    return torch.tensor(check_wavelengths(wavelengths_um))


def check_count(wavelengths_um: Tensor, x: Tensor) -> Tensor:
    """The wavelengths beside ``x`` (B, C, H, W), on its device; ``ValueError`` when the counts differ."""
    if wavelengths_um.ndim not in (1, 2):
        raise ValueError(
            "wavelengths_um must be of shape (C,), or (B, C) if each picture has its own, got "
            f"{tuple(wavelengths_um.shape)}"
        )
    count = wavelengths_um.shape[-1]
    if x.ndim != 4 or x.shape[1] != count or wavelengths_um.shape[:-1] not in ((), x.shape[:1]):
        raise ValueError(
            f"expected x of shape ({'B' if wavelengths_um.ndim == 1 else len(wavelengths_um)}, {count}, H, W) for "
            f"wavelengths of shape {tuple(wavelengths_um.shape)}, got {tuple(x.shape)}; give one name or wavelength "
            "per channel of x"
        )
    return wavelengths_um.to(x.device, non_blocking=x.is_cuda)


def agree(theirs: Sequence[str], ours: Sequence[str | float]) -> bool:
    """Whether what a file calls its bands, if anything, can be what we call them (names, or wavelengths in µm, NaN for
    unknown): as many, none nearer to another of ours, or far from its own, by wavelength."""
    if not theirs:
        return True
    if len(theirs) != len(ours):
        return False
    wavelengths = [wavelength_of(name) for name in ours]
    for their_um, our_um in zip(map(wavelength_of, theirs), wavelengths, strict=True):
        if math.isnan(their_um) or math.isnan(our_um):
            continue
        distances = [abs(math.log(their_um / um)) for um in wavelengths if not math.isnan(um)]
        if (own := abs(math.log(their_um / our_um))) > min(distances) or own > FAR:
            return False
    return True
