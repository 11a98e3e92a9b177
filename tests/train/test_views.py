import pytest
import torch

from models import CHANNELS, SUBSETS
from train.config import TrainConfig
from train.pseudo_bands import draw_order
from train.views import training_view


def drawn(*count_weights: float) -> list[str]:
    """Three thousand subsets, the channels of each in the order in which they were drawn."""
    order, present = draw_order(3000, count_weights, torch.Generator().manual_seed(0))
    return ["".join(CHANNELS[place] for place in row[here]) for row, here in zip(order, present, strict=True)]


def test_sampling_draws_every_subset_in_every_order_and_the_number_of_channels_first():
    draws = drawn(1, 1, 1)
    assert {"".join(sorted(draw, key=CHANNELS.index)) for draw in draws} == set(SUBSETS)
    assert {draw for draw in draws if len(draw) == 3} == {"RGB", "RBG", "GRB", "GBR", "BRG", "BGR"}
    shares = [sum(len(draw) == count for draw in draws) / 3000 for count in (1, 2, 3)]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.04)
    assert sum(sorted(draw) == ["G", "R"] for draw in draws) / 3000 == pytest.approx(1 / 9, abs=0.03)


def test_the_numbers_of_channels_are_drawn_with_their_weights():
    draws = drawn(3, 0, 1)
    assert {len(draw) for draw in draws} == {1, 3} and {draw for draw in draws if len(draw) == 1} == {"R", "G", "B"}
    assert sum(len(draw) == 3 for draw in draws) / 3000 == pytest.approx(1 / 4, abs=0.03)


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
