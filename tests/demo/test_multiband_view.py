import re
from dataclasses import replace

import numpy as np
import pytest
from test_view import check

from demo import explain, multiband_view
from demo.inference import Answer, BandsPrediction, ask_bands
from demo.multiband import BandPicture, Bands, read_names
from demo.text import LANGUAGES, say
from models import ModelConfig


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(0).random((4, 30, 40), dtype=np.float32)


MIXED = ModelConfig("adaptive_vgg19", {}, training={"channels": "sample"})


def page(networks, values: np.ndarray, bands: Bands, language: str, config: ModelConfig = MIXED) -> str:
    network = networks["adaptive_vgg19"]
    prediction = ask_bands(network, values, bands.wavelengths_um, leave_out=True)
    factor = explain.brightening(values)
    visible = explain.brightened(values, factor)
    pictures = explain.band_pictures(network, visible)
    return multiband_view.page(prediction, visible, factor, bands, pictures, language, config)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_has_answers_a_preview_every_band_and_its_attention(networks, values, language):
    html = page(networks, values, read_names("R, 0.55, ?, ?"), language)
    checked = check(html)
    assert html.count("<li>") == 5
    assert checked.pictures == 1 + 4
    assert html.count('scope="row"') == 4 + 4  # lost bands, attention
    assert all(name in checked.text for name in ("0.55 µm", "? (3)", "? (4)"))


def test_the_page_says_which_lost_bands_change_the_answer():
    names = ("lion", "tower")
    without = (Answer(names, (0.75, 0.25)), Answer(names, (0.4, 0.6)), Answer(names, (0.375, 0.625)))
    bands = read_names("R, G, ?")
    html = multiband_view.lost(BandsPrediction(Answer(names, (0.9, 0.1)), without), bands, "en")
    assert "Bands whose loss changes the answer: G and ? (3)." in check(html).text
    assert html.count('badge changed">≠ tower') == 2 and "Probability of lion" in html
    shares = re.findall(r"--share:([0-9.]+)", html)
    assert shares == ["0.7500", "0.4000", "0.3750"]
    same = multiband_view.lost(BandsPrediction(Answer(names, (0.9, 0.1)), without[:1] * 3), bands, "zh-TW")
    assert "答案仍是 lion。" in same and "changed" not in same


def test_of_a_single_band_nothing_can_be_lost(networks, values):
    html = page(networks, values[:1], read_names("NIR"), "en")
    assert say("en", "lost") not in html


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_says_what_the_network_was_trained_on(networks, values, language):
    names, mixed = read_names("B, G, R, NIR"), say(language, "bands_training")
    assert mixed in page(networks, values, names, language)
    unknown = page(networks, values, names, language, replace(MIXED, training={}))
    assert say(language, "bands_untrained") not in unknown and mixed not in unknown
    for training in ({"channels": "RGB"}, {"channels": "sample", "pseudo_share": 0.0}):
        html = page(networks, values, names, language, replace(MIXED, training=training))
        assert say(language, "bands_untrained") in html and mixed not in html
    html = page(networks, values, names, language, MIXED.for_bands(("B", "NIR")))
    assert "B, NIR" in html and mixed not in html


@pytest.mark.parametrize("language", LANGUAGES)
def test_that_dark_bands_are_shown_brighter_is_said(networks, values, language):
    names = read_names("R, G, B, NIR")
    told = say(language, "bands_brightened", factor="10")
    assert told in page(networks, values / 10, names, language) and told not in page(networks, values, names, language)


def test_bands_it_was_trained_on_need_no_care(networks, values):
    assert say("en", "bands_training") not in page(networks, values[:3], read_names("B, G, 0.665"), "en")
    assert say("en", "bands_training") in page(networks, values[:3], read_names("B, G, ?"), "en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_band_of_one_value_is_explained(networks, values, language):
    flat = values.copy()
    flat[2] = 0.5
    sentence = {"en": "counts as absent", "zh-TW": "視為不存在"}[language]
    names = read_names("R, G, B, NIR")
    assert sentence in page(networks, flat, names, language)
    assert sentence not in page(networks, values, names, language)


@pytest.mark.parametrize(
    ("opened", "words"),
    [
        ({"scaling": "scaled_8bit", "divisor": 255, "dtype": "uint8"}, "8-bit values were divided by 255"),
        ({"scaling": "scaled_not", "divisor": 1, "dtype": "float32"}, "no scaling was needed"),
        (
            {"scaling": "scaled_percentile", "divisor": 300.0, "dtype": "uint16", "calibrated": True},
            "its bands were applied first. Its values (float32) were divided by 300",
        ),
        ({"scaling": "scaled_percentile", "divisor": 10234.5, "dtype": "uint16"}, "(uint16) were divided by 10,234.5"),
        (
            {"scaling": "scaled_8bit", "divisor": 255, "dtype": "uint8", "channels_first": True},
            "bands × height",
        ),
        ({"scaling": "scaled_8bit", "divisor": 255, "dtype": "uint8", "missing": 1234}, "1,234 are missing (25.7 %;"),
        (
            {"scaling": "scaled_8bit", "divisor": 255, "dtype": "uint8", "names": ("R", "?", "NIR", "?")},
            "It calls its bands R, ?, NIR and ?.",
        ),
    ],
)
def test_the_notice_says_how_the_file_was_read(values, opened, words):
    picture, typed = BandPicture(values=values, **opened), read_names("R, ?, NIR, 0.74")
    assert words in multiband_view.notice(picture, typed, "en")
    assert "4 bands of 40 × 30 pixels." in multiband_view.notice(picture, typed, "en")
    assert "4 個波段，40 × 30 像素。" in multiband_view.notice(picture, typed, "zh-TW")
    assert "1 band of 40 × 30 pixels." in multiband_view.notice(replace(picture, values=values[:1]), typed, "en")


@pytest.mark.parametrize(("typed", "differ"), [("B, G, R, NIR", False), ("NIR, R, G, B", True), ("?, ?, ?, B", True)])
def test_the_notice_says_if_the_file_calls_its_bands_otherwise(values, typed, differ):
    picture = BandPicture(values, "scaled_not", 1.0, "float32", names=("B", "G", "R", "NIR"))
    for language in LANGUAGES:
        assert (say(language, "names_differ") in multiband_view.notice(picture, read_names(typed), language)) == differ
