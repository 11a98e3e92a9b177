"""ChannelAdaptiveConv2d: any channels, any order, mixed batches."""

import math

import pytest
import torch
import torch.nn.functional as F

from models import ChannelAdaptiveConv2d, build_model
from models.adaptive_conv import TUNING_UM, tuning_for

RGB = torch.tensor([0.665, 0.560, 0.490])


def make_layer(num_kernels: int = 4, **options) -> ChannelAdaptiveConv2d:
    """A layer whose router has learned something."""
    torch.manual_seed(0)
    layer = ChannelAdaptiveConv2d(6, 3, padding=1, num_kernels=num_kernels, **options)
    torch.nn.init.normal_(layer.router[-1].weight)
    torch.nn.init.normal_(layer.weight)
    return layer.double()


@pytest.fixture(params=[False, True], ids=["shared", "own_kernels"])
def layer(request) -> ChannelAdaptiveConv2d:
    """Both kinds of kernels."""
    return make_layer(own_kernels=request.param)


def pixels(batch: int, channels: int, height: int = 7, width: int = 9) -> torch.Tensor:
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(1)).double()


def wavelengths(channels: int) -> torch.Tensor:
    return torch.linspace(0.45, 2.0, channels).double()


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 16])
def test_the_output_is_the_sum_over_channels_of_each_ones_own_mixture(layer, channels):
    x = pixels(2, channels)
    y, routing = layer(x, wavelengths(channels), return_routing=True)
    attention, gates, nearness = routing.attention, routing.gates, routing.nearness
    expected = torch.zeros_like(y)
    for sample in range(2):
        for channel in range(channels):
            weight = layer.weight[:, :4]
            if layer.own_kernels:
                weight = weight + nearness[sample][:, None, None] * layer.weight[:, 4:]
            kernel = torch.einsum("k,okhw->ohw", gates[sample] * attention[sample, channel], weight)[:, None]
            one = x[sample : sample + 1, channel : channel + 1]
            expected[sample] += F.conv2d(one, kernel, padding=1)[0]
    expected += layer.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(attention.sum(1), torch.ones(2, 4).double())


def test_the_order_of_the_channels_does_not_matter(layer):
    x, order = pixels(3, 5), torch.tensor([3, 0, 4, 2, 1])
    torch.testing.assert_close(layer(x[:, order], wavelengths(5)[order]), layer(x, wavelengths(5)))


def test_a_sample_does_not_depend_on_its_neighbours(layer):
    x = pixels(4, 3)
    torch.testing.assert_close(layer(x, RGB.double())[2:3], layer(x[2:3], RGB.double()))


def test_a_masked_batch_of_mixed_subsets_equals_each_subset_alone(layer):
    x = pixels(4, 3)
    present = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 1, 1]]).bool()
    y, routing = layer(x, RGB.double(), present=present, return_routing=True)
    for sample, here in enumerate(present):
        alone = layer(x[sample : sample + 1, here], RGB.double()[here])
        torch.testing.assert_close(y[sample : sample + 1], alone)
        assert (routing.attention[sample, ~here] == 0).all()


@pytest.mark.parametrize(("noise", "absent"), [(0.0, True), (0.02, True), (0.1, False)])
def test_a_dead_channel_counts_as_absent_without_being_told(layer, noise, absent):
    x = pixels(2, 3)
    x[:, 1] = -1.0 + noise * x[:, 1]
    left = layer(x[:, [0, 2]], RGB.double()[[0, 2]])
    assert torch.equal(layer.route(x, RGB.double()).attention[:, 1] == 0, torch.full((2, 4), absent))
    assert torch.allclose(layer(x, RGB.double()), left) is absent


def test_a_band_that_is_there_is_seen_otherwise_than_one_interpolated_from_the_same_values():
    """Green alone at its wavelength, or the same values as a band half-way to red, from which green is interpolated."""
    x, between = pixels(1, 1), [math.sqrt(0.560 * 0.665)]
    for own_kernels, same in ((False, True), (True, False)):
        layer = make_layer(own_kernels=own_kernels)
        torch.nn.init.zeros_(layer.router[-1].weight)  # tuning alone
        assert torch.allclose(layer(x, [0.560]), layer(x, between)) is same
    near, far = (layer.route(x, torch.tensor(wavelength)).nearness[0] for wavelength in ([0.560], between))
    assert near[1] == pytest.approx(1, abs=1e-3) and far[:3].max() < 0.15
    assert near[3] == pytest.approx(1, abs=1e-3)  # a kernel that responds to all alike is near to all


