"""Whole training runs on generated pictures, also killed, resumed and spread over two processes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from models import CheckpointError, build_model, load_checkpoint, load_model, save_checkpoint
from train import run
from train.config import TrainConfig
from train.data import DataError, Pictures, load_split
from train.engine import NonFiniteLossError, Step, make_optimizer
from train.run import train

FILES = ["config.json", "curves.png", "golden.safetensors", "metrics.jsonl", "model.safetensors", "run.json"]


def flags(config: TrainConfig) -> list[str]:
    """The command line of a config: what differs from the defaults."""
    defaults = TrainConfig(config.model, config.data_root, config.run_dir).to_dict()
    changed = {key: value for key, value in config.to_dict().items() if value != defaults[key]}
    given = {"model": config.model, "data_root": config.data_root, "run_dir": config.run_dir} | changed
    return [part for key, value in given.items() for part in run.flag(key, str(value))]


def start(config: TrainConfig, root: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "train.run", *flags(config)]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def rows(run_dir: Path) -> list[dict]:
    path = run_dir / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def state(run_dir: Path) -> dict[str, Tensor]:
    return load_file(run_dir / run.STATE)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


class Killed(BaseException):
    """Stands for a kill inside this process."""


def interrupt(monkeypatch, step: int) -> None:
    """Let the next run die at the given step, counted over the whole run."""
    taken, call = 0, run.Meter.__call__

    def count(meter, report):
        nonlocal taken
        taken += 1
        if taken == step:
            raise Killed
        call(meter, report)

    monkeypatch.setattr(run.Meter, "__call__", count)


# A run from the command line


@pytest.fixture(scope="module")
def finished(colours, root, tmp_path_factory) -> TrainConfig:
    """One run of the real command: both blocks, a schedule of sizes, loaded by one worker."""
    config = TrainConfig(
        model="compact", data_root=colours, run_dir=tmp_path_factory.mktemp("runs") / "a", image_size="16:1,24:2",
        batch_size=8, lr=0.05, threads=1,
    )  # fmt: skip
    process = start(config, root)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return config


def test_the_run_folder_holds_everything(finished):
    assert sorted(path.name for path in finished.run_dir.iterdir()) == sorted([*FILES, run.STATE])


def test_the_run_writes_one_row_of_metrics_per_epoch(finished):
    table = rows(finished.run_dir)
    assert [(row["epoch"], row["size"]) for row in table] == [(1, 16), (2, 24), (3, 24)]
    for row in table:
        assert {"train_loss", "train_accuracy", "val_loss", "val_accuracy", "images_per_s", "train_s"} <= row.keys()


def test_the_run_learns_the_colours(finished):
    assert max(row["val_accuracy"] for row in rows(finished.run_dir)) > 0.6  # chance is a third


def test_the_run_records_its_settings_commit_and_versions(finished):
    about = json.loads((finished.run_dir / "run.json").read_text())
    assert about["config"] == finished.to_dict()
    assert about["train_images"] == 24 and about["skipped_images"] == 0
    assert {"torch", "torchvision", "accelerate"} <= about["versions"].keys()
    assert about["git_commit"] and about["device"]


def test_the_checkpoint_carries_classes_size_and_metrics(finished):
    config = load_checkpoint(finished.run_dir).config
    assert config.synsets == ("n01_red", "n02_green", "n03_blue") and config.input_size == 24
    best = max(row["val_accuracy"] for row in rows(finished.run_dir) if row["size"] == 24)
    assert config.metrics["val_accuracy"] == best
    assert config.training["lr"] == 0.05 and config.training["images"] == 24


def test_the_checkpoint_answers_as_its_metrics_say(finished):
    model = load_checkpoint(finished.run_dir)
    row = rows(finished.run_dir)[model.config.metrics["epoch"] - 1]
    assert validation_loss(model, finished) == pytest.approx(row["val_loss"], abs=1e-4)


@torch.no_grad()
def validation_loss(model, config: TrainConfig) -> float:
    """Cross-entropy over the validation pictures, each counted once."""
    split = load_split(config.data_root, "val")
    pixels = torch.stack([pixels for pixels, _ in Pictures(split, size=model.config.input_size)])
    return F.cross_entropy(model((pixels / 255 - 0.5) / 0.5), torch.tensor(split.labels)).item()


def test_a_bad_flag_ends_the_command_with_one_line(finished, root, config):
    process = start(config(data_root=Path("/nowhere")), root)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.strip() == "error: no folder /nowhere; --data-root is the folder that holds the pictures"


# Repeating and resuming


def test_a_run_repeats_bit_for_bit_whatever_the_workers(config):
    train(config(run_dir=config().run_dir / "a", channels="sample", mix="both"))
    train(config(run_dir=config().run_dir / "b", channels="sample", mix="both", workers=2))
    assert same(state(config().run_dir / "a"), state(config().run_dir / "b"))


def test_another_seed_gives_other_weights(config):
    folder = config().run_dir
    first, second = (
        train(config(epochs=1, seed=seed, run_dir=folder / str(seed))).classifier.weight for seed in (0, 1)
    )
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    "options",
    [
        {"blocks": "both"},
        {"ema": 0.9, "channels": "sample", "image_size": "16:2,24:6"},
        {"optimizer": "adamw", "mix": "both", "lr": 0.01, "bf16": True},
    ],
    ids=["plain", "ema-sample", "adamw-mix-bf16"],
)
def test_a_run_killed_at_any_moment_resumes_to_the_same_weights(config, root, options):
    whole = config(run_dir=config().run_dir / "whole", epochs=8, **options)
    train(whole)
    broken = config(run_dir=config().run_dir / "broken", epochs=8, **options)
    process = start(broken, root)
    while not rows(broken.run_dir):  # the first epoch is finished
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    time.sleep(random.uniform(0, 0.5))
    assert process.poll() is None, "finished before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert 1 <= len(rows(broken.run_dir)) < 8
    train(config(run_dir=broken.run_dir, epochs=8, resume=True, **options))
    assert same(state(broken.run_dir), state(whole.run_dir))
    assert same(load_file(broken.run_dir / "model.safetensors"), load_file(whole.run_dir / "model.safetensors"))
    assert [row["val_loss"] for row in rows(broken.run_dir)] == [row["val_loss"] for row in rows(whole.run_dir)]


@pytest.mark.parametrize(("model", "step"), [("compact", 2), ("compact", 4), ("compact", 5), ("resnet34", 5)])
def test_a_run_that_dies_within_an_epoch_resumes_to_the_same_weights(config, monkeypatch, model, step):
    options = {"model": model, "ema": 0.5, "image_size": "32"}  # three steps an epoch
    train(config(run_dir=config().run_dir / "whole", **options))
    broken = config(run_dir=config().run_dir / "broken", **options)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        interrupt(patch, step)
        train(broken)
    train(config(run_dir=broken.run_dir, resume=True, **options))
    assert same(state(broken.run_dir), state(config().run_dir / "whole"))


@pytest.mark.parametrize("victim", ["save_checkpoint", "write_metrics", "plot_curves", "save_state"])
def test_a_run_that_dies_while_it_saves_resumes_to_the_same_weights(config, monkeypatch, victim):
    train(config(run_dir=config().run_dir / "whole"))
    broken = config(run_dir=config().run_dir / "broken")
    original = getattr(run, victim)

    def die_in_the_second_epoch(*arguments, **options):
        if len(rows(broken.run_dir)) >= 1 and (broken.run_dir / run.STATE).is_file():
            raise Killed
        return original(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(run, victim, die_in_the_second_epoch)
        train(broken)
    train(config(run_dir=broken.run_dir, resume=True))
    assert same(state(broken.run_dir), state(config().run_dir / "whole"))
    assert [row["epoch"] for row in rows(broken.run_dir)] == [1, 2]


def test_resuming_a_finished_run_changes_nothing(config):
    train(config())
    before = state(config().run_dir), rows(config().run_dir)
    train(config(resume=True))
    assert same(state(config().run_dir), before[0]) and rows(config().run_dir) == before[1]


def test_resuming_nothing_starts_from_the_beginning(config):
    train(config(resume=True))
    assert len(rows(config().run_dir)) == 2


def test_a_setting_younger_than_the_run_had_its_default(config):
    train(config(epochs=1))
    path = config().run_dir / "run.json"
    about = json.loads(path.read_text())
    assert about["config"].pop("width") == 1.0
    path.write_text(json.dumps(about))
    train(config(epochs=1, resume=True))
    path.write_text(json.dumps(about | {"config": about["config"] | {"width": 0.5}}))
    with pytest.raises(CheckpointError, match=r"other settings \(width\)"):
        train(config(epochs=1, resume=True))


def test_resuming_with_other_settings_is_refused(config):
    train(config(epochs=1))
    with pytest.raises(
        CheckpointError, match=r"state\.safetensors belongs to .* other settings \(epochs, lr\).*--run-dir"
    ):
        train(config(lr=0.3, resume=True))


@pytest.mark.parametrize(
    ("pictures", "renamed", "message"),
    [
        (16, None, r"on 24 pictures of 3 classes, .* has 16 of 2 \(n03_blue\); restore"),
        (24, "n03_blue", r"on 24 pictures of 3 classes, .* has 24 of 3 \(n03_azure, n03_blue\); restore"),
        (23, None, r"on 24 pictures of 3 classes, .* has 23 of 3 \(in the same classes\); restore"),
    ],
)
def test_resuming_on_other_data_is_refused(config, tmp_path, pictures, renamed, message):
    train(config(epochs=1))
    source = config().data_root
    shutil.copytree(source, tmp_path / "data")
    lines = (source / "train.txt").read_text().splitlines()[:pictures]
    labels = {line.rpartition(" ")[2] for line in lines}
    for name in ("train", "val"):
        kept = [line for line in (source / f"{name}.txt").read_text().splitlines() if line[-1] in labels]
        text = "\n".join(kept[:pictures] if name == "train" else kept)
        (tmp_path / "data" / f"{name}.txt").write_text(text.replace("n03_blue/", "n03_azure/") if renamed else text)
    if renamed:
        (tmp_path / "data" / "images" / renamed).rename(tmp_path / "data" / "images" / "n03_azure")
    with pytest.raises(CheckpointError, match=message):
        train(config(epochs=1, resume=True, data_root=tmp_path / "data"))


def test_resuming_on_other_pictures_of_the_same_names_is_refused(config, tmp_path):
    train(config(epochs=1))
    copy = tmp_path / "copy"
    shutil.copytree(config().data_root, copy)
    train(config(epochs=1, resume=True, data_root=copy))
    path = next(copy.glob("images/*/*"))
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match=r"belongs to a run on other pictures than .*copy has"):
        train(config(epochs=1, resume=True, data_root=copy))


def test_a_resumed_run_keeps_the_record_of_its_beginning(config, monkeypatch):
    train(config(epochs=1))
    path = config().run_dir / "run.json"
    about = json.loads(path.read_text()) | {"device": "NVIDIA H100"}
    path.write_text(json.dumps(about))
    train(config(epochs=1, resume=True))
    assert json.loads(path.read_text()) == about  # nothing was left to do

    interrupt(monkeypatch, step=4)
    later = {"epochs": 3, "run_dir": config().run_dir.with_name("longer")}
    with pytest.raises(Killed):
        train(config(**later))
    monkeypatch.undo()
    train(config(**later, resume=True))
    about = json.loads((later["run_dir"] / "run.json").read_text())
    assert [session["after_epoch"] for session in about["resumed"]] == [1]
    assert about["resumed"][0].keys() >= {"command", "device", "git_commit", "versions"}


def test_a_picture_in_train_and_val_is_refused(config, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(config().data_root, copy)
    line = (copy / "train.txt").read_text().splitlines()[0]
    (copy / "val.txt").write_text((copy / "val.txt").read_text().rstrip("\n") + f"\n{line}\n")
    with pytest.raises(DataError, match=r"1 pictures are both in train and in val \(.*\.png"):
        train(config(data_root=copy))


def test_a_picture_that_is_also_tested_is_refused_links_too(config, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(config().data_root, copy)
    picture = next((copy / "images" / "n01_red").glob("train_*.png"))
    (picture.parent / "again.png").symlink_to(picture)
    (copy / "test.txt").write_text("images/n01_red/again.png 0\n")
    with pytest.raises(DataError, match=rf"1 pictures are both in train and in test \(.*{picture.name}"):
        train(config(data_root=copy))


def test_a_test_split_without_labels_does_no_harm(config, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(config().data_root, copy)
    (copy / "test.txt").write_text("images/n01_red/test_0.png\n")
    train(config(data_root=copy, epochs=1))


def test_resuming_on_other_labels_is_refused(config):
    train(config(epochs=1))
    split, val = (load_split(config().data_root, name) for name in ("train", "val"))
    path = config().run_dir / "run.json"
    about = json.loads(path.read_text())
    other = run.data_facts(config(), split, replace(val, labels=val.labels[::-1]), 1)["labels_sha256"]
    assert other != about["labels_sha256"]
    path.write_text(json.dumps(about | {"labels_sha256": other}))
    with pytest.raises(CheckpointError, match=r"other pictures than .* has \(labels differ\)"):
        train(config(epochs=1, resume=True))


def test_nothing_to_resume_and_nothing_left_to_train_are_said(config, monkeypatch, capfd):
    folder = config().run_dir
    command = [
        "run",
        "--model",
        "compact",
        "--data-root",
        str(config().data_root),
        "--run-dir",
        str(folder),
        "--resume",
    ]
    monkeypatch.setattr(sys, "argv", [*command, "--image-size", "16:1", "--workers", "0", "--batch-size", "8"])
    for words in ("holds nothing to resume; training starts anew", "has finished its 1 epochs; nothing is left"):
        run.main()
        assert words in "".join(capfd.readouterr())


def test_resuming_in_another_number_of_processes_is_refused(config):
    train(config(epochs=1))
    path = config().run_dir / "run.json"
    about = json.loads(path.read_text())
    assert about.pop("processes") == 1
    path.write_text(json.dumps(about))  # a run from before they were recorded
    train(config(epochs=1, resume=True))
    path.write_text(json.dumps(about | {"processes": 4}))
    with pytest.raises(
        CheckpointError, match=r"a run of 4 processes with 8 pictures each, this one has 1; start as many"
    ):
        train(config(epochs=1, resume=True))


def test_a_resumed_optimiser_has_the_memory_layout_of_the_weights(config, monkeypatch):
    made = []
    monkeypatch.setattr(run, "make_optimizer", lambda *args: made.append(make_optimizer(*args)) or made[-1])
    train(config(epochs=1))
    train(config(epochs=1, resume=True))
    strides = [[state["momentum_buffer"].stride() for state in optimizer.state.values()] for optimizer in made]
    assert strides[0] == strides[1] == [parameter.stride() for parameter in made[1].state]
    assert any(not parameter.is_contiguous() for parameter in made[1].state)


def test_running_out_of_memory_is_a_clear_error(config, monkeypatch):
    def fail(_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate …")

    monkeypatch.setattr(run, "train", fail)
    monkeypatch.setattr(sys, "argv", ["run", *flags(config())])
    with pytest.raises(SystemExit, match="error: the GPU's memory is too small; use smaller batches"):
        run.main()


def test_the_meter_averages_over_all_processes():
    sums = torch.tensor([6.0, 1.0, 4.0])  # of another process
    both = SimpleNamespace(num_processes=2, is_main_process=False, device="cpu", reduce=lambda ours: ours + sums)
    alone = SimpleNamespace(num_processes=1, is_main_process=False)
    for accelerator, loss, accuracy in ((both, 1.0, 0.5), (alone, 0.5, 0.75)):
        meter = run.Meter(1, "epoch", accelerator)
        meter(Step(loss=0.5, correct=3.0, images=4, lr=0.1))
        row = meter.close()
        assert (row["train_loss"], row["train_accuracy"]) == (loss, accuracy)


def test_resuming_may_change_what_does_not_matter(config):
    train(config(epochs=1))
    train(config(epochs=1, workers=1, threads=2, resume=True))


@pytest.mark.parametrize("name", [run.STATE, "run.json"])
@pytest.mark.parametrize("text", ["", "{", "broken" * 20])
def test_a_damaged_state_is_refused(config, name, text):
    train(config(epochs=1))
    (config().run_dir / name).write_text(text)
    with pytest.raises(CheckpointError, match=r"cannot resume from .*state\.safetensors.*begin another --run-dir"):
        train(config(epochs=1, resume=True))


def test_a_missing_run_json_is_refused(config):
    train(config(epochs=1))
    (config().run_dir / "run.json").unlink()
    with pytest.raises(CheckpointError, match=r"cannot resume from .*run\.json"):
        train(config(epochs=1, resume=True))


def test_a_new_run_never_overwrites_an_old_one(config):
    train(config(epochs=1, seed=1))
    before = state(config().run_dir)
    with pytest.raises(FileExistsError, match=r"already holds a trained network .*--resume, or choose another --run"):
        train(config(epochs=1))
    assert same(state(config().run_dir), before)


def test_weights_whose_state_is_gone_are_never_overwritten(config):
    train(config(epochs=1))
    (config().run_dir / run.STATE).unlink()
    with pytest.raises(FileExistsError, match=r"without state\.safetensors it cannot go on; choose another --run-dir"):
        train(config(epochs=1, resume=True))


def test_a_run_stopped_in_its_first_epoch_may_be_begun_anew_otherwise(config, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        interrupt(patch, step=1)
        train(config())
    train(config(lr=0.3, epochs=1))
    assert len(rows(config().run_dir)) == 1


@pytest.mark.parametrize("resume", [False, True])
def test_a_checkpoint_that_is_no_run_is_never_overwritten(config, resume):
    save_checkpoint(build_model("compact", num_classes=3), config().run_dir)
    with pytest.raises(FileExistsError, match=r"already holds a trained network \(model\.safetensors\)"):
        train(config(epochs=1, resume=resume))


# Options


def test_the_averaged_weights_are_evaluated_and_kept(config):
    kept = train(config(ema=0.9, bf16=True, lr=0.2))
    last = {
        key.removeprefix("model."): value for key, value in state(config().run_dir).items() if key.startswith("model.")
    }
    assert not torch.equal(kept.classifier.weight, last["classifier.weight"])
    row, saved = rows(config().run_dir)[-1], load_checkpoint(config().run_dir)
    saved.load_state_dict(kept.state_dict())
    assert validation_loss(saved, config()) == pytest.approx(row["val_loss"], abs=0.02)
    saved.load_state_dict(last)
    assert validation_loss(saved, config()) != pytest.approx(row["val_loss"], abs=0.02)


def test_a_run_on_fewer_pictures_takes_the_first_of_each_class(config):
    kept = train(config(epochs=1, images_per_class=5))
    assert kept.config.training["images"] == 15
    about = json.loads((config().run_dir / "run.json").read_text())
    assert (about["train_images"], about["config"]["images_per_class"]) == (15, 5)


@pytest.mark.parametrize("emulated", [True, False])
def test_bfloat16_that_the_processor_lacks_is_remarked_on(config, monkeypatch, capsys, emulated):
    monkeypatch.setattr(run, "capabilities", lambda: {"avx2": True})
    monkeypatch.setattr(run, "has_bf16", lambda: not emulated)
    train(config(epochs=1, bf16=True))
    assert ("emulates it, many times slower" in capsys.readouterr().out) == emulated


def test_a_network_trained_in_bfloat16_answers_in_fp32_again(config):
    kept = train(config(epochs=1, bf16=True)).eval()
    images = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(kept(images), load_checkpoint(config().run_dir)(images))


@pytest.mark.parametrize(("batch_size", "few"), [(8, True), (2, False)])
def test_a_run_of_few_steps_is_remarked_on(config, monkeypatch, capsys, batch_size, few):
    monkeypatch.setattr(run, "FEW_STEPS", 10)
    train(config(epochs=1, batch_size=batch_size))
    assert ("steps in all, too few to learn much" in capsys.readouterr().out) == few


def test_the_temperature_is_annealed_and_saved(config):
    options = {
        "model": "dynamic_vgg19",
        "image_size": "32",
        "num_kernels": 2,
        "width": 0.25,
        "batch_size": 24,
        "epochs": 2,
    }
    kept = train(config(temperature_start=30.0, temperature_end=2.0, temperature_epochs=2, **options))
    assert [row["temperature"] for row in rows(config().run_dir)] == [16.0, 2.0]
    assert kept.temperature == 2.0
    assert rows(config().run_dir)[-1]["kernel_spread"] == kept.kernel_spread() > 0
    saved = load_checkpoint(config().run_dir)
    assert (
        saved.temperature
        == saved.config.temperature
        == rows(config().run_dir)[saved.config.metrics["epoch"] - 1]["temperature"]
    )


def test_weights_that_the_last_step_broke_replace_nothing(config, monkeypatch):
    """The loss of a step is that of the weights before it."""
    train_epoch = run.train_epoch

    def breaking(accelerator, model, *args, epoch, **options):
        train_epoch(accelerator, model, *args, epoch=epoch, **options)
        if epoch == 1:
            torch.nn.init.constant_(model.classifier.weight, torch.nan)

    monkeypatch.setattr(run, "train_epoch", breaking)
    with pytest.raises(NonFiniteLossError, match="validation loss is nan after epoch 2, of which nothing was kept"):
        train(config(epochs=3))
    assert [row["epoch"] for row in rows(config().run_dir)] == [1]
    assert load_checkpoint(config().run_dir).classifier.weight.isfinite().all()
    monkeypatch.undo()
    train(config(epochs=3, resume=True))
    assert [row["epoch"] for row in rows(config().run_dir)] == [1, 2, 3]


def test_a_run_on_other_validation_pictures_is_not_gone_on_with(config, tmp_path):
    train(config(epochs=1))
    about = json.loads((config().run_dir / "run.json").read_text())
    (config().run_dir / "run.json").write_text(json.dumps(about | {"val_images": 8}))
    with pytest.raises(CheckpointError, match=r"a run with 8 validation pictures, .* has 9"):
        train(config(epochs=1, resume=True))


def test_training_starts_from_a_checkpoint(config, tmp_path):
    source = train(config(run_dir=tmp_path / "source", epochs=1))
    save_checkpoint(source, tmp_path / "source")
    copied = train(config(init_from=tmp_path / "source", lr=1e-12, weight_decay=0.0, epochs=1))
    torch.testing.assert_close(copied.classifier.weight, source.classifier.weight)


def test_training_on_other_classes_starts_with_a_fresh_last_layer(config, tmp_path, capsys):
    source = build_model("compact", num_classes=7, blocks=config().blocks)
    save_checkpoint(source, tmp_path / "source")
    started = train(config(init_from=tmp_path / "source", lr=1e-12, weight_decay=0.0, epochs=1))
    assert started.classifier.out_features == 3
    torch.testing.assert_close(started.state_dict()["stem.0.weight"], source.state_dict()["stem.0.weight"])
    captured = capsys.readouterr()
    assert "knows other classes than the data: its last layer starts anew" in captured.out + captured.err


def test_training_starts_from_bundled_weights_by_name(config):
    started = train(config(init_from=Path("compact"), blocks="both", lr=1e-12, weight_decay=0.0, epochs=1))
    bundled = load_model("compact", device="cpu")
    torch.testing.assert_close(started.state_dict()["stem.0.weight"], bundled.state_dict()["stem.0.weight"])


def test_one_class_is_refused(config, tmp_path):
    for name in ("train", "val"):
        (tmp_path / f"{name}.txt").write_text(f"{next((config().data_root / 'images').rglob('*.png'))} 0\n")
    with pytest.raises(DataError, match=r"holds one class \(.*\); there must be two or more"):
        train(config(data_root=tmp_path))


def test_a_class_without_training_pictures_is_refused(config, tmp_path):
    shutil.copytree(config().data_root, tmp_path / "data")
    with (tmp_path / "data" / "classes.txt").open("w") as file:
        file.write("".join(f"{name} {name}\n" for name in ("n01_red", "n02_green", "n03_blue", "n04_grey")))
    with pytest.raises(DataError, match=r"1 of 4 classes have no picture to train on \(n04_grey\); add some \(\.jpg"):
        train(config(data_root=tmp_path / "data"))


def test_a_teacher_changes_what_is_learned_and_is_recorded(config, tmp_path):
    train(config(run_dir=tmp_path / "teacher", epochs=1))
    alone = train(config(run_dir=tmp_path / "alone", epochs=1))
    pupil = train(config(run_dir=tmp_path / "pupil", epochs=1, teacher=tmp_path / "teacher"))
    assert not torch.equal(pupil.classifier.weight, alone.classifier.weight)
    recorded = load_checkpoint(tmp_path / "pupil").config.training
    assert (recorded["teacher"], recorded["teacher_share"]) == ("teacher", 0.5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"synsets": ("n1", "n2")}, "knows 2 classes, the data has"), ({"mean": (0.4, 0.4, 0.4)}, "trained with mean")],
)
def test_a_teacher_of_other_classes_or_normalisation_is_refused(config, tmp_path, changed, message):
    teacher = train(config(run_dir=tmp_path / "teacher", epochs=1))
    teacher.config = replace(teacher.config, **changed)
    save_checkpoint(teacher, tmp_path / "teacher")
    with pytest.raises(CheckpointError, match=message):
        train(config(teacher=tmp_path / "teacher"))


def test_a_teacher_that_needs_larger_pictures_is_refused_before_anything_is_written(config, tmp_path):
    teacher = build_model("vgg19", num_classes=3)
    teacher.config = replace(train(config(run_dir=tmp_path / "compact", epochs=1)).config, model="vgg19")
    teacher.config = replace(teacher.config, arguments=teacher.arguments, input_size=32)
    save_checkpoint(teacher, tmp_path / "teacher")
    with pytest.raises(CheckpointError, match="teacher needs 32 px or more, this run has 16"):
        train(config(teacher=tmp_path / "teacher"))
    assert not config().run_dir.exists()


def test_a_missing_source_is_refused(config, tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint '.*nowhere'; give one of"):
        train(config(init_from=tmp_path / "nowhere"))


def test_the_study_can_be_trained_on_some_channels(config):
    train(config(channels="RB", fill="appended", epochs=1))
    saved = load_checkpoint(config().run_dir)
    assert saved.fill == "appended" and saved.config.training["channels"] == "RB"


def test_fewer_pictures_than_a_batch_still_train(config):
    train(config(batch_size=500, epochs=1))
    assert rows(config().run_dir)[0]["train_loss"] > 0


def test_unreadable_pictures_are_left_out_and_recorded(config, tmp_path, capsys):
    data = tmp_path / "data"
    for name in ("train", "val"):
        source = config().data_root
        lines = [f"{source}/{line}" for line in (source / f"{name}.txt").read_text().splitlines()]
        data.mkdir(exist_ok=True)
        (data / f"{name}.txt").write_text("\n".join(lines))
    with (data / "train.txt").open("a") as file:
        file.write("\nimages/n01_red/missing.png 0\n")
    with pytest.raises(DataError, match=r"1 of 25 pictures cannot be used"):
        train(config(data_root=data))
    train(config(data_root=data, skip_unreadable=True, epochs=1))
    assert json.loads((config().run_dir / "run.json").read_text())["skipped_images"] == 1
    assert load_checkpoint(config().run_dir).config.training["skipped"] == 1
    captured = capsys.readouterr()
    assert "left out 1 unreadable pictures of train, 24 remain" in captured.out + captured.err


def test_splits_with_other_classes_are_refused(config, tmp_path):
    source = config().data_root
    for name, count in (("train", 24), ("val", 6)):  # the last class has no validation picture
        lines = [f"{source}/{line}" for line in (source / f"{name}.txt").read_text().splitlines()[:count]]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"train has 3 classes, val 2; .*\(n03_blue\); name them all in classes\.txt"):
        train(config(data_root=tmp_path))


# Two processes

LAUNCHED = """
import os
from dataclasses import replace

