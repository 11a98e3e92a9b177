"""The project's pictures from a copy of mini-ImageNet."""

import itertools

import pytest
from PIL import Image

from models.checkpoint import BUNDLED, CONFIG, read_config
from train import ROOT
from train import mini_imagenet as module
from train.data import DataError, load_split
from train.mini_imagenet import main, prepare, read_names

SMALL = {"n01": "bird", "n02": "fish"}


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Six pictures in folders of any kind, one of them large, and the lists that name them."""
    files = {split: [f"n0{label}{number}.jpg" for label in (1, 2)] for number, split in enumerate(module.SPLITS)}
    for index, name in enumerate(itertools.chain(*files.values())):
        path = tmp_path / "source" / f"part{index % 2}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (300, 200) if index == 0 else (84, 84), (40 * index, 0, 0)).save(path)
    monkeypatch.setattr(module, "read_names", lambda: (SMALL, files))
    monkeypatch.setattr(module, "SYNSET", len("n01"))
    return tmp_path / "source"


def test_the_lists_name_each_picture_once_and_the_classes_of_the_bundled_weights():
    classes, files = read_names()
    assert {split: len(names) for split, names in files.items()} == {"train": 23998, "val": 2000, "test": 2000}
    assert len({name for names in files.values() for name in names}) == 27998
    config = read_config(BUNDLED / "vgg19" / CONFIG)
    assert (tuple(classes), tuple(classes.values())) == (config.synsets, config.class_names)


@pytest.mark.skipif(not (ROOT / "data" / "mini-imagenet-50").is_dir(), reason="the pictures are not here")
def test_the_lists_are_those_of_the_pictures():
    _, files = read_names()
    for split, names in files.items():
        lines = (ROOT / "data" / "mini-imagenet-50" / f"{split}.txt").read_text().split()[::2]
        assert [line.rpartition("/")[2] for line in lines] == names


def test_pictures_are_found_wherever_they_lie_and_have_84_pixels(source, tmp_path, capsys):
    main(["--source", str(source), "--data-root", str(tmp_path / "data")])
    assert "wrote 2 train, 2 val, 2 test pictures to" in capsys.readouterr().out
    for split in module.SPLITS:
        made = load_split(tmp_path / "data", split)
        assert made.class_names == ("bird", "fish") and made.labels == (0, 1)
        assert {Image.open(path).size for path in made.paths} == {(84, 84)}
    copied = source / "part1" / "n020.jpg"
    assert (tmp_path / "data" / "images" / "n02" / "n020.jpg").read_bytes() == copied.read_bytes()


def test_copies_of_an_earlier_run_within_the_source_are_no_source(source):
    for _ in range(2):
        prepare(source, source / "made")
    assert len([*(source / "made").rglob("*.jpg")]) == 6


def test_a_copy_that_lacks_pictures_writes_nothing(source, tmp_path):
    (source / "part1" / "n020.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 6 pictures are not in .*source \(n020\.jpg, …\)"):
        prepare(source, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_damaged_picture_is_named(source, tmp_path):
    (source / "part1" / "n020.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"n020\.jpg cannot be read as a picture; fetch mini-ImageNet again"):
        prepare(source, tmp_path / "data")


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(
        SystemExit, match=r"error: no folder .*nowhere; --source is the folder that holds mini-ImageNet"
    ):
        main(["--source", str(tmp_path / "nowhere"), "--data-root", str(tmp_path / "data")])
