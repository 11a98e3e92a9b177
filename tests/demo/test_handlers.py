import re
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from demo import handlers, inference, pictures
from demo.gallery import BANDS_EXAMPLE, EXAMPLES, FOLDER, example_of
from demo.handlers import CENTRE, Handlers, choose_bands, displayed, friendly, share
from demo.inference import predict
from demo.loading import Loaded, run
from models import CheckpointError, ModelConfig, build_model

SKIP = gr.skip()


def visitor(language: str = "en", **query) -> SimpleNamespace:
    return SimpleNamespace(headers={"accept-language": language}, query_params=query)


@pytest.fixture(scope="module")
def events(networks):
    return Handlers()


def test_one_event_updates_both_tasks(events, networks, lion):
    outputs = events.analyse(str(EXAMPLES["lion"]), ["R", "G"], "aligned", 1.0, CENTRE, visitor())
    assert len(outputs) == 7
    expected = predict(networks, lion, "RG", temperature=1.0).answers
    assert expected["dynamic_vgg19"].best in outputs[2]
    assert expected["resnet34"].best in outputs[5]


def test_the_answers_are_told_to_those_who_do_not_see_them(events):
    notice = events.analyse(str(EXAMPLES["lion"]), ["G"], "aligned", 1.0, CENTRE, visitor())[0]
    assert re.search('<p class="unseen">VGG19 .+?: lion [0-9.]+ %; VGG19: lion .+ %; VGG19 for', notice)


def test_the_sweep_says_what_it_was_asked_with(events):
    notice, _ = events.sweep(str(EXAMPLES["lion"]), "appended", 5.5, visitor())
    assert "of two channels the mean goes last; temperature τ = 5.5." in notice


@pytest.mark.parametrize(("name", "example"), [("orange.jpg", "orange"), ("mine.png", "")])
def test_a_link_names_an_example_and_no_picture_of_ones_own(tmp_path, name, example):
    """Whatever it is called and however it came: a webcam's picture raises no event of an upload."""
    path = tmp_path / "lion.jpg"
    if example:
        path.write_bytes((FOLDER / name).read_bytes())
    else:
        Image.new("RGB", (8, 8)).save(path, "png")
    query = share(["R"], "aligned", 1.0, str(path), visitor())
    assert f"example={example or 'lion'}&" in query and example_of(path) == example


def test_networks_that_never_lacked_a_channel_are_not_to_be_believed_without(events, networks, monkeypatch):
    def told(channels: list[str]) -> str:
        shown = events.analyse(str(EXAMPLES["lion"]), channels, "aligned", 1.0, CENTRE, visitor())[5]
        left = {"G": "Only green is left", "RGB": "all three channels."}["".join(channels)]
        assert left in re.search('<p class="notice info"[^>]*>(.*?)</p>', shown)[1]
        found = re.search("Trained on all three channels: (.+?)\\. With some missing, .*far less often", shown)
        return found[1] if found else ""

    assert not told(["G"])  # the bundled ones met missing channels
    for name, named in (("resnet34", "ResNet34"), ("compact", "Compact and ResNet34")):
        config = networks[name].config
        unprepared = replace(config, training=config.training | {"channels": "RGB"})
        monkeypatch.setattr(events.loaded.networks[name], "config", unprepared)
        assert told(["G"]) == named and not told(["R", "G", "B"])


@pytest.mark.parametrize(
    ("path", "channels", "sentence"),
    [(str(EXAMPLES["lion"]), [], "至少要保留一個通道"), (None, ["R"], "還沒有圖片")],
)
def test_without_a_channel_or_a_picture_both_tasks_say_so_and_nothing_else(events, path, channels, sentence):
    notice, notice_2, *others = events.analyse(path, channels, "aligned", 1.0, CENTRE, visitor("zh-TW"))
    assert sentence in notice
    assert notice_2 == notice
    assert others == [""] * 5


def test_the_sweep_shows_which_picture_it_asks_about_or_says_why_not(events):
    notice, shown, result = events.show(str(EXAMPLES["lion"]), visitor("zh-TW"))
    assert (notice, result) == ("", "")
    assert 'alt="要請網路辨識的圖片"' in shown
    notice, *others = events.show(None, visitor())
    assert "There is no picture" in notice
    assert others == ["", ""]


