import json

import gradio as gr
import pytest

from demo import results
from demo.text import TEXT, translations

TABLE = {
    "id": "accuracy",
    "title": "Test accuracy",
    "caption": "n = 2,000; 95 % intervals.",
    "columns": ["input", "vgg19", "parameters"],
    "rows": [["RGB", "61.2", "21,289,842"], ["R <b>", "–", "–"]],
}
FIGURE = {"path": "results/figures/none.png", "alt": "bars", "caption": "not there"}
SUMMARY = {"sections": [{"id": "accuracy", "items": [TABLE, FIGURE]}, {"id": "task2", "items": [TABLE]}]}


def placed(path) -> str:
    """All HTML of the page for a summary file."""
    with gr.Blocks() as demo:
        results.page(gr.I18n(**translations()), path)
    return " ".join(str(block.value) for block in demo.blocks.values() if isinstance(block, gr.HTML))


def test_without_results_a_sentence_is_shown(tmp_path):
    assert "no_results" in placed(tmp_path / "summary.json")


def test_tables_are_shown_escaped(tmp_path):
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(SUMMARY))
    html = placed(path)
    assert "not there" not in html
    for text in ("Test accuracy", "61.2", "21,289,842", "R &lt;b&gt;", "95 % intervals"):
        assert text in html
    assert 'role="group" aria-label="Test accuracy"' in html


def test_only_the_first_section_is_open(tmp_path):
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(SUMMARY))
    with gr.Blocks() as demo:
        results.page(gr.I18n(**translations()), path)
    assert [block.open for block in demo.blocks.values() if isinstance(block, gr.Accordion)] == [True, False]


def test_the_projects_own_summary_can_be_shown():
    summary = results.read_summary()
    if summary is None:
        pytest.skip("results/summary.json is not there yet")
    for section in summary["sections"]:
        assert {f"results_{section['id']}", f"results_{section['id']}_lead"} <= TEXT.keys()
        for table in (item for item in section["items"] if "path" not in item):
            assert all(len(row) == len(table["columns"]) for row in table["rows"])
            results.table_card(table)