def test_own_kernels_start_as_the_layer_without():
    torch.manual_seed(0)
    without = ChannelAdaptiveConv2d(6, 3)
    torch.manual_seed(0)
    layer = ChannelAdaptiveConv2d(6, 3, own_kernels=True)
    assert torch.equal(layer.weight[:, :4], without.weight) and not layer.weight[:, 4:].any()
    x = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(layer(x, RGB), without(x, RGB))


def test_a_dim_picture_keeps_its_channels():
    layer, x = make_layer(), pixels(2, 3)
    attention = layer.route(1e-3 * x, RGB.double()).attention
    assert (attention > 0).all()


def test_the_noise_of_one_channel_is_measured_against_those_that_are_present():
    layer, x = make_layer(), pixels(1, 3)
    x[:, 0] *= 100  # would make the others look dead
    present = torch.tensor([[False, True, True]])
    torch.testing.assert_close(layer(x, RGB.double(), present=present), layer(x[:, 1:], RGB.double()[1:]))


def test_a_picture_of_constant_channels_alone_keeps_them_all():
    attention = make_layer().route(torch.full((1, 3, 4, 4), 0.5).double(), RGB.double()).attention
    assert (attention > 0).all()


def test_untrained_it_fills_as_the_study_does():
    """RGB goes to the kernels of R, G and B, one channel to all of them, a missing one is its neighbours'."""
    layer = ChannelAdaptiveConv2d(6, 3)
    x = torch.randn(1, 3, 5, 5)
    rgb = layer.route(x, RGB)[0][0, :, :3]  # (channels, kernels of R, G, B)
    assert (rgb.diagonal() > 0.9).all()
    alone = layer.route(x[:, :1], RGB[:1])[0]
    torch.testing.assert_close(alone, torch.ones(1, 1, 4))
    blue_missing = layer.route(x[:, :2], RGB[:2])[0][0, :, 2]
    assert blue_missing[1] > 0.8  # green is nearer to blue than red is
    green_missing = layer.route(x[:, :2], RGB[::2])[0][0, :, 1]
    assert 0.5 < green_missing[1] < 0.7  # red and blue both help, blue, the nearer one, more
    assert (layer.route(x, RGB)[1] == 1).all()  # every gate


def test_the_broad_kernel_sees_the_mean_at_first():
    attention = (
        ChannelAdaptiveConv2d(6, 3).route(torch.randn(1, 4, 5, 5), torch.tensor([0.5, 0.6, 0.842, 1.61])).attention
    )
    torch.testing.assert_close(attention[0, :, 3], torch.full((4,), 0.25), atol=1e-3, rtol=0)


def test_an_unknown_wavelength_has_finite_attention_and_gradients(layer):
    y = layer(pixels(2, 3), torch.tensor([0.665, math.nan, math.nan]).double())
    y.square().sum().backward()
    assert y.isfinite().all()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in layer.parameters())


def test_gradients_pass_gradcheck():
    layer = make_layer(2, tuning_um=(0.6,))
    x = pixels(2, 3, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(x, RGB.double()), (x,), fast_mode=True)


