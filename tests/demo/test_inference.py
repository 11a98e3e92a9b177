import dataclasses

import numpy as np
import pytest
import torch

from demo.inference import Answer, ask, ask_bands, bands_input, canonical, predict, sweep
from models import MODELS, SUBSETS, select_channels

NAMES = ("a", "b", "c", "d")


def direct(network, picture, channels, **options) -> list[float]:
    """What a user gets from the model itself."""
    x = network.config.preprocess(picture).unsqueeze(0)
    with torch.inference_mode():
        logits = network(select_channels(x, channels), channels, **options)
    return network.config.probabilities(logits, len(channels))[0].tolist()


@pytest.mark.parametrize("fill", ["aligned", "appended"])
@pytest.mark.parametrize("channels", ["RGB", "RB", "G"])
def test_an_answer_is_that_of_a_direct_call(networks, lion, channels, fill):
    prediction = predict(networks, lion, channels, fill=fill)
    for name in MODELS:
        expected = direct(networks[name], lion, channels, fill=fill)
        assert prediction.answers[name].probabilities == pytest.approx(expected, abs=1e-4)


def test_the_reference_is_the_answer_to_all_channels(networks, lion):
    prediction = predict(networks, lion, "B")
    for name in MODELS:
        assert prediction.reference[name].probabilities == pytest.approx(direct(networks[name], lion, "RGB"), abs=1e-4)


def test_a_sweep_gives_the_same_answers_as_single_questions(networks, lion):
    chosen = {name: networks[name] for name in ("dynamic_vgg19", "vgg19", "adaptive_vgg19")}
    result = sweep(chosen, lion, fill="appended", temperature=5.0)
    for name in chosen:
        assert tuple(result.answers[name]) == SUBSETS
        single = predict(chosen, lion, "GB", fill="appended", temperature=5.0).answers[name]
        assert result.answers[name]["GB"].probabilities == pytest.approx(single.probabilities, abs=1e-4)


def test_attention_sums_to_one_and_only_the_networks_with_kernels_to_choose_have_it(networks, lion):
    answers = predict(networks, lion, "RG").answers
    assert len(answers["dynamic_vgg19"].attention) == 16
    assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in answers["dynamic_vgg19"].attention)
    adaptive = np.array(answers["adaptive_vgg19"].attention)  # (C, K)
    assert adaptive.shape[0] == 2
    assert np.allclose(adaptive.sum(axis=0), 1, atol=1e-5)
    assert answers["vgg19"].attention is None


def test_a_high_temperature_evens_the_attention_out_and_leaves_the_model_as_it_was(networks, lion):
    before = networks["dynamic_vgg19"].temperature
    soft = predict(networks, lion, temperature=1e6).answers["dynamic_vgg19"].attention
    assert max(max(row) for row in soft) == pytest.approx(1 / len(soft[0]), abs=1e-3)
    assert networks["dynamic_vgg19"].temperature == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": ""}, "channels is empty"),
        ({"channels": "RX"}, "unknown channel"),
        ({"fill": "zeros"}, "unknown fill"),
        ({"temperature": -1.0}, "temperature must be a positive number"),
    ],
)
def test_a_bad_question_is_a_clear_error(networks, lion, arguments, message):
    with pytest.raises(ValueError, match=message):
        predict(networks, lion, **{"channels": "RG", **arguments})


def test_channels_are_put_in_rgb_order():
    assert canonical(["B", "R"]) == "RB"


def test_an_answer_ranks_its_classes():
    answer = Answer(NAMES, (0.1, 0.6, 0.25, 0.05))
    assert answer.best == "b"
    assert answer.top(2) == [("b", 0.6), ("c", 0.25)]
    assert answer.rank_of("d") == 4
    assert answer.probability_of("c") == 0.25


@pytest.mark.parametrize(("unsure_below", "unsure"), [(0.61, True), (0.6, False), (0.0, False)])
def test_an_answer_is_unsure_below_the_confidence_of_most_right_answers(unsure_below, unsure):
    assert Answer(NAMES, (0.1, 0.6, 0.25, 0.05), unsure_below=unsure_below).unsure is unsure


def test_bundled_networks_know_when_they_are_unsure(networks, lion):
    for name, network in networks.items():
        answers = ask(network, lion, ["B", "RG", "RGB"])
        doubts = [answer.unsure_below for answer in answers.values()]  # with less to see, less sure when right
        assert doubts == network.config.metrics["unsure_below"] and 0.02 < doubts[0] < doubts[2] < 0.9, name


