from urllib.parse import parse_qsl

import pytest
from PIL import Image

from demo.gallery import EXAMPLES, FOLDER, gallery, view_of, view_query


def test_a_link_leads_back_to_its_view():
    query = view_query("orange", ["R", "B"], "appended", 5.5)
    assert view_of(dict(parse_qsl(query[1:])), 1.0) == ("orange", ["R", "B"], "appended", 5.5)


def test_a_link_without_an_example_opens_with_the_lion():
    assert "example=lion" in view_query("", ["G"], "aligned", 1.0)


@pytest.mark.parametrize(
    "query",
    [{}, {"example": "../../etc/passwd"}, {"channels": "XYZ"}, {"channels": ""}, {"fill": "?"}, {"temperature": "nan"}],
)
def test_nonsense_in_a_link_is_ignored(query):
    assert view_of(query, 2.0) == ("lion", ["R", "G", "B"], "aligned", 2.0)


def test_a_temperature_in_a_link_stays_on_the_slider():
    assert view_of({"temperature": "1e9"}, 1.0)[3] == 34.0


def test_every_example_is_a_small_picture_with_a_source():
    sources = (FOLDER / "SOURCES.md").read_text()
    for path in EXAMPLES.values():
        with Image.open(path) as picture:
            assert picture.size == (256, 256)
        assert path.name in sources


@pytest.mark.parametrize("language", ["en", "zh-TW"])
def test_the_gallery_is_made_of_buttons_with_alternative_texts(language):
    html = gallery(language)
    assert html.count("<button") == html.count("<img") == html.count(" alt=") == len(EXAMPLES)
    assert 'alt=""' not in html
