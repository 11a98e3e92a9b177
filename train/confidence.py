"""What a confidence is worth: measured on validation, a temperature makes it match the share of right answers."""

import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor


def confidence_metrics(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """What a confidence is worth, from the answers (N, num_classes) on validation: see ``ModelConfig``."""
    temperature = calibration_temperature(logits, labels)
    return {"calibration_temperature": temperature, "unsure_below": unsure_below(logits / temperature, labels)}


def confidence_by_number(logits: Mapping[int, list[Tensor]], labels: Tensor) -> dict[str, list[float]]:
    """The same for one channel, for two … to all, from the answers to every subset by its number of channels.

    A network that never met a missing channel does not notice one, so that one temperature could not hold for all.
    Numbers without an answer lie evenly between those with one.
    """
    found = {
        number: confidence_metrics(torch.cat(logits[number]), labels.repeat(len(logits[number])))
        for number in sorted(logits)
    }
    numbers = list(found)
    every = range(1, numbers[-1] + 1)
    return {
        name: np.interp(every, numbers, [metrics[name] for metrics in found.values()]).tolist()
        for name in found[numbers[-1]]
    }


def calibration_temperature(logits: Tensor, labels: Tensor) -> float:
    """The number above 0 to divide logits by for the least cross-entropy (Guo et al., ICML 2017, section 4.2).

    Labels are smoothed by 1 / (N + 2), Platt's correction (1999): that a few answers are all right is no certainty.
    """
    options = {"label_smoothing": 1 / (len(labels) + 2)}
    found = minimize_scalar(
        lambda log: F.cross_entropy(logits.double() / math.exp(log), labels, **options).item(),
        bounds=(-3, 3), method="bounded",
    )  # fmt: skip
    return math.exp(found.x)


def unsure_below(logits: Tensor, labels: Tensor, share: float = 0.1) -> float:
    """The confidence that only ``share`` of the right answers stay below; 0 where none is right."""
    confidence, answers = logits.softmax(1).max(1)
    right = confidence[answers == labels]
    return right.quantile(share).item() if len(right) else 0.0
