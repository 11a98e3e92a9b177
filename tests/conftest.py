"""Fixtures shared by all tests: a fixed seed and a small data set of generated pictures."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for processes that tests start
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the same on every machine, whatever its GPUs
os.environ["ACCELERATE_USE_CPU"] = "1"

import pytest
import torch
from PIL import Image
from torch import Tensor

if "PYTEST_XDIST_WORKER" in os.environ:  # tests beside others
    torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parent.parent
COLOURS = {"n01_red": (200, 60, 60), "n02_green": (60, 200, 60), "n03_blue": (60, 60, 200)}


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session", autouse=True)
def own_uploads(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An app that ends deletes the files it was sent, and the same picture has the same path in every app."""
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("uploads"))


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in the study's list layout: three classes of coloured noise, 24 + 9 + 9 pictures of 24 x 24."""
    folder = tmp_path_factory.mktemp("colours")
    generator = torch.Generator().manual_seed(0)
    for split, per_class in {"train": 8, "val": 3, "test": 3}.items():
        lines = []
        for label, (synset, colour) in enumerate(COLOURS.items()):
            for number in range(per_class):
                path = Path("images", synset, f"{split}_{number}.png")
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                noise = torch.randint(-50, 51, (24, 24, 3), generator=generator)
                picture_of(torch.tensor(colour) + noise).save(folder / path)
                lines.append(f"{path.as_posix()} {label}")
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


def picture_of(pixels: Tensor) -> Image.Image:
    """(H, W, 3) of 0..255 → a PIL picture."""
    return Image.fromarray(pixels.clamp(0, 255).to(torch.uint8).numpy())
