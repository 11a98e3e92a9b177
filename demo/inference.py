"""A picture and loaded models → frozen answers. No Gradio, no globals: a notebook could call this.

>>> networks = {"vgg19": load_model("vgg19"), "dynamic_vgg19": load_model("dynamic_vgg19")}
>>> predict(networks, picture, "RG").answers["vgg19"].top(5)
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models import CHANNELS, SUBSETS, ImageClassifier, fill_channels, select_channels
from models.bands import UNKNOWN, check_count, wavelengths_of
from models.channels import parse_channels
from models.vgg import AdaptiveVGG19, DynamicVGG19


def evenness(weights: np.ndarray) -> float:
    """Entropy of weights (…, K) that sum to 1 over that of even ones, mean over the rows: 0 is a single one, 1 even."""
    K = weights.shape[-1]
    entropies = -(weights * np.log(np.maximum(weights, 1e-12))).sum(axis=-1)
    return float(entropies.mean() / math.log(K)) if K > 1 else 1.0


@dataclass(frozen=True)
class Answer:
    """What one network says of one picture.

    ``probabilities`` has one value per class, in 0..1, summing to 1. ``attention`` is layers x K of the
    dynamic network, each row summing to 1, present channels x K of the adaptive one, each column summing
    to 1 (a row of zeros is a channel that hardly varies), and None of the others. ``unsure_below`` is the
    confidence that nine in ten of the network's right answers on validation exceed, with as many channels; 0 where it
    was not measured.
    """

    class_names: tuple[str, ...]
    probabilities: tuple[float, ...]
    attention: tuple[tuple[float, ...], ...] | None = None
    unsure_below: float = 0.0

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
        return evenness(np.asarray(self.probabilities))

    @property
    def unsure(self) -> bool:
        """True where hardly any right answer is as doubtful: often none of the classes is there."""
        return self.confidence < self.unsure_below

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
    answers: Mapping[str, Answer]
    reference: Mapping[str, Answer]


@dataclass(frozen=True)
class BandsPrediction:
    """Answers to a picture of any bands: to all of them and, band by band, to all but that one, if that was asked."""

    answer: Answer
    without: tuple[Answer, ...] = ()


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
    known: Mapping[str, Mapping[str, Answer]] = MappingProxyType({}),
) -> Prediction:
    """Ask every network about an RGB picture of which only ``channels`` are left.

    ``temperature`` overrides the routers' saved one for this call. ``known`` holds answers that need not be asked for,
    by channels and network. Raises ``ValueError`` for bad channels, fill or temperature.
    """
    names = canonical(channels)

    def ask_all(subset: str) -> dict[str, Answer]:
        found = known.get(subset, {})
        return {
            name: found.get(name) or ask(network, picture, [subset], fill=fill, temperature=temperature)[subset]
            for name, network in networks.items()
        }

    reference = ask_all(CHANNELS)
    answers = reference if names == CHANNELS else ask_all(names)
    return Prediction(channels=names, fill=fill, answers=answers, reference=reference)


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
    if isinstance(network, AdaptiveVGG19):
        wavelengths_um = wavelengths_of(CHANNELS)
        present = torch.tensor([[name in subset for name in CHANNELS] for subset in subsets])  # (B, 3)
        logits, attention = ask_unfilled(network, rgb, wavelengths_um, present)  # (B, classes), B times (C, K)
    else:
        x = torch.cat([fill_channels(select_channels(rgb, s), s, fill) for s in subsets])  # (B, 3, S, S)
        if isinstance(network, DynamicVGG19):
            logits, attention = network(x, temperature=temperature, return_attention=True)  # (B, classes), (B, 16, K)
        else:
            logits, attention = network(x), [None] * len(subsets)
    numbers = [len(subset) for subset in subsets]
    return dict(zip(subsets, answers_of(network, logits, numbers, attention), strict=True))


def ask_unfilled(
    network: AdaptiveVGG19, x: Tensor, wavelengths_um: Tensor, present: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Logits (B, classes) for B subsets of the channels of one picture ``x`` (1, C, S, S) and each one's attention (its
    channels, K). ``present`` (B, C) says which they are. Raises ``ValueError`` for another number of wavelengths."""
    wavelengths_um = check_count(wavelengths_um, x)  # (C,)
    x = x.expand(len(present), -1, -1, -1)  # (B, C, S, S)
    logits, attention = network.classify(x, wavelengths_um, present=present.to(x.device), return_attention=True)
    return logits, [rows[there] for rows, there in zip(attention.cpu(), present, strict=True)]


def answers_of(
    network: ImageClassifier, logits: Tensor, numbers: Iterable[int], attention: Iterable[Tensor | None]
) -> list[Answer]:
    """One answer per row of ``logits`` (B, classes), each with its own number of channels and its own attention."""
    config = network.config
    return [
        Answer(
            class_names=config.class_names,
            probabilities=tuple(config.probabilities(row, number).tolist()),
            attention=None if rows is None else tuple(map(tuple, rows.tolist())),
            unsure_below=config.unsure_below(number),
        )
        for row, number, rows in zip(logits.cpu(), numbers, attention, strict=True)
    ]


@torch.inference_mode()
def ask_bands(
    network: AdaptiveVGG19, values: np.ndarray, wavelengths_um: Sequence[float], *, leave_out: bool = False
) -> BandsPrediction:
    """The adaptive network's answer to a picture of any bands, ``values`` (C, H, W) in 0..1.

    ``wavelengths_um`` has one per band, NaN for an unknown one. With ``leave_out`` it is also asked without each of
    several bands, in the same batch. Raises ``ValueError`` for other counts.
    """
    x = bands_input(network, values)  # (1, C, S, S)
    C = len(values)
    present = torch.ones(1, C, dtype=torch.bool)
    if leave_out and C > 1:
        present = torch.cat([present, ~torch.eye(C, dtype=torch.bool)])  # (1 + C, C)
    wavelengths_um = wavelengths_of(wavelengths_um=wavelengths_um)
    logits, attention = ask_unfilled(network, x, wavelengths_um, present)  # (B, classes), B times (channels, K)
    answer, *without = answers_of(network, logits, present.sum(dim=1).tolist(), attention)
    return BandsPrediction(answer, tuple(without))


def bands_input(network: ImageClassifier, values: np.ndarray) -> Tensor:
    """(C, H, W) in 0..1 as the normalised batch of one, (1, C, S, S), on the network's device.

    Every band gets the same mean and standard deviation: those of R, G and B, averaged.
    """
    config = network.config.for_bands((UNKNOWN,) * len(values))
    return config.preprocess(values).unsqueeze(0).to(next(network.parameters()).device)


def network_input(network: ImageClassifier, picture: Image.Image) -> Tensor:
    """An RGB picture as the normalised batch of one, (1, 3, S, S), on the network's device."""
    return network.config.preprocess(picture).unsqueeze(0).to(next(network.parameters()).device)


def canonical(channels: str | Iterable[str]) -> str:
    """The channels in RGB order, e.g. ``["B", "R"]`` → ``"RB"``; ``ValueError`` as ``parse_channels``."""
    return "".join(sorted(parse_channels(channels), key=CHANNELS.index))
