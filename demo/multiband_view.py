"""The answer to a file of several bands: what was in it, what the network says, also with each band lost, and its
attention to each."""

from html import escape

import numpy as np
from PIL import Image

from demo import explain, heatmap, view
from demo.html import bar, card, percent, picture, table, tag
from demo.inference import Answer, BandsPrediction
from demo.multiband import Bands
from demo.text import joined, say
from models import BANDS_UM, CHANNELS, ModelConfig
from models.band_files import BandPicture
from models.bands import agree
from models.training_record import met_mixtures


def notice(opened: BandPicture, typed: Bands, language: str) -> str:
    """What was read, whether it is what was ``typed``, and how its values became 0 to 1."""
    bands, height, width = opened.values.shape
    sentences = [say(language, "bands_answered", bands=bands, width=width, height=height)]
    if opened.channels_first:
        sentences.append(say(language, "channels_first"))
    if opened.names:
        sentences.append(say(language, "names_in_file", names=view.listed(opened.names, language)))
    if not agree(opened.names, typed.wavelengths_um):
        sentences.append(say(language, "names_differ"))
    if opened.calibrated:
        sentences.append(say(language, "calibrated"))
    dtype = "float32" if opened.calibrated else opened.dtype
    sentences.append(say(language, opened.scaling, dtype=dtype, divisor=f"{opened.divisor:,.6g}"))
    if opened.doubt:
        sentences.append(say(language, f"scaled_{opened.doubt}"))
    if opened.missing:
        share = percent(max(opened.missing / opened.values.size, 0.001))  # no gap is none
        sentences.append(say(language, "values_missing", count=opened.missing, share=share))
    return view.notice(joined(sentences, language))


def page(
    prediction: BandsPrediction,
    values: np.ndarray,
    factor: float,
    bands: Bands,
    pictures: list[Image.Image],
    language: str,
    config: ModelConfig,
) -> str:
    """The answer beside the false-colour picture, those with each band lost, every band, and the attention.

    ``values`` (C, H, W) and ``pictures`` are ``factor`` times as bright as the file; ``config`` is the network's.
    """
    strange = set(bands.wavelengths_um) - {BANDS_UM[name] for name in CHANNELS}  # NaN, an unknown one, is, too
    care = say(language, "bands_training" if met_mixtures(config) else "bands_untrained")
    known = strange and config.training  # of weights without a record nobody knows what they met
    answer = prediction.answer
    note = view.trained_on(config.bands, language) or (tag("p", escape(care), class_="hint alone") if known else "")
    said = card(
        say(language, "adaptive_vgg19"), view.bars(answer), view.unsure(answer, language), note,
        class_="answer adaptive_vgg19",
    )  # fmt: skip
    shown = card(say(language, "bands_seen"), preview(values, factor, bands, language))
    return (
        tag("div", said, shown, class_="pair answered")
        + lost(prediction, bands, language)
        + attention(answer, bands, pictures, factor, language)
    )  # fmt: skip


def preview(values: np.ndarray, factor: float, bands: Bands, language: str) -> str:
    """The file in false colour, with a caption that says which bands are shown, and how much brighter."""
    shown = explain.false_colour_bands(bands.wavelengths_um)
    names = dict(zip(("red", "green", "blue"), (label(bands, index) for index in shown), strict=True))
    image = picture(explain.false_colour(values, shown), say(language, "false_colour_alt", **names))
    key = "false_colour" if factor == 1 else "false_colour_brightened"
    return tag("div", view.figure(image, say(language, key, factor=f"{factor:,.6g}", **names)), class_="preview")


def lost(prediction: BandsPrediction, bands: Bands, language: str) -> str:
    """What each band's loss would change, as a table; nothing where that was not asked."""
    if not prediction.without:
        return ""
    best = prediction.answer.best
    head = [say(language, "lost_band"), say(language, "lost_share", name=best), say(language, "lost_answer")]
    rows, changing = [], []
    for index, answer in enumerate(prediction.without):
        name, share = label(bands, index), answer.probability_of(best)
        filled = bar(share, "adaptive_vgg19") + tag("span", percent(share), class_="value")
        row = [escape(name), tag("div", filled, class_="share"), ""]
        if answer.best != best:
            changing.append(name)
            changed = tag("span", escape("≠ " + answer.best), class_="badge changed")
            row[-1] = changed + tag("span", percent(answer.confidence), class_="value")
        rows.append(row)
    if not changing:  # then the last column would be empty
        head, rows = head[:-1], [row[:-1] for row in rows]
    names = view.listed(changing, language)
    then = say(language, "lost_changes", names=names) if changing else say(language, "lost_same", name=best)
    title = say(language, "lost")
    return card(
        title,
        tag("p", escape(joined([say(language, "lost_lead"), then], language)), class_="hint"),
        table([*map(escape, head)], rows, name=title, class_="table lost"),
    )


def attention(answer: Answer, bands: Bands, pictures: list[Image.Image], factor: float, language: str) -> str:
    """Each band as the network gets it, ``factor`` times as bright, and what each kernel takes from it."""
    weights = np.array(answer.attention)  # (C, K)
    names = [label(bands, index) for index in range(len(bands.names))]
    size = pictures[0].width
    figures = [
        view.figure(picture(image, say(language, "band_alt", name=name, size=size)), name)
        for image, name in zip(pictures, names, strict=True)
    ]
    lead = [say(language, "bands_attention_lead", kernels=weights.shape[1])]
    if factor != 1:
        lead.append(say(language, "bands_brightened", factor=f"{factor:,.6g}"))
    return card(
        say(language, "bands_attention"),
        tag("div", *figures, class_="strip small"),
        tag("p", escape(joined(lead, language)), class_="hint"),
        heatmap.heat_table(weights, names, "band", say(language, "bands_weights"), language),
        heatmap.constant(weights, language),
        class_="bands",
    )


def label(bands: Bands, index: int) -> str:
    """A band's name; unknown ones are told apart by their place in the file."""
    name = bands.names[index]
    return f"? ({index + 1})" if name == "?" else name
