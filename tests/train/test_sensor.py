"""Training and evaluating on a sensor's own bands, from files to logits."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from models import CheckpointError, load_checkpoint, load_model, save_checkpoint
from models.adaptive_conv import LEAST_SPREAD
from models.band_files import open_bands
from models.bands import BANDS_UM, parse_bands
from tests.tagged import band_tag
from train.bundle import bundle
from train.calibrate import calibrate
from train.config import TrainConfig
from train.data import DataError, Pictures, load_split
from train.evaluate import channels_of, parse_subsets, scale_for, set_bands
from train.pseudo_bands import draw_some
from train.run import train
from train.views import sensor_view, training_view

BANDS = ("B", "0.61", "NIR", "?")
CLASSES = ("lines", "rows", "spots")


def texture(name: str, generator: np.random.Generator) -> np.ndarray:
    """16-bit values (36, 40, 4): stripes down, stripes across, or noise, in every band another brightness."""
    y, x = np.mgrid[:36, :40]
    pattern = {"lines": x // 4 % 2, "rows": y // 4 % 2, "spots": generator.integers(0, 2, (36, 40))}[name]
    values = 1000 + 3000 * pattern[..., None] + generator.normal(0, 200, (36, 40, 4))
    return (values * [1, 0.8, 0.6, 0.4]).astype(np.uint16)


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Three classes of textures in four bands, 16 + 4 + 4 pictures each, as TIFF and NumPy files."""
    folder = tmp_path_factory.mktemp("field")
    generator = np.random.default_rng(0)
    for split, count in {"train": 16, "val": 4, "test": 4}.items():
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                path, values = folder / split / name / f"{number}", texture(name, generator)
                if number % 2:
                    np.save(path.with_suffix(".npy"), values)
                else:
                    tifffile.imwrite(path.with_suffix(".tif"), values, photometric="minisblack", planarconfig="contig")
    return folder


@pytest.fixture
def config(field, tmp_path):
    quick = TrainConfig(
        model="adaptive_vgg19", data_root=field, run_dir=tmp_path / "run", bands=",".join(BANDS), channels="sample",
        image_size="32", width=0.25, epochs=2, batch_size=12, workers=0, threads=1, lr=0.02,
    )  # fmt: skip
    return lambda **options: replace(quick, **options)


@pytest.fixture(scope="module")
def trained(field, tmp_path_factory):
    """The folder of a run on the four bands."""
    folder = tmp_path_factory.mktemp("runs") / "field"
    settings = {"image_size": "32", "epochs": 4, "batch_size": 12, "workers": 0, "lr": 0.05, "crop_pct": 0.875}
    bands = {"bands": "b, .61, nir, ?", "channels": "sample", "init_from": Path("adaptive_vgg19")}
    train(TrainConfig(model="adaptive_vgg19", data_root=field, run_dir=folder, **bands, **settings))
    return folder


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_pictures_are_the_files_values_and_only_they(field):
    split = load_split(field, "train", bands=BANDS)
    assert len(split) == 48 and split.class_names == CLASSES
    pixels, _ = Pictures(split, size=36)[0]
    values = torch.from_numpy(open_bands(split.paths[0]).values)
    assert pixels.shape == (4, 36, 36) and pixels.dtype == torch.float32
    torch.testing.assert_close(pixels.mean((1, 2)), values.mean((1, 2)), rtol=0.02, atol=0)


def test_augmentation_keeps_a_dead_band_constant(field, tmp_path):
    for name in ("a", "b"):
        values = np.random.default_rng(0).random((30, 30, 2)).astype(np.float32)
        values[..., 1] = 0.1  # which no binary fraction is
        (tmp_path / "train" / name).mkdir(parents=True)
        np.save(tmp_path / "train" / name / "0.npy", values)
    split = load_split(tmp_path, "train", bands=("R", "NIR"))
    for crop_scale in (None, 0.35):
        pixels, _ = Pictures(split, size=32, crop_pct=0.875, crop_scale=crop_scale)[0]
        assert len(pixels[1].unique()) == 1 < len(pixels[0].unique())


