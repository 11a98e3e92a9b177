"""From a run folder to a bundled checkpoint and its training record."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models import SUBSETS, CheckpointError, load_checkpoint
from models.bands import places_of
from models.checkpoint import verify_golden
from train import calibrate
from train.bundle import bundle, main, read_run
from train.confidence import confidence_metrics
from train.config import TrainConfig
from train.data import load_split
from train.evaluate import measure, predict_subsets
from train.run import train


def worth(logits, labels):
    """What confidences are worth: with all channels, and of every subset of one."""
    single = torch.cat([logits[channel] for channel in "RGB"])
    return confidence_metrics(logits["RGB"], labels), confidence_metrics(single, labels.repeat(3))


def of_number(metrics, number):
    return {name: metrics[name][number - 1] for name in ("calibration_temperature", "unsure_below")}


def test_a_run_becomes_an_8_bit_checkpoint_that_records_how_it_was_made(colours, tmp_path, monkeypatch):
    run, target = tmp_path / "run", tmp_path / "compact"
    monkeypatch.chdir(colours)
    colours, place = Path(), colours  # the data's name is that of its folder, not of the way there
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
    assert stored.config.storage == "int8" and stored.config.training["data"] == place.name
    (logits, labels), metrics = predict_subsets(stored, val, [*SUBSETS]), stored.config.metrics
    assert metrics["val_accuracy"] == measure("RGB", logits["RGB"], labels).accuracy
    exact = predict_subsets(source, val, ["RGB"])[0]["RGB"]
    assert metrics["val_accuracy_full_precision"] == measure("RGB", exact, labels).accuracy
    assert (of_number(metrics, 3), of_number(metrics, 1)) == worth(logits, labels)
    weights = (source.state_dict()["neck.0.weight"], stored.state_dict()["neck.0.weight"])
    assert 0 < (weights[0] - weights[1]).abs().max() <= weights[0].abs().max() / 127 / 2 * (1 + 1e-4)
    assert torch.isfinite(weights[1]).all()


@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl"])
def test_a_damaged_record_of_a_run_is_named(tmp_path, name):
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "metrics.jsonl").write_text("{}\n{}\n")
    assert read_run(tmp_path) == ({}, [{}, {}])
    (tmp_path / name).write_text('{"epoch": 1')
    with pytest.raises(CheckpointError, match=f"metrics.jsonl in .*{tmp_path.name} is damaged .*restore it"):
        read_run(tmp_path)


def test_a_run_is_not_replaced_by_its_8_bit_copy(tmp_path, monkeypatch):
    command = ["bundle", "--run-dir", str(tmp_path), "--to", str(tmp_path / "a" / ".."), "--data-root", "data"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match="holds the run's own weights, which would be rounded; name another folder"):
        main()


def test_a_checkpoint_is_calibrated_for_another_crop(colours, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "compact"
    train(TrainConfig("compact", colours, folder, image_size="16", epochs=1, batch_size=8, workers=0, lr=0.05))
    before = load_checkpoint(folder)
    command = ["calibrate", "--checkpoint", str(folder), "--data-root", str(colours), "--crop-pct", "0.8"]
    monkeypatch.setattr(sys, "argv", command)
    calibrate.main()

    after = load_checkpoint(folder)
    assert verify_golden(after, folder) == 0 and after.config.crop_pct == 0.8
    logits, labels = predict_subsets(after, load_split(colours, "val"), [*SUBSETS])
    metrics = after.config.metrics
    measured = {"val_accuracy": measure("RGB", logits["RGB"], labels).accuracy, "val_images": 9, "epoch": 1}
    assert metrics.items() >= measured.items() and {*metrics} == {*measured, "calibration_temperature", "unsure_below"}
    assert (of_number(metrics, 3), of_number(metrics, 1)) == worth(logits, labels)
    assert after.config == replace(before.config, crop_pct=0.8, metrics=after.config.metrics)
    told = capsys.readouterr().out
    assert "calibration_temperature" in told

    assert "measured on 9 pictures, which are too few to rely on" in told

    monkeypatch.setattr(sys, "argv", [*command[:2], "vgg19", *command[3:]])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="no folder vgg19; calibration renews the config in one"):
        calibrate.main()
    monkeypatch.setattr(sys, "argv", [*command[:-1], "1.5"])
    with pytest.raises(SystemExit, match=r"error: crop pct 1\.5: it must be above 0 and at most 1"):
        calibrate.main()


@pytest.mark.parametrize(
    ("bands", "numbers"),
    [
        ((), []),
        (("R", "NIR", "?"), []),
        (("B", "R", "NIR", "?"), [2]),
        (("B", "G", "R", "0.74", "NIR", "SWIR1"), [2, 3, 4]),
        (("B", "G", "R", "?", "?"), [2, 3]),
        (("?",) * 6, []),
    ],
)
def test_every_number_of_a_sensors_bands_is_measured(bands, numbers):
    places = [list(places_of(subset, bands)) for subset in calibrate.between(bands)]
    assert sorted({*map(len, places)}) == numbers and all(some == sorted(some) for some in places)
    assert calibrate.between(bands) == calibrate.between(bands)


def test_accuracy_on_validation_stays_that_of_the_channels_that_were_trained(colours, tmp_path):
    settings = {"image_size": "16", "epochs": 1, "batch_size": 8, "workers": 0, "lr": 0.05}
    train(TrainConfig("compact", colours, tmp_path / "run", channels="R", **settings))
    bundle(tmp_path / "run", tmp_path / "copy", colours, "int8")
    model = load_checkpoint(tmp_path / "copy")
    logits, labels = predict_subsets(model, load_split(colours, "val"), ["R", "RGB"])
    found = {channels: measure(channels, logits[channels], labels).accuracy for channels in logits}
    assert found["R"] != found["RGB"] and model.config.metrics["val_accuracy"] == found["R"]
