"""Pictures on disk → batches of uint8 pixels.

Three layouts are understood:

- lists, as in the study: ``train.txt``, ``val.txt``, ``test.txt`` with ``images/<synset>/<file>
  <label>`` per line (LF or CRLF), optionally ``classes.txt`` with ``<synset> <name>``, or a folder's whole name,
  per line in label order;
- ``train/``, ``val/``, ``test/`` folders of class folders (torchvision's ImageFolder);
- class folders alone: split 80/10/10 by a hash of the file name, so that adding pictures moves none.

Pictures are RGB, or where the ``bands`` of a sensor are named .tif, .tiff or .npy files of so many (``band_files.py``).
Every picture is opened before training starts. Augmentation is seeded per picture and epoch, so
neither the number of workers nor a resumed run changes it.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing.pool import ThreadPool
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset
from torchvision.transforms import v2
from tqdm import tqdm

from models.band_files import CUT, DIM, NUMPY, PERCENTILE, TIFF, BandFileError, BandPicture, open_bands
from models.bands import UNKNOWN, agree
from models.hub import first_line
from models.pictures import DEEP_MODES, resize, to_rgb, within

NAME_BANDS = "files of a sensor are read where its bands are named (train.run --bands)"
EXTRA_SAMPLES, UNSPECIFIED = 338, 0  # the TIFF tag that says what samples after the first three are, and "no alpha"

PICTURES = (*IMG_EXTENSIONS, ".gif", ".jfif")  # of a moving one the first is read
DEEP = "deep"  # grey pictures of more than 8 bits, where no bands are named
SPLITS = ("train", "val", "test")
SPLIT_WORDS = {*SPLITS, "training", "valid", "validation", "testing"}  # also with capitals


class DataError(ValueError):
    """The data on disk cannot be used; the message says what was found and what to do."""


@dataclass(frozen=True)
class Split:
    """Paths and labels of one split; ``synsets`` are folder names, ``class_names`` for people.

    ``bands`` are those of the pictures, none for RGB, ``scale`` is what their values are divided by (``open_bands``).
    """

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    class_names: tuple[str, ...]
    synsets: tuple[str, ...]
    skipped: int = 0
    bands: tuple[str, ...] = ()
    scale: float | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def first_of_each_class(self, count: int) -> "Split":
        """The first ``count`` pictures of each class, in this split's order; all of a class that has fewer."""
        seen, kept = Counter(), []
        for item in zip(self.paths, self.labels, strict=True):
            seen[item[1]] += 1
            if seen[item[1]] <= count:
                kept.append(item)
        paths, labels = zip(*kept, strict=True)
        return replace(self, paths=paths, labels=labels)

    def without_pictures(self) -> list[str]:
        """The classes of which this split has none."""
        present = {*self.labels}
        return [synset for label, synset in enumerate(self.synsets) if label not in present]


def load_split(
    root: str | Path,
    name: str,
    *,
    bands: tuple[str, ...] = (),
    scale: float | None = None,
    skip_unreadable: bool = False,
) -> Split:
    """One of train, val, test, every picture checked: RGB, or of the ``bands`` of a sensor, their values divided by
    ``scale``. Raises ``DataError``."""
    root = Path(root)
    if name not in SPLITS:
        raise DataError(f"unknown split {name!r}; known are {', '.join(SPLITS)}")
    if not root.is_dir():
        raise DataError(f"no folder {root}; --data-root is the folder that holds the pictures")
    split = find_split(root, name, bands=bands)
    if split is None:
        remedy = "add one of them" + ("" if name == "train" else ", or take another split, where --split names it")
        raise DataError(f"{root} has other splits but neither {name}.txt nor {name}/; {remedy}")
    if not len(split):
        raise DataError(
            f"split {name!r} of {root} is empty; it needs at least one picture (of class folders alone, one picture in "
            "ten goes to val and one to test: add pictures, or sort them into train/, val/ and test/); read are "
            f"{', '.join(extensions(bands))}{'' if bands else '; ' + NAME_BANDS}"
        )
    split = check_pictures(replace(split, bands=bands, scale=scale), name, skip_unreadable=skip_unreadable)
    if name != "train" and (empty := split.without_pictures()):
        tqdm.write(
            f"{name} has no picture of {len(empty)} of {len(split.synsets)} classes ({first_few(empty)}); nothing "
            "tells how well they are recognised"
        )
    return split


