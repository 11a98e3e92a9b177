"""Attention of K kernels as an accessible heat map: a table with its numbers in its cells.

Its rows are the layers of the dynamic network, or the channels that the adaptive one was given.
"""

from collections.abc import Mapping
from html import escape
from types import MappingProxyType

import numpy as np

from demo.html import card, percent, signed, tag
from demo.inference import Prediction
from demo.text import joined, say
from demo.view import COLOURS
from models import CHANNELS
from models.vgg import CONFIGURATION_E

DYNAMIC, ADAPTIVE = "dynamic_vgg19", "adaptive_vgg19"


def layer_names() -> list[str]:
    """``conv1_1`` … ``conv5_4``, as the VGG paper's users call its 16 convolutions."""
    names, block, index = [], 1, 1
    for item in CONFIGURATION_E:
        if item == "M":
            block, index = block + 1, 1
        else:
            names.append(f"conv{block}_{index}")
            index += 1
    return names


def kernel_attention(prediction: Prediction, language: str, metrics: Mapping = MappingProxyType({})) -> str:
    """The dynamic network's weights now, and their difference from those of all channels, side by side.

    ``metrics`` of its config say whether the mix earns accuracy, where that was measured.
    """
    now = np.array(prediction.answers[DYNAMIC].attention)  # (16, K)
    change = now - np.array(prediction.reference[DYNAMIC].attention)
    L, K = now.shape
    lead = say(language, "attention_lead", layers=L, kernels=K, even=f"{1 / K:.2f}", network=say(language, DYNAMIC))
    tables = side_by_side(prediction, now, change, layer_names(), "layer", language)
    even = say(language, "attention_even", value=percent(distance_from_even(now)), even=f"{1 / K:.2f}")
    sentences = [lead, even, *worth_of_mixing(metrics, language)]
    return card(
        say(language, "attention"), tag("p", escape(joined(sentences, language)), class_="hint"), tables,
        class_="layers",
    )  # fmt: skip


def distance_from_even(attention: np.ndarray) -> float:
    """How far weights (…, K) lie from 1/K, relative to it, on average: 0 is an even mix."""
    return float(np.abs(attention * attention.shape[-1] - 1).mean())


def worth_of_mixing(metrics: Mapping, language: str) -> list[str]:
    """A sentence on how often the network is right with its weights and with even ones; none where nobody measured."""
    if "val_accuracy_even" not in metrics:
        return []
    now, even = (percent(metrics[name]) for name in ("val_accuracy", "val_accuracy_even"))
    return [say(language, "attention_worth", count=metrics["val_images"], now=now, even=even)]


def channel_attention(prediction: Prediction, language: str) -> str:
    """What each kernel of the adaptive network takes from each present channel, and the difference from RGB."""
    now = np.array(prediction.answers[ADAPTIVE].attention)  # (C, K)
    in_rgb = dict(zip(CHANNELS, prediction.reference[ADAPTIVE].attention, strict=True))
    change = now - np.array([in_rgb[name] for name in prediction.channels])
    names = [say(language, COLOURS[name]) for name in prediction.channels]
    lead = say(language, "channel_attention_lead", network=say(language, ADAPTIVE), kernels=now.shape[1])
    return card(
        say(language, "channel_attention"),
        tag("p", escape(lead), class_="hint"),
        side_by_side(prediction, now, change, names, "channel", language),
        constant(now, language),
        class_="channels",
    )


def side_by_side(
    prediction: Prediction, now: np.ndarray, change: np.ndarray, names: list[str], heading: str, language: str
) -> str:
    changed = heat_table(change, names, heading, say(language, "attention_change"), language, change=True)
    sentence = tag("p", escape(summary(prediction, change, names, language)), class_="hint")
    return tag(
        "div",
        heat_table(now, names, heading, say(language, "attention_now"), language),
        tag("div", changed, sentence),
        class_="pair",
    )


def heat_table(
    values: np.ndarray, names: list[str], heading: str, caption: str, language: str, *, change: bool = False
) -> str:
    """One heat map with a row per name. Strength is a CSS variable, so that each colour scheme paints it legibly."""
    largest = max(float(np.abs(values).max()), 0.05) if change else 1.0  # noise stays pale
    numbers = [tag("th", f"W<sub>{k}</sub>", scope="col") for k in range(1, values.shape[1] + 1)]
    head = tag("tr", tag("th", escape(say(language, heading)), scope="col"), *numbers)
    rows = []
    for name, row in zip(names, values, strict=True):
        cells = [
            cell(value, value / largest, f"{name}, {say(language, 'kernel', number=k + 1)}", change)
            for k, value in enumerate(row)
        ]
        rows.append(tag("tr", tag("th", escape(name), scope="row"), *cells))
    return tag(
        "table", tag("caption", escape(caption)), tag("thead", head), tag("tbody", *rows),
        class_="heat signed" if change else "heat",
    )  # fmt: skip


def constant(attention: np.ndarray, language: str) -> str:
    """A word on rows of zeros, if there are any."""
    return "" if attention.any(axis=1).all() else tag("p", escape(say(language, "constant_channel")), class_="hint")


def cell(value: float, strength: float, title: str, change: bool) -> str:
    """A number on a colour of ``strength`` -1..1; a difference that rounds to 0 stays blank."""
    if change and round(value, 2) == 0:
        return tag("td", "0", class_="none", title=f"{title}: {signed(value, 4)}")
    text = signed(value, 2) if change else f"{value:.2f}"
    class_ = "less" if strength < 0 else "more"
    return tag("td", text, class_=class_, style=f"--heat:{abs(strength):.2f}", title=f"{title}: {signed(value, 4)}")


def summary(prediction: Prediction, change: np.ndarray, names: list[str], language: str) -> str:
    """The largest change in one sentence."""
    if prediction.channels == CHANNELS:
        return say(language, "no_change")
    if not np.abs(change).round(2).any():  # as the table rounds
        return say(language, "small_change")
    row, kernel = np.unravel_index(np.abs(change).argmax(), change.shape)
    value = signed(change[row, kernel], 2)
    return say(language, "biggest_change", value=value, row=names[row], number=kernel + 1)
