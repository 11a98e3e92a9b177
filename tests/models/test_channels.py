import pytest
import torch

from models import FILLS, SUBSETS, fill_channels, select_channels
from models.channels import channel_indices, parse_channels

R, G, B = 1.0, 2.0, 6.0  # one value per channel; the means of two are 1.5, 3.5 and 4
EXPECTED = {
    ("RGB", "aligned"): (R, G, B),
    ("RGB", "appended"): (R, G, B),
    ("RG", "aligned"): (R, G, 1.5),
    ("RG", "appended"): (R, G, 1.5),
    ("RB", "aligned"): (R, 3.5, B),
    ("RB", "appended"): (R, B, 3.5),
    ("GB", "aligned"): (4.0, G, B),
    ("GB", "appended"): (G, B, 4.0),
    ("R", "aligned"): (R, R, R),
    ("R", "appended"): (R, R, R),
    ("G", "aligned"): (G, G, G),
    ("G", "appended"): (G, G, G),
    ("B", "aligned"): (B, B, B),
    ("B", "appended"): (B, B, B),
}


def rgb() -> torch.Tensor:
    return torch.tensor([R, G, B]).view(1, 3, 1, 1).expand(2, 3, 4, 5)


def filled(channels, fill) -> tuple[float, ...]:
    return tuple(fill_channels(select_channels(rgb(), channels), channels, fill)[1, :, 2, 3].tolist())


def test_expected_slots_cover_every_subset_and_fill():
    assert set(EXPECTED) == {(subset, fill) for subset in SUBSETS for fill in FILLS}


@pytest.mark.parametrize(("channels", "fill"), EXPECTED)
def test_every_channel_lands_in_its_slot(channels, fill):
    assert filled(channels, fill) == EXPECTED[channels, fill]


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(
    ("given", "in_order"), [("GR", "RG"), ("BR", "RB"), ("BG", "GB"), ("BGR", "RGB"), ("GBR", "RGB")]
)
def test_the_order_of_the_names_does_not_change_the_fill(given, in_order, fill):
    assert filled(given, fill) == EXPECTED[in_order, fill]


def test_selecting_keeps_the_named_order():
    assert select_channels(rgb(), "BR")[0, :, 0, 0].tolist() == [B, R]
    assert select_channels(rgb(), "BGR")[0, :, 0, 0].tolist() == [B, G, R]
    picture = rgb()
    assert select_channels(picture, "RGB") is picture


def test_names_may_be_lower_case_or_a_list():
    assert parse_channels("gb") == parse_channels(["G", "B"]) == parse_channels("G + b") == "GB"
    assert parse_channels("R,G,B") == parse_channels(["RGB"]) == "RGB"
    assert parse_channels("Green, red") == parse_channels(("green", "R")) == "GR" and parse_channels("red") == "R"
    assert channel_indices(("B", "G")) == [2, 1]


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("channels", SUBSETS)
def test_filling_and_normalising_commute(channels, fill):
    x = torch.rand(2, 3, 4, 4)
    before = fill_channels((select_channels(x, channels) - 0.5) / 0.5, channels, fill)
    after = (fill_channels(select_channels(x, channels), channels, fill) - 0.5) / 0.5
    torch.testing.assert_close(before, after)


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ("", "channels is empty; name at least one of R, G, B"),
        ([], "channels is empty"),
        ("RX", "unknown channel 'X' in 'RX'; known are R, G, B"),
        ("R, NIR", "unknown channel 'NIR' in 'R, NIR'; known are R, G, B"),
        ("RGR", "channel repeated in 'RGR'"),
        ("rR", "channel repeated in 'RR'"),
    ],
)
def test_bad_names_are_refused(channels, message):
    with pytest.raises(ValueError, match=message):
        fill_channels(rgb(), channels)
    with pytest.raises(ValueError, match=message):
        select_channels(rgb(), channels)


def test_an_unknown_fill_is_refused():
    with pytest.raises(ValueError, match="unknown fill 'middle'; known are aligned, appended"):
        fill_channels(rgb()[:, :2], "RG", "middle")


@pytest.mark.parametrize(
    "x", [torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4), torch.zeros(2, 1, 4, 4)], ids=lambda x: str(x.shape)
)
def test_a_batch_that_does_not_match_its_names_is_refused(x):
    with pytest.raises(ValueError, match=r"expected x of shape \(B, 2, H, W\) for channels 'RG'.*select_channels"):
        fill_channels(x, "RG")


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 4, 8, 8), (1, 2, 8, 8), (1, 8, 8, 3)])
def test_selecting_from_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(B, 3, H, W\), got .*batch axis"):
        select_channels(torch.zeros(shape), "RG")
