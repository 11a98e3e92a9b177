"""The answers to all seven subsets of the channels as a figure, a table and a CSV."""

import base64
import csv
import io
from collections.abc import Mapping
from html import escape

from PIL import Image

from demo import view
from demo.html import bar, card, percent, picture, table, tag
from demo.inference import Sweep
from demo.text import say
from models import CHANNELS


def page(result: Sweep, pictures: Mapping[str, Image.Image], names: tuple[str, ...], language: str) -> str:
    """The table of all subsets, the figure beside it, and the CSV to download."""
    head = [escape(say(language, "subset"))]
    for name in names:
        head += [tag("span", escape(say(language, name)), class_="group") + escape(say(language, "top_one"))]
        whose = tag("span", escape(say(language, name)), class_="unseen")
        head += [escape(say(language, "rgb_rank")) + whose]
    rows = []
    for subset in result.answers[names[0]]:
        thumbnail = picture(pictures[subset], say(language, "subset_alt", channels=subset), class_="thumb")
        row = [thumbnail + dots(subset)]
        for name in names:
            answer, reference = result.answers[name][subset], result.answers[name][CHANNELS].best
            best = escape(answer.best) + tag("span", percent(answer.confidence), class_="value")
            row += [best, str(answer.rank_of(reference))]
        rows.append(row)
    title = say(language, "sweep_table")
    link = tag(
        "a", escape(say(language, "download_csv")), class_="download", download="channel-sweep.csv",
        href="data:text/csv;base64," + base64.b64encode(as_csv(result).encode()).decode(),
    )  # fmt: skip
    return (
        card(say(language, "sweep_figure"), confidence_figure(result, names, language))
        + card(title, table(head, rows, name=title, class_="table sweep"), badge=link)
    )  # fmt: skip


def notice(result: Sweep, language: str) -> str:
    """What was asked: the settings of the Channels page that the answers depend on."""
    fill = say(language, f"fill_{result.fill}")
    return view.notice(say(language, "sweep_asked", fill=fill, temperature=f"{result.temperature:g}"))


def dots(channels: str) -> str:
    """The subset as letters, each in its colour."""
    return tag("span", *(tag("b", name, class_=f"dot {name}") for name in channels), class_="dots")


def confidence_figure(result: Sweep, names: tuple[str, ...], language: str) -> str:
    """Bars: each network's probability, per subset, of its own answer to all three channels."""
    best = {name: result.answers[name][CHANNELS].best for name in names}
    rows = []
    for subset in result.answers[names[0]]:
        pair = []
        for name in names:
            p = result.answers[name][subset].probability_of(best[name])
            alt = say(language, "sweep_bar_alt", network=say(language, name), channels=subset, value=percent(p))
            pair.append(tag("span", bar(p, name), tag("span", percent(p), class_="value"), role="img", aria_label=alt))
        rows.append(tag("li", dots(subset), tag("span", *pair, class_="several")))
    keys = {name: say(language, "sweep_legend", network=say(language, name), name=best[name]) for name in names}
    legend = tag("figcaption", *(tag("span", escape(key), class_=f"key {name}") for name, key in keys.items()))
    return tag("figure", legend, tag("ol", *rows), class_="sweep-figure")


def as_csv(result: Sweep) -> str:
    """One line per network and subset: what the table shows, unrounded."""
    buffer = io.StringIO()
    columns = ("model", "channels", "fill", "temperature", "top_1", "confidence", "rgb_answer", "rank_of_rgb_answer")
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"fill": result.fill, "temperature": result.temperature} for row in result.rows())
    return buffer.getvalue()