def test_another_temperature_asks_the_dynamic_network_alone(networks, monkeypatch):
    asked, ask = [], inference.ask
    monkeypatch.setattr(inference, "ask", lambda network, *a, **k: asked.append(network.name) or ask(network, *a, **k))
    events, outputs = Handlers(), {}
    for temperature, expected in ((1.0, [*networks] * 2), (4.0, ["dynamic_vgg19"] * 2), (1.0, [])):
        asked.clear()
        outputs[temperature] = events.analyse(str(EXAMPLES["lion"]), ["R"], "aligned", temperature, CENTRE, visitor())
        assert asked == expected
    fresh = Handlers().analyse(str(EXAMPLES["lion"]), ["R"], "aligned", 4.0, CENTRE, visitor())
    assert outputs[4.0][2:5] == fresh[2:5] and outputs[4.0][4] != outputs[1.0][4]


def test_what_the_mix_is_worth_is_said_at_the_temperature_it_was_measured_at(events):
    shown = [events.analyse(str(EXAMPLES["lion"]), ["R"], "aligned", t, CENTRE, visitor())[4] for t in (1.0, 4.0)]
    assert ["validation pictures" in text for text in shown] == [True, False]


def test_a_picture_that_was_deleted_is_gone(events, tmp_path):
    path = tmp_path / "mine.png"
    Image.new("RGB", (40, 40), "teal").save(path)
    assert events.show(str(path), visitor())[1]
    path.unlink()
    assert "no longer" in events.show(str(path), visitor())[0]


def test_a_point_near_the_border_moves_into_what_the_network_sees(events, networks):
    border = (1 - networks["compact"].config.crop_pct) / 2
    *_, point = events.look_from(str(EXAMPLES["lion"]), ["R", "G", "B"], "aligned", "0.01 0.99", visitor())
    assert 0 < border == point[0] == pytest.approx(1 - point[1])


def test_a_tiff_is_displayed_as_the_picture_in_it(save, tmp_path, lion):
    for name in ("photo.TIFF", "photo.ppm"):
        assert displayed(str(save(name, lion))).tobytes() == lion.tobytes()
    assert displayed(str(EXAMPLES["lion"])) == SKIP
    (tmp_path / "essay.tif").write_text("no picture at all")
    assert displayed(str(tmp_path / "essay.tif")) == SKIP


def test_a_broken_file_is_one_sentence_without_a_path(events, tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("not a picture")
    notice = events.sweep(str(path), "aligned", 1.0, visitor())[0]
    assert "cannot be read as a picture" in notice
    assert str(tmp_path) not in notice


def test_the_network_that_fills_nothing_gets_a_column_and_a_row_per_channel(events, networks, lion):
    _, _, answers, _, attention, *_ = events.analyse(
        str(EXAMPLES["lion"]), ["R", "B"], "aligned", 1.0, CENTRE, visitor()
    )
    assert answers.count('class="card answer') == 3
    assert predict(networks, lion, "RB").answers["adaptive_vgg19"].best in answers.split("adaptive_vgg19")[1]
    assert "Nothing is filled: it gets R + B alone." in answers
    channels = attention.split('class="card layers"')[0]
    assert re.findall(r'scope="row">(\w+)', channels) == ["Red", "Blue"] * 2


def test_a_file_of_bands_is_answered(events, networks):
    path, names, _ = choose_bands("", ("", None))
    notice, page = events.ask_bands(path, names, visitor())
    assert "5 bands of 128 × 128 pixels. Its 8-bit values were divided by 255." in notice
    assert page.count("<li>") == 5
    assert len(re.findall(r'scope="row"', page)) == 5 + 5  # lost bands, attention
    assert "only mixtures of R, G and B" in page


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "has 5 bands, but 2 are named"), ("zh-TW", "檔案有 5 個波段，但輸入了 2 個")],
)
def test_a_wrong_number_of_names_is_one_sentence_in_the_visitors_language(events, language, words):
    notice, page = events.ask_bands(str(BANDS_EXAMPLE), "R, NIR", visitor(language))
    assert words in notice
    assert page == ""  # an answer that is still there would belong to another file


