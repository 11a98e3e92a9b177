import pytest
import torch

from models.gaps import filled


@pytest.fixture
def values() -> torch.Tensor:
    return torch.rand(3, 21, 34, generator=torch.Generator().manual_seed(0))


def test_what_is_known_stays_and_nothing_leaves_the_range_of_its_band(values):
    values[1] += 5
    known = torch.rand(values.shape, generator=torch.Generator().manual_seed(1)) > 0.9
    result = filled(values.where(known, torch.nan), known)
    assert torch.equal(result[known], values[known])
    for band, there, original in zip(result, known, values, strict=True):
        assert original[there].min() <= band.min() and band.max() <= original[there].max()
    assert torch.equal(filled(values, torch.ones_like(known)), values)


def test_a_band_of_one_value_keeps_it_and_one_without_any_becomes_0(values):
    known = torch.ones(values.shape, dtype=torch.bool)
    known[:, 3:9, 5:] = False
    values[0] = 0.1
    known[2] = False
    result = filled(values.where(known, torch.nan), known)
    assert (result[0] == values[0, 0, 0]).all()
    assert (result[2] == 0).all()
    assert len(result[1].unique()) > 1


@pytest.mark.parametrize("side", [64, 65, 84, 129])
def test_the_gap_in_a_slope_is_nearly_the_slope(side):
    values = torch.linspace(0, 1, side).expand(1, side, side)
    known = torch.ones(1, side, side, dtype=torch.bool)
    known[:, :, 40:42] = False
    assert (filled(values, known) - values).abs().max() < 0.03
    known[:, 10:30, 30:50] = False  # a hole
    assert (filled(values, known) - values).abs().max() < 0.12
    known[:, :, 24:32] = False
    assert (filled(values, known) - values).abs().max() < 0.12


def test_no_information_flows_from_far_away():
    values = torch.cat([torch.zeros(1, 33, 33), torch.ones(1, 33, 67)], dim=2)
    known = torch.ones(values.shape, dtype=torch.bool)
    known[:, :, 80:84] = False
    assert (filled(values, known) == values).all()


def test_each_band_is_filled_by_itself(values):
    known = torch.rand(values.shape, generator=torch.Generator().manual_seed(1)) > 0.3
    together = filled(values, known)
    for index in range(len(values)):
        alone = filled(values[index : index + 1], known[index : index + 1])
        assert torch.equal(together[index], alone[0])


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 9), (1, 9, 1), (1, 8, 13)])
def test_any_size_is_filled(shape):
    values, known = torch.full(shape, 0.5), torch.zeros(shape, dtype=torch.bool)
    known[..., -1, -1] = True
    assert (filled(values, known) == 0.5).all()
