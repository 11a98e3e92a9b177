"""Names of spectral bands and their wavelengths in micrometres.

The centres are those of Sentinel-2's bands, which DOFA (Xiong et al., 2024) also uses for R, G and B.
``?`` is a channel of which nobody knows what it is.
"""

import math
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
SHORTEST_UM, LONGEST_UM = 0.01, 100.0  # from ultraviolet to thermal infrared


def parse_bands(channels: str | Iterable[str]) -> tuple[str, ...]:
    """``"RG"``, ``"R,NIR"`` or ``("R", "NIR")`` → names in capitals, order kept.

    Raises ``ValueError`` for an empty, unknown or repeated name; ``?`` may come more than once.
    """
    if isinstance(channels, str):
        channels = channels.split(",") if "," in channels or channels.strip().upper() in BANDS_UM else list(channels)
    names = tuple(str(name).strip().upper() for name in channels)
    if not names:
        raise ValueError(f"channels is empty; name at least one of {', '.join(BANDS_UM)}")
    if unknown := [name for name in names if name not in BANDS_UM]:
        raise ValueError(
            f"unknown channel {unknown[0]!r}; known are {', '.join(BANDS_UM)} ({UNKNOWN} for one nobody knows); "
            "for any other give wavelengths_um, in micrometres"
        )
    if repeated := [name for name in names if name != UNKNOWN and names.count(name) > 1]:
        raise ValueError(f"channel {repeated[0]} is repeated in {', '.join(names)}; name each channel once")
    return names


def check_wavelengths(wavelengths_um: Sequence[float | None] | Tensor) -> tuple[float, ...]:
    """The wavelengths as floats, NaN for None; ``ValueError`` for one that cannot be micrometres."""
    values = tuple(math.nan if value is None else float(value) for value in wavelengths_um)
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


def wavelengths_of(
    channels: str | Iterable[str] | None = None, wavelengths_um: Sequence[float | None] | Tensor | None = None
) -> Tensor:
    """Wavelengths of named channels or as given, (C,), or (B, C) if each picture has its own; NaN for unknown.

    Raises ``ValueError`` for both or neither, and for what cannot be micrometres.
    """
    if (channels is None) == (wavelengths_um is None):
        raise ValueError("give either channels, such as ('R', 'NIR'), or wavelengths_um, such as [0.665, 0.842]")
    if channels is not None:
        return torch.tensor([BANDS_UM[name] for name in parse_bands(channels)])
    if isinstance(wavelengths_um, Tensor) and wavelengths_um.ndim == 2:
        check_wavelengths(wavelengths_um.flatten().tolist())
        return wavelengths_um.float()
    return torch.tensor(check_wavelengths(wavelengths_um))


def check_count(wavelengths_um: Tensor, x: Tensor) -> Tensor:
    """The wavelengths beside ``x`` (B, C, H, W), on its device; ``ValueError`` when the counts differ."""
    count = wavelengths_um.shape[-1]
    if x.ndim != 4 or x.shape[1] != count or wavelengths_um.shape[:-1] not in ((), x.shape[:1]):
        raise ValueError(
            f"expected x of shape (B, {count}, H, W) for {count} channels, got {tuple(x.shape)}; "
            "give one name or wavelength per channel of x"
        )
    return wavelengths_um.to(x.device)