def test_files_of_another_number_of_bands_are_named_with_both_numbers(field):
    with pytest.raises(DataError, match=r"it has 4 bands, expected are 2 \(R, NIR\)"):
        load_split(field, "val", bands=("R", "NIR"))


@pytest.mark.parametrize(
    ("named", "bands", "fits"),
    [
        ("R NIR", "R NIR", True),
        ("R ?", "R NIR", True),
        ("red 865nm", "R NIR", True),
        ("Band1 Band2", "R NIR", True),
        ("NIR R", "R NIR", False),
        ("NIR R", "0.665 0.842", False),
        ("NIR R", "R ?", False),
        ("NIR R", "? ?", True),  # a way out where files are wrong
        ("665nm 560nm 490nm", "B G R", False),
        ("665nm 560nm 490nm", "R G B", True),
        ("NIR G B", "R G B", False),
        ("G B", "B G", False),
        ("0.74um NIR", "REDEDGE NIR", True),
    ],
)
def test_files_that_name_their_bands_otherwise_are_refused(tmp_path, named, bands, fits):
    named, bands = named.split(), parse_bands(bands.split())
    tags = band_tag(*named)
    (tmp_path / "train" / "a").mkdir(parents=True)
    values = np.random.default_rng(0).random((30, 30, len(named))).astype(np.float32)
    path = tmp_path / "train" / "a" / "0.tif"
    tifffile.imwrite(path, values, photometric="minisblack", planarconfig="contig", extratags=tags)
    if fits:
        assert len(load_split(tmp_path, "train", bands=bands)) == 1
    else:
        with pytest.raises(
            DataError, match=f"it calls its bands .*, expected are {', '.join(map(re.escape, bands))}; "
        ):
            load_split(tmp_path, "train", bands=bands)


def test_pictures_of_another_kind_are_told_apart(field, tmp_path):
    with pytest.raises(DataError, match=r"a sensor are read where its bands are named \(train\.run --bands\)"):
        load_split(field, "val")
    (tmp_path / "val" / "red").mkdir(parents=True)
    Image.new("RGB", (40, 40), "red").save(tmp_path / "val" / "red" / "0.png")
    with pytest.raises(DataError, match=r"is empty.*read are \.tif, \.tiff, \.npy"):
        load_split(tmp_path, "val", bands=BANDS)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((3, 40, 40), {"photometric": "minisblack"}),  # a page for each band, of which Pillow would read the first
        ((40, 40, 4), {"photometric": "rgb", "extrasamples": ["unspecified"]}),  # Pillow would drop the fourth
    ],
)
def test_a_tiff_of_bands_is_no_rgb_picture(tmp_path, shape, options):
    (tmp_path / "val" / "a").mkdir(parents=True)
    values = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    tifffile.imwrite(tmp_path / "val" / "a" / "0.tif", values, **options)
    with pytest.raises(DataError, match=r"0\.tif: it holds several pages or bands.*--bands"):
        load_split(tmp_path, "val")


def test_a_file_that_cannot_be_read_is_named_with_the_reason(field, tmp_path):
    (tmp_path / "val" / "a").mkdir(parents=True)
    (tmp_path / "val" / "a" / "dark.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match=r"dark\.npy: This file is not a readable NumPy array"):
        load_split(tmp_path, "val", bands=BANDS)


def test_settings_name_all_bands_unless_told(config):
    assert config(channels=None, channel_counts=None).channels == "B+0.61+NIR+?"
    assert config(channel_counts=None).count_weights == (1, 1, 1, 1)
    assert config(channel_counts="4:1:1:2").count_weights == (4, 1, 1, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": "B,G,850,R"}, "wavelength 850 µm looks like nanometres"),
        ({"bands": "B,G,XY,R"}, "unknown channel 'XY'"),
        ({"channels": "B+R"}, r"there is no channel R among B, 0\.61, NIR, \?"),
        (
            {"channel_counts": "1:1:1"},
            "must be 4 numbers, one for each number of channels, such as 2:1:1:2, got '1:1:1'",
        ),
        ({"model": "vgg19"}, "vgg19 takes R, G and B, not the bands .*; train adaptive_vgg19 on them"),
    ],
)
def test_settings_that_cannot_be_are_refused(config, options, message):
    with pytest.raises(ValueError, match=message):
        config(**options)


