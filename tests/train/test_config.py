from dataclasses import fields, replace
from pathlib import Path

import pytest

from models import MODELS
from train.config import TrainConfig
from train.run import parse

REQUIRED = ["--model", "compact", "--data-root", "data", "--run-dir", "runs/a"]


def config(**options) -> TrainConfig:
    return TrainConfig(**{"model": "compact", "data_root": Path("data"), "run_dir": Path("runs/a")} | options)


def test_the_command_line_has_the_defaults_of_the_fields():
    assert parse(REQUIRED) == config()


def test_every_field_is_a_flag(capsys):
    with pytest.raises(SystemExit, match="0"):
        parse(["--help"])
    text = capsys.readouterr().out
    assert all(f"--{field.name.replace('_', '-')}" in text for field in fields(TrainConfig))


@pytest.mark.parametrize("model", MODELS)
def test_flags_set_their_fields(model):
    flags = ["--lr", "0.3", "--schedule", "cosine", "--bf16", "--no-channels-last", "--init-from", "runs/b"]
    expected = config(lr=0.3, schedule="cosine", bf16=True, channels_last=False, init_from=Path("runs/b"), model=model)
    assert parse([*REQUIRED, *flags, "--model", model]) == expected


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--image-size", "32:8", "--epochs", "50"], "--epochs would change nothing: the schedule 32:8 has its own"),
        (["--image-size", "32:8", "--epochs=10"], "--epochs would change nothing"),
        (["--channel-counts", "1:0:1"], "--channel-counts would change nothing without --channels sample"),
        (["--model", "adaptive_vgg19", "--pseudo-share", "0.5"], "--pseudo-share would change nothing without --chan"),
        (
            ["--model", "adaptive_vgg19", "--channels", "sample", "--bands", "R,NIR", "--pseudo_share", "0.5"],
            "--pseudo-share would change nothing with --bands",
        ),
        (["--temperature-epochs", "2"], "--temperature-epochs would change nothing: compact has no temperature"),
        (["--schedule", "cosine", "--warmup", "0.1"], "--warmup would change nothing with --schedule cosine"),
        (["--optimizer", "adamw", "--momentum", "0.8"], "--momentum would change nothing with --optimizer adamw"),
        (["--model", "dynamic_vgg19", "--init-noise", "0.2"], "--init-noise would change nothing without --init-from"),
        (
            ["--model", "dynamic_vgg19", "--init-from", "dynamic_vgg19", "--init-noise", "0.2"],
            "--init-noise would change nothing: dynamic_vgg19 holds a dynamic_vgg19 already, whose kernels are copied",
        ),
    ],
)
def test_a_flag_that_would_change_nothing_is_refused(flags, message):
    with pytest.raises(ValueError, match=message):
        parse([*REQUIRED, *flags])


def test_what_a_recipe_sets_may_be_needless_beside_a_flag(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model: compact\nchannels: sample\nchannel_counts: 2:1:2\nepochs: 4\n")
    flags = ["--recipe", str(recipe), *REQUIRED[2:], "--channels", "RGB", "--image-size", "32:2"]
    assert parse(flags).channels == "RGB"


def test_a_recipe_sets_defaults_that_flags_override(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "model: resnet34\nlr: 0.2\nbf16: true\nchannels_last: false\nhead_lr_scale: null\nimage_size: 32:1\n"
    )
    flags = ["--recipe", str(recipe), "--data-root", "data", "--run-dir", "runs/a", "--lr", "0.3"]
    assert parse(flags) == config(model="resnet34", lr=0.3, bf16=True, channels_last=False, image_size="32:1")


def test_an_empty_recipe_changes_nothing(tmp_path):
    (tmp_path / "recipe.yaml").touch()
    assert parse(["--recipe", str(tmp_path / "recipe.yaml"), *REQUIRED]) == config()


@pytest.mark.parametrize("text", ["vgg19", "- model: vgg19", "image_size: [32, 64]"])
def test_a_recipe_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"recipe\.yaml is not a recipe; each line sets one value"):
        parse(["--recipe", str(tmp_path / "recipe.yaml"), *REQUIRED])