def first_few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def find_split(root: Path, name: str, *, bands: tuple[str, ...] = ()) -> Split | None:
    """A split as its list or folders have it, no picture opened; None where there are only others."""
    if (root / f"{name}.txt").is_file():
        return from_list(root, name)
    if (root / name).is_dir():
        return from_folder(root / name, extensions(bands))
    if any((root / f"{s}.txt").is_file() or (root / s).is_dir() for s in SPLITS):
        return None
    return from_class_folders(root, name, extensions(bands))


def extensions(bands: tuple[str, ...]) -> tuple[str, ...]:
    """The endings of files that are pictures."""
    return TIFF + NUMPY if bands else PICTURES


def from_list(root: Path, name: str) -> Split:
    """The study's list format."""
    items = []
    for number, line in enumerate(read_text(root / f"{name}.txt").split("\n"), 1):
        if not line.strip():
            continue
        path, _, label = line.strip().rpartition(" ")
        if not path or not label.isdecimal():
            raise DataError(f"{root / f'{name}.txt'} line {number}: expected '<path> <label>', got {line.strip()!r}")
        items.append((root / path, int(label)))
    class_file = root / "classes.txt"
    if class_file.is_file():
        parents = {path.parent.parent for path, _ in items}
        lines = [line.strip() for line in read_text(class_file).splitlines() if line.strip()]
        folders = {line for line in lines if any((parent / line).is_dir() for parent in parents)}
        rows = [(line, "", "") if line in folders else line.partition(" ") for line in lines]
        synsets, names = tuple(row[0] for row in rows), tell_apart([(row[2] or row[0], row[0]) for row in rows])
        if repeated := [synset for synset, count in Counter(synsets).items() if count > 1]:
            raise DataError(
                f"{class_file} has {repeated[0]!r} more than once; a line is '<folder> <name>', in the order of labels"
            )
        index = {synset: label for label, synset in enumerate(synsets)}
        for path, label in items:
            if (theirs := index.get(path.parent.name, label)) != label:
                shown = path.relative_to(root) if path.is_relative_to(root) else path
                raise DataError(
                    f"{name}.txt gives {shown} the label {label}, but {class_file.name} gives {path.parent.name} "
                    f"{theirs}; correct one of them"
                )
    else:
        folders = {label: path.parent.name for path, label in items}
        pairs = {(label, path.parent.name) for path, label in items}
        if not len(pairs) == len(folders) == len({*folders.values()}):
            raise DataError(
                f"the folders in {name}.txt do not tell the classes: some class has several, or several share one; "
                f"name the classes in {class_file}, a line '<folder> <name>' for each label"
            )
        synsets = names = tuple(folders.get(label, str(label)) for label in range(max(folders, default=-1) + 1))
    if items and (largest := max(label for _, label in items)) >= len(synsets):
        raise DataError(f"{name}.txt has label {largest}, but {class_file} names only {len(synsets)} classes")
    return as_split(items, names, synsets)


def read_text(path: Path) -> str:
    """A list; ``DataError`` for one that is not UTF-8, as Windows PowerShell's ``>`` writes them."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text; save it as that") from error


def tell_apart(names: list[tuple[str, str]]) -> tuple[str, ...]:
    """Class names, with the folder's where several have the same: ImageNet's two kinds of ``crane``."""
    counts = Counter(name for name, _ in names)
    return tuple(name if counts[name] == 1 else f"{name} ({folder})" for name, folder in names)


def from_folder(folder: Path, endings: tuple[str, ...]) -> Split:
    """torchvision's ImageFolder: one folder per class, classes in alphabetical order; hidden ones are none."""
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not classes:
        raise DataError(f"{folder} holds no class folders; put each class's pictures in a folder of its own")
    index = {name: label for label, name in enumerate(classes)}
    found = make_dataset(folder, index, extensions=endings, allow_empty=True)
    items = [(Path(path), label) for path, label in found if not is_hidden(Path(path).relative_to(folder))]
    others = Counter(
        path.suffix.lower() or "no ending"
        for path in folder.glob("*/**/*")
        if not (path.suffix.lower() in endings or is_hidden(path.relative_to(folder)) or path.is_dir())
    )
    if others:
        tell_left_out(folder, ", ".join(f"{count:,} of {ending}" for ending, count in others.most_common(5)))
    return as_split(items, tuple(classes), tuple(classes))


@cache
def tell_left_out(folder: Path, what: str) -> None:
    """Say once what is no picture here."""
    tqdm.write(f"{folder}: files with other endings than pictures have are left out ({what})")


def is_hidden(path: Path) -> bool:
    """Whether programs put it there for themselves: .ipynb_checkpoints, ._cat.jpg."""
    return any(part.startswith(".") for part in path.parts)