def test_some_bands_are_drawn_by_number_then_by_chance_with_their_wavelengths():
    bands = ("B", "G", "R", "NIR")
    drawn = draw_some(300, bands, (1, 0, 2, 0), seeded())
    counts = drawn.present.sum(dim=1).tolist()
    assert {*counts} == {1, 3} and counts.count(3) == pytest.approx(200, abs=30)
    shown = [weights[here] for weights, here in zip(drawn.weights, drawn.present, strict=True)]
    assert len({tuple(one.argmax(dim=1).tolist()) for one in shown}) == 4 + 24  # each alone, three in any order
    assert all(one.sum(1).eq(1).all() and one.sum(0).le(1).all() for one in shown)  # one band each, none twice
    named = drawn.wavelengths_um.isfinite().any(dim=1)
    assert named.sum() == pytest.approx(270, abs=15)  # the others are unnamed
    table = torch.tensor([BANDS_UM[name] for name in bands])
    known = drawn.present & named[:, None]
    assert torch.equal((drawn.weights @ table)[known], drawn.wavelengths_um[known])


def test_a_view_shows_the_drawn_bands_as_they_are():
    images = torch.randn(6, 4, 5, 5)
    shown, said = sensor_view(("B", "G", "R", "NIR"), seeded(), (1, 1, 1, 1))(images)
    table = torch.tensor([BANDS_UM[name] for name in ("B", "G", "R", "NIR")])
    found = 0
    for picture, original, wavelengths, present in zip(
        shown, images, said["wavelengths_um"], said["present"], strict=True
    ):
        for channel, wavelength in zip(picture[present], wavelengths[present], strict=True):
            if wavelength.isfinite():
                assert torch.equal(channel, original[(table == wavelength).nonzero()[0, 0]])
                found += 1
        assert picture[~present].eq(0).all()
    assert found > 6


def test_named_bands_are_shown_in_the_order_of_their_names(config):
    images = torch.randn(2, 4, 5, 5)
    shown, said = training_view(config(channels="NIR+B"), None, seeded())(images)
    assert torch.equal(shown, images[:, [2, 0]]) and said == {"channels": "NIR+B"}


def test_other_channels_than_those_of_rgb_need_bands(config):
    with pytest.raises(ValueError, match="other bands than R, G and B need --bands"):
        config(bands=None, channels="R+NIR")


def test_a_run_learns_the_classes_and_says_what_it_was_trained_on(trained):
    model = load_checkpoint(trained)
    assert model.config.bands == BANDS and model.config.mean == (0.5,)
    assert model.features[0].num_kernels == 6  # R, G, B (the sensor's, too), 0.61, NIR, and one for all
    assert model.config.metrics["val_accuracy"] > 0.8
    assert json.loads((trained / "run.json").read_text())["config"]["channels"] == "sample"


def test_the_checkpoint_answers_a_file_from_code(trained, field):
    model = load_checkpoint(trained)
    values = model.config.open_bands(field / "test" / "rows" / "0.tif").values
    x = model.config.preprocess(values)[None]
    with torch.no_grad():
        logits = model(x)  # of the bands that it was trained on
        assert torch.equal(logits, model(x, model.config.all_channels))
        shuffled = model(x[:, [2, 0, 3, 1]], "NIR+B+?+0.61")
    assert model.config.class_names[logits.argmax()] == "rows"
    torch.testing.assert_close(shuffled, logits, rtol=1e-4, atol=1e-4)


