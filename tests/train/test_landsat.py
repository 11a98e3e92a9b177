"""UCI's text files become class folders of four bands."""

import sys

import numpy as np
import pytest

from train.data import DataError, load_split
from train.landsat import BANDS, CLASSES, convert, main


def lines(count: int) -> list[str]:
    """``count`` places whose values are their place in the line, the classes taking turns."""
    codes = [*CLASSES]
    return [" ".join(map(str, [*range(36), codes[number % len(codes)]])) for number in range(count)]


@pytest.fixture
def source(tmp_path):
    """A folder as it is downloaded: 48 places to train on, 6 to test."""
    for name, count in {"sat.trn": 48, "sat.tst": 6}.items():
        (tmp_path / name).write_text("\n".join(lines(count)) + "\n")
    return tmp_path


def test_each_place_is_a_picture_of_four_bands_in_its_class(source):
    assert convert(source, source / "landsat") == {"train": 36, "val": 12, "test": 6}
    for name, count in {"train": 36, "val": 12, "test": 6}.items():
        split = load_split(source / "landsat", name, bands=tuple(BANDS.split(",")))
        assert len(split) == count and {*split.class_names} <= {*CLASSES.values()}
    values = np.load(source / "landsat" / "test" / "red soil" / "0001.npy")
    assert values.shape == (9, 9, 4) and values.dtype == np.uint8
    assert values[0, 0].tolist() == [0, 1, 2, 3]  # the bands of the pixel at the upper left
    assert values[2, 3].tolist() == [4, 5, 6, 7] and values[3, 2].tolist() == [12, 13, 14, 15]  # beside and below it


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, r"no file .*sat\.tst; download"),
        ("1 2 three", "is not as UCI's"),
        ("1 2 3", "place 1: expected 36 values in 0..255 and a class .*got 3 numbers in 1..3"),
        (" ".join(["0"] * 36 + ["6"]), "take sat.trn and sat.tst as they are"),
        (" ".join(["300"] * 36 + ["1"]), "got 37 numbers in 1..300"),
        ("\n \n", "holds no places"),
    ],
)
def test_other_files_are_refused_before_anything_is_written(source, text, words):
    file = source / "sat.tst"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(DataError, match=words):
        convert(source, source / "landsat")
    assert not (source / "landsat").exists()


def test_the_command_says_what_it_wrote_and_which_bands_they_are(source, monkeypatch, capsys):
    command = ["landsat", "--source", str(source), "--data-root", str(source / "landsat")]
    monkeypatch.setattr(sys, "argv", command)
    main()
    assert capsys.readouterr().out == f"train 36, val 12, test 6 pictures, --bands {BANDS}\n"
    (source / "sat.trn").unlink()
    with pytest.raises(SystemExit, match=r"error: .*sat\.trn"):
        main()


def test_a_band_can_be_left_out(source, monkeypatch, capsys):
    command = ["landsat", "--source", str(source), "--data-root", str(source / "less"), "--without"]
    monkeypatch.setattr(sys, "argv", [*command, "0.75"])
    main()
    assert capsys.readouterr().out.endswith("--bands 0.55,0.65,0.95\n")
    assert np.load(source / "less" / "test" / "red soil" / "0001.npy")[0, 0].tolist() == [0, 1, 3]
    for without, words in {"NIR": "there is no channel NIR among 0.55, 0.65", BANDS: "none of 0.55.* is left"}.items():
        monkeypatch.setattr(sys, "argv", [*command, without])
        with pytest.raises(SystemExit, match=words):
            main()