from safetensors.torch import save_file

from models.checkpoint import pack
from train.data import DataError
from train.run import parse, train

config = parse()
kept = train(config)
rank = os.environ["RANK"]
save_file(pack(kept.state_dict(), "fp32"), config.run_dir / f"rank{rank}.safetensors")
try:
    train(replace(config, batch_size=16, run_dir=config.run_dir / "again"))
except DataError as error:
    (config.run_dir / f"rank{rank}.txt").write_text(str(error))
"""


@pytest.fixture(scope="module")
def spread(colours, root, tmp_path_factory) -> TrainConfig:
    """A run over two gloo processes."""
    folder = tmp_path_factory.mktemp("spread")
    (folder / "launched.py").write_text(LAUNCHED)
    config = TrainConfig(
        model="compact", data_root=colours, run_dir=folder / "run", image_size="16", epochs=2, batch_size=4, lr=0.05,
        channels="sample", ema=0.5, threads=1, workers=0,
    )  # fmt: skip
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, str(folder / "launched.py"), *flags(config)]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return config


def test_two_processes_end_with_the_same_weights_and_statistics(spread):
    ranks = [load_file(spread.run_dir / f"rank{rank}.safetensors") for rank in (0, 1)]
    assert same(*ranks)


def test_two_processes_count_every_validation_picture_once(spread):
    model = load_checkpoint(spread.run_dir)
    model.load_state_dict(load_file(spread.run_dir / "rank0.safetensors"))
    assert rows(spread.run_dir)[-1]["val_loss"] == pytest.approx(validation_loss(model, spread), abs=1e-4)


def test_two_processes_without_a_batch_each_are_refused(spread):
    for rank in (0, 1):
        message = (spread.run_dir / f"rank{rank}.txt").read_text()
        assert (
            "24 training pictures are fewer than one batch of 16 for each of 2 processes; lower --batch-size" in message
        )


def test_pictures_on_another_drive_have_a_name_for_the_fingerprint(monkeypatch):
    assert run.relative(Path("/data/a/0.png"), Path("/data")) == "a/0.png"
    assert run.relative(Path("/pics/0.png"), Path("/data")) == "../pics/0.png"

    def nowhere(path, start):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", nowhere)
    assert run.relative(Path("/pics/0.png"), Path("/data")) == "/pics/0.png"


def test_ctrl_c_ends_a_training_in_one_line_that_says_how_to_go_on(monkeypatch):
    def stopped(config):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "parse", lambda: None)
    monkeypatch.setattr(run, "train", stopped)
    with pytest.raises(SystemExit, match=r"^interrupted; the same command with --resume goes on"):
        run.main()
