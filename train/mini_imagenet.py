"""The pictures of ``mini-imagenet-50``, which this repository cannot contain, from a copy of mini-ImageNet.

    python -m train.mini_imagenet --source DIR --data-root data/mini-imagenet-50

``DIR`` holds mini-ImageNet (Vinyals et al., 2016; Ravi & Larochelle's names, such as ``n0153282900000005.jpg``), in one
folder or in folders of any kind. Which 27,998 of its pictures are meant, of 50 classes, stands in
``mini_imagenet_50.txt``: a line for each class and split. Pictures of 84 px are copied, others are resized to that, as
ours had been by whoever packed them; by another way of resizing accuracies differ a little.
"""

import shutil
from pathlib import Path

from PIL import Image

from train.commands import command_line, one_line_errors
from train.data import SPLITS, DataError

SIDE = 84  # pixels
SYNSET = len("n01532829")  # with which a name begins
NAMES = Path(__file__).with_name("mini_imagenet_50.txt")


def read_names(path: Path = NAMES) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Class names by synset, in the order of their labels, and file names by split, in the order of the lists."""
    classes, files = {}, {split: [] for split in SPLITS}
    for line in path.read_text(encoding="utf-8").splitlines():
        synset, split, rest = line.split(" ", 2)
        if split == "name":
            classes[synset] = rest
        else:
            files[split] += [f"{synset}{int(number):08}.jpg" for number in rest.split()]
    return classes, files


def prepare(source: Path, data_root: Path) -> dict[str, int]:
    """Write the pictures and lists, and return how many pictures each split has. Raises ``DataError``."""
    classes, files = read_names()
    if not source.is_dir():
        raise DataError(f"no folder {source}; --source is the folder that holds mini-ImageNet")
    made = data_root.resolve()  # an earlier, interrupted run's copies may lie within the source
    found = {path.name: path for path in sorted(source.rglob("*.jpg")) if made not in path.resolve().parents}
    wanted = [name for names in files.values() for name in names]
    if missing := [name for name in wanted if name not in found]:
        raise DataError(
            f"{len(missing):,} of {len(wanted):,} pictures are not in {source} ({', '.join(missing[:3])}, …); it must "
            "hold mini-ImageNet with Ravi & Larochelle's names, unpacked"
        )
    labels = {synset: label for label, synset in enumerate(classes)}
    for split, names in files.items():
        lines = []
        for name in names:
            synset = name[:SYNSET]
            place = Path("images", synset, name)
            copy(found[name], data_root / place)
            lines.append(f"{place.as_posix()} {labels[synset]}\n")
        (data_root / f"{split}.txt").write_text("".join(lines), encoding="utf-8")
    lines = [f"{synset} {name}\n" for synset, name in classes.items()]
    (data_root / "classes.txt").write_text("".join(lines), encoding="utf-8")
    return {split: len(names) for split, names in files.items()}


def copy(source: Path, target: Path) -> None:
    """The picture at ``SIDE`` x ``SIDE`` pixels, as it is if it has that size. Raises ``DataError``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with Image.open(source) as picture:
            resized = None
            if picture.size != (SIDE, SIDE):
                resized = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    except OSError as error:  # Pillow's UnidentifiedImageError is one
        raise DataError(f"{source} cannot be read as a picture; fetch mini-ImageNet again") from error
    if resized is None:
        shutil.copyfile(source, target)
    else:
        resized.save(target, quality=95)


@one_line_errors()
def main(arguments: list[str] | None = None) -> None:
    parser = command_line("mini_imagenet", __doc__)
    parser.add_argument("--source", type=Path, required=True, help="folder with mini-ImageNet's pictures")
    parser.add_argument("--data-root", type=Path, required=True, help="folder to write")
    options = parser.parse_args(arguments)
    counts = prepare(options.source, options.data_root)
    print(f"wrote {', '.join(f'{count:,} {split}' for split, count in counts.items())} pictures to {options.data_root}")


if __name__ == "__main__":
    main()
