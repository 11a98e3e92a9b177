import base64
import csv
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from demo import explain, heatmap, sweep_view, view
from demo.handlers import TASK_1
from demo.inference import Answer, predict, sweep
from demo.text import LANGUAGES, say
from models import SUBSETS

VOID = {"img", "input", "br"}


class Checker(HTMLParser):
    """Complains about unbalanced tags and pictures without alternative text; gathers the text."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.pictures = [], "", 0

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.pictures += 1
            assert dict(attributes).get("alt"), "a picture without alternative text"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def check(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    assert not checker.open
    assert "{" not in checker.text, "a brace was left unfilled"
    return checker


@pytest.fixture(scope="module")
def prediction(networks, lion):
    return predict(networks, lion, "RB")


@pytest.mark.parametrize("language", LANGUAGES)
def test_answers_show_five_classes_of_each_network(prediction, language):
    html = view.answers(prediction, TASK_1, language)
    text = check(html).text
    assert html.count("<li>") == 15
    for name in TASK_1:
        assert prediction.answers[name].best in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_input_strip_marks_the_dropped_channel(prediction, networks, lion, language):
    filled = explain.seen(networks["vgg19"], lion, "RB")
    html = view.seen(filled, explain.channel_pictures(networks["vgg19"], lion), prediction, language, whole=False)
    assert check(html).pictures == 4
    assert html.count('class="dropped"') == 1
    assert {"en": "the missing channels filled", "zh-TW": "缺少的通道已填補"}[language] in html


@pytest.mark.parametrize("channels", SUBSETS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sentence_says_what_the_networks_get(networks, lion, channels, language):
    for fill in ("aligned", "appended"):
        chosen = predict({"compact": networks["compact"]}, lion, channels, fill=fill)
        assert len(check(view.given(chosen, language)).text) > 5


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_heat_map_has_its_numbers_in_its_cells(prediction, language):
    html = heatmap.kernel_attention(prediction, language)
    check(html)
    shown = [float(number) for number in re.findall(r"<td[^>]*>([\d.]+)</td>", html.split("<table")[1])]
    expected = [value for row in prediction.answers["dynamic_vgg19"].attention for value in row]
    assert shown == pytest.approx(expected, abs=0.0051)


def test_evenness_is_1_for_even_weights_and_0_for_a_single_kernel():
    assert heatmap.evenness(np.full((16, 4), 0.25)) == pytest.approx(1)
    assert heatmap.evenness(np.eye(4)) == pytest.approx(0)
    assert heatmap.evenness(np.ones((3, 1))) == 1


def test_how_even_the_mix_is_stands_above_it(prediction):
    attention = np.array(prediction.answers["dynamic_vgg19"].attention)
    html = heatmap.kernel_attention(prediction, "en")
    assert f"How even the mix is: {heatmap.evenness(attention):.3f} " in html


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("channels", SUBSETS)
def test_the_channels_that_are_there_have_a_row_each(networks, lion, channels, language):
    chosen = {"adaptive_vgg19": networks["adaptive_vgg19"]}
    prediction = predict(chosen, lion, channels)
    html = heatmap.channel_attention(prediction, language)
    check(html)
    now, change = html.split("<table")[1:]
    assert now.count('scope="row"') == change.count('scope="row"') == len(channels)
    shown = [float(number) for number in re.findall(r"<td[^>]*>([\d.]+)</td>", now)]
    expected = [value for row in prediction.answers["adaptive_vgg19"].attention for value in row]
    assert shown == pytest.approx(expected, abs=0.0051)


def test_a_channel_that_carries_nothing_is_explained(networks):
    chosen = {"adaptive_vgg19": networks["adaptive_vgg19"]}
    red = Image.merge("RGB", [Image.linear_gradient("L"), *[Image.new("L", (256, 256))] * 2])
    assert "counts as absent" in heatmap.channel_attention(predict(chosen, red), "en")


def test_differences_have_a_minus_and_no_hyphen():
    html = heatmap.heat_table(np.array([[0.25, -0.25]]), ["R"], "channel", "Difference", "en", change=True)
    assert re.findall(r">([^<]+)</td>", html) == ["+0.25", "−0.25"]
    assert "kernel 2: −0.2500" in html


def test_layers_are_called_as_vggs_users_call_them():
    names = heatmap.layer_names()
    assert (len(names), names[0], names[-1]) == (16, "conv1_1", "conv5_4")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sweep_has_a_table_a_figure_and_a_csv(networks, lion, language):
    result = sweep({name: networks[name] for name in TASK_1}, lion, temperature=8.0)
    pictures = {subset: explain.seen(networks["vgg19"], lion, subset) for subset in SUBSETS}
    html = sweep_view.page(result, pictures, TASK_1, language)
    assert check(html).pictures == 7
    assert f'role="group" aria-label="{say(language, "sweep_table")}"' in html
    rows = list(csv.DictReader(io.StringIO(downloaded(html))))
    assert len(rows) == 21
    assert {row["channels"] for row in rows} == set(SUBSETS)
    assert {(row["fill"], row["temperature"]) for row in rows} == {("aligned", "8.0")}
    assert all(row["rank_of_rgb_answer"] == "1" for row in rows if row["channels"] == "RGB")


def downloaded(html: str) -> str:
    return base64.b64decode(re.search(r"data:text/csv;base64,([^\"]+)", html)[1]).decode()


def test_a_badge_says_whether_the_answer_changed(prediction):
    html = view.agreement(prediction, "vgg19", "en")
    agrees = prediction.answers["vgg19"].best == prediction.reference["vgg19"].best
    assert ("Same answer" in html) == agrees


def test_class_names_are_escaped():
    answer = Answer(("<script>", "b"), (0.9, 0.1))
    assert "<script>" not in view.bars(answer)


@pytest.mark.parametrize(
    ("value", "words"), [(0.003, "near 0"), (-0.8, "with this weight"), (None, "no attention block")]
)
def test_gamma_gets_a_plain_sentence(value, words):
    assert words in view.gamma(value, "en")


def test_gammas_sentences_end_as_their_language_does():
    assert "γ = −0.800.</strong> γ is" in view.gamma(-0.8, "en")
    assert "γ = −0.800。</strong>γ 明顯" in view.gamma(-0.8, "zh-TW")


@pytest.mark.parametrize(("ms", "text"), [(3.14, "3.1"), (3, "3.0"), (9.96, "10"), (214.6, "210"), (0.314, "0.31")])
def test_one_measurement_has_two_digits(ms, text):
    assert view.two_digits(ms) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (447_491, "447 k"),
        (999_499, "999 k"),
        (999_600, "1 M"),
        (21_289_842, "21.3 M"),
        (26_653_235_456, "26.7 G"),
        (7, "7"),
    ],
)
def test_large_numbers_are_short(number, text):
    assert view.short(number) == text
