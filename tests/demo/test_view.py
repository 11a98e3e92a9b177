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
from demo.html import percent
from demo.inference import Answer, Prediction, evenness, predict, sweep
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
    pictures = explain.channel_pictures(networks["vgg19"], lion)
    html = view.seen(filled, pictures, prediction, language, whole=False, by=("dynamic_vgg19", "vgg19"))
    assert check(html).pictures == 4
    assert html.count('class="dropped"') == 1
    sentences = {
        "en": "As seen by VGG19 + dynamic convolution and VGG19: the missing channels filled.",
        "zh-TW": "VGG19 ＋ 動態卷積、VGG19 收到的圖片：缺少的通道已填補。",
    }
    assert sentences[language] in html
    assert "As seen by VGG19:" in view.seen(filled, pictures, prediction, "en", whole=False, by=("vgg19",))


def test_with_blue_missing_both_fills_are_said_to_be_the_same(networks, lion):
    network = {"compact": networks["compact"]}
    first, second = (view.given(predict(network, lion, "RG", fill=f), "en") for f in ("aligned", "appended"))
    assert first == second and "either way" in first


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
    assert evenness(np.full((16, 4), 0.25)) == pytest.approx(1)
    assert evenness(np.eye(4)) == pytest.approx(0)
    assert evenness(np.ones((3, 1))) == 1


def test_the_distance_from_an_even_mix_is_relative_to_it():
    assert heatmap.distance_from_even(np.full((16, 4), 0.25)) == 0
    assert heatmap.distance_from_even(np.array([[0.2, 0.3], [0.5, 0.5]])) == pytest.approx((0.6 + 0.4) / 4)


def test_how_even_the_mix_is_stands_above_it(prediction):
    attention = np.array(prediction.answers["dynamic_vgg19"].attention)
    html = heatmap.kernel_attention(prediction, "en")
    assert f"On average these weights lie {percent(heatmap.distance_from_even(attention))} off 0.25" in html
    assert "validation pictures" not in html


def test_what_the_mix_is_worth_is_said_where_it_was_measured(prediction):
    metrics = {"val_accuracy": 0.7154, "val_accuracy_even": 0.7, "val_images": 2000}
    html = heatmap.kernel_attention(prediction, "en", metrics)
    assert "On 2,000 validation pictures, with all channels, this network is right in 71.5 % with its weights" in html
    assert "and in 70.0 % with an even mix" in html


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
    assert "kernel W2: −0.2500" in html


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


def test_a_badge_says_whether_the_answer_changed():
    ant, bee = Answer(("ant", "bee"), (0.9, 0.1)), Answer(("ant", "bee"), (0.1, 0.9))
    for now, before, badge in ((ant, bee, "changed"), (bee, ant, "changed"), (ant, ant, "same")):
        html = view.agreement(Prediction("R", "aligned", {"vgg19": now}, {"vgg19": before}), "vgg19", "en")
        assert f'class="badge {badge}"' in html and ("Same answer" in html) == (badge == "same")
        assert (before.best in html) == (badge == "changed")


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
