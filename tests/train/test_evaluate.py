"""Metrics, intervals, paired tests and the evaluation command."""

import argparse
import csv
import json
import statistics
import subprocess
import sys

import pytest
import torch
from scipy.stats import binomtest

from models import SUBSETS, ModelConfig, build_model, save_checkpoint, select_channels
from train.data import Split, load_split
from train.evaluate import compare, evaluate, measure, number_of, parse_subsets, predict_subsets, result_file
from train.findings import worst_single


def logits_for(predictions: list[int], num_classes: int = 3) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(predictions), num_classes).float()


def test_metrics_are_macro_averages():
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    row = measure("RGB", logits_for([0, 0, 1, 1, 1, 0]), labels)
    assert row.accuracy == pytest.approx(4 / 6)
    assert row.precision == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert row.recall == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert row.f1 == pytest.approx((2 / 3 + 0.8 + 0) / 3)
    assert row.correct == 4


def test_classes_without_pictures_do_not_count():
    labels = torch.tensor([0, 0, 0, 1])
    row = measure("RGB", logits_for([0, 0, 2, 1]), labels)  # there is no picture of the last class
    assert row.recall == pytest.approx((2 / 3 + 1) / 2)
    assert row.precision == 1 and row.f1 == pytest.approx((0.8 + 1) / 2)


def test_confidences_are_measured_as_the_config_makes_them():
    logits = logits_for([0, 1, 2, 2])
    sure = ModelConfig("compact", {}, metrics={"calibration_temperature": 0.1})
    plain, row = (measure("RGB", logits, torch.tensor([0, 1, 2, 0]), config) for config in (None, sure))
    confidence = logits.softmax(1).amax().item()
    assert plain.confidence == pytest.approx(confidence) and plain.calibration_error == plain.raw_calibration_error
    assert row.raw_calibration_error == pytest.approx(0.75 - confidence, abs=1e-6)
    assert row.confidence == pytest.approx(1, abs=1e-3) and row.calibration_error == pytest.approx(0.25, abs=1e-3)
    assert row.accuracy == plain.accuracy == 0.75


def test_confidences_are_measured_with_the_temperature_of_their_number_of_channels():
    config = ModelConfig("compact", {}, metrics={"calibration_temperature": [4.0, 2.0, 1.0]})
    logits, labels = 5 * logits_for([0, 1]), torch.tensor([0, 1])
    for number, temperature in ((1, 4), (2, 2), (3, 1), (None, 1)):
        row = measure("some", logits, labels, config, number)
        assert row.calibration_temperature == temperature
        assert row.confidence == pytest.approx((logits / temperature).softmax(1).amax().item())


def test_evaluation_in_several_processes_is_refused(colours, monkeypatch):
    model = build_model("compact", num_classes=3)
    model.config = ModelConfig("compact", {}, input_size=16)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="once in each of 2 processes; start it as one"):
        predict_subsets(model, load_split(colours, "val"), ["RGB"])


def test_a_subset_is_measured_as_one_of_its_number_of_channels(colours):
    model = build_model("compact", num_classes=3)
    model.config = ModelConfig("compact", {}, input_size=16, metrics={"calibration_temperature": [4.0, 2.0, 1.0]})
    evaluation, _ = evaluate(model, load_split(colours, "val"), ["RGB", "GB", "R"])
    assert [row["calibration_temperature"] for row in evaluation["rows"]] == [1, 2, 4]
    assert parse_subsets("all", ("NIR",)) == ["all bands"] and parse_subsets("rgb,RGB,g") == ["RGB", "G"]
    assert [number_of(subset, ("B", "R", "NIR")) for subset in ("all bands", "no B", "NIR")] == [3, 2, 1]


def test_which_of_several_unknown_bands_is_absent_must_be_clear():
    with pytest.raises(ValueError, match=r"'no \?' leaves open which of the 2 \? is meant"):
        number_of("no ?", ("?", "R", "?"))


def test_the_interval_is_wilsons():
    labels = torch.zeros(10, dtype=torch.long)
    row = measure("RGB", logits_for([0] * 7 + [1] * 3), labels)
    p, n, z = 0.7, 10, 1.959964
    centre, half = p + z * z / (2 * n), z * ((p * (1 - p) + z * z / (4 * n)) / n) ** 0.5
    assert row.ci_low == pytest.approx((centre - half) / (1 + z * z / n), abs=1e-5)
    assert row.ci_high == pytest.approx((centre + half) / (1 + z * z / n), abs=1e-5)


def test_mcnemar_counts_pictures_that_only_one_gets_right():
    labels = torch.zeros(10, dtype=torch.long)
    first, second = logits_for([0] * 8 + [1] * 2), logits_for([0] * 2 + [1] * 7 + [0])
    row = compare("R", first, second, labels)
    assert (row.only_first, row.only_second) == (6, 1)
    assert row.p_value == pytest.approx(binomtest(6, 7).pvalue)


def test_mcnemar_of_a_model_with_itself_is_one():
    logits = logits_for([0, 1, 2])
    assert compare("R", logits, logits, torch.tensor([0, 1, 1])).p_value == 1


