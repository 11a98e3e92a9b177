"""Where autocast must not reach: statistics, attention, and kernels that are about to be mixed; what it asks for."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def autocast_dtype(x: Tensor) -> torch.dtype:
    """What ``x`` is multiplied in: autocast's type, or its own; float64 stays, as in PyTorch's convolutions."""
    device = x.device.type
    if device == "meta" or x.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return x.dtype
    return torch.get_autocast_dtype(device)


def full_precision(x: Tensor) -> AbstractContextManager:
    """A context in which arithmetic beside ``x`` keeps the precision of its operands."""
    device = x.device.type
    if device == "meta" or not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)
