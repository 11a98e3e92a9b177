"""Ablations: small runs of every kind, interrupted and repeated, and what their records say."""

import itertools
import json
import statistics
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models import SUBSETS, CheckpointError, ModelConfig, build_model, save_checkpoint, vgg
from train import ablate as module
from train import run as training
from train.ablate import (
    ABLATIONS,
    FOLDER,
    ablate,
    attention_entropy,
    check_conditions,
    main,
    name_of,
    normalized_entropy,
    options_of,
    parse,
    plan,
    read_records,
    subsets_of,
    variants_of,
)
from train.data import DataError, load_split
from train.landsat import BANDS as LANDSAT

TINY = tuple(item if item == "M" else 4 for item in vgg.CONFIGURATION_E)  # 16 layers of 4 channels


@pytest.fixture
def tiny_vgg(monkeypatch):
    monkeypatch.setattr(vgg, "CONFIGURATION_E", TINY)


@pytest.fixture
def start(tiny_vgg, tmp_path) -> Path:
    """A plain VGG19 for dynamic ones to start from."""
    save_checkpoint(build_model("vgg19", num_classes=3), tmp_path / "plain")
    return tmp_path / "plain"


@pytest.fixture
def runs(colours, tmp_path):
    """``runs(ablation, **options)``: its runs with seed 0 on the generated pictures, one epoch."""

    def make(ablation: str, seeds=(0,), **options):
        size = "16" if ablation == "blocks" else "32"
        quick = {"data_root": colours, "image_size": size, "epochs": 1, "batch_size": 8, "bf16": False}
        quick |= {"workers": 0, "threads": 1}
        return plan(ablation, seeds=seeds, runs_dir=tmp_path / "runs", **quick | options)

    return make


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "results"


def no_training(monkeypatch) -> None:
    def refuse(config):
        raise AssertionError(f"trained again: {config.run_dir}")

    monkeypatch.setattr(module, "train", refuse)


# The plan


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_variants_differ_in_what_they_vary_alone(runs, start, ablation):
    options = {"init_from": start} if "init_from" in ABLATIONS[ablation].shared else {}
    configs = [run.config.to_dict() for run in runs(ablation, **options)]
    varied = {key for changes in ABLATIONS[ablation].variants.values() for key in changes} | {"run_dir"}
    varied |= {"temperature_epochs"} if "epochs" in varied else set()
    for config in configs[1:]:
        assert {key for key in config if config[key] != configs[0][key]} <= varied


def test_every_variant_is_run_with_a_seed_before_the_next_seed(runs):
    names = [run.name for run in runs("blocks", seeds=(3, 1, 3))]
    assert names[:2] == ["blocks-none-seed3", "blocks-rrdb-seed3"]
    assert len(names) == 8 and names[4] == "blocks-none-seed1"


def test_the_temperature_is_the_studys_or_falls_in_the_first_half(runs, start):
    fixed, annealed = (run.config for run in runs("temperature", init_from=start, epochs=4))
    assert {fixed.temperature_at(epoch) for epoch in range(5)} == {34.0}
    assert [annealed.temperature_at(epoch) for epoch in (0, 1, 2, 4)] == [30.0, 15.5, 1.0, 1.0]


def test_the_defaults_start_dynamic_networks_from_the_bundled_plain_one():
    options = options_of(parse(["kernels", "--data-root", "data"]))
    runs = plan("kernels", seeds=[0], runs_dir=Path("runs"), **options)
    assert [run.config.num_kernels for run in runs] == [3, 4, 5, 6]
    assert {(run.config.init_from.name, run.config.image_size, run.config.bf16) for run in runs} == {
        ("vgg19", "32", False)
    }
    options = options_of(parse(["kernels", "--data-root", "data", "--from-scratch", "--bf16"]))
    run = plan("kernels", seeds=[0], runs_dir=Path("runs"), **options)[0]
    assert run.config.init_from is None and run.start is None and run.config.bf16


# Records


def test_a_record_says_what_was_run_and_what_came_out(runs, folder):
    (record,) = ablate(runs("blocks", epochs=2)[:1], folder)
    assert json.loads((folder / "blocks-none-seed0.json").read_text()) == record
    rows = (Path(runs("blocks")[0].config.run_dir) / "metrics.jsonl").read_text().splitlines()
    assert record["val_accuracy"] == json.loads(rows[-1])["val_accuracy"] and record["val_images"] == 9
    expected = {"kind": "ablation", "ablation": "blocks", "variant": "none", "model": "compact", "seed": 0, "epochs": 2}
    assert record.items() >= expected.items()
    assert record["settings"]["batch_size"] == 8 and record["settings"]["init_from"] is None
    assert record["images"] == 24 and record["minutes"] > 0 and record["device"] and record["versions"]["torch"]
    assert "attention_entropy" not in record
    assert str(folder.parent) not in json.dumps(record)