def from_class_folders(root: Path, name: str, endings: tuple[str, ...]) -> Split:
    """The part of a flat ImageFolder that falls to this split: 80/10/10 by a hash of the file name."""
    whole = from_folder(root, endings)
    if misspelt := [synset for synset in whole.synsets if synset.lower() in SPLIT_WORDS]:
        raise DataError(
            f"{root} holds {', '.join(misspelt)}, which would be classes; name the folders of the splits "
            f"{', '.join(SPLITS)}"
        )

    def split_of(path: Path) -> str:
        name = os.fsencode(path.relative_to(root).as_posix())  # which need not be UTF-8
        digit = int(hashlib.sha256(name).hexdigest(), 16) % 10
        return {8: "val", 9: "test"}.get(digit, "train")

    items = [pair for pair in zip(whole.paths, whole.labels, strict=True) if split_of(pair[0]) == name]
    return as_split(items, whole.class_names, whole.synsets)


def as_split(items: list[tuple[Path, int]], class_names: tuple[str, ...], synsets: tuple[str, ...]) -> Split:
    return Split(tuple(path for path, _ in items), tuple(label for _, label in items), class_names, synsets)


def check_pictures(split: Split, name: str, *, skip_unreadable: bool) -> Split:
    """Open every picture; stop with the count and the first few, or leave them out when told to."""
    with ThreadPool() as pool:
        found = pool.imap(lambda path: inspect(path, split.bands, split.scale), split.paths, chunksize=64)
        found = list(tqdm(found, "checking pictures", len(split), leave=False, delay=2, unit="img"))
    problems, scalings = zip(*found, strict=True)
    for doubt, what in (
        ("dim", f"reach less than {100 * DIM:g} % of full brightness; they may have been divided already"),
        ("cut", f"lose more than {100 * CUT:g} % of their values, which are cut at 1; a larger --scale keeps them"),
    ):
        if count := scalings.count(doubt):
            tqdm.write(f"divided by {split.scale:g}, {count:,} of {len(split):,} files of {name} {what}")
    if own := scalings.count("scaled_percentile"):
        tqdm.write(
            f"{own:,} of {len(split):,} files of {name} are divided each by its own {PERCENTILE:g}th percentile, so "
            "that they do not compare, and a band that is left out still shows in the others; --scale 10000, say, "
            "divides all alike"
        )
    if deep := scalings.count(DEEP):
        tqdm.write(
            f"{deep:,} of {len(split):,} pictures of {name} are grey of more than 8 bits: 16 bits are divided by 257, "
            "so that values up to 4095 are nearly black, others are stretched each over its own range and do not "
            "compare; of a sensor's TIFFs name the band with --bands, and divide all alike with --scale"
        )
    bad = [text for text in problems if text]
    if not bad:
        return split
    shown = "\n  ".join(bad[:5]) + ("\n  …" if len(bad) > 5 else "")
    if not skip_unreadable:
        several = not split.bands and any(text.lower().partition(": ")[0].endswith(TIFF + NUMPY) for text in bad)
        remedy = f"{NAME_BANDS.capitalize()}. Else restore" if several else "Restore"
        raise DataError(
            f"{len(bad)} of {len(split)} pictures cannot be used:\n  {shown}\n"
            f"{remedy} or correct them, or pass --skip-unreadable to go on without them."
        )
    if len(bad) == len(split):
        raise DataError(f"none of the {len(split)} pictures can be read:\n  {shown}")
    kept = [item for *item, text in zip(split.paths, split.labels, problems, strict=True) if not text]
    paths, labels = zip(*kept, strict=True)
    tqdm.write(f"left out {len(bad)} unreadable pictures of {name}, {len(kept)} remain:\n  {shown}")
    return replace(split, paths=paths, labels=labels, skipped=len(bad))


def inspect(path: Path, bands: tuple[str, ...], scale: float | None) -> tuple[str | None, str | None]:
    """The path of a picture that cannot be used and why not, None for one that can; and how it is scaled:
    ``BandPicture.doubt`` or ``scaling``, if it is one of ``bands``, else ``DEEP`` for one of more than 8 bits."""
    try:
        if bands:
            picture = read_bands(path, bands, scale)
            if not agree(picture.names, bands):
                raise DataError(
                    f"it calls its bands {', '.join(picture.names)}, expected are {', '.join(bands)}; name them in the "
                    f"order of the files, or {UNKNOWN} those that are named wrongly there"
                )
            return None, picture.doubt or picture.scaling
        with Image.open(path) as picture:
            deep = picture.mode in DEEP_MODES
            as_rgb(picture)
        return None, DEEP if deep else None
    except (BandFileError, DataError) as error:
        return f"{path}: {error}", None
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        return f"{path}: {first_line(error).replace(repr(str(path)), 'it') or type(error).__name__}", None


