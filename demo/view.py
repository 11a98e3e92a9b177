"""Answers → HTML: pure functions of data and a language, escaped, with alternative texts."""

from collections.abc import Mapping, Sequence
from html import escape

from PIL import Image

from demo.html import bar, card, percent, picture, signed, tag
from demo.inference import Answer, Prediction
from demo.text import joined, say
from models import CHANNELS
from models.costs import Cost

COLOURS = {"R": "red", "G": "green", "B": "blue"}  # channel → key of its name in text.py


def notice(sentence: str, kind: str = "info") -> str:
    """The line above the answers; ``kind`` is ``info`` or ``warning``. Its slot lets screen readers announce it."""
    return tag("p", escape(sentence), class_=f"notice {kind}")


def given(prediction: Prediction, language: str, *more: str) -> str:
    """What the networks get: which channels are left and how the missing ones are filled; ``more`` sentences follow."""
    return notice(joined([channels_left(prediction, language), *more], language))


def announced(answers: Mapping[str, Answer], names: tuple[str, ...], language: str) -> str:
    """The answers in a sentence for screen readers, which do not notice that the cards changed."""
    best = [(say(language, name), answers[name]) for name in names]
    sentence = "; ".join(f"{name}: {answer.best} {percent(answer.confidence)}" for name, answer in best)
    return tag("p", escape(sentence), class_="unseen")


def told_of_point(share: float, point: tuple[float, float], language: str) -> str:
    """Where self-attention was asked from and how much of it lies together, for screen readers."""
    x, y = (round(value * 100) for value in point)
    words = [say(language, "pick_alt", x=x, y=y), say(language, "pick_concentration", value=percent(share))]
    return tag("p", escape(joined(words, language)), class_="unseen")


def unprepared(names: list[str], language: str) -> list[str]:
    """A sentence on networks that never met a missing channel; none where there are no such."""
    shown = listed([say(language, name) for name in names], language)
    return [say(language, "unprepared", names=shown)] if names else []


def channels_left(prediction: Prediction, language: str) -> str:
    present = [say(language, COLOURS[name]) for name in prediction.channels]
    if len(present) == 3:
        return say(language, "given_all")
    if len(present) == 1:
        return say(language, "given_one", a=lower(present[0], language))
    missing = say(language, COLOURS[next(name for name in CHANNELS if name not in prediction.channels)])
    names = {"missing": missing, "a": lower(present[0], language), "b": lower(present[1], language)}
    same = prediction.channels == CHANNELS[:2]  # its missing slot is the last one
    return say(language, "given_two_same" if same else f"given_two_{prediction.fill}", **names)


def lower(name: str, language: str) -> str:
    return name.lower() if language == "en" else name


def answers(
    prediction: Prediction, names: tuple[str, ...], language: str, extra: Mapping[str, str] | None = None
) -> str:
    """Cards of the named networks side by side; ``extra`` HTML goes to the end of a network's card."""
    cards = [
        card(
            say(language, name),
            bars(prediction.answers[name]),
            unsure(prediction.answers[name], language),
            (extra or {}).get(name, ""),
            class_=f"answer {name}",
            badge=agreement(prediction, name, language),
        )
        for name in names
    ]
    return tag("div", *cards, class_="pair" if len(cards) == 2 else "trio")


def nothing_filled(prediction: Prediction, language: str) -> str:
    """What the network that fills nothing gets, if channels are missing."""
    if prediction.channels == CHANNELS:
        return ""
    sentence = say(language, "nothing_filled", channels=" + ".join(prediction.channels))
    return tag("p", escape(sentence), class_="hint alone")


def trained_on(bands: Sequence[str], language: str) -> str:
    """What a network was trained on, if that is a sensor's bands."""
    if not bands:
        return ""
    return tag("p", escape(say(language, "bands_trained_on", names=", ".join(bands))), class_="hint alone")


def bars(answer: Answer, count: int = 5) -> str:
    """The most probable classes as bars with their confidences."""
    rows = [
        tag(
            "li",
            tag("span", escape(name), class_="name"),
            bar(p),
            tag("span", percent(p), class_="value"),
        )
        for name, p in answer.top(count)
    ]
    return tag("ol", *rows, class_="bars")


def agreement(prediction: Prediction, name: str, language: str) -> str:
    """A badge, if channels are missing: does the answer agree with the network's own answer to all three channels?"""
    answer, reference = prediction.answers[name], prediction.reference[name]
    if prediction.channels == CHANNELS:
        return ""
    if answer.best == reference.best:
        return tag("span", escape("✓ " + say(language, "agrees")), class_="badge same")
    changed = say(language, "disagrees", name=reference.best, rank=answer.rank_of(reference.best))
    return tag("span", escape("≠ " + changed), class_="badge changed")