def test_no_file_of_bands_is_one_sentence(events):
    assert "還沒有檔案" in events.ask_bands(None, "R", visitor("zh-TW"))[0]


def test_a_surprise_is_logged_and_not_shown(caplog):
    @friendly(outputs=2)
    def broken(request):
        raise RuntimeError("secret path /srv")

    notice, other = broken(visitor())
    assert "secret" not in notice
    assert "secret" in caplog.text
    assert other == SKIP


def test_what_the_host_says_of_its_quota_is_shown():
    @friendly(outputs=2, keep=False)
    def broken(request):
        raise gr.Error("No quota left: <a href='https://hf.co'>log in</a>")

    notice, answers = broken(visitor())
    assert "No quota left: log in" in notice and "warning" in notice and answers == ""


@pytest.mark.parametrize(("picture", "told"), [(None, False), ("/tmp/own.png", True), (str(EXAMPLES["lion"]), False)])
def test_a_link_says_of_ones_own_picture_that_it_is_not_part_of_it(monkeypatch, picture, told):
    said = []
    monkeypatch.setattr(gr, "Info", said.append)
    handlers.tell_of_link("both", picture, visitor())
    assert len(said) == 1 and ("own picture" in said[0]) == told


def test_a_chosen_point_is_kept_for_the_next_toggle(events):
    notice, picked, point = events.look_from(str(EXAMPLES["lion"]), ["B"], "aligned", "0.25 0.75", visitor())
    assert point == (0.25, 0.75)
    assert re.fullmatch(
        '<p class="unseen">.*25 % across and 75 % down.* lies on a tenth of the positions.*</p>', notice
    )
    assert "left:25%" in picked


def test_a_visitor_is_told_which_models_the_hub_did_not_have(events, monkeypatch):
    loaded = events.loaded
    monkeypatch.setattr(handlers, "load_models", lambda user: Loaded(loaded.networks, ("compact", "vgg19")))
    assert "compact and vgg19" in events.open_page(visitor())[0]


def test_a_visitor_is_told_which_weights_are_their_own_and_what_they_know(events, monkeypatch):
    own = {"compact": build_model("compact", num_classes=2)}
    own["compact"].config = ModelConfig("compact", {"num_classes": 2}, class_names=("bark", "moss"))
    networks = events.loaded.networks | own
    monkeypatch.setattr(handlers, "load_models", lambda source: Loaded(networks, own={"compact": "trees"}))
    opened = events.open_page(visitor())
    assert "These weights replace the bundled ones: compact (trees). The networks know different classes" in opened[0]
    assert "The 50 classes" in opened[6] and "<li>moss</li>" in opened[6]
    assert "The 2 classes the networks know (Compact)" in opened[6]


def test_a_network_of_a_sensor_says_what_it_was_trained_on(networks, monkeypatch, tmp_path):
    own = build_model("adaptive_vgg19", num_classes=2).eval()
    config = ModelConfig("adaptive_vgg19", own.arguments, class_names=("bark", "moss"), input_size=32)
    own.config = config.for_bands(("R", "NIR"))
    events, named = Handlers(), {"adaptive_vgg19": "USER/field"}
    loaded = Loaded(networks | {"adaptive_vgg19": own}, own=named, knows_photographs=False)
    monkeypatch.setattr(handlers, "load_models", lambda source: loaded)
    monkeypatch.setattr(handlers, "run", lambda task, source, *rest, **options: task(loaded.networks, *rest, **options))
    sentence = "This network was trained on pictures of these bands: R, NIR."
    assert sentence in events.analyse(str(EXAMPLES["tower"]), ["R"], "aligned", 1.0, CENTRE, visitor())[2]
    np.save(tmp_path / "field.npy", np.random.default_rng(0).random((40, 40, 2)))
    notice, page = events.ask_bands(str(tmp_path / "field.npy"), "R, NIR", visitor())
    assert "2 bands of 40" in notice and sentence in page
    about, *_, classes, names = events.open_page(visitor())
    assert "adaptive_vgg19 (USER/field)" in about and (classes, names) == ("", "R, NIR")


