import runpy
from urllib.parse import parse_qsl

import numpy as np
import pytest
from PIL import Image

from demo.gallery import BANDS_EXAMPLE, BANDS_TYPED, EXAMPLES, FOLDER, gallery, view_of, view_query


def test_a_link_leads_back_to_its_view():
    query = view_query("orange", ["R", "B"], "appended", 5.5)
    assert view_of(dict(parse_qsl(query[1:])), 1.0) == ("orange", ["R", "B"], "appended", 5.5)


def test_a_link_without_an_example_opens_with_the_lion():
    assert "example=lion" in view_query("", ["G"], "aligned", 1.0)


def test_a_link_without_a_channel_says_nothing_of_channels():
    assert "channels" not in view_query("lion", [], "aligned", 1.0)


@pytest.mark.parametrize(
    "query",
    [{}, {"example": "../../etc/passwd"}, {"channels": "XYZ"}, {"channels": ""}, {"fill": "?"}, {"temperature": "nan"}],
)
def test_nonsense_in_a_link_is_ignored(query):
    assert view_of(query, 2.0) == ("lion", ["R", "G", "B"], "aligned", 2.0)


def test_a_temperature_in_a_link_stays_on_the_slider():
    assert view_of({"temperature": "1e9"}, 1.0)[3] == 34.0
    assert view_of({"temperature": "1e-9"}, 1.0)[3] == 0.1


def test_every_example_is_a_small_picture_with_a_source():
    sources = (FOLDER / "SOURCES.md").read_text()
    for path in EXAMPLES.values():
        with Image.open(path) as picture:
            assert picture.size == (256, 256)
        assert path.name in sources


def test_the_example_of_several_bands_is_small_has_a_source_and_is_what_its_script_makes(monkeypatch, tmp_path):
    made = runpy.run_path(FOLDER / "mix.py")
    monkeypatch.setitem(made["main"].__globals__, "FOLDER", tmp_path)
    (tmp_path / "lion.jpg").write_bytes(EXAMPLES["lion"].read_bytes())
    made["main"]()
    array = np.load(BANDS_EXAMPLE, allow_pickle=False)
    assert (array == np.load(tmp_path / BANDS_EXAMPLE.name)).all()
    assert array.shape[2] == len(BANDS_TYPED.split(","))
    assert BANDS_EXAMPLE.stat().st_size < 200_000
    assert BANDS_EXAMPLE.name in (FOLDER / "SOURCES.md").read_text()


@pytest.mark.parametrize("language", ["en", "zh-TW"])
def test_the_gallery_is_made_of_buttons_with_alternative_texts(language):
    html = gallery(language)
    assert html.count("<button") == html.count("<img") == html.count(" alt=") == len(EXAMPLES)
    assert 'alt=""' not in html
