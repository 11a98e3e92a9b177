"""From a run folder to a bundled checkpoint and its training record."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from models import load_checkpoint
from models.checkpoint import verify_golden
from train import calibrate
from train.bundle import main
from train.calibrate import full_answers
from train.confidence import confidence_metrics
from train.config import TrainConfig
from train.data import load_split
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
    answers, metrics = full_answers(stored, val, bf16=False), stored.config.metrics
    assert metrics["val_accuracy"] == measure("RGB", *answers).accuracy
    assert metrics["val_accuracy_full_precision"] == measure("RGB", *full_answers(source, val, bf16=False)).accuracy
    assert metrics.items() >= confidence_metrics(*answers).items()
    weights = (source.state_dict()["neck.0.weight"], stored.state_dict()["neck.0.weight"])
    assert 0 < (weights[0] - weights[1]).abs().max() <= weights[0].abs().max() / 127 / 2 * (1 + 1e-4)
    assert torch.isfinite(weights[1]).all()


def test_a_checkpoint_is_calibrated_for_another_crop(colours, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "compact"
    train(TrainConfig("compact", colours, folder, image_size="16", epochs=1, batch_size=8, workers=0, lr=0.05))
    before = load_checkpoint(folder)
    command = ["calibrate", "--checkpoint", str(folder), "--data-root", str(colours), "--crop-pct", "0.8"]
    monkeypatch.setattr(sys, "argv", command)
    calibrate.main()

    after = load_checkpoint(folder)
    assert verify_golden(after, folder) == 0 and after.config.crop_pct == 0.8
    answers = full_answers(after, load_split(colours, "val"), bf16=False)
    measured = {"val_accuracy": measure("RGB", *answers).accuracy, "val_images": 9, "epoch": 1}
    assert after.config.metrics == measured | confidence_metrics(*answers)
    assert after.config == replace(before.config, crop_pct=0.8, metrics=after.config.metrics)
    assert "calibration_temperature" in capsys.readouterr().out

    monkeypatch.setattr(sys, "argv", [*command[:-1], "1.5"])
    with pytest.raises(SystemExit, match=r"error: crop pct 1\.5: it must be above 0 and at most 1"):
        calibrate.main()