def test_a_page_without_weights_says_so_without_a_path(events, monkeypatch):
    def missing(user):
        raise CheckpointError("/srv/checkpoints/compact is not there")

    monkeypatch.setattr(handlers, "load_models", missing)
    notice, in_place_of_loading, *others = events.open_page(visitor())
    assert "Something went wrong on our side" in notice == in_place_of_loading
    assert "/srv" not in notice
    assert others == [SKIP] * 11


def test_answers_to_all_channels_are_asked_for_once_and_each_toggle_asks_for_a_gpu_once(networks, monkeypatch):
    events, tasks, asked, ask = Handlers(), [], [], inference.ask
    monkeypatch.setattr(inference, "ask", lambda network, *a, **k: asked.append(a[1]) or ask(network, *a, **k))
    monkeypatch.setattr(handlers, "run", lambda task, *rest, **known: tasks.append(task) or run(task, *rest, **known))
    for channels in ("R", "G", "R"):
        events.analyse(str(EXAMPLES["tower"]), [channels], "aligned", 1.0, CENTRE, visitor())
    assert [task.__name__ for task in tasks] == ["answer"] * 3
    assert asked == [[channels] for channels in ("RGB", "R", "G") for _ in networks]


def test_a_visitor_finds_what_the_link_says(events):
    opened = events.open_page(visitor(example="tower", channels="GB", fill="appended", temperature="8"))
    assert opened[2]["value"] == str(EXAMPLES["tower"])
    assert opened[3:6] == (["G", "B"], "appended", 8.0)


@pytest.mark.parametrize(
    ("said", "typed", "filled_in"),
    [
        ((), "R, G, B", None),
        (("R", "?", "NIR"), "R, G, B", "R, ?, NIR"),
        (("R", "?", "NIR"), "r + .56 + nir", None),  # all that it says, and more
        (("B", "G", "R", "0.842"), "R, G, B", "B, G, R, 0.842"),
        (("B", "REDEDGE", "?"), "b, 0.74, nir", None),  # which may mean the same
        (("B", "R"), "B, ?", "B, R"),
        (("B", "R"), "B, X", "B, R"),
        (("NIR",), "", "NIR"),
    ],
)
def test_a_file_names_its_bands_unless_it_says_nothing_new(monkeypatch, said, typed, filled_in):
    monkeypatch.setattr(handlers, "names_in", lambda path: said)
    shown, (own, _) = handlers.name_bands(__file__, typed, ("", None))
    assert (shown, own) == (filled_in or gr.skip(), typed)


def test_a_file_that_will_be_refused_is_not_looked_into(monkeypatch):
    monkeypatch.setattr(handlers, "names_in", lambda path: ("NIR",))
    monkeypatch.setattr(pictures, "MAX_MEGABYTES", 1e-6)
    for path in (__file__, "gone.tif"):
        assert handlers.name_bands(path, "R, G, B", ("", None))[0] == gr.skip()


def test_names_from_one_file_do_not_stay_for_the_next(monkeypatch, tmp_path):
    """Whatever files and the example filled in, a file without names meets what the visitor typed last."""
    said = {"red": ("R", "NIR"), "green": ("G", "NIR"), "half": ("?", "NIR"), "silent": ()}
    for name in said:
        (tmp_path / name).touch()
    monkeypatch.setattr(handlers, "names_in", lambda path: said[path.name])
    _, shown, filled = choose_bands("B, G, R", ("", None))
    for name in ("red", "green"):
        shown, filled = handlers.name_bands(tmp_path / name, shown, filled)
    assert shown == "G, NIR"
    shown, filled = handlers.name_bands(tmp_path / "half", shown, filled)
    assert shown == "?, NIR"
    shown, filled = handlers.name_bands(tmp_path / "silent", shown, filled)
    assert shown == "B, G, R"
    shown, filled = handlers.name_bands(tmp_path / "red", shown, filled)
    assert handlers.name_bands(tmp_path / "silent", "R, SWIR1", filled) == (gr.skip(), ("R, SWIR1", "R, SWIR1"))
