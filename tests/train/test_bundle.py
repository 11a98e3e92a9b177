"""From a run folder to a bundled checkpoint and its training record."""

import json
import sys

import torch

from models import load_checkpoint
from models.checkpoint import verify_golden
from train.bundle import main, rgb_answers
from train.config import TrainConfig
from train.data import load_split
from train.engine import unsure_below
from train.evaluate import measure
from train.run import train


def test_a_run_becomes_an_8_bit_checkpoint_that_records_how_it_was_made(colours, tmp_path, monkeypatch):
    run, target = tmp_path / "run", tmp_path / "compact"
    train(TrainConfig("compact", colours, run, image_size="16", epochs=2, batch_size=8, workers=0, lr=0.05))
    command = ["bundle", "--run-dir", str(run), "--to", str(target), "--data-root", str(colours)]
    monkeypatch.setattr(sys, "argv", [*command, "--results", str(tmp_path / "results")])
    main()

    record = json.loads((tmp_path / "results" / "training-compact.json").read_text())
    assert (record["kind"], record["checkpoint"], record["epochs"]) == ("training", "compact", 2)
    assert len(record["rows"]) == 2 and record["settings"] == {
        "image_size": "16", "epochs": 2, "batch_size": 8, "lr": 0.05, "seed": 0,
    }  # fmt: skip
    assert str(tmp_path) not in (target / "config.json").read_text()

    stored, source, val = load_checkpoint(target), load_checkpoint(run), load_split(colours, "val")
    assert verify_golden(stored, target) == 0
    assert stored.config.storage == "int8" and stored.config.training["data"] == colours.name
    answers, metrics = rgb_answers(stored, val, bf16=False), stored.config.metrics
    assert metrics["val_accuracy"] == measure("RGB", *answers).accuracy
    assert metrics["val_accuracy_full_precision"] == measure("RGB", *rgb_answers(source, val, bf16=False)).accuracy
    assert metrics["unsure_below"] == unsure_below(*answers)
    weights = (source.state_dict()["neck.0.weight"], stored.state_dict()["neck.0.weight"])
    assert 0 < (weights[0] - weights[1]).abs().max() <= weights[0].abs().max() / 127 / 2 * (1 + 1e-4)
    assert torch.isfinite(weights[1]).all()
