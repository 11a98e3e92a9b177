"""Pictures of a real sensor's four bands, two of them near infrared: Statlog's Landsat scene as class folders.

    python -m train.landsat --source DIR --data-root data/landsat   # sat.trn and sat.tst are in DIR
    python -m train.landsat --source DIR --data-root data/no-0.75 --without 0.75   # for tests on a band never met
    python -m train.ablate landsat --data-root data/landsat

The two files are those of "Statlog (Landsat Satellite)" (Srinivasan, UCI Machine Learning Repository, 1993,
doi:10.24432/C55887, CC BY 4.0): 6,435 places of 3 x 3 pixels from one scene of Landsat's multispectral scanner, a line
each, with the class of the middle pixel at the end. Every fourth line of ``sat.trn`` is for validation, ``sat.tst`` for
test. Places of one scene may overlap, so that accuracies are not those on another scene.
"""

from pathlib import Path

import numpy as np

from models.bands import parse_bands, places_of
from train.commands import command_line, one_line_errors
from train.data import DataError

BANDS = "0.55,0.65,0.75,0.95"  # µm, the middles of 0.5-0.6, 0.6-0.7, 0.7-0.8 and 0.8-1.1
CLASSES = {
    1: "red soil",
    2: "cotton crop",
    3: "grey soil",
    4: "damp grey soil",
    5: "vegetation stubble",  # soil with it
    7: "very damp grey soil",  # 6, a mixture, has no places
}
AS_IT_IS = "take sat.trn and sat.tst as they are"
SIDE, COUNT = 3, 4  # pixels of a place, bands
ENLARGED = 3  # pixels a side for each: pictures of bands have at least 8 x 8


def read_places(path: Path) -> tuple[np.ndarray, list[str]]:
    """Values (N, 9, 9, 4) in 0..255 and the name of each place's class. Raises ``DataError``."""
    if not path.is_file():
        raise DataError(
            f"no file {path}; download Statlog (Landsat Satellite), doi:10.24432/C55887, and unpack it there"
        )
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [[int(word) for word in line.split()] for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not as UCI's Statlog (Landsat Satellite) has it: {error}") from error
    if not rows:
        raise DataError(f"{path} holds no places; {AS_IT_IS}")
    length = SIDE * SIDE * COUNT + 1
    for number, row in enumerate(rows, 1):
        if len(row) != length or not 0 <= min(row) <= max(row) <= 255 or row[-1] not in CLASSES:
            raise DataError(
                f"{path}, place {number}: expected {length - 1} values in 0..255 and a class "
                f"({', '.join(map(str, CLASSES))}), got {len(row)} numbers in {min(row)}..{max(row)} with "
                f"{row[-1]} at the end; {AS_IT_IS}"
            )
    pictures = np.array(rows, np.uint8)[:, :-1].reshape(-1, SIDE, SIDE, COUNT)
    return pictures.repeat(ENLARGED, axis=1).repeat(ENLARGED, axis=2), [CLASSES[row[-1]] for row in rows]


def kept_bands(without: str | None = None) -> tuple[str, ...]:
    """All four bands but those ``without``, which are named as ``--bands`` names them. Raises ``ValueError``."""
    names = parse_bands(BANDS)
    absent = places_of(without, names) if without else []
    if len(absent) == len(names):
        raise ValueError(f"without {without} none of {BANDS} is left")
    return tuple(name for place, name in enumerate(names) if place not in absent)


def convert(source: Path, data_root: Path, bands: tuple[str, ...] = kept_bands()) -> dict[str, int]:
    """Write ``data_root``/<split>/<class>/<line>.npy with these ``bands`` and say how many each split has.

    Raises ``DataError``, before anything is written.
    """
    kept = places_of(bands, parse_bands(BANDS))
    counts = {"train": 0, "val": 0, "test": 0}
    places = {name: read_places(source / name) for name in ("sat.trn", "sat.tst")}
    for name, (pictures, classes) in places.items():
        for line, (picture, label) in enumerate(zip(pictures, classes, strict=True), 1):
            split = "test" if name == "sat.tst" else "train" if line % 4 else "val"
            folder = data_root / split / label
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / f"{line:04}.npy", picture[..., kept])
            counts[split] += 1
    return counts


@one_line_errors()
def main() -> None:
    parser = command_line("landsat", __doc__)
    parser.add_argument("--source", type=Path, required=True, help="folder that holds sat.trn and sat.tst")
    parser.add_argument("--data-root", type=Path, required=True, help="folder to write the class folders to")
    parser.add_argument("--without", help=f"bands to leave out, of {BANDS}")
    options = parser.parse_args()
    bands = kept_bands(options.without)
    counts = convert(options.source, options.data_root, bands)
    print(", ".join(f"{split} {count:,}" for split, count in counts.items()), f"pictures, --bands {','.join(bands)}")


if __name__ == "__main__":
    main()
