import dataclasses

import pytest
import torch

from demo.inference import Answer, ask, canonical, predict, sweep
from models import MODELS, SUBSETS, select_channels

NAMES = ("a", "b", "c", "d")


def direct(network, picture, channels, **options) -> list[float]:
    """What a user gets from the model itself."""
    x = network.config.preprocess(picture).unsqueeze(0)
    with torch.inference_mode():
        return network(select_channels(x, channels), channels, **options).softmax(-1)[0].tolist()


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
    chosen = {name: networks[name] for name in ("dynamic_vgg19", "vgg19")}
    result = sweep(chosen, lion, fill="appended", temperature=5.0)
    for name in chosen:
        assert tuple(result.answers[name]) == SUBSETS
        single = predict(chosen, lion, "GB", fill="appended", temperature=5.0).answers[name]
        assert result.answers[name]["GB"].probabilities == pytest.approx(single.probabilities, abs=1e-4)


def test_attention_rows_sum_to_one_and_only_the_dynamic_network_has_them(networks, lion):
    answers = predict(networks, lion, "RG").answers
    assert len(answers["dynamic_vgg19"].attention) == 16
    assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in answers["dynamic_vgg19"].attention)
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


@pytest.mark.parametrize(
    ("probabilities", "unsure"), [((0.97, 0.01, 0.01, 0.01), False), ((0.26, 0.25, 0.25, 0.24), True)]
)
def test_an_even_spread_means_probably_none_of_the_classes(probabilities, unsure):
    assert Answer(NAMES, probabilities).unsure is unsure


def test_predictions_are_frozen(networks, lion):
    prediction = predict({"compact": networks["compact"]}, lion)
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction.channels = "G"


def test_one_batch_serves_all_subsets(networks, lion):
    batches = []
    network = networks["vgg19"]
    handle = network.classifier.register_forward_hook(lambda module, inputs, output: batches.append(len(output)))
    ask(network, lion, SUBSETS)
    handle.remove()
    assert batches == [7]
