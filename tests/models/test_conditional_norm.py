"""ConditionalBatchNorm2d: plain batch normalisation at first, then each sample's own scale and shift."""

import pytest
import torch
from torch import nn

from models.conditional_norm import ConditionalBatchNorm2d


@pytest.fixture
def maps() -> torch.Tensor:
    return 2 * torch.randn(4, 6, 5, 7, generator=torch.Generator().manual_seed(0)).double() + 1


@pytest.fixture
def descriptions() -> torch.Tensor:
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(1)).double()


def make_norm(*, learned: bool) -> ConditionalBatchNorm2d:
    torch.manual_seed(2)
    norm = ConditionalBatchNorm2d(6, description_size=3)
    if learned:
        nn.init.normal_(norm.modulation.weight)
    return norm.double()


def test_untrained_it_is_plain_batch_normalisation(maps, descriptions):
    norm, plain = make_norm(learned=False), nn.BatchNorm2d(6).double()
    torch.testing.assert_close(norm(maps, descriptions), plain(maps))
    torch.testing.assert_close(norm.running_mean, plain.running_mean)
    torch.testing.assert_close(norm.eval()(maps, descriptions), plain.eval()(maps))


@pytest.mark.parametrize("training", [True, False])
def test_every_sample_has_its_own_scale_and_shift(maps, descriptions, training):
    norm, plain = make_norm(learned=True).train(training), nn.BatchNorm2d(6, affine=False).double().train(training)
    if not training:
        for layer in (norm, plain):
            layer.running_mean += torch.arange(6)
            layer.running_var *= 3
    y, normalised = norm(maps, descriptions), plain(maps)
    for sample in range(4):
        scale, shift = norm.modulation(descriptions[sample]).view(2, 6, 1, 1)
        torch.testing.assert_close(y[sample], scale * normalised[sample] + shift)


def test_after_training_a_sample_does_not_depend_on_its_neighbours(maps, descriptions):
    norm = make_norm(learned=True).eval()
    torch.testing.assert_close(norm(maps, descriptions)[2:3], norm(maps[2:3], descriptions[2:3]))


def test_without_running_statistics_it_is_normalised_by_those_of_the_batch(maps, descriptions):
    norm = make_norm(learned=True)
    norm.track_running_stats, norm.running_mean, norm.running_var = False, None, None  # as torch.func has them
    torch.testing.assert_close(norm.eval()(maps, descriptions), make_norm(learned=True)(maps, descriptions))


def test_a_reset_makes_it_plain_again(maps, descriptions):
    norm = make_norm(learned=True)
    for part in norm.modules():
        part.reset_parameters()
    plain = torch.nn.BatchNorm2d(maps.shape[1], affine=False).to(maps.dtype)
    torch.testing.assert_close(norm(maps, descriptions), plain(maps))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("x", "d"), [((4, 5, 5), (4, 3)), ((4, 1, 5, 5), (4, 3)), ((4, 6, 5, 5), (2, 3)), ((4, 6), (4, 3))]
)
def test_other_shapes_are_refused_in_training_and_after_it(training, x, d):
    with pytest.raises(ValueError, match="expected"):
        make_norm(learned=True).train(training)(torch.ones(x).double(), torch.ones(d).double())


def test_autocast_keeps_the_maps_in_bfloat16():
    norm = ConditionalBatchNorm2d(6, description_size=3)
    with torch.autocast("cpu", torch.bfloat16):
        assert norm(torch.randn(2, 6, 4, 4, dtype=torch.bfloat16), torch.randn(2, 3)).dtype == torch.bfloat16
