import pytest
import torch

from train.confidence import calibration_temperature, confidence_by_number, confidence_metrics, unsure_below


def test_one_right_answer_in_ten_is_below_the_unsure_confidence():
    confidence = torch.linspace(0.55, 0.95, 211)  # of class 0, which is right in all but the last ten
    logits = torch.stack([confidence, 1 - confidence], 1).log()
    labels = torch.tensor([0] * 201 + [1] * 10)
    below = unsure_below(logits, labels)
    assert (confidence[:201] < below - 1e-4).sum() == 20
    assert unsure_below(logits, torch.full((211,), 1)) == 0


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_calibration_temperature_undoes_what_logits_were_multiplied_with(temperature):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 5, generator=generator)
    labels = logits.softmax(1).multinomial(1, generator=generator)[:, 0]  # right as often as it says
    assert calibration_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.1)


def test_a_few_right_answers_are_no_certainty():
    logits = torch.eye(3).repeat(3, 1)
    temperature = calibration_temperature(logits, logits.argmax(1))
    confidence = (logits / temperature).softmax(1).amax(1)
    assert confidence.max() == pytest.approx(1 - 2 / 3 / 11, abs=0.01)


def test_how_sure_is_measured_in_calibrated_confidences():
    logits, labels = torch.tensor([[0.2, 0.0], [0.3, 0.0], [0.1, 0.0]]).repeat(50, 1), torch.zeros(150, dtype=int)
    metrics = confidence_metrics(logits, labels)
    assert metrics["calibration_temperature"] < 0.1
    assert metrics["unsure_below"] == unsure_below(logits / metrics["calibration_temperature"], labels) > 0.8


def test_every_number_of_channels_has_its_own_temperature():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 5, generator=generator)
    labels = logits.softmax(1).multinomial(1, generator=generator)[:, 0]
    metrics = confidence_by_number({1: [4 * logits, 4 * logits], 5: [logits], 4: [2 * logits]}, labels)
    assert metrics["calibration_temperature"] == pytest.approx([4, 4 - 2 / 3, 2 + 2 / 3, 2, 1], rel=0.1)
    assert metrics["unsure_below"] == pytest.approx([confidence_metrics(logits, labels)["unsure_below"]] * 5, rel=0.02)
