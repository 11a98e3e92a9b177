"""Pixels that were never measured, from those around them.

Black ones would be edges and brightness that no sensor saw: every band would vary, a dead one too. So the picture is
halved again and again, each pixel the mean of those of its four that are known, until all are, and what is unknown
takes its value from there (pull and push; Gortler et al., The Lumigraph, SIGGRAPH 1996). ``results/DETAILS.md`` has
what that is worth.

Sizes in this file: C bands, H and W height and width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def filled(values: Tensor, known: Tensor) -> Tensor:
    """``values`` (C, H, W), floats, where they are ``known`` (C, H, W), boolean; elsewhere what lies around gives.

    Within the known values of the band, so that one of a single value keeps it; 0 in a band without any.
    """
    if known.all():
        return values
    some = known.any(dim=(1, 2), keepdim=True)  # (C, 1, 1)
    lowest = values.where(known, torch.inf).amin(dim=(1, 2), keepdim=True).where(some, 0)
    highest = values.where(known, -torch.inf).amax(dim=(1, 2), keepdim=True).where(some, 0)
    guess = pull_push(values[None], known[None])[0].clamp(lowest, highest)
    return values.where(known, guess)  # (C, H, W)


def pull_push(values: Tensor, known: Tensor) -> Tensor:
    """The same of (1, C, H, W), within the known values but for rounding errors."""
    known_values = values.where(known, 0)
    H, W = values.shape[2:]
    if known.all() or max(H, W) == 1:
        return known_values
    share = F.avg_pool2d(known.to(values.dtype), 2, ceil_mode=True)  # (1, C, ⌈H/2⌉, ⌈W/2⌉), of the pixels that are one
    means = F.avg_pool2d(known_values, 2, ceil_mode=True) / share.clamp_min(1 / 4)
    coarse = F.interpolate(pull_push(means, share > 0), scale_factor=2, mode="bilinear")  # odd sides: a pixel more
    return values.where(known, coarse[..., :H, :W])