def test_other_files_among_the_records_are_passed_over(runs, folder):
    folder.mkdir(exist_ok=True)
    for name, text in {"a.json": '{"kind": "evaluation"}', "z.json": "[1]"}.items():
        (folder / name).write_text(text)
    assert read_records(folder) == []


def test_weights_of_a_measured_run_go_and_its_metrics_stay(runs, folder):
    none, rrdb = runs("blocks")[:2]
    ablate([none], folder)
    assert not list(none.config.run_dir.glob("*.safetensors"))
    assert (none.config.run_dir / "metrics.jsonl").is_file() and (none.config.run_dir / "run.json").is_file()
    ablate([rrdb], folder, keep_weights=True)
    assert (rrdb.config.run_dir / "model.safetensors").is_file() and (rrdb.config.run_dir / training.STATE).is_file()


def test_dynamic_networks_record_the_entropy_of_every_layer(runs, folder, start):
    for record in ablate(runs("kernels", init_from=start, bf16=True)[:2], folder):
        layers = record["attention_entropy"]["layers"]
        assert len(layers) == 16 and all(0 < value <= 1 + 1e-9 for value in layers)
        assert record["attention_entropy"]["mean"] == pytest.approx(statistics.mean(layers))
        assert record["settings"]["init_from"] == "plain" and len(record["settings"]["init_sha256"]) == 16


def test_plain_and_dynamic_networks_are_compared_on_every_subset(runs, folder, tiny_vgg):
    named = {record["variant"]: record for record in ablate(runs("convolutions"), folder)}
    plain, *dynamic = (named[name] for name in ABLATIONS["convolutions"].variants)
    assert [record["model"] for record in (plain, *dynamic)] == ["vgg19"] + 3 * ["dynamic_vgg19"]
    assert {record["settings"]["init_from"] for record in named.values()} == {None}
    for record in named.values():
        assert list(record["val_accuracy_by_channels"]) == list(SUBSETS)
        assert record["val_accuracy_by_channels"]["RGB"] == pytest.approx(record["val_accuracy"])
    assert "val_accuracy_even" not in plain and all(0 <= record["val_accuracy_even"] <= 1 for record in dynamic)
    assert [record["settings"]["temperature_end"] for record in dynamic] == [1, 0.1, 34]


def test_networks_that_fill_are_compared_with_those_that_need_none(runs, folder, tiny_vgg):
    ablate(runs("channels"), folder)
    variants = variants_of(read_records(folder), "channels")
    assert [variant.name for variant in variants] == [
        "vgg19", "vgg19-mixed", "dynamic_vgg19", "adaptive_vgg19", "adaptive_vgg19-real",
        "adaptive_vgg19-plain_norm", "adaptive_vgg19-real-plain_norm", "adaptive_vgg19-own_kernels",
    ]  # fmt: skip
    for variant in variants:
        (record,) = variant.records
        assert record["settings"]["channels"] == "sample" and len(variant.accuracies_with(1)) == 1
        assert bool(variant.accuracies_with_many) == variant.name.startswith("adaptive")
    assert [variant.records[0]["settings"]["pseudo_share"] for variant in variants[3:5]] == [pytest.approx(1 / 3), 0]
    bands = variants[3].records[0]["val_accuracy_by_pseudo_bands"]
    assert list(bands) == ["1 pseudo-band", *(f"{count} pseudo-bands" for count in range(2, 7))]


def test_a_sensors_networks_are_measured_on_every_subset_of_its_bands(runs, folder, tiny_vgg, tmp_path):
    generator = np.random.default_rng(0)
    for split, name in itertools.product(("train", "val"), ("field", "water")):
        (tmp_path / "places" / split / name).mkdir(parents=True)
        for number in range(4):
            values = generator.integers(0, 128, (9, 9, 4), np.uint8)
            np.save(tmp_path / "places" / split / name / f"{number}.npy", values)
    chosen = runs("landsat", data_root=tmp_path / "places", batch_size=4)
    ablate([*chosen[:3], chosen[8]], folder)
    variants = variants_of(read_records(folder), "landsat")
    assert [variant.name for variant in variants] == ["sample", "sample-own_kernels", "sample-long", "0.55"]
    for variant in variants:
        (record,) = variant.records
        assert list(record["val_accuracy_by_channels"]) == subsets_of(LANDSAT)
        assert len(record["val_accuracy_by_channels"]) == 15 and "val_accuracy_by_pseudo_bands" not in record
    assert variants[1].records[0]["settings"]["own_kernels"] and not variants[0].records[0]["settings"]["own_kernels"]
    assert variants[0].accuracies_on(["0.55+0.65+0.75+0.95"]) == pytest.approx(variants[0].accuracies)
    assert variants[2].records[0]["epochs"] == 32 and variants[0].records[0]["epochs"] == 1
    assert variants[3].accuracies_on(["0.55"]) == pytest.approx(variants[3].accuracies)


