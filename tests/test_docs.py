"""What the documents say is there and works."""

import doctest
import json
import re
import subprocess
import sys

import pytest
import torch

from models import MODELS, load_checkpoint
from models.checkpoint import BUNDLED, CONFIG, read_config, verify_golden
from models.model_card import model_card
from train import LICENSE, RESULTS, ROOT
from train.findings import find_evaluations, of_kind, read_results
from train.report import DOCUMENTS, fill_markers, make_figures, make_summary, make_tables
from train.tables import accuracy_table

README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = ROOT / "docs" / "TUTORIAL.md"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_tables_equal_the_results(path):
    text = path.read_text(encoding="utf-8")
    assert "<!-- table:" in text
    assert fill_markers(text, make_tables(read_results())) == text, "run python -m train.report"


def test_the_apps_summary_equals_the_results(tmp_path, monkeypatch):
    summary = json.loads((RESULTS / "summary.json").read_text(encoding="utf-8"))
    monkeypatch.setattr("train.report.RESULTS", tmp_path / "results")
    monkeypatch.setattr("train.figures.ROOT", tmp_path)
    drawn = make_figures(read_results())
    assert summary == make_summary(make_tables(read_results()), drawn), "run make report"
    assert all((ROOT / figure["path"]).is_file() for figure in drawn)


@pytest.mark.parametrize("path", [*DOCUMENTS, TUTORIAL], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_linked_files_and_headings_exist(path):
    links = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", path.read_text(encoding="utf-8"))
    assert links
    for file, heading in links:
        target = path.parent / file if file else path
        assert target.exists(), file
        assert not heading or heading in headings(target), f"{file}#{heading}"


def headings(path):
    """The anchors that GitHub gives a document's headings."""
    found = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_every_line_of_the_tutorial_answers_what_it_says(capsys):
    torch.manual_seed(0)
    done = doctest.testfile(str(TUTORIAL), module_relative=False, encoding="utf-8")
    assert done.attempted > 40 and done.failed == 0, capsys.readouterr().out


def test_every_bundled_network_is_measured():
    assert [row[0] for row in accuracy_table(read_results())["rows"]] == list(MODELS)


def test_every_stage_and_teacher_of_a_training_is_on_record():
    known = {record["checkpoint"]: record for record in of_kind(read_results(), "training")}
    for record in known.values():
        for key in ("init_from", "teacher"):
            assert record["settings"].get(key) in {None, *known}, f"{key} of {record['checkpoint']}"


@pytest.mark.parametrize("name", MODELS)
def test_bundled_weights_give_their_golden_logits(name):
    verify_golden(load_checkpoint(BUNDLED / name), BUNDLED / name)


def test_make_targets_in_the_readme_exist():
    targets = set(re.findall(r"`?make ([a-z]+)", README))
    assert targets >= {"demo", "test"}
    assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in targets)


def test_options_in_the_readme_are_known():
    text = README.replace("\\\n", " ")
    commands = re.findall(r"^(?:accelerate launch -m|python -m) (train\.\w+|models\.\w+)(.*)$", text, re.MULTILINE)
    assert commands
    for module in {module for module, _ in commands}:
        shown = subprocess.run(
            [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for name, arguments in commands:
            if name == module:
                unknown = [
                    flag for flag in re.findall(r"--[a-z0-9-]+", arguments) if not re.search(rf"{flag}(?![\w-])", shown)
                ]
                assert not unknown, f"{module} does not know {unknown}"


@pytest.mark.parametrize("index", range(len(re.findall(r"```python\n", README))))
def test_python_in_the_readme_runs(index):
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[index]
    preamble = "import torch\n" if "import torch" not in code else ""
    done = subprocess.run([sys.executable, "-c", preamble + code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("name", MODELS)
def test_the_cards_of_the_bundled_weights_are_those_of_today(name):
    folder = BUNDLED / name
    config = read_config(folder / CONFIG)
    evaluations = find_evaluations(RESULTS, config, folder)
    assert evaluations, f"{name} was not measured since its weights changed"
    card = model_card(config, repo_id=f"USER/{name}", evaluations=evaluations, license=LICENSE)
    assert (folder / "README.md").read_text(encoding="utf-8") == card, "run python -m train.cards checkpoints/*/"