def test_bf16_autocast_keeps_the_attention_in_full_precision():
    layer = ChannelAdaptiveConv2d(6, 3, padding=1)
    with torch.autocast("cpu", torch.bfloat16):
        y, routing = layer(torch.randn(2, 3, 8, 8), RGB, return_routing=True)
    assert (y.dtype, routing.attention.dtype) == (torch.bfloat16, torch.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_kernels": 0}, "must be at least 1"),
        ({"least_spread": 1.0}, r"least_spread must be at least 0 and below 1, got 1\.0"),
        ({"stride": 0}, "stride must be one or two whole numbers of at least 1, got 0"),
        ({"tuning_um": (665.0, 560.0)}, "looks like nanometres"),
        ({"tuning_um": (0.6, float("nan"))}, "tuned to known wavelengths"),
        ({"padding": -1}, "padding must be one or two whole numbers of at least 0, got -1"),
        ({"num_kernels": 2}, "3 wavelengths to tune to need as many kernels, got 2"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ChannelAdaptiveConv2d(6, 3, **arguments)


@pytest.mark.parametrize("value", [1e3, math.nan, math.inf])
def test_absent_channels_may_hold_anything(value):
    layer, x = make_layer(), pixels(2, 3)
    present = torch.tensor([[True, True, False], [True, True, True]])
    expected = layer(x, RGB, present=present)
    x[0, 2] = value
    y = layer(x, RGB, present=present)
    assert torch.equal(y, expected)
    y.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@pytest.mark.parametrize(
    ("shape", "wavelengths_um", "present", "message"),
    [
        ((2, 3, 8, 8), [0.665, 0.56], None, r"expected x of shape \(B, 2, H, W\).*got \(2, 3, 8, 8\)"),
        ((3, 8, 8), RGB, None, r"got \(3, 8, 8\)"),
        ((2, 3, 8, 8), torch.tensor([665.0, 560.0, 490.0]), None, "looks like nanometres"),
        ((2, 3, 8, 8), torch.tensor([0.665, 0.56, -1.0]), None, "not between"),
        ((2, 3, 8, 8), RGB, torch.ones(2, 3), r"type bool.*got \(2, 3\) of torch\.float32"),
        ((2, 3, 8, 8), RGB, torch.tensor([[True] * 3, [False] * 3]), "each sample needs at least one channel"),
        ((2, 3, 8, 8), torch.full((4, 3), 0.5), None, r"shape \(4, 3, H, W\) for wavelengths of shape \(4, 3\)"),
        ((2, 3, 8, 8), torch.tensor(0.665), None, r"of shape \(C,\), or \(B, C\).*, got \(\)"),
        ((2, 3, 8, 8), RGB, torch.ones(2, 2).bool(), r"present of shape \(2, 3\).*got \(2, 2\)"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(shape, wavelengths_um, present, message):
    with pytest.raises(ValueError, match=message):
        make_layer().float()(torch.randn(shape), wavelengths_um, present=present)


def test_without_a_least_spread_a_faint_channel_counts_and_a_constant_one_does_not():
    x = pixels(2, 3)
    x[:, 1] = 0.5 + 0.01 * x[:, 1]
    x[:, 2] = 0.5
    absent = []
    for layer in (make_layer(), make_layer(least_spread=0.0)):
        _, routing = layer(x, RGB, return_routing=True)
        absent.append((routing.attention == 0).all(dim=2).any(dim=0).tolist())
    assert absent == [[False, True, True], [False, False, True]]


def test_present_may_be_a_list():
    layer, x, present = make_layer(), pixels(2, 3), [[True, True, False], [True, True, True]]
    assert torch.equal(layer(x, RGB, present=present), layer(x, RGB, present=torch.tensor(present)))


def test_wavelengths_may_be_a_list_with_unknown_ones():
    layer, x = make_layer().float(), pixels(2, 3).float()
    assert torch.equal(layer(x, [0.665, None, 0.49]), layer(x, torch.tensor([0.665, math.nan, 0.49])))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_network_runs_in_16_bits(dtype):
    torch.manual_seed(0)
    model = build_model("adaptive_vgg19", num_classes=3).eval()
    x = torch.randn(2, 2, 32, 32)
    expected = model(x, "RG")
    logits = model.to(dtype)(x.to(dtype), "RG")
    assert logits.dtype == dtype
    torch.testing.assert_close(logits.float(), expected, rtol=0.1, atol=0.1 * expected.abs().max().item())


def test_a_sensor_has_a_kernel_for_each_wavelength_after_those_of_rgb():
    assert tuning_for([]) == TUNING_UM == (0.665, 0.560, 0.490)
    assert tuning_for([0.842, math.nan, 0.49, 0.443]) == (*TUNING_UM, 0.842, 0.443)
    assert tuning_for([0.670, 0.842, 0.850]) == (*TUNING_UM, 0.842)  # neighbours share one


@torch.no_grad()
def test_each_tuned_kernel_sees_the_channel_of_its_wavelength():
    tuning_um = tuning_for([0.842, 1.61])
    layer = ChannelAdaptiveConv2d(8, 3, num_kernels=6, tuning_um=tuning_um)
    attention = layer.route(torch.randn(1, 5, 9, 9), torch.tensor(tuning_um)).attention[0]  # (C, K)
    assert attention.argmax(0)[:5].tolist() == [0, 1, 2, 3, 4]
    assert attention.diagonal().min() > 0.6


def test_a_constant_picture_has_finite_second_derivatives():
    layer = make_layer()
    x = pixels(3, 3)
    x[0] = -1.0
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x, RGB.double()).square().sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


def test_weights_made_after_the_layer_start_alike_in_whatever_order_they_are_reset():
    with torch.device("meta"):
        layer = ChannelAdaptiveConv2d(4, 3)
    layer.to_empty(device="cpu")
    for module in layer.modules():  # parents first, as FSDP does
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    _, routing = layer(torch.rand(2, 3, 8, 8), [0.665, 0.56, 0.49], return_routing=True)
    assert torch.equal(routing.gates, torch.ones(2, 4))


def test_a_quantised_router_still_routes(recwarn):
    network = torch.nn.Sequential(ChannelAdaptiveConv2d(4, 3)).eval()
    x = torch.rand(2, 3, 8, 8)
    whole = network[0](x, [0.665, 0.56, 0.49])
    torch.ao.quantization.quantize_dynamic(network, {torch.nn.Linear}, dtype=torch.qint8, inplace=True)
    torch.testing.assert_close(network[0](x, [0.665, 0.56, 0.49]), whole)  # the router gives zero either way
