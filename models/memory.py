"""Keeping large blocks of memory between steps.

By default glibc maps every large tensor afresh and gives it back when it is freed; at each
step the kernel then spends more time on page faults than the program on arithmetic.
"""

import ctypes

import torch

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # from malloc.h


def keep_large_blocks() -> bool:
    """Tell glibc to reuse large blocks; True where it took effect, a harmless False elsewhere.

    Beside a GPU, which has the large tensors, nothing is changed.
    """
    if torch.cuda.is_available():
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 256 * 2**20}
    taken = [mallopt(option, value) for option, value in settings.items()]
    return all(taken)