def read_bands(path: Path, bands: tuple[str, ...], scale: float | None) -> BandPicture:
    """A sensor's file; ``DataError`` unless it has as many ``bands``."""
    picture = open_bands(path, bands=len(bands), scale=scale)
    if (found := len(picture.values)) != len(bands):
        came = "one band" if found == 1 else f"{found} bands"
        raise DataError(f"it has {came}, expected are {len(bands)} ({', '.join(bands)})")
    return picture


def read_picture(path: Path) -> Image.Image:
    """Any picture as upright 8-bit RGB, as the demo shows it to the networks. ``DataError`` for a sensor's TIFF."""
    with Image.open(path) as picture:
        return as_rgb(picture)


def as_rgb(picture: Image.Image) -> Image.Image:
    """The same of a file that is open."""
    if picture.format == "TIFF" and (picture.n_frames > 1 or UNSPECIFIED in picture.tag_v2.get(EXTRA_SAMPLES, ())):
        raise DataError(f"it holds several pages or bands, which are no RGB picture; {NAME_BANDS}")
    return to_rgb(picture)


class Pictures(Dataset):
    """uint8 (3, S, S), or floats in 0..1 (C, S, S) where there are ``bands``, and label of each picture of a split:
    its middle (``crop_pct``), or with ``crop_scale`` a random crop, half of them mirrored.

    ``epoch`` and ``size`` are set before each pass, also for the processes that load pictures; a picture's
    augmentation depends only on (seed, epoch, index).
    """

    def __init__(
        self, split: Split, *, size: int, crop_pct: float = 1.0, crop_scale: float | None = None, seed: int = 0
    ):
        self.split, self.seed = split, seed
        self.shared = torch.tensor([size, 0])  # with those processes, which outlive a pass
        self.crop_pct, self.crop_scale = crop_pct, crop_scale

    @property
    def size(self) -> int:
        """Pixels of each side."""
        return int(self.shared[0])

    @property
    def epoch(self) -> int:
        """Which pass it is, from 0."""
        return int(self.shared[1])

    def start(self, *, size: int, epoch: int) -> None:
        """Before a pass: its ``size`` and ``epoch``."""
        self.shared.copy_(torch.tensor([size, epoch]))

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, bands = self.split.paths[index], self.split.bands
        picture = torch.from_numpy(read_bands(path, bands, self.split.scale).values) if bands else read_picture(path)
        if self.crop_scale is None:
            return resize(picture, self.size, self.crop_pct), self.split.labels[index]
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would see to every kind of GPU as well, which takes longer than the crop
            torch.default_generator.manual_seed(mix_seed(self.seed, self.epoch, index))
            pixels = v2.functional.to_image(picture)
            aspect = pixels.shape[-1] / pixels.shape[-2]  # things look in crops as in the whole, resized to a square
            options = {"scale": (self.crop_scale, 1.0), "ratio": (3 / 4 * aspect, 4 / 3 * aspect)}
            random_crop = v2.RandomResizedCrop(self.size, **options, antialias=True)
            crop = v2.RandomHorizontalFlip()(random_crop(pixels))
        return within(crop, pixels), self.split.labels[index]


class EpochSampler(Sampler[int]):
    """All indices in an order that depends only on (seed, epoch)."""

    def __init__(self, length: int, seed: int):
        self.length, self.seed, self.epoch = length, seed, 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(mix_seed(self.seed, self.epoch, -1))
        return iter(torch.randperm(self.length, generator=generator).tolist())


def mix_seed(*parts: int) -> int:
    """One 63-bit seed out of several integers."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def workers_for_gpu() -> int:
    """How many processes load pictures for the GPU of this one: its share of the cores, 16 at most. A training has as
    many again for validation, which wait meanwhile."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(16, allowed // processes))


def make_loader(pictures: Pictures, *, batch_size: int, workers: int, seed: int | None = None) -> DataLoader:
    """Batches in order, or shuffled by ``seed`` with the last short batch dropped (if there are others)."""
    shuffle = seed is not None
    if workers:
        pictures.shared.share_memory_()
    return DataLoader(
        pictures,
        batch_size=batch_size,
        sampler=EpochSampler(len(pictures), seed) if shuffle else None,
        num_workers=workers,
        persistent_workers=workers > 0,  # to start them for each pass takes longer than a GPU's pass over few pictures
        drop_last=shuffle and len(pictures) >= batch_size,
        pin_memory=torch.cuda.is_available(),
    )