@pytest.mark.parametrize(
    ("bands", "accuracies", "found"),
    [
        ([], {"RGB": 0.8, "R": 0.6, "G": 0.7, "B": 0.4}, ("B", 0.5)),
        (["R", "NIR"], {"all bands": 0.8, "R": 0.4, "NIR": 0.7}, ("R", 0.5)),
        ([], {"RGB": 0.8, "R": 0.6}, None),
        ([], {"R": 0.6, "G": 0.7, "B": 0.4}, None),
        ([], {"RGB": 0, "R": 0, "G": 0, "B": 0}, None),
    ],
)
def test_the_worst_single_channel_is_named_where_all_were_measured(bands, accuracies, found):
    rows = [{"channels": channels, "accuracy": accuracy} for channels, accuracy in accuracies.items()]
    assert worst_single({"bands": bands, "rows": rows}) == found


def test_subsets_are_parsed():
    assert parse_subsets("all") == list(SUBSETS)
    assert parse_subsets("RGB, r") == ["RGB", "R"]
    assert parse_subsets("R,all") == ["R", *(subset for subset in SUBSETS if subset != "R")]
    assert parse_subsets("nir+b,all", ("B", "R", "NIR")) == [
        "NIR+B", "all bands", "no B", "no R", "no NIR", "B", "R", "NIR",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="unknown channel 'X'"):
        parse_subsets("RGB,X")


@pytest.fixture
def checkpoint(colours, tmp_path):
    split = load_split(colours, "test")
    model = build_model("compact", num_classes=3)
    model.config = ModelConfig(
        "compact", model.arguments, class_names=split.class_names, synsets=split.synsets, input_size=16
    )
    save_checkpoint(model, tmp_path / "compact")
    return tmp_path / "compact"


def test_subset_logits_are_those_of_the_model_itself(checkpoint, colours):
    from models import load_checkpoint
    from train.data import read_picture

    model, split = load_checkpoint(checkpoint), load_split(colours, "test")
    logits, labels = predict_subsets(model, split, ["RGB", "GB"])
    images = torch.stack([model.config.preprocess(read_picture(path)) for path in split.paths])
    with torch.no_grad():
        expected = model(select_channels(images, "GB"), "GB")
    torch.testing.assert_close(logits["GB"], expected, rtol=1e-4, atol=1e-5)
    assert labels.tolist() == list(split.labels)


def test_a_checkpoint_of_other_classes_is_refused(checkpoint):
    from models import load_checkpoint
    from train.data import DataError

    other = Split(paths=(), labels=(), class_names=("cat", "dog"), synsets=("n1", "n2"))
    with pytest.raises(DataError, match="the checkpoint knows 3 classes"):
        predict_subsets(load_checkpoint(checkpoint), other, ["RGB"])


def test_the_command_prints_and_writes_a_paired_comparison(checkpoint, colours, tmp_path, root):
    command = [sys.executable, "-m", "train.evaluate", "--checkpoint", str(checkpoint), str(checkpoint)]
    command += ["--data-root", str(colours), "--channels", "all", "--json", str(tmp_path / "out.json")]
    command += ["--per-class", str(tmp_path / "classes.csv")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out.json").read_text())
    assert len(result["first"]["weights_sha256"]) == 16
    with (tmp_path / "classes.csv").open() as file:
        classes = list(csv.DictReader(file))
    assert len(classes) == 2 * len(SUBSETS) * 3 and {row["pictures"] for row in classes} == {"3"}
    recalled = statistics.mean(float(row["recall"]) for row in classes[:3])
    assert recalled == pytest.approx(result["first"]["rows"][0]["recall"])
    assert [row["channels"] for row in result["first"]["rows"]] == list(SUBSETS)
    assert all(row["p_value"] == 1 for row in result["paired"])
    assert "95 % interval" in done.stdout
    assert "McNemar" in done.stdout


def test_the_file_of_the_results_is_checked_before_measuring(tmp_path):
    assert result_file(str(tmp_path / "new" / "out.json")).parent.is_dir()
    with pytest.raises(argparse.ArgumentTypeError, match="is a folder; name a file in it"):
        result_file(str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(argparse.ArgumentTypeError, match="cannot be written"):
        result_file(str(tmp_path / "file" / "out.json"))
    with pytest.raises(argparse.ArgumentTypeError, match="cannot be written"):
        result_file("/proc/out.json")  # a folder that is there and takes no files


def test_a_wrong_checkpoint_is_one_line(colours, root):
    command = [sys.executable, "-m", "train.evaluate", "--checkpoint", "nowhere", "--data-root", str(colours)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no checkpoint 'nowhere'")
    assert "Traceback" not in done.stderr


def test_a_checkpoint_is_compared_with_itself_seeing_otherwise(checkpoint, colours, tmp_path, root):
    command = [sys.executable, "-m", "train.evaluate", "--checkpoint", str(checkpoint), str(checkpoint)]
    command += ["--data-root", str(colours), "--json", str(tmp_path / "out.json"), "--image-size"]
    done = subprocess.run([*command, "16", "24", "--crop-pct", "1", "0.8"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out.json").read_text())
    seen = [(result[side]["input_size"], result[side]["crop_pct"]) for side in ("first", "second")]
    assert seen == [(16, 1), (24, 0.8)]
    name = f"…/{checkpoint.name}"  # without the way there
    assert result["first"]["checkpoint"] == name
    assert f"{name} at 16 px | {name} at 24 px, crop 0.8" in done.stdout
    done = subprocess.run([*command, "16", "4"], cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "error: image size 4: compact needs 8 px or more\n")
    done = subprocess.run([*command, "16", "24", "32"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 2 and "give one image size or one for each checkpoint, got 3" in done.stderr
