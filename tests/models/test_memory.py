import subprocess
import sys

import pytest

from models.memory import keep_large_blocks

COUNT_FAULTS = """
import resource, sys, torch
from models.memory import keep_large_blocks

if sys.argv[1] == "keep":
    assert keep_large_blocks()
torch.ones(2**24)  # 64 MiB, freed at once
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(root, mode: str) -> int:
    """Page faults of five allocations of 64 MiB in a process of its own."""
    command = [sys.executable, "-c", COUNT_FAULTS, mode]
    return int(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_a_kept_block_is_not_faulted_in_again(root):
    usual, kept = page_faults(root, "usual"), page_faults(root, "keep")
    assert kept * 4 < usual or usual < 100  # one may be new; some allocators keep blocks by themselves


def test_beside_a_gpu_nothing_is_changed(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("ctypes.CDLL", lambda name: pytest.fail(f"{name} was asked"))
    assert keep_large_blocks() is False


def test_another_c_library_is_harmless(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", missing)
    assert keep_large_blocks() is False
