"""The recipes of the bundled weights."""

from pathlib import Path

import pytest

from models import MODELS
from train.run import parse

RECIPES = sorted((Path(__file__).parents[2] / "train" / "recipes").glob("*.yaml"))
PLACES = ["--data-root", "data", "--run-dir", "runs/x"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_a_complete_command(path):
    config = parse(["--recipe", str(path), *PLACES])
    assert path.stem.split("-")[0] == config.model
    assert config.sizes


def test_every_model_has_a_recipe():
    assert {path.stem for path in RECIPES} >= set(MODELS)


def test_a_flag_overrides_the_recipe():
    assert parse(["--recipe", str(RECIPES[0]), *PLACES, "--lr", "0.007", "--no-bf16"]).lr == 0.007
