"""A picture and loaded models → frozen answers. No Gradio, no globals: a notebook could call this.

>>> networks = {"vgg19": load_model("vgg19"), "dynamic_vgg19": load_model("dynamic_vgg19")}
>>> predict(networks, picture, "RG").answers["vgg19"].top(5)
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models import CHANNELS, SUBSETS, ImageClassifier, fill_channels, select_channels
from models.channels import parse_channels
from models.vgg import DynamicVGG19

# Below this confidence, or above this entropy, a picture is probably of none of the classes. Of the bundled
# networks' right answers on validation pictures, 6 % (resnet34) to 26 % (compact) fall there, 12 % of vgg19's.
UNSURE_CONFIDENCE = 0.20
UNSURE_ENTROPY = 0.85


@dataclass(frozen=True)
class Answer:
    """What one network says of one picture.

    ``probabilities`` has one value per class, in 0..1, summing to 1. ``attention`` is the
    dynamic network's kernel attention, layers x K, each row summing to 1; None for others.
    """

    class_names: tuple[str, ...]
    probabilities: tuple[float, ...]
    attention: tuple[tuple[float, ...], ...] | None = None

    @property
    def ranking(self) -> list[int]:
        """Class indices, most probable first."""
        return np.argsort(np.negative(self.probabilities), kind="stable").tolist()

    @property
    def best(self) -> str:
        return self.class_names[self.ranking[0]]

    @property
    def confidence(self) -> float:
        """Probability of the best class, 0..1."""
        return max(self.probabilities)

    @property
    def entropy(self) -> float:
        """Entropy of the probabilities as a share of the largest possible, 0..1."""
        p = np.asarray(self.probabilities)
        return float(-(p * np.log(np.maximum(p, 1e-12))).sum() / math.log(len(p)))

    @property
    def unsure(self) -> bool:
        """True where the picture probably shows none of the classes."""
        return self.confidence < UNSURE_CONFIDENCE or self.entropy > UNSURE_ENTROPY

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The ``count`` most probable (class name, probability), best first."""
        return [(self.class_names[i], self.probabilities[i]) for i in self.ranking[:count]]

    def rank_of(self, class_name: str) -> int:
        """1 for the best class, 2 for the next …; ``ValueError`` for an unknown class."""
        return self.ranking.index(self.class_names.index(class_name)) + 1

    def probability_of(self, class_name: str) -> float:
        return self.probabilities[self.class_names.index(class_name)]


@dataclass(frozen=True)
class Prediction:
    """Answers of each network, by name: with the chosen ``channels`` and with all three (``reference``)."""

    channels: str
    fill: str
    temperature: float | None
    answers: Mapping[str, Answer]
    reference: Mapping[str, Answer]


@dataclass(frozen=True)
class Sweep:
    """Answers for all seven subsets: ``answers[network][subset]``."""

    fill: str
    temperature: float | None
    answers: Mapping[str, Mapping[str, Answer]]

    def rows(self) -> list[dict]:
        """One row per network and subset: its top 1, and the network's own RGB answer with its rank there."""
        return [
            {
                "model": name,
                "channels": subset,
                "top_1": answer.best,
                "confidence": answer.confidence,
                "rgb_answer": (reference := answers[CHANNELS].best),
                "rank_of_rgb_answer": answer.rank_of(reference),
            }
            for name, answers in self.answers.items()
            for subset, answer in answers.items()
        ]


def predict(
    networks: Mapping[str, ImageClassifier],
    picture: Image.Image,
    channels: str | Iterable[str] = CHANNELS,
    *,
    fill: str = "aligned",
    temperature: float | None = None,
    reference: Mapping[str, Answer] | None = None,
) -> Prediction:
    """Ask every network about an RGB picture of which only ``channels`` are left.

    ``temperature`` overrides the routers' saved one for this call. ``reference`` are the answers to
    all channels where they are known already. Raises ``ValueError`` for bad channels, fill or
    temperature.
    """
    names = canonical(channels)

    def ask_all(subset: str) -> dict[str, Answer]:
        return {
            name: ask(network, picture, [subset], fill=fill, temperature=temperature)[subset]
            for name, network in networks.items()
        }

    reference = reference or ask_all(CHANNELS)
    answers = reference if names == CHANNELS else ask_all(names)
    return Prediction(channels=names, fill=fill, temperature=temperature, answers=answers, reference=reference)


def sweep(
    networks: Mapping[str, ImageClassifier],
    picture: Image.Image,
    *,
    fill: str = "aligned",
    temperature: float | None = None,
) -> Sweep:
    """Ask every network about all seven subsets of the channels, one batch per network."""
    answers = {
        name: ask(network, picture, SUBSETS, fill=fill, temperature=temperature) for name, network in networks.items()
    }
    return Sweep(fill=fill, temperature=temperature, answers=answers)


@torch.inference_mode()
def ask(
    network: ImageClassifier,
    picture: Image.Image,
    subsets: Iterable[str],
    *,
    fill: str = "aligned",
    temperature: float | None = None,
) -> dict[str, Answer]:
    """One network's answer per subset of the channels, all in one batch."""
    subsets = list(subsets)
    rgb = network_input(network, picture)  # (1, 3, S, S)
    x = torch.cat([fill_channels(select_channels(rgb, s), s, fill) for s in subsets])  # (B, 3, S, S)
    attention: Tensor | None = None
    if isinstance(network, DynamicVGG19):
        logits, attention = network(x, temperature=temperature, return_attention=True)  # (B, 50), (B, 16, K)
    else:
        logits = network(x)  # (B, 50)
    probabilities = logits.float().softmax(-1).tolist()
    layers = [None] * len(subsets) if attention is None else attention.tolist()
    return {
        subset: Answer(network.config.class_names, tuple(p), rows and tuple(map(tuple, rows)))
        for subset, p, rows in zip(subsets, probabilities, layers, strict=True)
    }


def network_input(network: ImageClassifier, picture: Image.Image) -> Tensor:
    """An RGB picture as the normalised batch of one, (1, 3, S, S), on the network's device."""
    return network.config.preprocess(picture).unsqueeze(0).to(next(network.parameters()).device)


def canonical(channels: str | Iterable[str]) -> str:
    """The channels in RGB order, e.g. ``["B", "R"]`` → ``"RB"``; ``ValueError`` as ``parse_channels``."""
    return "".join(sorted(parse_channels(channels), key=CHANNELS.index))
