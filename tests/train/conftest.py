"""Fixtures of the training tests: a quick run on the generated pictures, and a fresh Accelerate."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from train.config import TrainConfig


@pytest.fixture(autouse=True)
def fresh_accelerate():
    """Accelerate keeps one state per process: forget it, and the number of threads a run has set."""
    threads = torch.get_num_threads()
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.set_num_threads(threads)


@pytest.fixture
def config(colours: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """``config(**options)``: two epochs of ``compact`` at 16 pixels, about two seconds."""
    quick = TrainConfig(
        model="compact",
        data_root=colours,
        run_dir=tmp_path / "run",
        image_size="16",
        epochs=2,
        batch_size=8,
        workers=0,
        threads=1,
        blocks="none",
    )
    return lambda **options: replace(quick, **options)
