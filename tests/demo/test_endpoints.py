import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
import tifffile
from gradio_client import Client, handle_file
from PIL import Image

from demo.explain import attention_from, seen
from demo.gallery import BANDS_EXAMPLE, BANDS_TYPED, EXAMPLES
from demo.handlers import TASK_1, TASK_2
from demo.inference import ask_bands, predict, sweep
from demo.multiband import read_names
from demo.pictures import open_picture
from models import SUBSETS
from models.costs import cost_of_loaded
from tests.tagged import band_tag

ENDPOINTS = {"/predict_channels", "/sweep_channels", "/predict_bands", "/compare_compact", "/attention_at"}
LION = handle_file(str(EXAMPLES["lion"]))


@pytest.fixture(scope="module")
def client(served):
    return Client(served, verbose=False)


def test_only_the_documented_endpoints_are_public(client):
    info = client.view_api(return_format="dict")["named_endpoints"]
    assert set(info) == ENDPOINTS


def test_every_endpoint_says_what_it_takes_and_returns(client):
    info = client.view_api(return_format="dict")["named_endpoints"]
    for name, endpoint in info.items():
        assert len(endpoint["description"]) > 80, name
        optional = [p["parameter_has_default"] for p in endpoint["parameters"]]
        assert optional == [False] + [True] * (len(optional) - 1), name
        assert len(endpoint["returns"]) == 2
    assert info["/sweep_channels"]["returns"][1]["label"] == "pictures"


def test_predict_channels_answers_as_the_models_do(client, networks, lion):
    data, picture = client.predict(LION, "RB", 4.0, "appended", api_name="/predict_channels")
    expected = predict(networks, lion, "RB", fill="appended", temperature=4.0)
    for name in TASK_1:
        answer = data["answers"][name]
        assert list(answer["probabilities"].values()) == pytest.approx(expected.answers[name].probabilities, abs=1e-4)
        assert answer["top"][0]["class"] == expected.answers[name].best
    assert np.allclose(data["kernel_attention"], expected.answers["dynamic_vgg19"].attention, atol=1e-4)
    assert list(data["channel_attention"]) == ["R", "B"]
    per_channel = list(data["channel_attention"].values())
    assert np.allclose(per_channel, expected.answers["adaptive_vgg19"].attention, atol=1e-4)
    shown = np.asarray(Image.open(picture).convert("RGB"))
    assert (shown == np.asarray(seen(networks["dynamic_vgg19"], lion, "RB", "appended"))).all()


def test_a_path_without_gradios_mark_reads_nothing_of_the_server(served, root):
    """Gradio checks where a file lies only where the request calls it one, by ``meta``."""
    body = json.dumps({"data": [{"path": str(root / "docs" / "channels.png")}, "RGB", None, "aligned"]}).encode()
    url = f"{served.rstrip('/')}/gradio_api/call/predict_channels"
    with urlopen(Request(url, body, {"Content-Type": "application/json"})) as answer:
        event = json.load(answer)["event_id"]
    with urlopen(f"{url}/{event}") as answer:
        told = answer.read().decode()
    assert "event: error" in told and "no longer on the server" in told


def test_a_picture_is_enough(client, networks, lion):
    data, _ = client.predict(image=LION, api_name="/predict_channels")
    assert data["channels"] == "RGB"
    expected = predict(networks, lion).answers["dynamic_vgg19"].confidence
    assert data["answers"]["dynamic_vgg19"]["top"][0]["confidence"] == pytest.approx(expected, abs=1e-4)


def test_sweep_channels_returns_a_row_per_network_and_subset(client):
    rows, pictures = client.predict(image=LION, api_name="/sweep_channels")
    assert [row["channels"] for row in rows] == list(SUBSETS) * 3
    assert len(pictures) == 7


def test_sweep_channels_answers_as_the_models_do(client, networks, lion):
    rows, _ = client.predict(LION, 5.0, "appended", api_name="/sweep_channels")
    expected = sweep({name: networks[name] for name in TASK_1}, lion, fill="appended", temperature=5.0).rows()
    for row, ours in zip(rows, expected, strict=True):
        assert row.pop("confidence") == pytest.approx(ours["confidence"], abs=1e-4)
        assert row == {key: ours[key] for key in row}


