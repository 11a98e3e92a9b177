"""What a network sees of pictures, in training and in evaluation: some channels, filled or not, or other bands.

A view maps normalised pictures (B, 3, H, W), or all bands of a sensor, to the network's input (B, C, H, W) and the
keywords that say what it is.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from models import CHANNELS, select_channels
from models.bands import places_of
from models.channels import take
from train.config import TrainConfig
from train.pseudo_bands import Bands, draw_bands, draw_filled, draw_some

View = Callable[[Tensor], tuple[Tensor, dict]]


def training_view(config: TrainConfig, fill: str | None, generator: torch.Generator) -> View:
    """What a run shows: its channels, or random ones."""
    if config.channels != "sample":
        return named_view(config.channels, config.band_names)
    if config.bands:
        return sensor_view(config.band_names, generator, config.count_weights)
    share = config.pseudo_share if fill is None else config.colour_mixing
    return sampled_view(fill, generator, config.count_weights, share)


def named_view(channels: str, bands: tuple[str, ...] = ()) -> View:
    """The named channels of RGB pictures, or of those of a sensor with these ``bands``."""
    if not bands:
        return lambda images: (select_channels(images, channels), {"channels": channels})
    places = places_of(channels, bands)
    return lambda images: (take(images, places), {"channels": channels})


def band_view(bands: Bands) -> View:
    """RGB pictures as the channels of another sensor."""
    return lambda images: (bands.of(images), {"wavelengths_um": bands.wavelengths_um})


def sampled_view(
    fill: str | None,
    generator: torch.Generator,
    count_weights: tuple[float, ...] = (1, 1, 1),
    pseudo_share: float = 0.0,
) -> View:
    """Random channels for every picture: filled with ``fill``, or as they are for a network that takes any.

    Within a batch the pictures' subsets differ. With one subset for all, batch normalisation would see the
    statistics of one subset at a time in training, but those of their mixture ever after.
    The network for any channels also samples their order and, for ``pseudo_share`` of the pictures, pseudo-bands
    (``pseudo_bands.py``); for such a share the others see three of these in the places of R, G and B.
    """

    def view(images: Tensor) -> tuple[Tensor, dict]:
        if fill is None:
            return mixed(images, draw_bands(len(images), count_weights, pseudo_share, generator))
        bands = draw_filled(len(images), fill, count_weights, pseudo_share, generator)
        return bands.of(images), {"channels": CHANNELS}

    return view


def sensor_view(bands: tuple[str, ...], generator: torch.Generator, count_weights: tuple[float, ...]) -> View:
    """Random bands of a sensor for every picture, as they are."""
    return lambda images: mixed(images, draw_some(len(images), bands, count_weights, generator))


def mixed(images: Tensor, bands: Bands) -> tuple[Tensor, dict]:
    """For each picture its own channels, those of others being absent."""
    wavelengths, present = (part.to(images.device, non_blocking=True) for part in (bands.wavelengths_um, bands.present))
    return bands.of(images), {"wavelengths_um": wavelengths, "present": present}
