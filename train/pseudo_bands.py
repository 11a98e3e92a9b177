"""Views of pictures as channels of other sensors, for a network that takes any.

A pseudo-band is a convex mixture of R, G and B together with the equally mixed wavelength; real
multi-band pictures with 50 everyday classes do not exist, so more than three channels are trained for
and measured on these. Of a sensor's own pictures some of the bands are shown.
"""

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from models import CHANNELS, SUBSETS, fill_channels, select_channels
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

    With a leading batch axis each picture has its own, and ``present`` (B, C) says which of the C.
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


def real_bands(channels: str) -> Bands:
    """Named channels as they are, e.g. ``"GR"``."""
    return mixtures(torch.eye(3)[channel_indices(channels)])


def pseudo_bands(*shape: int, generator: torch.Generator) -> Bands:
    """So many random mixtures with their wavelengths, (C,) for all pictures or (B, C) for each its own."""
    weights = torch._standard_gamma(torch.full((*shape, 3), CONCENTRATION), generator=generator)
    return mixtures(weights / weights.sum(dim=-1, keepdim=True).clamp_min(1e-12))


def mixtures(weights: Tensor) -> Bands:
    """Convex mixtures of R, G and B (…, C, 3), at the equally mixed wavelengths."""
    return Bands(weights, weights @ RGB_UM)


def filled_bands(channels: str, fill: str) -> Bands:
    """What a three-channel network is given in place of R, G and B when it has only ``channels``."""
    rgb = torch.eye(3).view(1, 3, 3, 1)  # pixels of pure red, green and blue
    weights = fill_channels(select_channels(rgb, channels), channels, fill).view(3, 3)
    return Bands(weights, RGB_UM)


@cache
def fillings(fill: str) -> Tensor:
    """The weights of ``filled_bands`` (8, 3, 3) by which channels there are: R counts 1, G 2, B 4."""
    weights = torch.zeros(8, 3, 3)
    for subset in SUBSETS:
        weights[sum(1 << index for index in channel_indices(subset))] = filled_bands(subset, fill).weights
    return weights


def draw_order(pictures: int, count_weights: tuple[float, ...], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """For each picture its channels in random order (B, C), and the first of these that are present (B, C): how many
    first, with these weights of one, two …, then which.

    Hierarchical channel sampling of ChannelViT (Bao et al., ICLR 2024, section 3.3). All pictures of a batch are drawn
    at once: one by one a GPU would wait for them.
    """
    weights = torch.tensor(count_weights, dtype=torch.float)
    counts = 1 + weights.multinomial(pictures, replacement=True, generator=generator)
    order = torch.rand(pictures, len(weights), generator=generator).argsort(dim=1)
    return order, torch.arange(len(weights)) < counts[:, None]


def draw_filled(
    pictures: int, fill: str, count_weights: tuple[float, ...], colour_mixing: float, generator: torch.Generator
) -> Bands:
    """What training pictures show a three-channel network: some of R, G and B, the others filled; so often these are
    random mixtures of the picture's own. For a share of 0 nothing more is drawn."""
    order, present = draw_order(pictures, count_weights, generator)
    weights = fillings(fill)[((1 << order) * present).sum(dim=1)]
    if colour_mixing:
        mixed = torch.rand(pictures, generator=generator) < colour_mixing
        colours = pseudo_bands(pictures, len(CHANNELS), generator=generator)
        weights = (weights @ colours.weights).where(mixed[:, None, None], weights)
    return Bands(weights, RGB_UM)


def draw_bands(
    pictures: int, count_weights: tuple[float, ...], pseudo_share: float, generator: torch.Generator
) -> Bands:
    """What training pictures show a network for any channels: some of R, G and B in random order, or so often
    pseudo-bands; sometimes unnamed. For a share of 0 nothing more is drawn."""
    order, present = draw_order(pictures, count_weights, generator)
    weights = torch.eye(len(CHANNELS))[order]
    if pseudo_share:
        pseudo = torch.rand(pictures, 1, generator=generator) < pseudo_share
        counts = torch.randint(1, MOST_BANDS + 1, (pictures, 1), generator=generator)
        more = MOST_BANDS - len(CHANNELS)
        present = (torch.arange(MOST_BANDS) < counts).where(pseudo, F.pad(present, (0, more)))
        drawn = pseudo_bands(pictures, MOST_BANDS, generator=generator).weights
        weights = drawn.where(pseudo[..., None], F.pad(weights, (0, 0, 0, more)))
    bands = mixtures(weights)
    return sometimes_unnamed(bands.weights, bands.wavelengths_um, present, generator)


def draw_some(
    pictures: int, bands: tuple[str, ...], count_weights: tuple[float, ...], generator: torch.Generator
) -> Bands:
    """What training pictures of a sensor show: some of its bands in random order, sometimes unnamed."""
    order, present = draw_order(pictures, count_weights, generator)
    return sometimes_unnamed(torch.eye(len(bands))[order], wavelengths_of(bands)[order], present, generator)


def sometimes_unnamed(weights: Tensor, wavelengths_um: Tensor, present: Tensor, generator: torch.Generator) -> Bands:
    """Each picture's own channels; of some pictures nobody knows what they are."""
    named = torch.rand(len(weights), 1, generator=generator) >= UNKNOWN_SHARE
    return Bands(weights * present[..., None], wavelengths_um.where(named & present, torch.nan), present)
