"""The results page: what ``results/summary.json`` holds, or a sentence if it is not there."""

import json
from html import escape
from pathlib import Path

import gradio as gr

from demo.html import card, table, tag

ROOT = Path(__file__).resolve().parent.parent
SUMMARY = ROOT / "results" / "summary.json"


def read_summary(path: Path = SUMMARY) -> dict | None:
    """``{"sections": [{"id", "items": [table or figure, …]}, …]}``, or None without the file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def page(i18n: gr.I18n, path: Path = SUMMARY) -> None:
    """Place the sections on the page under construction, the first one open."""
    summary = read_summary(path)
    if summary is None:
        gr.HTML(i18n("no_results"), elem_classes="lead")
        return
    gr.HTML(i18n("results_lead"), elem_classes="lead")
    for number, section in enumerate(summary["sections"]):
        with gr.Accordion(i18n(f"results_{section['id']}"), open=number == 0, elem_classes="results-section"):
            gr.HTML(i18n(f"results_{section['id']}_lead"), elem_classes="lead")
            for item in section["items"]:
                place_figure(item) if "path" in item else gr.HTML(table_card(item))


def place_figure(entry: dict) -> None:
    """One figure with its alternative text and caption, if its file is there."""
    if (file := ROOT / entry["path"]).is_file():
        gr.Image(
            file, alt_text=entry["alt"], show_label=False, container=False, buttons=["fullscreen"],
            interactive=False, elem_classes="result-figure",
        )  # fmt: skip
        gr.HTML(tag("p", escape(entry["caption"]), class_="caption", lang="en"))


def table_card(entry: dict) -> str:
    """One table with its title and caption."""
    columns, *rows = ([escape(cell) for cell in row] for row in (entry["columns"], *entry["rows"]))
    caption = tag("p", escape(entry["caption"]), class_="hint")
    shown = card(entry["title"], table(columns, rows, name=entry["title"], class_="table results"), caption)
    return tag("div", shown, lang="en")
