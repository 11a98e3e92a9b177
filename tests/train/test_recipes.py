"""The recipes of the bundled weights."""

import json
from pathlib import Path

import pytest

from models import MODELS
from train import RESULTS
from train.config import PLACES as PLACES_AND_SPEED
from train.run import parse

RECIPES = sorted((Path(__file__).parents[2] / "train" / "recipes").glob("*.yaml"))
PLACES = ["--data-root", "data", "--run-dir", "runs/x"]


def record_of(recipe: Path) -> Path:
    return RESULTS / f"training-{recipe.stem}.json"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_a_complete_command(path):
    config = parse(["--recipe", str(path), *PLACES])
    assert path.stem.split("-")[0] == config.model
    assert config.sizes


LEADING = {"image_size": "--image-size", "epochs": "--epochs"}  # which other defaults follow from
STARTS = {"init_from", "teacher", *PLACES_AND_SPEED}  # which the commands give


@pytest.mark.parametrize("path", [path for path in RECIPES if record_of(path).is_file()], ids=lambda path: path.stem)
def test_a_recipe_is_what_the_recorded_training_used(path):
    record = json.loads(record_of(path).read_text(encoding="utf-8"))
    parsed = parse(["--recipe", str(path), *PLACES]).to_dict()
    own = [part for key in LEADING if key in record["settings"] for part in (LEADING[key], record["settings"][key])]
    used = parse(["--model", record["model"], *PLACES, *map(str, own)]).to_dict() | record["settings"]
    assert {key: parsed[key] for key in parsed if key not in STARTS} == {
        key: used[key] for key in parsed if key not in STARTS
    }


def test_every_model_has_a_recipe():
    assert {path.stem for path in RECIPES} >= set(MODELS)


def test_a_flag_overrides_the_recipe():
    assert parse(["--recipe", str(RECIPES[0]), *PLACES, "--lr", "0.007", "--no-bf16"]).lr == 0.007
