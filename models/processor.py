"""What the CPU can do, by PyTorch's names: avx2, avx512_f, avx512_bf16, amx_bf16 …"""

from functools import cache
from pathlib import Path

import torch


@cache
def capabilities() -> dict[str, object]:
    """Feature → whether the CPU has it; empty for versions of PyTorch that do not say."""
    return getattr(torch.cpu, "get_capabilities", dict)()


def instructions() -> str:
    """What tells processors apart for which a program is compiled: all that they can do, as far as is known."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # only Linux has it
        lines = []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")  # x86, Arm
    return f"{flags} {capabilities()}"


def has(feature: str) -> bool:
    return bool(capabilities().get(feature))


def has_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 numbers itself; one that does not is many times slower with them."""
    return any(has(feature) for feature in capabilities() if "bf16" in feature)
