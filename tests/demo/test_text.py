import re
import string

import pytest

from demo.text import LANGUAGES, TEXT, FriendlyError, language_of, say, translations
from models import BANDS_UM


def braces(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("key", TEXT)
def test_both_languages_say_the_same_with_the_same_values(key):
    english, chinese = TEXT[key]
    assert english
    assert chinese
    assert braces(english) == braces(chinese)


@pytest.mark.parametrize("key", TEXT)
def test_no_simplified_characters_slip_in(key):
    assert not re.search("[这个网络图见没还请张层会发]", TEXT[key][1])


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-TW,zh;q=0.9,en;q=0.8", "zh-TW"),
        ("zh-cn;q=0.9", "zh-TW"),
        ("zh", "en"),  # as Gradio's own words on the page
        ("zh-HK,zh-TW;q=0.9", "en"),
        ("en-GB,zh-TW;q=0.9", "en"),
        ("fr", "en"),
        ("", "en"),
        (None, "en"),
    ],
)
def test_the_language_follows_the_browser(header, language):
    assert language_of(header) == language


def test_the_page_translates_for_the_chinese_that_gradio_knows():
    assert set(translations()) == {"en", "zh-TW", "zh-CN"}
    assert translations()["zh-TW"]["picture"] == "你的圖片"


def test_values_fill_the_braces():
    assert say("en", "given_one", a="Red") == "Only Red is left: it is copied to all three channels."


def test_a_friendly_error_carries_its_sentence():
    assert "upload one" in str(FriendlyError("no_picture"))
    assert len(LANGUAGES) == 2


def test_a_friendly_error_fills_its_values_in_both_languages():
    error = FriendlyError("bands_count", found=5, typed=2, example="R, G, B, ?, ?")
    assert "has 5 bands, but 2 are named" in str(error)
    assert "檔案有 5 個波段，但輸入了 2 個" in error.in_language("zh-TW")


@pytest.mark.parametrize(
    ("found", "typed", "words"),
    [(1, 0, "has 1 band, but 0 are named"), (2, 1, "has 2 bands, but 1 is named")],
)
def test_one_is_singular(found, typed, words):
    assert words in say("en", "bands_count", found=found, typed=typed, example="R")


def test_the_names_of_bands_are_all_told():
    assert all(name in sentence for name in BANDS_UM for sentence in TEXT["bands_names_info"])
