"""Choosing colour channels and filling the missing ones.

The networks of the study take three channels. A picture that has lost some of them is
filled back to three as the study does: one channel is copied to
three; of two channels, the third is their mean. The study does not say in which slot the
mean goes, so the choice has a name:

- ``aligned``: every channel stays in its own slot and the mean takes the missing one;
- ``appended``: the present channels come first, in RGB order, and the mean comes last.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from models.bands import spell_band, split_names

CHANNELS = "RGB"
SUBSETS = ("RGB", "RG", "RB", "GB", "R", "G", "B")
FILLS = ("aligned", "appended")


def parse_channels(channels: str | Iterable[str]) -> str:
    """Return the names as a string, e.g. ``"GR"``, ``"green, red"`` or ``("G", "R")`` → ``"GR"``, order kept.

    A text is split as by ``bands.split_names``. Raises ``ValueError`` for an empty, unknown or repeated channel.
    """
    words = [spell_band(word) for word in (split_names(channels) if isinstance(channels, str) else channels)]
    names = list(words[0]) if len(words) == 1 and set(words[0]) & set(CHANNELS) else words  # ("RGB",) is three
    if not names:
        raise ValueError(f"channels is empty; name at least one of {', '.join(CHANNELS)}")
    if unknown := sorted(set(names) - set(CHANNELS)):
        raise ValueError(
            f"unknown channel {', '.join(map(repr, unknown))} in {', '.join(words)!r}; known are "
            f"{', '.join(CHANNELS)}, e.g. 'RG'"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"channel repeated in {''.join(names)!r}; name each channel once")
    return "".join(names)


def channel_indices(channels: str | Iterable[str]) -> list[int]:
    """Positions of the named channels in RGB, e.g. ``"GB"`` → ``[1, 2]``."""
    return [CHANNELS.index(name) for name in parse_channels(channels)]


def check_fill(fill: str) -> str:
    """Return ``fill``; ``ValueError`` unless it is one of ``FILLS``."""
    if fill not in FILLS:
        raise ValueError(f"unknown fill {fill!r}; known are {', '.join(FILLS)}")
    return fill


def select_channels(rgb: Tensor, channels: str | Iterable[str]) -> Tensor:
    """Keep the named channels of an RGB batch: (B, 3, H, W) → (B, len(channels), H, W), itself for RGB, so
    that a change in place needs a ``clone()``.

    Raises ``ValueError`` for unknown channels or another shape.
    """
    if rgb.ndim != 4 or rgb.shape[1] != len(CHANNELS):
        raise ValueError(f"expected (B, 3, H, W), got {tuple(rgb.shape)}; a single picture needs a batch axis, x[None]")
    return take(rgb, channel_indices(channels))


def take(pictures: Tensor, places: list[int]) -> Tensor:
    """The channels at these places: (B, C, H, W) → (B, len(places), H, W), itself where these are all in order.

    A list for an index would be copied to a GPU first, which waits for it to finish.
    """
    if places == list(range(pictures.shape[1])):
        return pictures
    return torch.stack([pictures[:, place] for place in places], dim=1)


def fill_channels(x: Tensor, channels: str | Iterable[str] = CHANNELS, fill: str = "aligned") -> Tensor:
    """Fill a batch of 1 to 3 channels to the three the network needs.

    ``x`` is (B, len(channels), H, W), its channels in the order of ``channels``; any values
    (the fill commutes with the same normalisation on every channel). Returns (B, 3, H, W).

    Raises ``ValueError`` for unknown channels, an unknown fill, or an ``x`` whose channel
    count does not match.
    """
    names = parse_channels(channels)
    check_fill(fill)
    if x.ndim != 4 or x.shape[1] != len(names):
        raise ValueError(
            f"expected x of shape (B, {len(names)}, H, W) for channels {names!r}, got "
            f"{tuple(x.shape)}; pass just the named channels, e.g. select_channels(x, {names!r})"
        )
    if names == CHANNELS:
        return x
    if len(names) == 1:
        return x.expand(-1, 3, -1, -1)
    slots = {name: x[:, i] for i, name in enumerate(names)}  # each (B, H, W)
    order = [name if name in slots else "mean" for name in CHANNELS]
    if len(names) == 2:
        slots["mean"] = x.mean(dim=1)
        if fill == "appended":
            order.sort(key="mean".__eq__)  # stable: the present ones keep RGB order, the mean goes last
    return torch.stack([slots[name] for name in order], dim=1)
