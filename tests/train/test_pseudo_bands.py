"""RGB pictures as other sensors' channels, in training and evaluation."""

import json
import subprocess
import sys

import pytest
import torch

from models import BANDS_UM, FILLS, SUBSETS, ModelConfig, build_model, fill_channels, save_checkpoint, select_channels
from models.bands import wavelengths_of
from train.config import TrainConfig
from train.data import load_split
from train.evaluate_bands import dead_view, evaluate_bands, parse, pseudo_view
from train.pseudo_bands import (
    MOST_BANDS,
    draw_bands,
    draw_filled,
    draw_order,
    filled_bands,
    fillings,
    pseudo_bands,
    real_bands,
)
from train.views import band_view, named_view, sampled_view, training_view

RGB = torch.randn(2, 3, 4, 5)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_real_bands_are_the_channels_themselves():
    bands = real_bands("BR")
    torch.testing.assert_close(bands.of(RGB), RGB[:, [2, 0]])
    torch.testing.assert_close(bands.wavelengths_um, torch.tensor([BANDS_UM["B"], BANDS_UM["R"]]))


@pytest.mark.parametrize("count", range(1, MOST_BANDS + 1))
def test_pseudo_bands_are_convex_mixtures_with_the_mixed_wavelength(count):
    bands = pseudo_bands(count, generator=seeded())
    assert bands.weights.shape == (count, 3) and (bands.weights >= 0).all()
    torch.testing.assert_close(bands.weights.sum(1), torch.ones(count))
    expected = sum(bands.weights[:, index] * BANDS_UM[name] for index, name in enumerate("RGB"))
    torch.testing.assert_close(bands.wavelengths_um, expected)
    assert bands.of(RGB).shape == (2, count, 4, 5)


def test_draws_cover_subsets_in_every_order_pseudo_bands_and_unknown_ones():
    bands = draw_bands(600, (0, 0, 1), 1 / 3, seeded())
    unknown = bands.wavelengths_um.isnan().all(dim=1)
    pure = ((bands.weights == 0) | (bands.weights == 1)).all(dim=(1, 2))
    orders = {tuple(weights[:3].argmax(1).tolist()) for weights in bands.weights[pure]}
    assert unknown.double().mean() == pytest.approx(0.1, abs=0.04)
    assert pure.double().mean() == pytest.approx(2 / 3, abs=0.06)
    assert len(orders) == 6 and (bands.present[pure].sum(dim=1) == 3).all()
    assert {*bands.present.sum(dim=1).tolist()} == set(range(1, MOST_BANDS + 1))
    assert torch.equal(bands.weights.any(dim=2), bands.present)  # of absent channels there is nothing
    known = bands.present & ~unknown[:, None]
    torch.testing.assert_close(bands.wavelengths_um[known], (bands.weights @ wavelengths_of("RGB"))[known])
    assert torch.equal(~bands.wavelengths_um.isnan(), known)


def test_draws_depend_on_the_seed_alone():
    first, second = (draw_bands(9, (1, 1, 1), 1 / 3, seeded(3)) for _ in range(2))
    assert torch.equal(first.weights, second.weights) and torch.equal(first.present, second.present)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("subset", SUBSETS)
def test_filled_bands_are_what_a_network_of_three_channels_fills(subset, fill):
    expected = fill_channels(select_channels(RGB, subset), subset, fill)
    torch.testing.assert_close(filled_bands(subset, fill).of(RGB), expected)


@pytest.mark.parametrize("fill", FILLS)
def test_drawn_subsets_are_filled_as_they_are_when_named(fill):
    bands = draw_filled(200, fill, (1, 1, 1), 0, seeded())
    named = torch.stack([filled_bands(subset, fill).weights for subset in SUBSETS])
    found = (bands.weights[:, None] == named).all(dim=(2, 3))
    assert (found.sum(dim=1) == 1).all() and found.any(dim=0).all()
    assert not fillings(fill)[0].any()  # no channel at all is never drawn


def test_every_picture_of_a_batch_gets_its_own_channels():
    images, said = sampled_view("aligned", seeded())(RGB.expand(2, -1, -1, -1).repeat(16, 1, 1, 1))
    assert said == {"channels": "RGB"}
    copied = (images[:, 0] == images[:, 1]).flatten(1).all(1)  # one channel copied to all
    assert 0 < copied.sum() < len(images)
    _, said = sampled_view(None, seeded(), pseudo_share=0.5)(RGB.repeat(16, 1, 1, 1))
    counts = said["present"].sum(1)
    assert said["wavelengths_um"].shape == said["present"].shape and len(counts.unique()) > 2


@pytest.mark.parametrize(("share", "real"), [(0, True), (1, False)])
def test_a_run_says_how_many_pictures_are_pseudo_bands(share, real, tmp_path):
    config = TrainConfig("adaptive_vgg19", tmp_path, tmp_path, channels="sample", pseudo_share=share)
    images, said = training_view(config, None, seeded())(RGB.repeat(16, 1, 1, 1))
    known = said["wavelengths_um"][said["present"] & ~said["wavelengths_um"].isnan()]
    assert torch.isin(known, wavelengths_of("RGB")).all() == real
    assert (images.shape[1] <= 3) == real


def test_a_mixed_batch_answers_as_each_picture_alone(networks):
    network, rgb = networks["adaptive_vgg19"], torch.randn(4, 3, 32, 32)
    images, said = sampled_view(None, seeded(1))(rgb)
    together = network(images, **said)
    for index, here in enumerate(said["present"]):
        wavelengths = said["wavelengths_um"][index, here]
        alone = network(images[index : index + 1, here], wavelengths_um=wavelengths)
        torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-3, atol=1e-4)


