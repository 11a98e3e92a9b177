import json

import gradio as gr
import pytest

from demo import results
from demo.text import translations

SUMMARY = {
    "tables": [
        {
            "id": "channels",
            "title": "Test accuracy",
            "caption": "n = 2,000; 95 % intervals.",
            "columns": ["input", "vgg19", "parameters"],
            "rows": [["RGB", 0.61234, 21289842], ["R <b>", "–", None]],
        }
    ],
    "figures": [{"path": "results/figures/none.png", "alt": "bars", "caption": "not there"}],
}


def placed(path) -> str:
    """All HTML of the page for a summary file."""
    with gr.Blocks() as demo:
        results.page(gr.I18n(**translations()), path)
    return " ".join(str(block.value) for block in demo.blocks.values() if isinstance(block, gr.HTML))


def test_without_results_a_sentence_is_shown(tmp_path):
    assert "no_results" in placed(tmp_path / "summary.json")


def test_tables_are_shown_escaped_and_rounded(tmp_path):
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(SUMMARY))
    html = placed(path)
    for text in ("Test accuracy", "0.612", "21,289,842", "R &lt;b&gt;", "95 % intervals"):
        assert text in html


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.500"), (12, "12"), ("±4.3", "±4.3"), (None, "–"), (2.0, "2")])
def test_numbers_are_readable(value, text):
    assert results.number(value) == text


def test_the_projects_own_summary_can_be_shown():
    summary = results.read_summary()
    if summary is None:
        pytest.skip("results/summary.json is not there yet")
    for entry in summary["tables"]:
        assert all(len(row) == len(entry["columns"]) for row in entry["rows"])
        results.table_card(entry)
