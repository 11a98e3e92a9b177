"""Fixtures of the demo's tests: the lion, the bundled models, a page being served."""

from pathlib import Path

import pytest
from PIL import Image

from demo.gallery import EXAMPLES
from demo.loading import load_models
from demo.pictures import open_picture


@pytest.fixture(scope="session")
def lion() -> Image.Image:
    return open_picture(EXAMPLES["lion"])


@pytest.fixture(scope="session")
def networks():
    """The bundled models, as the demo loads them."""
    return load_models().networks


@pytest.fixture(scope="session")
def served(networks) -> str:
    """The address of the demo, served from this process."""
    from demo.ui import LAUNCH, create_demo

    demo = create_demo()
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **LAUNCH)
    yield url
    demo.close()


@pytest.fixture
def save(tmp_path: Path):
    """Save a picture under a name and return its path."""

    def to(name: str, picture: Image.Image, **options) -> Path:
        picture.save(tmp_path / name, **options)
        return tmp_path / name

    return to