def test_even_weights_are_those_of_a_network_without_attention(tiny_vgg, colours, runs, folder, monkeypatch):
    """With kernels far apart and sharp routers they change the answers; the record's figure is of even ones, and the
    network's own come back."""
    torch.manual_seed(1)
    model = build_model("dynamic_vgg19", num_classes=3, width=2)
    run = runs("convolutions")[1]
    split = load_split(colours, "val")
    model.config = ModelConfig("dynamic_vgg19", model.arguments, synsets=split.synsets, input_size=32)
    for layer in model.dynamic_layers:
        torch.nn.init.normal_(layer.attention.fc2.bias, std=9)
    seen = []
    right = {"RGB": torch.eye(3)}, torch.arange(3)
    monkeypatch.setattr(module, "accuracies", lambda *_: {"RGB": 0.5})
    monkeypatch.setattr(
        "train.calibrate.predict_subsets",
        lambda network, *_, **__: seen.append(network.kernel_attention(images)) or right,
    )
    monkeypatch.setattr(module, "train", lambda config: model)
    monkeypatch.setattr(
        module,
        "read_run",
        lambda folder: (
            {"train_images": 1, "device": "cpu", "threads": 1, "versions": {}, "git_commit": ""},
            [{"val_accuracy": 0.5, "size": 32, "train_s": 1}],
        ),
    )
    images = torch.randn(2, 3, 32, 32)
    own = model.eval().kernel_attention(images)
    assert module.train_and_record(run)["val_accuracy_even"] == 1
    assert own.amax() > 0.5
    torch.testing.assert_close(seen[0], torch.full_like(seen[0], 0.25))
    torch.testing.assert_close(model.kernel_attention(images), own)


def test_the_annealed_runs_are_those_with_four_kernels(runs, folder, start, monkeypatch):
    four = ablate(runs("kernels", init_from=start)[1:2], folder)[0]
    no_training(monkeypatch)
    annealed = ablate(runs("temperature", init_from=start)[1:], folder)[0]
    assert annealed["same_run_as"] == "kernels-4-seed0" and annealed["variant"] == "annealed"
    assert annealed["val_accuracy"] == four["val_accuracy"]


# Repeating and resuming


def test_measured_runs_are_not_repeated(runs, folder, monkeypatch):
    first = ablate(runs("blocks")[:1], folder)
    no_training(monkeypatch)
    assert ablate(runs("blocks")[:1], folder) == first


def test_an_interrupted_run_goes_on_to_the_same_result(runs, folder, tmp_path, monkeypatch):
    options = {"epochs": 2, "image_size": "24"}
    whole = ablate(runs("blocks", **options)[:1], tmp_path / "whole")[0]
    broken = runs("blocks", **options)[:1]
    (broken[0].config.run_dir / "metrics.jsonl").unlink()
    steps, call = [], training.Meter.__call__

    def count(meter, report):
        steps.append(report)
        if len(steps) == 4:  # three an epoch
            raise KeyboardInterrupt
        call(meter, report)

    monkeypatch.setattr(training.Meter, "__call__", count)
    with pytest.raises(KeyboardInterrupt):
        ablate(broken, folder)
    assert not list(folder.glob("*"))
    resumed = ablate(broken, folder)[0]
    assert len(steps) == 4 + 3  # the first epoch is not repeated
    assert resumed | {"minutes": 0} == whole | {"minutes": 0}


def test_a_run_that_died_before_its_record_was_written_is_only_measured(runs, folder, start, monkeypatch):
    run = runs("temperature", init_from=start)[0]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "attention_entropy", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        ablate([run], folder)
    monkeypatch.setattr(training, "train_epoch", None)
    assert ablate([run], folder)[0]["attention_entropy"]["mean"] > 0.99  # at temperature 34


# Entropy


def test_uniform_weights_have_entropy_one_and_a_single_kernel_zero():
    weights = torch.tensor([[0.25] * 4, [1.0, 0, 0, 0], [0.5, 0.5, 0, 0]])
    torch.testing.assert_close(normalized_entropy(weights), torch.tensor([1.0, 0.0, 0.5]).double())
    torch.testing.assert_close(normalized_entropy(torch.full((3,), 1 / 3)).item(), 1.0)


