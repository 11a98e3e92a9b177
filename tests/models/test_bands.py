"""Names and wavelengths of channels."""

import math

import pytest
import torch

from models import build_model
from models.bands import BANDS_UM, check_count, check_wavelengths, parse_bands, places_of, spell, wavelengths_of
from models.conditional_norm import ConditionalBatchNorm2d


@pytest.mark.parametrize(
    ("channels", "names"),
    [
        ("RG", ("R", "G")),
        ("gr", ("G", "R")),
        ("NIR", ("NIR",)),
        ("R, nir", ("R", "NIR")),
        (["B", "SWIR1"], ("B", "SWIR1")),
        (("?", "R", "?"), ("?", "R", "?")),
        ("R+nir", ("R", "NIR")),
        ("R,.740,?", ("R", "0.74", "?")),
        ("0.665", ("0.665",)),
        (("R", 0.842), ("R", "0.842")),
        ("R G nir", ("R", "G", "NIR")),
        ("R;G；B", ("R", "G", "B")),
        ("R,G,", ("R", "G")),
        ("0.665 µm, 0.8um", ("0.665", "0.8")),
        ("0,665;NIR;1,61", ("0.665", "NIR", "1.61")),
        ("??", ("?", "?")),
        ("red, Green,NIR", ("R", "G", "NIR")),
    ],
)
def test_names_are_read_in_every_form(channels, names):
    assert parse_bands(channels) == names


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ("", "channels is empty"),
        ([], "channels is empty"),
        ("RX", "unknown channel 'RX'; known are R, G, B"),
        ("B8", "unknown channel 'B8'"),
        ("R,,G", "unknown channel ''"),
        ("R,G,R", "channel R is repeated in R, G, R"),
        ("R,RED", "channel R is repeated"),
        ("R,0.5,0.50", r"channel 0\.5 is repeated"),
        ("R,842", r"wavelength 842 µm looks like nanometres; give micrometres: 0\.842"),
        ("R,nan", "unknown channel 'NAN'"),
    ],
)
def test_bad_names_are_refused(channels, message):
    with pytest.raises(ValueError, match=message):
        parse_bands(channels)


@pytest.mark.parametrize("names", [("R", "G"), ("?",), ("R", "NIR"), ("0.74",), ("8", "9"), ("?", "0.74", "?", "B")])
def test_names_spelled_in_one_word_are_read_as_the_same(names):
    assert parse_bands(spell(names)) == names


def test_places_are_those_of_the_sensor_each_unknown_band_in_turn():
    assert places_of("NIR+?+R+?", ("?", "R", "NIR", "?")) == [2, 0, 1, 3]
    with pytest.raises(ValueError, match="there is no channel B among R, NIR"):
        places_of("B", ("R", "NIR"))
    with pytest.raises(ValueError, match=r"there is no channel \? among R, \?"):
        places_of("?,?", ("R", "?"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([665], r"wavelength 665 µm looks like nanometres; give micrometres: 0\.665"),
        ([0.6, -0.5], r"wavelength -0\.5 µm is not between"),
        ([0], "is not between"),
        ([math.inf], "looks like nanometres"),
        ([], "wavelengths_um is empty"),
        ([[0.6], [0.5]], "one number or None per channel"),
        (torch.tensor(0.6), "one number or None per channel"),
    ],
)
def test_bad_wavelengths_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        check_wavelengths(values)


def test_unknown_wavelengths_may_be_none_or_nan():
    values = check_wavelengths([0.6, None, math.nan])
    assert values[0] == 0.6
    assert all(math.isnan(value) for value in values[1:])


def test_names_and_wavelengths_exclude_each_other():
    assert wavelengths_of("RG").tolist() == pytest.approx([BANDS_UM["R"], BANDS_UM["G"]])
    for arguments in ((None, None), ("RG", [0.6, 0.5])):
        with pytest.raises(ValueError, match="give either channels"):
            wavelengths_of(*arguments)


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_wavelengths_keep_their_gradient(shape):
    wavelengths = torch.full(shape, 0.6, requires_grad=True)
    wavelengths_of(wavelengths_um=wavelengths).sum().backward()
    assert torch.equal(wavelengths.grad, torch.ones(shape))


def test_a_wrong_count_is_refused():
    with pytest.raises(ValueError, match=r"expected x of shape \(B, 2, H, W\) for .* \(2,\), got \(1, 3, 8, 8\)"):
        check_count(torch.tensor([0.6, 0.5]), torch.zeros(1, 3, 8, 8))


@pytest.fixture(scope="module")
def network():
    """A network whose normalisations have learned to follow the channels."""
    torch.manual_seed(0)
    model = build_model("adaptive_vgg19", num_classes=5).eval()
    for layer in model.features:
        if isinstance(layer, ConditionalBatchNorm2d):
            torch.nn.init.normal_(layer.modulation.weight, std=0.2)
    return model


@torch.no_grad()
def test_the_network_takes_names_or_wavelengths_in_any_order(network):
    x = torch.randn(2, 3, 32, 32)
    expected = network(x)
    torch.testing.assert_close(network(x[:, [2, 0, 1]], "BRG"), expected)
    torch.testing.assert_close(network(x, wavelengths_um=[0.665, 0.560, 0.490]), expected)
    assert network(torch.randn(2, 13, 40, 33), wavelengths_um=[0.5 + 0.1 * i for i in range(13)]).shape == (2, 5)


@torch.no_grad()
def test_each_picture_may_have_its_own_wavelengths(network):
    x, wavelengths = torch.randn(2, 2, 32, 32), torch.tensor([[0.665, 0.560], [0.490, torch.nan]])
    together = network(x, wavelengths_um=wavelengths)
    alone = [network(x[i : i + 1], wavelengths_um=wavelengths[i]) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_mask_equals_leaving_the_channels_out(network):
    x, mask = torch.randn(2, 3, 32, 32), torch.tensor([[True, False, True], [False, True, False]])
    together = network(x, present=mask)
    alone = [network(x[:1, [0, 2]], "RB"), network(x[1:, 1:2], "G")]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_whole_network_follows_the_channels_that_are_there(network):
    """With one channel copied to all kernels, only the normalisations know how many channels there were."""
    x = torch.randn(1, 1, 32, 32)
    assert not torch.allclose(network(x, "R"), network(x.expand(-1, 2, -1, -1), "R?"), rtol=1e-3)


@torch.no_grad()
def test_the_networks_attention_has_a_row_per_present_channel(network):
    attention = network.kernel_attention(torch.randn(2, 2, 32, 32), ("R", "NIR"))
    assert attention.shape == (2, 2, 4)
    torch.testing.assert_close(attention.sum(1), torch.ones(2, 4))


@pytest.mark.parametrize("arguments", [{"channels": "RX"}, {"wavelengths_um": [665, 560, 490]}, {"channels": "RG"}])
def test_the_network_refuses_what_does_not_fit(network, arguments):
    with pytest.raises(ValueError, match=r"unknown channel|nanometres|expected x of shape"):
        network(torch.randn(1, 3, 32, 32), **arguments)
