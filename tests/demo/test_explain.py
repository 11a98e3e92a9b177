from dataclasses import replace

import numpy as np
import pytest
import torch

from demo.explain import (
    attention_from,
    band_pictures,
    brightened,
    brightening,
    channel_pictures,
    concentration,
    false_colour,
    false_colour_bands,
    overlay,
    seen,
)


def test_the_network_sees_the_input_it_gets(networks, lion):
    network = networks["vgg19"]
    picture = seen(network, lion)
    x = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close((x - 0.5) / 0.5, network.config.preprocess(lion))


def test_a_single_channel_is_seen_three_times(networks, lion):
    pixels = np.asarray(seen(networks["vgg19"], lion, "G"))
    assert (pixels == pixels[..., :1]).all()


def test_the_fill_is_seen(networks, lion):
    aligned, appended = (np.asarray(seen(networks["vgg19"], lion, "RB", fill)) for fill in ("aligned", "appended"))
    assert (aligned[..., 1] == appended[..., 2]).all()
    assert (aligned[..., 2] == appended[..., 1]).all()


def test_each_channel_picture_holds_one_channel(networks, lion):
    pictures = channel_pictures(networks["vgg19"], lion)
    together = sum(np.asarray(picture).astype(int) for picture in pictures.values())
    assert (together == np.asarray(seen(networks["vgg19"], lion))).all()


@pytest.mark.parametrize("point", [(0.0, 0.0), (0.5, 0.25), (1.0, 1.0), (-3.0, 7.0)])
def test_attention_from_any_point_is_a_distribution(networks, lion, point):
    config = networks["compact"].config
    attention = attention_from(networks["compact"], lion, point, "RG")
    assert attention.shape == (config.input_size // 2,) * 2
    assert attention.min() >= 0
    assert attention.sum() == pytest.approx(1, abs=1e-4)


def test_attention_is_that_of_a_direct_call(networks, lion, monkeypatch):
    network = networks["compact"]
    monkeypatch.setattr(network, "config", replace(network.config, crop_pct=1.0))
    with torch.inference_mode():
        maps = network.attention_at(network.config.preprocess(lion)[None], torch.tensor([[0, 3]]))
    size = network.config.input_size // 2
    np.testing.assert_allclose(attention_from(network, lion, (3.5 / size, 0.1 / size)), maps[0, 0], atol=1e-6)


def test_attention_of_a_crop_lies_in_the_middle_of_the_picture(networks, lion, monkeypatch):
    network = networks["compact"]
    size = network.config.input_size // 2
    monkeypatch.setattr(network, "config", replace(network.config, crop_pct=0.5))
    attention = attention_from(network, lion, (0.25, 0.25))  # the upper left corner of the middle
    assert attention.shape == (size, size) and attention.sum() == pytest.approx(1, abs=1e-4)
    with torch.inference_mode():
        maps = network.attention_at(network.config.preprocess(lion)[None], torch.tensor([[0, 0]]))
    np.testing.assert_allclose(attention, maps[0, 0], atol=1e-6)


@pytest.mark.parametrize("crop_pct", [1.0, 0.875, 0.5])
def test_flat_attention_is_not_concentrated_and_does_not_glow(lion, crop_pct):
    flat = np.full((10, 10), 0.01)
    assert concentration(flat) == pytest.approx(0.1)
    red, _, blue = np.asarray(overlay(lion, flat, crop_pct)).reshape(-1, 3).mean(0)
    original_red, _, original_blue = np.asarray(lion).reshape(-1, 3).mean(0)
    assert red - blue < original_red - original_blue


@pytest.mark.parametrize(("crop_pct", "place"), [(1.0, (1.5 / 8, 6.5 / 8)), (0.5, (5.5 / 16, 10.5 / 16))])
def test_attention_glows_where_it_lies(lion, crop_pct, place):
    attention = np.zeros((8, 8))
    attention[1, 6] = 1.0
    glowing = np.asarray(overlay(lion, attention, crop_pct)).astype(int)
    warmth = glowing[..., 0] - glowing[..., 2]
    height, width = warmth.shape
    assert np.unravel_index(warmth.argmax(), warmth.shape) == pytest.approx(
        (place[0] * height, place[1] * width), abs=height / 6
    )


NAN = float("nan")


@pytest.mark.parametrize(
    ("wavelengths_um", "bands"),
    [
        ((0.665, 0.560, 0.490), (0, 1, 2)),
        ((0.490, 0.560, 0.665, 0.842), (3, 1, 0)),  # near infrared, green and blue
        ((NAN, 0.490, 0.665), (2, 1, 1)),
        ((NAN, NAN, NAN, NAN), (0, 2, 3)),
        ((0.5,), (0, 0, 0)),
    ],
)
def test_false_colour_goes_from_the_longest_to_the_shortest_known_wavelength(wavelengths_um, bands):
    assert false_colour_bands(wavelengths_um) == bands


def test_false_colour_shows_the_bands_as_they_are_and_small():
    values = np.stack([np.full((600, 300), share) for share in (0.0, 0.5, 1.0)])
    picture = false_colour(values, (2, 1, 0))
    assert picture.size == (128, 256)
    assert picture.getpixel((0, 0)) == (255, 128, 0)


def test_dark_bands_are_brightened_alike_to_be_seen():
    values = np.stack([np.linspace(0, most, 10_000).reshape(100, 100) for most in (0.02, 0.1)])
    assert brightening(values) == 10  # 1 / 0.099, in two digits
    bright = brightened(values, brightening(values))
    assert bright[1].max() == 1 and bright[0].max() == pytest.approx(0.2)
    for bright in (values * 10, np.zeros((2, 8, 8)), np.ones((1, 8, 8))):
        assert brightening(bright) == 1
    assert brightening(np.full((1, 3000, 2000), 0.001)) == 1000


def test_each_band_is_seen_at_the_networks_size(networks):
    network = networks["adaptive_vgg19"]
    pictures = band_pictures(network, np.stack([np.zeros((20, 30)), np.ones((20, 30))]))
    assert [picture.size for picture in pictures] == [(network.config.input_size,) * 2] * 2
    assert [picture.getextrema() for picture in pictures] == [(0, 0), (255, 255)]
