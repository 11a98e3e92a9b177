"""Makes the example of several bands: ``python demo/examples/mix.py``. The lion's R, G, B and two mixtures of them."""

from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).resolve().parent
SIZE = 128
WEIGHTS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [0, 0.5, 0.5]])  # of R, G, B in each band


def main() -> None:
    with Image.open(FOLDER / "lion.jpg") as picture:
        rgb = np.asarray(picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS))
    np.save(FOLDER / "lion_bands.npy", (rgb @ WEIGHTS.T).round().astype(np.uint8))  # (SIZE, SIZE, 5)


if __name__ == "__main__":
    main()
