import math
from dataclasses import replace
from string import Formatter

import numpy as np
import pytest

from demo.gallery import BANDS_EXAMPLE
from demo.multiband import check_count, names_of, open_bands, read_names
from demo.text import TEXT, FriendlyError
from models import ModelConfig
from models.band_files import PROBLEMS, BandPicture

ANY = ModelConfig("adaptive_vgg19", {})


def refused(path) -> FriendlyError:
    """The failure of a file, after making sure that it says nothing of where the file is."""
    with pytest.raises(FriendlyError) as caught:
        open_bands(path, ANY)
    for sentence in (str(caught.value), caught.value.in_language("zh-TW")):
        assert "{" not in sentence
        assert "/" not in sentence
    return caught.value


def test_what_is_wrong_with_a_file_is_said_in_the_language_of_the_visitor(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"something")
    error = refused(tmp_path / "photo.jpg")
    assert (error.key, error.values) == ("bands_suffix", {"came": ".jpg"})


@pytest.mark.parametrize("key", PROBLEMS)
def test_every_problem_of_a_file_is_translated_with_the_same_values(key):
    english, chinese = ({name for _, name, *_ in Formatter().parse(text) if name} for text in TEXT[f"bands_{key}"])
    assert english == chinese


def test_the_example_is_read():
    assert open_bands(BANDS_EXAMPLE, ANY).values.shape == (5, 128, 128)


def test_a_sensors_file_is_read_as_in_training(tmp_path):
    config = replace(ANY, bands=tuple(f"{um / 10:g}" for um in range(4, 24)), scale=2.0)
    np.save(tmp_path / "field.npy", np.random.default_rng(0).random((20, 18, 18)))
    opened = open_bands(tmp_path / "field.npy", config)
    assert opened.values.shape == (20, 18, 18) and opened.divisor == 2
    few = replace(config, bands=config.bands[:10])
    np.save(tmp_path / "small.npy", np.random.default_rng(0).random((10, 16, 16)))
    assert open_bands(tmp_path / "small.npy", few).channels_first


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ((), ("B", "0.74", "NIR")),
        (("B", "REDEDGE", "NIR"), ("B", "0.74", "NIR")),
        (("?", "?", "NIR"), ("B", "0.74", "NIR")),
        (("NIR", "B", "?"), ("NIR", "B", "?")),
        (("B", "0.74"), ("B", "0.74")),
    ],
)
def test_a_file_whose_names_may_be_those_of_the_training_goes_by_them(said, names):
    config = replace(ANY, bands=("B", "0.74", "NIR"))
    picture = BandPicture(np.zeros((len(said) or 3, 8, 8)), "scaled_not", 1.0, "float32", names=said)
    assert names_of(picture, config) == names
    assert names_of(picture, replace(config, bands=())) == (said or ("R", "G", "B"))


@pytest.mark.parametrize("bands", [(), ("B", "0.74", "NIR")])
def test_a_file_of_other_bands_than_the_training_must_be_named(bands):
    picture = BandPicture(np.zeros((2, 8, 8)), "scaled_not", 1.0, "float32")
    with pytest.raises(FriendlyError, match="has 2 bands and does not say which: please name them, for example R, G"):
        names_of(picture, replace(ANY, bands=bands))


def test_no_file_asks_for_one():
    assert refused(None).key == "bands_no_file"


def test_a_file_that_the_server_has_deleted_is_to_be_chosen_again(tmp_path):
    assert refused(tmp_path / "field.npy").key == "file_gone"


def test_more_than_20_megabytes_are_refused_unread(tmp_path):
    path = tmp_path / "large.npy"
    with path.open("wb") as file:
        file.truncate(20_500_000)
    error = refused(path)
    assert (error.key, error.values["came"]) == ("bands_too_large", "20.5")