def test_an_interrupted_run_goes_on_to_the_same_weights(config, monkeypatch):
    import train.run as module

    few = {"images_per_class": 8}
    whole = train(config(run_dir=config().run_dir / "whole", **few))
    finish, done = module.finish_epoch, []

    def die(*arguments):
        if done:
            raise KeyboardInterrupt
        done.append(finish(*arguments))

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "finish_epoch", die)
        train(config(**few))
    resumed = train(config(resume=True, **few))
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_a_teacher_of_the_same_bands_answers_with_all_of_them(config, trained, monkeypatch):
    import train.engine as engine

    ask, asked = engine.ask, []

    def listen(*arguments):
        asked.append(arguments[-1])
        return ask(*arguments)

    monkeypatch.setattr(engine, "ask", listen)
    train(config(epochs=1, images_per_class=8, teacher=trained, channels="B"))
    assert {*asked} == {"B+0.61+NIR+?"}


def test_a_teacher_of_other_bands_is_refused(config, trained, tmp_path):
    model = load_checkpoint(trained)
    model.config = replace(model.config, bands=("B", "G", "R", "NIR"))
    save_checkpoint(model, tmp_path / "other")
    with pytest.raises(
        CheckpointError, match=r"was trained on B\+G\+R\+NIR, this run has pictures of B\+0\.61\+NIR\+\?"
    ):
        train(config(teacher=tmp_path / "other"))


def test_a_bundled_copy_and_its_calibration_look_at_all_bands(trained, field, tmp_path):
    record = bundle(trained, tmp_path / "field", field, "int8")
    assert record["settings"]["bands"] == "B,0.61,NIR,?"
    assert load_checkpoint(tmp_path / "field").config.bands == BANDS
    assert calibrate(tmp_path / "field", field).metrics["val_accuracy"] > 0.8


def test_a_scale_goes_from_training_into_whatever_follows(config, field, tmp_path, capfd):
    made = config(epochs=1, images_per_class=4, scale=5000.0)
    train(made)
    assert "99.9th percentile" not in "".join(capfd.readouterr())
    model = load_checkpoint(made.run_dir)
    assert model.config.scale == 5000
    split = load_split(field, "val", bands=BANDS, scale=model.config.scale)
    values = tifffile.imread(split.paths[split.paths.index(field / "val" / "rows" / "0.tif")]) / 5000
    pixels, _ = Pictures(split, size=36)[split.paths.index(field / "val" / "rows" / "0.tif")]
    assert pixels.mean().item() == pytest.approx(values.clip(0, 1).mean(), rel=1e-3)
    save_checkpoint(model, tmp_path / "copy", storage="int8")
    assert load_model(tmp_path / "copy").config.scale == 5000
    with pytest.raises(CheckpointError, match=r"trained with scale 5000\.0, this run has None; use the same"):
        train(config(epochs=1, run_dir=tmp_path / "taught", teacher=made.run_dir))


def test_files_that_do_not_compare_are_told_of(field, capfd):
    load_split(field, "val", bands=BANDS)
    assert "12 of 12 files of val are divided each by its own 99.9th percentile" in "".join(capfd.readouterr())


def test_a_scale_that_hardly_is_that_of_the_files_is_told_of(field, capfd):
    for scale, told in ((1e6, "reach less than 3 % of full brightness"), (500, "lose more than 5 % of their values")):
        load_split(field, "val", bands=BANDS, scale=scale)
        assert f"divided by {scale:g}, 12 of 12 files of val {told}" in "".join(capfd.readouterr())


def test_classes_without_a_picture_to_be_measured_on_are_told_of(tmp_path, capfd):
    (tmp_path / "val" / "a").mkdir(parents=True)
    (tmp_path / "val" / "b").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "val" / "a" / "0.png")
    load_split(tmp_path, "val")
    assert "val has no picture of 1 of 2 classes (b)" in "".join(capfd.readouterr())


def test_by_default_faint_bands_count_where_a_sensor_is_named(config):
    assert config().least_spread == config().model_arguments["least_spread"] == 0
    assert config(bands=None, channel_counts=None, least_spread=None).least_spread == LEAST_SPREAD
    assert config(least_spread=0.1).least_spread == 0.1


