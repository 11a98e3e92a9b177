"""Views of pictures as channels of other sensors, for a network that takes any.

A pseudo-band is a convex mixture of R, G and B together with the equally mixed wavelength; real
multi-band pictures with 50 everyday classes do not exist, so more than three channels are trained for
and measured on these. Of a sensor's own pictures some of the bands are shown.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models import CHANNELS, fill_channels, select_channels
from models.bands import wavelengths_of
from models.channels import channel_indices

MOST_BANDS = 6
UNKNOWN_SHARE = 0.1  # of the training pictures: nobody knows what the channels are
RGB_UM = wavelengths_of(CHANNELS)
CONCENTRATION = 0.5  # of the Dirichlet distribution of the mixtures: rather pure ones


@dataclass(frozen=True)
class Bands:
    """Channels as mixtures of a picture's own P, mostly R, G and B: ``weights`` (C, P) and ``wavelengths_um`` (C,),
    NaN for unknown.

    With a leading batch axis each picture has its own, and ``present`` (B, C) says how many of the C.
    """

    weights: Tensor
    wavelengths_um: Tensor
    present: Tensor | None = None

    def of(self, pictures: Tensor) -> Tensor:
        """(B, P, H, W) → (B, C, H, W)."""
        return torch.einsum("...cp,...phw->...chw", self.weights.to(pictures, non_blocking=True), pictures)

    def blind(self) -> "Bands":
        """The same channels with their wavelengths unknown."""
        return Bands(self.weights, torch.full_like(self.wavelengths_um, torch.nan), self.present)


@cache
def real_bands(channels: str) -> Bands:
    """Named channels as they are, e.g. ``"GR"``."""
    return mixtures(torch.eye(3)[channel_indices(channels)])


def pseudo_bands(count: int, generator: torch.Generator) -> Bands:
    """``count`` random mixtures with their wavelengths."""
    concentration = torch.full((count, 3), CONCENTRATION)
    weights = torch._standard_gamma(concentration, generator=generator)
    return mixtures(weights / weights.sum(dim=1, keepdim=True).clamp_min(1e-12))


def mixtures(weights: Tensor) -> Bands:
    """Convex mixtures of R, G and B (C, 3), at the equally mixed wavelengths."""
    return Bands(weights, weights @ RGB_UM)


@cache
def filled_bands(channels: str, fill: str) -> Bands:
    """What a three-channel network is given in place of R, G and B when it has only ``channels``."""
    rgb = torch.eye(3).view(1, 3, 3, 1)  # pixels of pure red, green and blue
    weights = fill_channels(select_channels(rgb, channels), channels, fill).view(3, 3)
    return Bands(weights, RGB_UM)


def draw_bands(subset: str, pseudo_share: float, generator: torch.Generator) -> Bands:
    """What one training picture shows: ``subset`` in random order, or so often pseudo-bands; sometimes unnamed."""
    share, unknown = torch.rand(2, generator=generator).tolist()
    if share < pseudo_share:
        count = torch.randint(1, MOST_BANDS + 1, (), generator=generator).item()
        bands = pseudo_bands(count, generator)
    else:
        order = torch.randperm(len(subset), generator=generator).tolist()
        bands = real_bands("".join(subset[index] for index in order))
    return bands.blind() if unknown < UNKNOWN_SHARE else bands


def recoloured(bands: Bands, share: float, generator: torch.Generator) -> Bands:
    """The same of a picture whose R, G and B are, so often, random mixtures of its own; nothing is drawn for a share
    of 0."""
    if not share or torch.rand((), generator=generator).item() >= share:
        return bands
    return Bands(bands.weights @ pseudo_bands(len(CHANNELS), generator).weights, bands.wavelengths_um)


def draw_count(weights: tuple[float, ...], generator: torch.Generator) -> int:
    """A number of channels, from 1, with these weights of one, two …"""
    return 1 + torch.tensor(weights, dtype=torch.float).multinomial(1, generator=generator).item()


def some_bands(bands: tuple[str, ...], count_weights: tuple[float, ...], generator: torch.Generator) -> Bands:
    """What one training picture of a sensor shows: how many bands first, with these weights of one, two …, then which,
    in random order; sometimes unnamed."""
    count = draw_count(count_weights, generator)
    places = torch.randperm(len(bands), generator=generator)[:count]
    some = Bands(torch.eye(len(bands))[places], wavelengths_of(bands)[places])
    unknown = torch.rand((), generator=generator).item()
    return some.blind() if unknown < UNKNOWN_SHARE else some


def stack_bands(drawn: list[Bands]) -> Bands:
    """One set of channels per picture, filled up to the largest with absent ones."""
    counts = torch.tensor([len(bands.wavelengths_um) for bands in drawn])
    return Bands(
        pad_sequence([bands.weights for bands in drawn], batch_first=True),
        pad_sequence([bands.wavelengths_um for bands in drawn], batch_first=True, padding_value=torch.nan),
        torch.arange(counts.max()) < counts[:, None],
    )
