"""Kernel attention as an accessible heat map: a table of layers x K with its numbers in the cells."""

from html import escape

import numpy as np

from demo.html import card, tag
from demo.inference import Prediction
from demo.text import say
from models import CHANNELS
from models.vgg import CONFIGURATION_E

NETWORK = "dynamic_vgg19"


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


def kernel_attention(prediction: Prediction, language: str) -> str:
    """Two heat maps side by side: the weights now, and their difference from those of all channels."""
    now = np.array(prediction.answers[NETWORK].attention)  # (16, K)
    change = now - np.array(prediction.reference[NETWORK].attention)
    L, K = now.shape
    lead = say(language, "attention_lead", layers=L, kernels=K, even=f"{1 / K:.2f}")
    return card(
        say(language, "attention"),
        tag("p", escape(lead), class_="hint"),
        tag(
            "div",
            heat_table(now, say(language, "attention_now"), language),
            tag(
                "div",
                heat_table(change, say(language, "attention_change"), language, signed=True),
                tag("p", escape(summary(prediction, change, language)), class_="hint"),
            ),
            class_="pair",
        ),
    )


def heat_table(values: np.ndarray, caption: str, language: str, *, signed: bool = False) -> str:
    """One heat map. Strength is a CSS variable, so that each colour scheme paints it legibly."""
    K = values.shape[1]
    largest = max(float(np.abs(values).max()), 0.05) if signed else 1.0  # noise stays pale
    head = tag("tr", tag("th", escape(say(language, "layer")), scope="col"), *column_heads(K))
    rows = []
    for name, row in zip(layer_names(), values, strict=True):
        cells = [
            cell(value, value / largest, f"{name}, {say(language, 'kernel', number=k + 1)}", signed)
            for k, value in enumerate(row)
        ]
        rows.append(tag("tr", tag("th", name, scope="row"), *cells))
    return tag(
        "table", tag("caption", escape(caption)), tag("thead", head), tag("tbody", *rows),
        class_="heat signed" if signed else "heat",
    )  # fmt: skip


def column_heads(count: int) -> list[str]:
    return [tag("th", f"W<sub>{k}</sub>", scope="col") for k in range(1, count + 1)]


def cell(value: float, strength: float, title: str, signed: bool) -> str:
    """A number on a colour of ``strength`` -1..1; a difference that rounds to 0 stays blank."""
    if signed and round(value, 2) == 0:
        return tag("td", "0", class_="none", title=f"{title}: {value:+.4f}")
    text = f"{value:+.2f}" if signed else f"{value:.2f}"
    class_ = "less" if strength < 0 else "more"
    return tag("td", text, class_=class_, style=f"--heat:{abs(strength):.2f}", title=f"{title}: {value:+.4f}")


def summary(prediction: Prediction, change: np.ndarray, language: str) -> str:
    """The largest change in one sentence."""
    if prediction.channels == CHANNELS:
        return say(language, "no_change")
    if not np.abs(change).round(2).any():  # as the table rounds
        return say(language, "small_change")
    layer, kernel = np.unravel_index(np.abs(change).argmax(), change.shape)
    value = f"{change[layer, kernel]:+.2f}"
    return say(language, "biggest_change", value=value, layer=layer_names()[layer], number=kernel + 1)