def test_the_config_survives_json(tmp_path):
    original = config(init_from=tmp_path, image_size="32:2,64:1", ema=0.9)
    saved = original.to_dict()
    paths = {name: Path(saved[name]) for name in ("data_root", "run_dir", "init_from")}
    assert TrainConfig(**saved | paths) == original


@pytest.mark.parametrize(
    ("image_size", "epochs", "sizes"),
    [("32", 3, [32, 32, 32]), ("32:2,64:1", 10, [32, 32, 64]), ("48:1", 10, [48])],
)
def test_a_schedule_gives_every_epoch_its_size(image_size, epochs, sizes):
    assert config(image_size=image_size, epochs=epochs).sizes == sizes


@pytest.mark.parametrize("image_size", ["big", "32:", "32:2,", "32:2:2", "32x32"])
def test_a_malformed_schedule_is_refused(image_size):
    with pytest.raises(ValueError, match="image_size must be like 64 or 32:8,64:4"):
        config(image_size=image_size)


def test_channel_counts_are_weights_of_one_two_and_three():
    assert config(channel_counts="2:1:0.5").count_weights == (2, 1, 0.5)


@pytest.mark.parametrize("channel_counts", ["", "1:1", "1:1:1:1", "one:1:1", "1:-1:1", "0:0:0", "1:1:nan", "1:inf:1"])
def test_malformed_channel_counts_are_refused(channel_counts):
    with pytest.raises(ValueError, match="channel_counts must "):
        config(channel_counts=channel_counts)


@pytest.mark.parametrize(("image_size", "epochs"), [("32", 0), ("32:0", 10), ("4", 1), ("32:1,4:1", 10)])
def test_a_schedule_without_epochs_or_pixels_is_refused(image_size, epochs):
    with pytest.raises(ValueError, match="compact needs at least one epoch, 8 px or more"):
        config(image_size=image_size, epochs=epochs)


def test_vgg_needs_32_pixels():
    with pytest.raises(ValueError, match="vgg19 needs at least one epoch, 32 px or more"):
        config(model="vgg19", image_size="24")


def test_the_temperature_is_annealed_to_its_end():
    ours = config(model="dynamic_vgg19", temperature_start=30.0, temperature_end=1.0, temperature_epochs=10)
    assert config(model="dynamic_vgg19", epochs=40).temperature_epochs == 10
    temperatures = [ours.temperature_at(epoch) for epoch in range(13)]
    assert temperatures[0] == 30.0 and temperatures[5] == 15.5 and temperatures[10:] == [1.0] * 3
    assert temperatures == sorted(temperatures, reverse=True)


@pytest.mark.parametrize("image_size", ["32:8", "32:1", "32:10,64:10"])
def test_by_default_the_temperature_ends_before_the_run_does(image_size):
    ours = config(model="dynamic_vgg19", image_size=image_size)
    assert ours.temperature_at(len(ours.sizes) / 2) == 1.0 < ours.temperature_at(0.4) < 30.0


def test_a_fixed_temperature_stays():
    study = config(model="dynamic_vgg19", temperature_start=34.0, temperature_end=34.0)
    assert {study.temperature_at(epoch) for epoch in range(20)} == {34.0}


@pytest.mark.parametrize("model", ["vgg19", "dynamic_vgg19", "adaptive_vgg19"])
def test_the_width_reaches_the_network(model):
    assert config(model=model, image_size="32", width=0.5).model_arguments["width"] == 0.5


