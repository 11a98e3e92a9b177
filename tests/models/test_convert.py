"""Other people's networks: made dynamic, or opened to any channels."""

import pytest
import torch
import torch.nn.utils.prune
from torch import nn
from torchvision.models import densenet121, mobilenet_v3_small, resnet18

from models import AnyChannels, DynamicConv2d, KernelAttention, build_model, set_temperature, to_dynamic
from models.convert import noisy_kernels


def small(bias: bool = True) -> nn.Sequential:
    """Two convolutions, the second of which is one of two groups."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=bias), nn.ReLU(), nn.Conv2d(8, 4, (1, 3), groups=2, dilation=2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(4, 3, 40, 36, generator=torch.Generator().manual_seed(1))


# to_dynamic


@torch.no_grad()
@pytest.mark.parametrize("build", [resnet18, mobilenet_v3_small, densenet121])
def test_with_even_attention_torchvisions_networks_answer_as_before(build, images):
    torch.manual_seed(0)
    network = build(num_classes=5).eval()
    expected, names = network(images), {name for name, part in network.named_modules() if type(part) is nn.Conv2d}
    dynamic = to_dynamic(network, num_kernels=3)
    assert dynamic is network
    assert {name for name, part in dynamic.named_modules() if isinstance(part, DynamicConv2d)} == names
    set_temperature(dynamic, 1e9)
    torch.testing.assert_close(dynamic(images), expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
def test_every_setting_of_a_convolution_is_kept(images, bias):
    network = small(bias)
    expected = network(images)
    dynamic = to_dynamic(network, temperature=1e9)
    torch.testing.assert_close(dynamic(images), expected, rtol=1e-4, atol=1e-5)


def test_the_kernels_differ_and_their_mean_is_the_plain_one():
    kernel = torch.randn(4, 3, 3, 3)
    kernels = noisy_kernels(kernel, 5, 0.5, torch.Generator().manual_seed(0)).unflatten(0, (5, 4))
    torch.testing.assert_close(kernels.mean(dim=0), kernel)
    assert 0.3 < ((kernels - kernel).std() / kernel.std()).item() < 0.6
    assert noisy_kernels(torch.ones(1, 1, 1, 1), 3, 0.5, torch.Generator()).isfinite().all()


def test_the_noise_depends_on_its_seed_alone():
    first, again, other = (to_dynamic(small(), seed=seed)[0].weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_only_the_named_layers_are_replaced():
    dynamic = to_dynamic(small(), layers=["2"])
    assert type(dynamic[0]) is nn.Conv2d and isinstance(dynamic[2], DynamicConv2d)


def test_layers_that_are_no_plain_convolutions_are_left_alone():
    class Special(nn.Conv2d):
        """A convolution that does more."""

    network = nn.Sequential(Special(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.Conv2d(4, 4, 1))
    dynamic = to_dynamic(network)
    assert [type(layer) for layer in dynamic] == [Special, nn.Conv2d, DynamicConv2d]


@pytest.mark.parametrize("name", ["1", "nowhere"])
def test_a_layer_that_cannot_be_replaced_is_named(name):
    with pytest.raises(ValueError, match=rf"'{name}' is no plain nn.Conv2d \(.*\); those of Sequential are 0, 2"):
        to_dynamic(small(), layers=[name])


def test_a_network_without_convolutions_is_refused():
    with pytest.raises(ValueError, match=r"Linear has no plain nn\.Conv2d"):
        to_dynamic(nn.Linear(3, 4))


def test_a_lone_convolution_is_replaced_too():
    assert isinstance(to_dynamic(nn.Conv2d(3, 4, 3)), DynamicConv2d)


def test_a_convolution_used_twice_stays_one():
    shared = nn.Conv2d(3, 3, 3, padding=1)
    dynamic = to_dynamic(nn.ModuleDict({"a": shared, "b": nn.Sequential(shared)}))
    assert isinstance(dynamic["a"], DynamicConv2d) and dynamic["a"] is dynamic["b"][0]
    again = to_dynamic(nn.Sequential(shared, nn.ReLU(), shared), layers=["2"])
    assert isinstance(again[0], DynamicConv2d) and again[0] is again[2]


def test_precision_mode_and_frozen_weights_are_kept():
    network = small().double().eval().requires_grad_(False)
    layer = to_dynamic(network)[0]
    assert layer.weight.dtype == torch.float64 and not layer.training
    assert not layer.weight.requires_grad and not layer.bias.requires_grad
    assert all(parameter.requires_grad for parameter in layer.attention.parameters())


def test_the_memory_format_is_kept():
    for memory_format in (torch.contiguous_format, torch.channels_last):
        layer = to_dynamic(small().to(memory_format=memory_format))[0]
        assert layer.weight.is_contiguous(memory_format=memory_format)


def test_a_converted_network_learns(images):
    network, labels = to_dynamic(small()), torch.arange(4)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.03)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


# set_temperature


def test_the_temperature_reaches_every_router():
    network = to_dynamic(small())
    set_temperature(network, 7.0)
    routers = [part for part in network.modules() if isinstance(part, KernelAttention)]
    assert [router.temperature.item() for router in routers] == [7.0, 7.0]


def test_a_network_without_routers_has_no_temperature():
    with pytest.raises(ValueError, match=r"Sequential has no dynamic convolution; models\.to_dynamic gives"):
        set_temperature(small(), 1.0)


# AnyChannels


@torch.no_grad()
def test_rgb_goes_nearly_as_it_is_and_one_channel_is_copied(images):
    network = small()
    any_channels = AnyChannels(network)
    expected = network(images)
    assert (any_channels(images) - expected).abs().max() < 0.05 * expected.abs().max()
    red = images[:, :1]
    torch.testing.assert_close(any_channels(red, "R"), network(red.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("bands", ["", "B,G,R,0.74,NIR"])
def test_the_order_of_the_channels_does_not_matter(images, bands):
    network = AnyChannels(small(), bands=bands).eval()
    torch.testing.assert_close(network(images[:, [2, 0, 1]], "BRG"), network(images, "RGB"))
    torch.testing.assert_close(network(images, wavelengths_um=[0.665, 0.560, 0.490]), network(images, "RGB"))


@torch.no_grad()
@pytest.mark.parametrize("bands", ["", "NIR,R,G"])
def test_unnamed_channels_are_those_it_was_made_for(images, bands):
    network = AnyChannels(small(), bands=bands).eval()
    assert torch.equal(network(images), network(images, bands or "RGB"))


@torch.no_grad()
def test_a_faint_band_of_a_sensor_counts_and_a_faint_colour_does_not(images):
    faint = images * torch.tensor([1, 0.01, 1]).view(1, 3, 1, 1)
    for network, counts in (
        (AnyChannels(small()), False),
        (AnyChannels(small(), bands="R,G,B"), True),
        (AnyChannels(small(), bands="R,G,B", least_spread=0.1), False),
    ):
        _, attention = network.eval()(faint, "RGB", return_attention=True)
        assert bool(attention[:, 1].any()) == counts


@torch.no_grad()
def test_further_bands_change_nothing_until_they_are_trained(images):
    few, many = AnyChannels(small()), AnyChannels(small(), bands="B,G,R,0.74,NIR")
    assert many.network[0].weight.shape == (8, 5, 3, 3) and many.network[0].in_channels == 5
    torch.testing.assert_close(many(images, "R+NIR+?"), few(images, "R+NIR+?"))


def test_further_bands_are_learned():
    torch.manual_seed(0)
    network = AnyChannels(small(), bands="R,G,B,NIR,SWIR1")
    network(torch.randn(2, 5, 16, 16), "R+G+B+NIR+SWIR1").square().sum().backward()
    assert network.network[0].weight.grad[:, 3:].abs().amax() > 0
    assert network.attention.router[-1].weight.grad.abs().amax() > 0


@torch.no_grad()
@pytest.mark.parametrize("build", [resnet18, mobilenet_v3_small])
def test_torchvisions_networks_take_any_channels(build):
    network = AnyChannels(build(num_classes=5).eval(), bands="B,G,R,NIR")
    logits, attention = network(torch.randn(2, 6, 40, 40), ("R", "G", "B", "NIR", "0.74", "?"), return_attention=True)
    assert logits.shape == (2, 5) and attention.shape == (2, 6, 4)
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(2, 4))


@torch.no_grad()
def test_a_batch_may_mix_subsets(images):
    network = AnyChannels(small()).eval()
    present = torch.tensor([[True, True, False]] * 4)
    torch.testing.assert_close(network(images, present=present), network(images[:, :2], "RG"))


def test_options_go_to_the_network(images):
    class Scaled(nn.Module):
        def forward(self, x, *, by):
            return by * x

    assert torch.equal(AnyChannels(Scaled())(images, by=0.0), torch.zeros_like(images))


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (nn.Sequential(nn.Conv2d(1, 4, 3)), "Conv2d of 1 channels"),
        (nn.Linear(3, 4), "none"),
        (nn.utils.spectral_norm(nn.Conv2d(3, 4, 3)), "Conv2d of 3 channels whose weight is computed"),
    ],
)
def test_only_a_network_of_rgb_takes_further_bands(network, found):
    with pytest.raises(ValueError, match=f"must be an nn.Conv2d of three channels to take more, found {found}"):
        AnyChannels(network, bands="R,G,B,NIR")


def test_a_network_is_opened_before_it_becomes_dynamic():
    with pytest.raises(ValueError, match="is dynamic already and takes no more channels; use AnyChannels first"):
        AnyChannels(to_dynamic(small(), layers=["0"]), bands="R,G,B,NIR")
    network = to_dynamic(AnyChannels(small(), bands="R,G,B,NIR"))
    assert network(torch.rand(2, 2, 16, 16), "R+NIR").isfinite().all()


def test_bands_that_are_none_are_refused(images):
    with pytest.raises(ValueError, match="unknown channel"):
        AnyChannels(small(), bands="R,X")
    with pytest.raises(ValueError, match="give either channels"):
        AnyChannels(small())(images, "RGB", wavelengths_um=[0.6, 0.5, 0.4])


def hooked(wrap) -> nn.Sequential:
    network = small()
    wrap(network[0])
    return network


@pytest.mark.parametrize(
    "wrap",
    [
        nn.utils.spectral_norm,
        lambda conv: nn.utils.prune.l1_unstructured(conv, "weight", 0.5),
        lambda conv: conv.register_forward_hook(lambda *_: None),
        lambda conv: conv.register_full_backward_pre_hook(lambda *_: None),
        lambda conv: setattr(conv, "padding_mode", "reflect"),
    ],
)
def test_a_convolution_that_does_more_is_left_alone(wrap):
    network = to_dynamic(hooked(wrap))
    assert type(network[0]) is nn.Conv2d and type(network[2]) is DynamicConv2d
    with pytest.raises(ValueError, match=r"'0' is no plain nn.Conv2d .* those of Sequential are 2"):
        to_dynamic(hooked(wrap), layers="0")


def test_convolutions_that_share_their_weight_go_on_sharing_it():
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 1))
    network[1].weight = network[0].weight
    to_dynamic(network)
    assert network[1].weight is network[0].weight and type(network[2]) is DynamicConv2d


def test_convolutions_that_share_their_bias_go_on_sharing_it():
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 1))
    network[1].bias = network[0].bias
    to_dynamic(network)
    assert network[1].bias is network[0].bias and type(network[2]) is DynamicConv2d


def test_a_convolution_with_a_forward_of_its_own_is_left_alone():
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3))
    network[0].forward = lambda x: x * 0
    to_dynamic(network)
    assert type(network[0]) is nn.Conv2d and type(network[1]) is DynamicConv2d


def test_a_convolution_whose_weight_another_module_holds_is_left_alone():
    class Tied(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
            self.held = nn.ParameterList([self[0].weight])

    made = to_dynamic(Tied())
    assert type(made[0]) is nn.Conv2d and type(made[1]) is DynamicConv2d


def test_a_padding_of_unequal_sides_is_left_alone():
    wide = to_dynamic(nn.Conv2d(3, 3, 2, padding="same", dilation=2))  # whose reach is even
    assert isinstance(wide, DynamicConv2d) and wide(torch.ones(1, 3, 5, 6)).shape == (1, 3, 5, 6)
    network = to_dynamic(nn.Sequential(nn.Conv2d(3, 3, 4, padding="same"), nn.Conv2d(3, 3, 3, padding="same")))
    assert [type(part) for part in network] == [nn.Conv2d, DynamicConv2d]


def test_conversion_does_not_depend_on_the_default_device():
    network = small()
    with torch.device("meta"):
        to_dynamic(network, layers="0")
    assert network[0].weight.device.type == "cpu"


def test_networks_that_handle_their_three_channels_themselves_are_not_widened():
    with pytest.raises(ValueError, match=r"ResNet34 takes R, G and B and fills those missing; .* adaptive_vgg19"):
        AnyChannels(build_model("resnet34"), bands="B,G,R,NIR")
    network = small()
    network.transform_input = True
    with pytest.raises(ValueError, match="set transform_input=False"):
        AnyChannels(network, bands="B,G,R,NIR")