def test_confidences_are_those_of_the_config(networks, lion):
    network = networks["resnet34"]
    x = network.config.preprocess(lion)[None]
    answers = ask(network, lion, ["RGB", "G"])
    for subset in answers:
        with torch.inference_mode():
            logits = network(select_channels(x, subset), channels=subset)
        expected = network.config.probabilities(logits, len(subset))[0]
        assert answers[subset].probabilities == pytest.approx(expected.tolist(), abs=1e-6)
    assert len({network.config.calibration_temperature(count) for count in (1, 2, 3)} - {1}) == 3


def test_predictions_are_frozen(networks, lion):
    prediction = predict({"compact": networks["compact"]}, lion)
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction.channels = "G"


@pytest.mark.parametrize("name", ["vgg19", "adaptive_vgg19"])
def test_one_batch_serves_all_subsets(networks, lion, name):
    batches = []
    network = networks[name]
    handle = network.classifier.register_forward_hook(lambda module, inputs, output: batches.append(len(output)))
    ask(network, lion, SUBSETS)
    handle.remove()
    assert batches == [7]


def test_the_adaptive_networks_attention_is_that_of_a_direct_call(networks, lion):
    network = networks["adaptive_vgg19"]
    x = select_channels(network.config.preprocess(lion).unsqueeze(0), "GB")
    with torch.inference_mode():
        expected = network.kernel_attention(x, "GB")[0]
    attention = predict({"adaptive_vgg19": network}, lion, "GB").answers["adaptive_vgg19"].attention
    torch.testing.assert_close(torch.tensor(attention), expected, atol=1e-5, rtol=0)


def test_a_picture_given_as_bands_gets_nearly_the_answer_of_the_picture(networks, lion):
    """Only nearly: a picture is rounded to 8 bits after it was reduced."""
    network = networks["adaptive_vgg19"]
    values = np.asarray(lion).transpose(2, 0, 1) / 255
    answer = ask_bands(network, values, (0.665, 0.560, 0.490)).answer
    expected = predict({"adaptive_vgg19": network}, lion).answers["adaptive_vgg19"]
    assert answer.probabilities == pytest.approx(expected.probabilities, abs=0.02)
    assert np.allclose(answer.attention, expected.attention, atol=0.01)


@pytest.mark.parametrize("count", [1, 5, 16])
def test_any_number_of_bands_is_answered_with_a_row_of_attention_each(networks, count):
    network = networks["adaptive_vgg19"]
    values = np.random.default_rng(0).random((count, 40, 50))
    answer = ask_bands(network, values, (float("nan"),) * count).answer
    assert np.array(answer.attention).shape == (count, network.arguments["num_kernels"])
    assert np.allclose(np.sum(answer.attention, axis=0), 1, atol=1e-5)
    assert sum(answer.probabilities) == pytest.approx(1, abs=1e-4)


def test_a_band_left_out_is_one_that_was_never_there(networks):
    network, wavelengths = networks["adaptive_vgg19"], (0.665, 0.842, float("nan"), 0.49)
    values = np.random.default_rng(1).random((4, 40, 50))
    prediction = ask_bands(network, values, wavelengths, leave_out=True)
    of_all = ask_bands(network, values, wavelengths)
    assert of_all.without == ()
    assert prediction.answer.probabilities == pytest.approx(of_all.answer.probabilities, abs=1e-5)
    assert len(prediction.without) == 4
    for index, answer in enumerate(prediction.without):
        others = [place for place in range(4) if place != index]
        alone = ask_bands(network, values[others], tuple(wavelengths[place] for place in others)).answer
        assert answer.probabilities == pytest.approx(alone.probabilities, abs=1e-5)
        assert np.allclose(answer.attention, alone.attention, atol=1e-5)
        assert answer.unsure_below == alone.unsure_below
    assert ask_bands(network, values[:1], wavelengths[:1], leave_out=True).without == ()


def test_bands_are_normalised_as_pictures_are(networks):
    network = networks["adaptive_vgg19"]
    size = network.config.input_size
    x = bands_input(network, np.stack([np.zeros((20, 70)), np.ones((20, 70))]))
    assert x.shape == (1, 2, size, size)
    assert x[0, 0].unique().tolist() == pytest.approx([-1])
    assert x[0, 1].unique().tolist() == pytest.approx([1])


def test_as_many_wavelengths_as_bands_are_needed(networks):
    with pytest.raises(ValueError, match=r"wavelengths of shape \(2,\)"):
        ask_bands(networks["adaptive_vgg19"], np.zeros((3, 40, 40)), (0.5, 0.6))
