"""Fixtures of the training tests: a quick run on the generated pictures, a fresh Accelerate, records of ablations."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from tests.train.records import ablation
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
    )

    def make(**options) -> TrainConfig:
        blocks = "none" if options.get("model", "compact") == "compact" else "both"  # what networks without any have
        return replace(quick, **{"blocks": blocks} | options)

    return make


@pytest.fixture
def ablations() -> list[dict]:
    """Two ablations: two variants with three seeds each, and two with one."""
    kernels = [ablation(kernels, seed, 0.4 + seed / 100) for kernels in ("4", "3") for seed in (0, 1, 2)]
    return [*kernels, ablation("both", 0, 0.3, name="blocks"), ablation("none", 0, 0.25, name="blocks")]