def test_predict_bands_answers_as_the_model_does(client, networks):
    data, preview = client.predict(handle_file(str(BANDS_EXAMPLE)), BANDS_TYPED, api_name="/predict_bands")
    wavelengths = read_names(BANDS_TYPED).wavelengths_um
    network = networks["adaptive_vgg19"]
    values = network.config.open_bands(BANDS_EXAMPLE).values
    expected = ask_bands(network, values, wavelengths).answer
    assert list(data["answer"]["probabilities"].values()) == pytest.approx(expected.probabilities, abs=1e-4)
    assert [band["band"] for band in data["bands"]] == ["R", "G", "B", "0.6125 µm", "0.525 µm"]
    assert np.allclose([band["attention"] for band in data["bands"]], expected.attention, atol=1e-4)
    scaling = {"rule": "scaled_8bit", "divisor": 255.0, "dtype": "uint8", "calibrated": False, "doubt": None}
    assert data["scaling"] == scaling
    assert data["without"] == []
    assert Image.open(preview).size == (128, 128)
    data, _ = client.predict(handle_file(str(BANDS_EXAMPLE)), BANDS_TYPED, True, api_name="/predict_bands")
    expected = ask_bands(network, values, wavelengths, leave_out=True).without
    for told, ours in zip(data["without"], expected, strict=True):
        assert list(told["probabilities"].values()) == pytest.approx(ours.probabilities, abs=1e-4)


def test_an_unknown_band_has_no_wavelength_in_json(client):
    data, _ = client.predict(handle_file(str(BANDS_EXAMPLE)), "R, G, B, ?, ?", api_name="/predict_bands")
    assert [band["wavelength_um"] for band in data["bands"]] == [0.665, 0.56, 0.49, None, None]


def test_a_file_that_names_its_bands_needs_no_names(client, tmp_path):
    tags = band_tag("NIR", "red", "?", "865 nm")
    values = np.random.default_rng(0).integers(0, 4000, (48, 64, 4), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "field.tif", values, photometric="minisblack", planarconfig="contig", extratags=tags)
    data, _ = client.predict(handle_file(str(tmp_path / "field.tif")), api_name="/predict_bands")
    assert [band["band"] for band in data["bands"]] == ["NIR", "R", "?", "0.865 µm"]
    assert (data["names_in_file"], data["names_agree"]) == (["NIR", "R", "?", "0.865"], True)
    data, _ = client.predict(handle_file(str(tmp_path / "field.tif")), "B, G, R, NIR", api_name="/predict_bands")
    assert [band["band"] for band in data["bands"]] == ["B", "G", "R", "NIR"]
    assert not data["names_agree"]


@pytest.mark.parametrize(
    ("bands", "words"), [("R, G", "has 5 bands, but 2 are named"), ("665,560,490,600,500", "looks like nanometres")]
)
def test_bad_bands_are_a_clear_message(client, bands, words):
    with pytest.raises(Exception, match=words):
        client.predict(handle_file(str(BANDS_EXAMPLE)), bands, api_name="/predict_bands")


def test_whether_to_leave_out_bands_is_true_or_false(client):
    with pytest.raises(Exception, match="leave_out must be true or false, got 'each'"):
        client.predict(handle_file(str(BANDS_EXAMPLE)), BANDS_TYPED, "each", api_name="/predict_bands")


def test_a_file_of_another_kind_is_a_clear_message_without_a_path(client):
    with pytest.raises(Exception, match=r"ending is \.jpg, not \.tif") as caught:
        client.predict(LION, api_name="/predict_bands")
    assert "gradio" not in str(caught.value)


def test_compare_compact_returns_answers_and_costs(client, networks):
    data, _ = client.predict(image=LION, api_name="/compare_compact")
    for name in ("compact", "resnet34"):
        cost = cost_of_loaded(networks[name])
        assert (data[name]["parameters"], data[name]["macs"]) == (cost.parameters, cost.macs)
        assert data[name]["latency_ms"] > 0
        assert len(data[name]["top"]) == 5