def test_a_dead_channel_is_noise_of_one_grey_level_and_nobody_says_so():
    images, said = dead_view("G", ModelConfig("vgg19", {}, mean=(0.5, 0.4, 0.5), std=(0.5, 0.2, 0.5)))(RGB)
    levels = (images[:, 1] * 0.2 + 0.4) * 255
    assert torch.allclose(levels, levels.round(), atol=1e-3) and {*levels.round().flatten().abs().tolist()} == {0, 1}
    assert torch.equal(images[:, [0, 2]], RGB[:, [0, 2]]) and said == {"channels": "RGB"}


def test_evaluation_draws_new_bands_for_every_picture_but_the_same_in_every_run():
    views = [pseudo_view(4, known=known) for known in (True, True, False)]
    pictures = RGB[:1].expand(2, -1, -1, -1)
    first, again, blind = ([view(pictures)[0] for _ in range(2)] for view in views)
    assert torch.equal(first[1], again[1]) and torch.equal(first[1], blind[1])
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0][0], first[0][1])
    assert pseudo_view(2, known=False)(RGB)[1]["wavelengths_um"].isnan().all()


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    made = {name: build_model(name, num_classes=3).eval() for name in ("adaptive_vgg19", "vgg19")}
    for name, model in made.items():
        model.config = ModelConfig(model=name, arguments=model.arguments, input_size=32)
    return made


def test_the_evaluation_covers_orders_counts_and_dead_channels(networks, colours):
    split = load_split(colours, "val")
    others = {"vgg19": networks["vgg19"]}
    result = evaluate_bands(networks["adaptive_vgg19"], others, split, {"checkpoint": "adaptive_vgg19", "bf16": False})
    cases = [row["channels"] for row in result["adaptive"]]
    assert {"RGB", "BGR", "1 pseudo-band", "6 pseudo-bands, unknown", "RGB, unknown", "R dead"} <= set(cases)
    orders = {row["correct"] for row in result["adaptive"] if sorted(row["channels"]) == ["B", "G", "R"]}
    assert len(orders) == 1 and result["largest_difference_between_orders"] < 1e-4
    assert [row["channels"] for row in result["others"]["vgg19"]] == ["R dead", "G dead", "B dead"]
    assert all(0 <= row["p_value"] <= 1 for row in result["others"]["vgg19"])


def test_the_command_refuses_a_three_channel_network(networks, colours, tmp_path, root):
    save_checkpoint(networks["vgg19"], tmp_path / "plain")
    command = [sys.executable, "-m", "train.evaluate_bands", "--checkpoint", tmp_path / "plain"]
    done = subprocess.run([*command, "--data-root", colours], cwd=root, capture_output=True, text=True)
    assert done.returncode == 1 and "is vgg19, which takes three channels" in done.stderr


@pytest.mark.parametrize(
    "networks", [["--others", "runs/a/vgg19", "runs/b/vgg19"], ["--checkpoint", "runs/vgg19", "--others", "vgg19"]]
)
def test_the_command_refuses_two_networks_of_one_name(colours, monkeypatch, capsys, networks):
    command = ["evaluate_bands", "--data-root", str(colours), *networks]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit):
        parse()
    assert "vgg19, vgg19; rename a folder" in capsys.readouterr().err


def test_the_command_writes_its_result(networks, colours, tmp_path, root):
    save_checkpoint(networks["adaptive_vgg19"], tmp_path / "adaptive")
    command = [sys.executable, "-m", "train.evaluate_bands", "--checkpoint", tmp_path / "adaptive", "--split", "val"]
    subprocess.run([*command, "--data-root", colours, "--json", tmp_path / "bands.json"], cwd=root, check=True)
    assert json.loads((tmp_path / "bands.json").read_text())["kind"] == "bands"


def test_views_say_what_they_show():
    assert named_view("RG")(RGB)[1] == {"channels": "RG"}
    assert band_view(real_bands("RG"))(RGB)[1]["wavelengths_um"].shape == (2,)


def test_networks_that_fill_see_mixtures_in_the_places_of_colours_as_often_as_told(tmp_path):
    pictures = torch.rand(200, 3, 4, 4)
    config = TrainConfig("vgg19", tmp_path, tmp_path, channels="sample", channel_counts="0:0:1", colour_mixing=0.5)
    seen, said = training_view(config, "aligned", seeded())(pictures)
    assert said == {"channels": "RGB"}
    same = (seen - pictures).abs().amax((1, 2, 3)) < 1e-6
    assert 0.35 < same.double().mean() < 0.65
    assert (seen.amax(1) <= pictures.amax(1) + 1e-5).all() and (seen.amin(1) >= pictures.amin(1) - 1e-5).all()


def test_a_mixture_that_goes_missing_is_filled_as_a_colour_is(tmp_path):
    config = TrainConfig("vgg19", tmp_path, tmp_path, channels="sample", channel_counts="1:0:0", colour_mixing=1.0)
    seen, _ = training_view(config, "aligned", seeded())(torch.rand(8, 3, 4, 4))
    torch.testing.assert_close(seen[:, 0], seen[:, 1])
    torch.testing.assert_close(seen[:, 0], seen[:, 2])


def test_without_colour_mixing_nothing_else_is_drawn():
    first, second = seeded(), seeded()
    sampled_view("aligned", first)(torch.rand(5, 3, 4, 4))
    draw_order(5, (1, 1, 1), second)
    assert torch.equal(first.get_state(), second.get_state())