@pytest.mark.parametrize("model", MODELS)
def test_model_arguments_build_the_model(model):
    import torch

    from models import build_model

    fill = {} if model == "adaptive_vgg19" else {"fill": "appended"}
    with torch.device("meta"):
        built = build_model(model, num_classes=4, **config(model=model, image_size="32", **fill).model_arguments)
    assert built.fill == fill.get("fill")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.0}, "lr must be above 0 and finite, got 0.0"),
        ({"lr": float("inf")}, "lr must be above 0 and finite, got inf"),
        ({"images_per_class": 0}, "images_per_class must be at least 1, got 0"),
        ({"lr": float("nan")}, "lr must be above 0 and finite, got nan"),
        ({"batch_size": 0}, "batch_size must be at least 2, got 0; batch norm"),
        ({"num_kernels": 0}, "num_kernels must be above 0"),
        ({"width": 0.0}, "width must be above 0 and finite, got 0.0"),
        (
            {"model": "resnet34", "width": 0.5},
            "resnet34 has no width, which is for vgg19, dynamic_vgg19",
        ),
        ({"model": "vgg19", "blocks": "none"}, "vgg19 has no blocks, which is for compact; leave it out"),
        ({"model": "vgg19", "num_kernels": 9}, "vgg19 has no num_kernels, which is for dynamic_vgg19, adaptive_vgg19"),
        ({"model": "adaptive_vgg19", "num_kernels": 2}, "num_kernels must be at least 3, for R, G and B, got 2"),
        ({"model": "adaptive_vgg19", "fill": "appended"}, "adaptive_vgg19 has no fill"),
        ({"temperature_end": 34.0}, "compact has no temperature_end, which is for dynamic_vgg19"),
        ({"model": "dynamic_vgg19", "temperature_epochs": -3}, "temperature_epochs must be at least 0 and finite"),
        ({"model": "dynamic_vgg19", "init_noise": float("nan")}, "init_noise must be at least 0 and finite, got nan"),
        ({"scale": 10000.0}, "scale 10000 is for a sensor's files; name their --bands, too"),
        ({"model": "adaptive_vgg19", "bands": "R,NIR", "scale": 0.0}, "scale must be above 0 and finite, got 0.0"),
        ({"teacher_share": 0.7}, "teacher_share 0.7 needs a teacher; name one with --teacher"),
        ({"temperature_end": 0.0}, "temperature_end must be above 0"),
        ({"warmup": 1.0}, "warmup must be at least 0 and below 1"),
        ({"label_smoothing": -0.1}, "label_smoothing must be at least 0 and below 1"),
        ({"model": "vgg19", "own_kernels": True}, "vgg19 has no own_kernels"),
        ({"model": "vgg19", "plain_norm": True}, "vgg19 has no plain_norm, which is for adaptive_vgg19"),
        ({"pseudo_share": 1.5}, "pseudo_share must be at least 0 and at most 1"),
        ({"colour_mixing": -0.1, "channels": "sample"}, "colour_mixing must be at least 0 and at most 1, got -0.1"),
        ({"colour_mixing": 0.5}, "colour_mixing 0.5 would change nothing without channels sample"),
        (
            {"model": "adaptive_vgg19", "channels": "sample", "colour_mixing": 0.5},
            "adaptive_vgg19 has no colour_mixing, which is for vgg19",
        ),
        ({"ema": 1.0}, "ema must be at least 0 and below 1"),
        ({"momentum": 1.5}, "momentum must be at least 0 and below 1"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"workers": -1}, "workers must be at least 0, got -1"),
        ({"clip_norm": -1.0}, r"clip_norm must be at least 0 and finite, got -1\.0"),
        ({"head_lr_scale": -0.5}, r"head_lr_scale must be at least 0 and finite, got -0\.5"),
        ({"crop_scale": 0.0}, "crop_scale must be above 0 and at most 1"),
        ({"teacher_share": 1.1}, "teacher_share must be above 0 and at most 1"),
        ({"channels": "RX"}, "unknown channel 'X'"),
        ({"channels": ""}, "channels is empty"),
    ],
)
def test_values_that_cannot_train_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        config(**options)


def test_sampling_channels_is_allowed():
    assert replace(config(), channels="sample").channels == "sample"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "vgg16"], "invalid choice 'vgg16'"),
        (["--lr", "high"], "could not convert string to float: 'high'"),
        (["--lr", "-1"], "lr must be above 0 and finite, got -1.0"),
        (["--bogus", "3"], "--bogus"),
        (["--channels", "XYZ"], "unknown channel"),
        (["--image-size", "32:x"], "image_size must be like 64 or 32:8,64:4"),
    ],
)
def test_a_bad_flag_is_explained_and_ends_the_program(flags, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        parse([*REQUIRED, *flags])
    text = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert message in text and "Traceback" not in text


def test_a_missing_flag_is_named(capsys):
    with pytest.raises(SystemExit, match="2"):
        parse(REQUIRED[:4])
    assert "--run-dir" in capsys.readouterr().err
