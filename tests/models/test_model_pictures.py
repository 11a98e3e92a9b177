from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from models import ModelConfig
from models.pictures import resized_size, to_8_bit, to_rgb

CONFIG = ModelConfig(model="compact", arguments={}, input_size=16)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_preprocess_takes_a_picture_of_any_mode(mode):
    picture = Image.new(mode, (20, 10), 7) if mode[0] in "IF" else Image.new("RGB", (20, 10), "red").convert(mode)
    x = CONFIG.preprocess(picture)
    assert x.shape == (3, 16, 16) and x.isfinite().all()
    torch.testing.assert_close(x, CONFIG.preprocess(to_rgb(picture)))


def test_an_rgb_picture_keeps_its_pixels():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8))
    assert to_rgb(picture).tobytes() == picture.tobytes()


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_sixteen_bits_of_either_byte_order_are_divided_by_257(mode):
    values = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    picture = Image.frombytes(mode, (16, 16), values.astype(">u2" if mode.endswith("B") else "<u2").tobytes())
    assert np.array_equal(np.asarray(to_8_bit(picture)), np.arange(256, dtype=np.uint8).reshape(16, 16))


def test_wider_grey_is_stretched_over_its_range():
    picture = Image.fromarray(np.array([[-2.0, 0.0, 8.0, np.nan]], dtype=np.float32))
    assert np.asarray(to_8_bit(picture)).tolist() == [[0, 51, 255, 51]]


def test_what_is_no_number_leaves_the_range_of_the_others_alone():
    values = np.array([[280.0, 290.0, 300.0, np.inf, -np.inf, np.nan]], dtype=np.float32)
    assert np.asarray(to_8_bit(Image.fromarray(values))).tolist() == [[0, 128, 255, 255, 0, 0]]
    nothing = Image.fromarray(np.full((2, 2), np.nan, dtype=np.float32))
    assert np.asarray(to_8_bit(nothing)).tolist() == [[0, 0], [0, 0]]


def test_a_tall_deep_picture_is_stretched_as_a_whole():
    values = np.linspace(-1, 3, 600 * 2, dtype=np.float32).reshape(600, 2)
    expected = ((values.astype(np.float64) + 1) / 4 * 255).round()
    assert np.array_equal(np.asarray(to_8_bit(Image.fromarray(values))), expected)


@pytest.mark.parametrize("crop_pct", [0.875, 0.5])
def test_a_crop_shows_the_middle_of_the_whole_picture(crop_pct):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8))
    whole = replace(CONFIG, input_size=round(16 / crop_pct)).preprocess(picture)
    margin = (whole.shape[1] - 16) // 2
    middle = whole[:, margin : margin + 16, margin : margin + 16]
    assert torch.equal(replace(CONFIG, crop_pct=crop_pct).preprocess(picture), middle)


def test_probabilities_are_softened_or_sharpened_by_the_calibration_temperature():
    logits = torch.tensor([[2.0, 1.0, -1.0]])
    assert torch.equal(CONFIG.probabilities(logits), logits.softmax(-1))
    calibrated = replace(CONFIG, metrics={"calibration_temperature": 0.5})
    torch.testing.assert_close(calibrated.probabilities(logits.double()), (2 * logits).softmax(-1))
    torch.testing.assert_close(calibrated.probabilities(logits, 1), (2 * logits).softmax(-1))


def test_probabilities_and_doubt_are_those_of_the_number_of_channels():
    metrics = {"calibration_temperature": [2.0, 1.5, 0.5], "unsure_below": [0.1, 0.2, 0.3]}
    config, logits = replace(CONFIG, metrics=metrics), torch.tensor([[0.0, 1.0, 3.0]])
    for number, temperature, below in ((1, 2.0, 0.1), (2, 1.5, 0.2), (3, 0.5, 0.3), (7, 0.5, 0.3), (None, 0.5, 0.3)):
        torch.testing.assert_close(config.probabilities(logits, number), (logits / temperature).softmax(-1))
        assert config.unsure_below(number) == below
    assert CONFIG.unsure_below(2) == 0 and CONFIG.calibration_temperature(2) == 1


def test_bands_of_8_bits_or_0_to_1_are_prepared_alike():
    values = np.random.default_rng(0).integers(0, 256, (5, 20, 16), dtype=np.uint8)
    x = CONFIG.preprocess(values.astype(np.float32) / 255)
    assert x.shape == (5, 16, 16) and x.dtype == torch.float32
    torch.testing.assert_close(CONFIG.preprocess(values), x, rtol=0, atol=2 / 255)  # 8 bits stay 8 when resized


def test_other_channels_than_it_was_trained_on_are_normalised_by_the_averages():
    config = replace(CONFIG, mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))
    values = torch.rand(5, 16, 16)
    torch.testing.assert_close(config.preprocess(values), (values - 0.4) / 0.2)
    assert config.for_bands(("R", "NIR")).mean == pytest.approx((0.4,))
    assert config.for_bands(("R", "NIR")).all_channels == "R+NIR" and config.all_channels == "RGB"


def test_a_band_of_one_value_keeps_one_value_when_it_is_resized():
    values = torch.stack([torch.full((37, 41), 0.1), torch.rand(37, 41)])
    dead, alive = replace(CONFIG, crop_pct=0.875).preprocess(values)
    assert len(dead.unique()) == 1 < len(alive.unique())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.full((3, 8, 8), 3000, dtype=torch.int32), "uint8 or floats in 0..1, got torch.int32; .*open_bands"),
        (torch.full((3, 8, 8), 3000.0), "floats in 0..1, got 3000 to 3000"),
        (torch.full((3, 8, 8), -0.5), "floats in 0..1, got -0.5 to -0.5"),
        (torch.ones(3, 8, 8, dtype=torch.bool), "uint8 or floats in 0..1, got torch.bool"),
        (torch.ones(8, 8), r"values \(C, H, W\), got \(8, 8\)"),
    ],
)
def test_values_that_are_no_pictures_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        CONFIG.preprocess(values)


def test_a_picture_is_resized_to_the_nearest_whole_size():
    assert [resized_size(*size) for size in ((48, 0.875), (64, 0.875), (48, 1.0))] == [55, 73, 48]


def test_a_picture_with_its_channels_last_or_a_path_is_refused_with_the_way_out(tmp_path):
    config = ModelConfig("vgg19", {}, input_size=32)
    with pytest.raises(ValueError, match=r"got \(40, 30, 3\), which looks like \(H, W, C\); pass the PIL picture"):
        config.preprocess(np.zeros((40, 30, 3), np.uint8))
    with pytest.raises(ValueError, match=r"at least one value, got none: \(5, 0, 30\)"):
        config.preprocess(np.zeros((5, 0, 30)))
    with pytest.raises(ValueError, match=r"got the path lion.jpg; open it with PIL.Image.open"):
        config.preprocess("lion.jpg")
    assert config.preprocess(np.zeros((12, 30, 4), np.uint8)).shape == (12, 32, 32)  # bands of a narrow strip