def test_the_entropy_of_a_network_is_one_for_uniform_routers_and_less_otherwise(tiny_vgg, colours):
    model = build_model("dynamic_vgg19", num_classes=3, num_kernels=5)
    model.config = ModelConfig("dynamic_vgg19", model.arguments, input_size=32)
    val = load_split(colours, "val")
    for layer in model.dynamic_layers:
        torch.nn.init.zeros_(layer.attention.fc2.weight)
        torch.nn.init.zeros_(layer.attention.fc2.bias)
    torch.testing.assert_close(attention_entropy(model, val, 32), torch.ones(16).double(), rtol=0, atol=1e-6)
    torch.nn.init.normal_(model.dynamic_layers[3].attention.fc2.bias)
    entropy = attention_entropy(model, val, 32, batch_size=4)  # the last batch is shorter
    assert 0 < entropy[3] < 0.99 and entropy[2] == pytest.approx(1)
    assert torch.equal(entropy, attention_entropy(model, val, 32, batch_size=4))


# Errors


def test_the_projects_own_records_are_those_of_its_settings_today(tmp_path):
    """A setting that is younger than they are must not set them apart: the README's command goes on with them."""
    options = {"data_root": Path("data/mini-imagenet-50"), "bf16": True}
    records = {name_of(record): record for record in read_records(FOLDER)}
    for run in plan("blocks", seeds=(0, 1, 2), runs_dir=tmp_path, **options):
        check_conditions(run, list(records.values()))
        assert not run.differences(records[f"blocks-{run.variant}-seed{run.config.seed}"])


def test_records_made_under_other_conditions_are_not_mixed(runs, folder, monkeypatch):
    ablate(runs("blocks")[:1], folder)
    no_training(monkeypatch)
    with pytest.raises(ValueError, match=r"blocks-none-seed0 was measured with other settings \(epochs, lr, temp"):
        ablate(runs("blocks", seeds=(1,), epochs=2, lr=0.3), folder)


def test_a_record_of_a_variant_that_was_set_otherwise_is_refused(runs, folder, start, monkeypatch):
    made = runs("temperature", init_from=start)[:1]
    record = ablate(made, folder)[0]
    record["settings"]["temperature_end"] = 5.0
    (folder / f"{made[0].name}.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"measured with other settings \(temperature_end\)"):
        ablate(made, folder)


def test_a_replaced_start_is_noticed(runs, start):
    before = runs("kernels", init_from=start)[0].settings
    save_checkpoint(build_model("vgg19", num_classes=3), start)
    assert runs("kernels", init_from=start)[0].settings["init_sha256"] != before["init_sha256"]


def test_compact_variants_have_no_common_start(runs, start):
    with pytest.raises(ValueError, match="blocks compares different networks, which share no start"):
        runs("blocks", init_from=start)


def test_a_missing_start_is_named(runs, tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint '.*nowhere'; give one of vgg19"):
        runs("kernels", init_from=tmp_path / "nowhere")


def test_a_width_needs_a_start_of_that_width(runs, start):
    with pytest.raises(ValueError, match=r"kernels starts from the bundled vgg19, whose width is 1, got width 0\.5"):
        runs("kernels", width=0.5)
    assert {run.config.width for run in runs("kernels", width=0.5, init_from=None)} == {0.5}
    assert {run.config.width for run in runs("kernels", width=1.0)} == {1.0}


def test_pictures_too_small_for_the_network_are_refused(runs, start):
    with pytest.raises(ValueError, match="dynamic_vgg19 needs at least one epoch, 32 px or more"):
        runs("kernels", init_from=start, image_size="16")


def test_missing_data_is_named(runs, folder, tmp_path):
    with pytest.raises(DataError, match=r"no folder .*nowhere"):
        ablate(runs("blocks", data_root=tmp_path / "nowhere")[:1], folder)


# The command


def test_the_command_runs_all_variants_and_prints_their_means(colours, tmp_path, monkeypatch, capsys):
    command = ["ablate", "blocks", "--data-root", str(colours), "--runs-dir", str(tmp_path / "runs")]
    command += ["--results", str(tmp_path / "results"), "--epochs", "1", "--image-size", "8", "--seeds", "0", "1"]
    command += ["--batch-size", "24", "--workers", "0", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", command)
    main()
    assert len(list((tmp_path / "results").glob("blocks-*-seed?.json"))) == 8
    shown = capsys.readouterr().out
    assert "val, n = 9" in shown and all(f"  {name} " in shown for name in ("none", "rrdb", "attention", "both"))
    records = module.read_records(tmp_path / "results")
    values = [100 * record["val_accuracy"] for record in records if record["variant"] == "rrdb"]
    assert f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}" in shown
    assert [variant.name for variant in variants_of(records, "blocks")] == ["none", "rrdb", "attention", "both"]


def test_a_mistake_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["ablate", "blocks", "--data-root", "/nowhere", "--results", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"^error: no folder /nowhere; --data-root is the folder"):
        main()
