import pytest
import torch

from models import SUBSETS
from train.config import TrainConfig
from train.views import draw_channels, training_view


def test_sampling_draws_every_subset_and_the_number_of_channels_first():
    generator = torch.Generator().manual_seed(0)
    draws = [draw_channels(generator) for _ in range(3000)]
    assert set(draws) == set(SUBSETS)
    shares = [sum(len(draw) == count for draw in draws) / 3000 for count in (1, 2, 3)]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.04)
    assert draws.count("RG") / 3000 == pytest.approx(1 / 9, abs=0.03)


def test_the_numbers_of_channels_are_drawn_with_their_weights():
    generator = torch.Generator().manual_seed(0)
    draws = [draw_channels(generator, (3, 0, 1)) for _ in range(3000)]
    assert set(draws) == {"R", "G", "B", "RGB"}
    assert draws.count("RGB") / 3000 == pytest.approx(1 / 4, abs=0.03)


@pytest.mark.parametrize(
    ("model", "bands", "weights", "count"),
    [("vgg19", None, "0:0:1", 3), ("adaptive_vgg19", "B,R,0.74,NIR", "0:1:0:0", 2)],
)
def test_a_run_shows_numbers_of_channels_with_its_weights(tmp_path, model, bands, weights, count):
    config = TrainConfig(model, tmp_path, tmp_path, channels="sample", bands=bands, channel_counts=weights)
    images = torch.rand(64, len(config.band_names) or 3, 4, 4)
    fill = None if bands else "aligned"
    shown, said = training_view(config, fill, torch.Generator().manual_seed(0))(images)
    if fill:
        assert torch.equal(shown, images)
    else:
        assert (said["present"].sum(dim=1) == count).all()