def test_deep_grey_pictures_without_bands_are_told_of(tmp_path, capfd):
    for place in range(4):
        folder = tmp_path / "val" / ("a" if place % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 20), 1000 * place, np.uint16)).save(folder / f"{place}.png")
    Image.new("L", (20, 20)).save(tmp_path / "val" / "a" / "usual.png")
    load_split(tmp_path, "val")
    assert "4 of 5 pictures of val are grey of more than 8 bits" in "".join(capfd.readouterr())


def test_evaluation_divides_by_the_scale_of_the_checkpoints_or_the_one_it_is_told(trained):
    model = load_checkpoint(trained)
    other = load_checkpoint(trained)
    other.config = replace(other.config, scale=5000.0)
    assert scale_for([model], BANDS) is None and scale_for([other], BANDS) == 5000
    assert scale_for([model, other], BANDS, 4000.0) == 4000
    with pytest.raises(ValueError, match=r"trained with scale None and 5000\.0; say with --scale"):
        scale_for([model, other], BANDS)
    with pytest.raises(ValueError, match="scale 4000 is for a sensor's files; name their --bands, too"):
        scale_for([model], (), 4000.0)


def test_subsets_of_a_sensor():
    bands = ("B", "R", "NIR")
    assert parse_subsets("all", bands) == ["all bands", "no B", "no R", "no NIR", "B", "R", "NIR"]
    assert parse_subsets("all", ("R", "NIR")) == ["all bands", "R", "NIR"]
    assert parse_subsets("all bands, R+NIR,no B+R", bands) == ["all bands", "R+NIR", "no BR"]
    assert parse_subsets("all,no nir,no red", bands) == parse_subsets("all", bands)
    assert parse_subsets("no nir+r,no R+NIR", bands) == ["no R+NIR"]
    assert parse_subsets("nir, NIR,r+nir", bands) == ["NIR", "R+NIR"]
    assert [channels_of(subset, bands) for subset in ("all bands", "no NIR", "no B+R", "NIR")] == [
        "B+R+NIR", "BR", "NIR", "NIR",
    ]  # fmt: skip
    assert parse_subsets("all", ("?", "R", "?")) == ["all bands", "no R", "R"]
    with pytest.raises(ValueError, match="leaves none of B, R, NIR"):
        parse_subsets("no B+R+NIR", bands)
    for subset in ("G", "no G"):
        with pytest.raises(ValueError, match="there is no channel G among B, R, NIR"):
            parse_subsets(subset, bands)


def test_the_command_evaluates_a_sensor_and_writes_its_bands(trained, field, tmp_path):
    command = [sys.executable, "-m", "train.evaluate", "--checkpoint", trained, "--data-root", field]
    done = subprocess.run(
        [*command, "--channels", "all", "--json", tmp_path / "field.json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "field.json").read_text())
    assert result["bands"] == list(BANDS)
    accuracy = {row["channels"]: row["accuracy"] for row in result["rows"]}
    assert [*accuracy] == ["all bands", "no B", "no 0.61", "no NIR", "no ?", *BANDS]
    assert accuracy["all bands"] > 0.8
    assert re.search(r"\n  no 0\.61 +\d\.\d{4}", done.stdout)
    assert re.search(r"\n  the worst single channel, \S+, keeps \d+\.\d% of", done.stdout)


def test_evaluation_looks_at_the_bands_of_the_checkpoints_or_those_it_is_told(trained):
    model, other = load_checkpoint(trained), load_checkpoint(trained)
    assert set_bands([model, other]) == BANDS
    assert set_bands([model], "B,G,R") == ("B", "G", "R") == model.config.bands
    with pytest.raises(ValueError, match="vgg19 takes R, G and B alone, so it cannot be compared on other bands"):
        set_bands([load_checkpoint(trained), load_model("vgg19", device="cpu")])
    with pytest.raises(ValueError, match=r"were trained on BGR and B\+0\.61\+NIR\+\?; say with --bands"):
        set_bands([model, other])


def test_a_network_of_three_channels_is_not_shown_other_bands():
    with pytest.raises(ValueError, match="compact takes R, G and B alone, not the bands B,NIR"):
        set_bands([load_model("compact", device="cpu")], "B,NIR")