def unsure(answer: Answer, language: str) -> str:
    """A note where the network is less certain than it usually is when right, else nothing."""
    if not answer.unsure:
        return ""
    return tag("p", escape(say(language, "unsure", count=len(answer.class_names))), class_="unsure")


def asked(image: Image.Image, language: str) -> str:
    """The picture the networks are asked about, small."""
    return picture(image, say(language, "picture_alt"), "jpeg", class_="asked")


def seen(
    filled: Image.Image,
    channels: Mapping[str, Image.Image],
    prediction: Prediction,
    language: str,
    *,
    whole: bool,
    by: Sequence[str] = (),
) -> str:
    """The picture, ``whole`` or its middle, as networks get it and its three channels, pixel by pixel; ``by`` names
    these networks, where not all get the same."""
    size, caption = filled.width, "input_whole" if whole else "input_middle"
    alt = say(language, "seen_alt", size=size, channels=prediction.channels)
    figures = [figure(picture(filled, alt), say(language, caption, size=size), "seen")]
    for name, image in channels.items():
        colour, dropped = say(language, COLOURS[name]), name not in prediction.channels
        caption = say(language, "channel_dropped", name=colour) if dropped else colour
        alt = say(language, "channel_alt", name=lower(colour, language))
        figures.append(figure(picture(image, alt), caption, "dropped" if dropped else ""))
    lead, key = "", "seen_by" if prediction.channels == CHANNELS else "seen_filled"
    if by:
        names = listed([say(language, name) for name in by], language)
        lead = tag("p", escape(say(language, key, names=names)), class_="hint")
    return card(say(language, "network_sees"), lead, tag("div", *figures, class_="strip"))


def listed(names: Sequence[str], language: str) -> str:
    """``a, b and c``."""
    comma, last = (", ", " and ") if language == "en" else ("、", "、")
    return last.join([comma.join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def figure(content: str, caption: str, class_: str = "") -> str:
    return tag("figure", content, tag("figcaption", escape(caption)), class_=class_ or None)


def costs(cost: Cost, latency_ms: float, language: str) -> str:
    """Parameters, multiply-accumulates and measured latency of a network."""
    pairs = (
        ("parameters", short(cost.parameters)),
        ("macs", short(cost.macs)),
        ("latency", f"{two_digits(latency_ms)} ms"),
    )
    return tag(
        "dl",
        *(tag("div", tag("dt", escape(say(language, key))), tag("dd", value)) for key, value in pairs),
        class_="costs",
    )


def two_digits(number: float) -> str:
    """3.14 → ``3.1``, 0.31 → ``0.31``, 214 → ``210``: one measurement is worth no more."""
    rounded = float(f"{number:.2g}")
    return f"{rounded:.0f}" if rounded >= 10 else f"{rounded:#.2g}"


def short(number: float) -> str:
    """447491 → ``447 k``, 21289842 → ``21.3 M``, 1601412272 → ``1.6 G``."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * limit:  # which three digits round up to
            return f"{number / limit:.3g} {unit}"
    return str(number)


def pick(overlaid: Image.Image, share: float, point: tuple[float, float], language: str) -> str:
    """The picture with attention glowing over it, and the marked point it starts from."""
    x, y = (round(value * 100) for value in point)
    alt = say(language, "pick_alt", x=x, y=y)
    image = picture(overlaid, alt, "jpeg", draggable="false")
    marker = tag("span", class_="marker", style=f"left:{x}%;top:{y}%")
    sentence = say(language, "pick_concentration", value=percent(share))
    lead = say(language, "pick_lead")
    shape = f"--ratio:{overlaid.width / overlaid.height:.4f}"  # keeps a tall picture within the screen
    canvas = tag("div", image, marker, class_="canvas", tabindex="0", role="application", aria_label=lead, style=shape)
    return canvas + tag("p", escape(sentence), class_="hint")


def gamma(value: float | None, language: str) -> str:
    """What the learned γ says about self-attention's part in the answer."""
    if value is None:
        return tag("p", escape(say(language, "no_attention")), class_="hint")
    meaning = "gamma_small" if abs(value) < 0.1 else "gamma_matters" if value > 0 else "gamma_subtracts"
    learned = tag("strong", escape(say(language, "gamma", value=signed(value, 3))))
    return tag("p", joined([learned, escape(say(language, meaning))], language), class_="gamma")


def classes(names: tuple[str, ...], language: str, of: Sequence[str] = ()) -> str:
    """The classes the networks know, or those ``of`` them that are named, folded away."""
    title = say(language, "known_classes", count=len(names)) + (f" ({listed(of, language)})" if of else "")
    items = tag("ul", *(tag("li", escape(name)) for name in sorted(names, key=str.lower)))
    return tag("details", tag("summary", escape(title)), items, class_="classes")