@pytest.mark.parametrize(
    ("typed", "names", "wavelengths_um"),
    [
        ("R, G, B, NIR", ("R", "G", "B", "NIR"), (0.665, 0.560, 0.490, 0.842)),
        ("0.665, 0.842", ("0.665 µm", "0.842 µm"), (0.665, 0.842)),
        ("r，nir、0.7 µm；0.4um", ("R", "NIR", "0.7 µm", "0.4 µm"), (0.665, 0.842, 0.7, 0.4)),
        ("RGB", ("R", "G", "B"), (0.665, 0.560, 0.490)),
        ("R G NIR", ("R", "G", "NIR"), (0.665, 0.560, 0.842)),
        ("NIR", ("NIR",), (0.842,)),
        ("R+NIR", ("R", "NIR"), (0.665, 0.842)),
        (" B, ", ("B",), (0.490,)),
        ("R G B,", ("R", "G", "B"), (0.665, 0.560, 0.490)),
        ("Ｒ，？＋０.５", ("R", "?", "0.5 µm"), (0.665, math.nan, 0.5)),
        ("紅綠藍", ("R", "G", "B"), (0.665, 0.560, 0.490)),
        ("Red green", ("R", "G"), (0.665, 0.560)),
        ("0,665; 0,842", ("0.665 µm", "0.842 µm"), (0.665, 0.842)),
        ("1.61", ("1.61 µm",), (1.61,)),
        ("", (), ()),
        (None, (), ()),
    ],
)
def test_names_and_wavelengths_are_read(typed, names, wavelengths_um):
    read = read_names(typed)
    assert read.names == names
    assert read.wavelengths_um == pytest.approx(wavelengths_um, nan_ok=True)


def test_a_question_mark_is_an_unknown_band():
    read = read_names("R, ?, 0.8, ?")
    assert read.names == ("R", "?", "0.8 µm", "?")
    assert [math.isnan(value) for value in read.wavelengths_um] == [False, True, False, True]


@pytest.mark.parametrize(
    ("typed", "key", "came"),
    [
        ("R, X", "bands_unknown", "X"),
        ("nan", "bands_unknown", "NAN"),
        ("R, nan", "bands_unknown", "NAN"),
        ("B8", "bands_unknown", "B8"),
        ("RGBNIR", "bands_unknown", "RGBNIR"),
        ("R, R, X", "bands_unknown", "X"),
        ("R, G, r", "bands_repeated", "R"),
        ("665, 560", "bands_nanometres", "665"),
        ("842 nm", "bands_nanometres", "842 nm"),
        ("R 842  nm", "bands_nanometres", "842 nm"),
        ("-0.5", "bands_wavelength", "-0.5"),
        ("0", "bands_wavelength", "0"),
    ],
)
def test_what_cannot_be_a_band_is_said_in_both_languages(typed, key, came):
    with pytest.raises(FriendlyError) as caught:
        read_names(typed)
    assert (caught.value.key, caught.value.values["came"]) == (key, came)
    assert came in caught.value.in_language("zh-TW")


def test_nanometres_are_told_with_their_remedy():
    with pytest.raises(FriendlyError, match=r"665 looks like nanometres; wavelengths are in µm: please type 0\.665\."):
        read_names("665")


@pytest.mark.parametrize(
    ("typed", "meant"), [("0,665", "0.665"), ("0,665, 0,842", "0.665, 0.842"), ("R, 0,842, NIR", "R, 0.842, NIR")]
)
def test_decimal_commas_are_told_with_the_line_that_was_meant(typed, meant):
    with pytest.raises(FriendlyError) as caught:
        read_names(typed)
    assert (caught.value.key, caught.value.values) == ("bands_points", {"remedy": meant})
    read_names(meant)


def test_a_line_without_end_is_refused_at_once():
    with pytest.raises(FriendlyError, match="There is no band called"):
        read_names("R, a" + " " * 1_000_000 + "b")


@pytest.mark.parametrize("typed", ["665, R, 842 nm, 0.49", "665nm R 842 nm 0.49"])
def test_the_remedy_for_nanometres_is_the_whole_line(typed):
    with pytest.raises(FriendlyError, match=r"please type 0\.665, R, 0\.842, 0\.49\.$"):
        read_names(typed)


@pytest.mark.parametrize("typed", ["", "R, G", "R, G, B, NIR, ?, ?"])
def test_each_band_needs_one_name(typed):
    with pytest.raises(FriendlyError, match=r"has 5 bands, but \d are named.*such as B, G, R, NIR, \? \("):
        check_count(open_bands(BANDS_EXAMPLE, ANY), read_names(typed))


@pytest.mark.parametrize("text", ["red, Green, BLUE", "紅、綠、藍", "R G B"])
def test_colours_may_be_written_out(text):
    assert read_names(text).names == ("R", "G", "B")


def test_one_colour_may_be_written_out():
    assert read_names("blue").names == ("B",)