def test_compare_compact_answers_as_the_models_do(client, networks, lion):
    data, _ = client.predict(LION, "RB", "appended", api_name="/compare_compact")
    answers = predict({name: networks[name] for name in TASK_2}, lion, "RB", fill="appended").answers
    for name in TASK_2:
        probabilities = list(data[name]["probabilities"].values())
        assert probabilities == pytest.approx(answers[name].probabilities, abs=1e-4)


def test_attention_at_returns_a_distribution_and_the_overlay(client):
    data, overlay = client.predict(image=LION, x=0.2, y=0.8, api_name="/attention_at")
    assert np.sum(data["attention"]) == pytest.approx(1, abs=1e-3)
    assert Image.open(overlay).size == (256, 256)


def test_attention_at_is_that_of_the_place_and_the_channels(client, networks, lion):
    data, _ = client.predict(LION, 0.2, 0.8, "RG", "appended", api_name="/attention_at")
    expected = attention_from(networks["compact"], lion, (0.2, 0.8), "RG", "appended")
    assert np.allclose(data["attention"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "words"), [("", "channels is empty"), ("RX", "unknown channel"), ("RR", "channel repeated")]
)
def test_bad_channels_are_a_clear_message(client, channels, words):
    with pytest.raises(Exception, match=words):
        client.predict(LION, channels, api_name="/predict_channels")


@pytest.mark.parametrize(
    ("endpoint", "given", "words"),
    [
        ("/attention_at", {"x": "a"}, "x must be a number from 0 to 1, got 'a'"),
        ("/attention_at", {"x": None}, "x must be a number from 0 to 1, got None"),
        ("/attention_at", {"x": 2}, "x must be a number from 0 to 1, got 2"),
        ("/attention_at", {"y": -1}, "y must be a number from 0 to 1, got -1"),
        ("/attention_at", {"channels": None}, "channels must be letters such as 'RGB' or 'RG', got None"),
        (
            "/attention_at",
            {"channels": "R" * 100_000},
            "channels must be letters such as 'RGB' or 'RG', got 100,000 characters",
        ),
        ("/compare_compact", {"channels": None}, "channels must be letters such as 'RGB' or 'RG', got None"),
        (
            "/predict_channels",
            {"temperature": "abc"},
            "temperature must be a number of 0.001 or more, or null, got 'abc'",
        ),
        (
            "/predict_channels",
            {"temperature": 1e-40},
            "temperature must be a number of 0.001 or more, or null, got 1e-40",
        ),
        ("/sweep_channels", {"temperature": 0}, "temperature must be a number of 0.001 or more, or null, got 0"),
    ],
)
def test_a_bad_value_is_named_with_what_is_expected(client, endpoint, given, words):
    with pytest.raises(Exception, match=f"This cannot be asked: {words}."):
        client.predict(image=LION, api_name=endpoint, **given)


def test_a_file_that_is_no_picture_is_a_clear_message_without_a_path(client, tmp_path):
    path = tmp_path / "letter.jpg"
    path.write_text("Dear network, ...")
    with pytest.raises(Exception, match="cannot be read as a picture") as caught:
        client.predict(handle_file(str(path)), api_name="/compare_compact")
    assert "tmp" not in str(caught.value)


def test_sixteen_people_at_once_get_their_own_answers(served, networks):
    pictures = [list(EXAMPLES.values())[i % len(EXAMPLES)] for i in range(16)]
    subsets = [SUBSETS[i % len(SUBSETS)] for i in range(16)]
    temperatures = [1.0 + i for i in range(16)]

    def ask(path: Path, channels: str, temperature: float) -> dict:
        person = Client(served, verbose=False)
        return person.predict(handle_file(str(path)), channels, temperature, api_name="/predict_channels")[0]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, pictures, subsets, temperatures))
    chosen = {"dynamic_vgg19": networks["dynamic_vgg19"]}
    for path, channels, temperature, answer in zip(pictures, subsets, temperatures, answers, strict=True):
        expected = predict(chosen, open_picture(path), channels, temperature=temperature).answers["dynamic_vgg19"]
        assert answer["channels"] == channels
        got = list(answer["answers"]["dynamic_vgg19"]["probabilities"].values())
        assert got == pytest.approx(expected.probabilities, abs=1e-4)
