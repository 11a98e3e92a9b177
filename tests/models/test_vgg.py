"""VGG19, plain and dynamic."""

import pytest
import torch
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from models import DynamicConv2d, build_model, load_checkpoint, save_checkpoint
from models.vgg import CONFIGURATION_E, configuration


@pytest.fixture(scope="module")
def plain():
    torch.manual_seed(0)
    return build_model("vgg19", num_classes=5).eval()


@pytest.fixture(scope="module")
def dynamic():
    torch.manual_seed(0)
    model = build_model("dynamic_vgg19", num_classes=5, num_kernels=3)
    with torch.no_grad():
        model(torch.randn(4, 3, 32, 32))  # running statistics
    return model.eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32)


def test_the_layout_is_configuration_e():
    assert list(CONFIGURATION_E) == cfgs["E"]


@pytest.mark.parametrize(("width", "first", "last"), [(1, 64, 512), (0.25, 16, 128), (1.5, 96, 768), (0.001, 1, 1)])
def test_the_width_thins_every_layer(width, first, last):
    thin = configuration(width)
    assert [item == "M" for item in thin] == [item == "M" for item in CONFIGURATION_E]
    assert (thin[0], thin[-2]) == (first, last)


@torch.no_grad()
@pytest.mark.parametrize("name", ["vgg19", "dynamic_vgg19", "adaptive_vgg19"])
def test_thin_networks_answer_and_remember_their_width(images, name):
    thin = build_model(name, num_classes=5, width=0.125).eval()
    assert thin(images).shape == (2, 5) and thin.arguments["width"] == 0.125
    assert thin.classifier.in_features == 64 * 49
    again = build_model(name, **thin.arguments)
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in thin.state_dict().items()
    }


@pytest.mark.parametrize("width", [0, -1, float("nan"), float("inf")])
def test_a_width_that_is_not_positive_is_refused(width):
    with pytest.raises(ValueError, match="width must be a number above 0"):
        build_model("vgg19", width=width)


@torch.no_grad()
def test_plain_features_are_torchvisions(plain, images):
    theirs = make_layers(cfgs["E"], batch_norm=True).eval()
    theirs.load_state_dict(plain.features.state_dict())  # strict: the keys are the same
    assert torch.equal(plain.features(images), theirs(images))


def test_plain_convolutions_have_a_bias(plain):
    convolutions = [layer for layer in plain.features if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 16 and all(conv.bias is not None for conv in convolutions)


def test_every_convolution_is_dynamic_and_has_no_bias(dynamic):
    assert len(dynamic.dynamic_layers) == 16
    assert not any(type(layer) is nn.Conv2d for layer in dynamic.modules())
    assert all(layer.bias is None and layer.num_kernels == 3 for layer in dynamic.dynamic_layers)


def test_batch_normalisation_follows_every_convolution(plain, dynamic):
    for model in (plain, dynamic):
        after = [
            b
            for a, b in zip(model.features, model.features[1:], strict=False)
            if isinstance(a, nn.Conv2d | DynamicConv2d)
        ]
        assert len(after) == 16 and all(isinstance(layer, nn.BatchNorm2d) for layer in after)


def test_routers_are_as_wide_as_the_study_counts(dynamic):
    widths = [layer.attention.fc1.out_features for layer in dynamic.dynamic_layers]
    assert widths == [3] + [int(0.25 * layer.in_channels) + 1 for layer in dynamic.dynamic_layers[1:]]


@torch.no_grad()
@pytest.mark.parametrize("channels", ["RGB", "GB", "R"])
def test_kernel_attention_sums_to_one_in_every_layer(dynamic, images, channels):
    attention = dynamic.kernel_attention(images[:, : len(channels)], channels=channels)
    assert attention.shape == (2, 16, 3)
    torch.testing.assert_close(attention.sum(-1), torch.ones(2, 16))


@torch.no_grad()
def test_returning_attention_leaves_the_logits_as_they_are(dynamic, images):
    logits, attention = dynamic(images, return_attention=True)
    assert torch.equal(logits, dynamic(images))
    assert torch.equal(attention, dynamic.kernel_attention(images))


def test_hooks_on_the_features_run(dynamic, images):
    seen = []
    with dynamic.features.register_forward_hook(lambda module, inputs, output: seen.append(output)):
        dynamic(images)
    assert len(seen) == 1


@torch.no_grad()
def test_a_high_temperature_makes_the_kernels_share_equally(dynamic, images):
    attention = dynamic.kernel_attention(images, temperature=1e6)
    torch.testing.assert_close(attention, torch.full_like(attention, 1 / 3))


@torch.no_grad()
def test_a_temperature_for_one_call_does_not_change_the_saved_one(dynamic, images):
    before = {key: value.clone() for key, value in dynamic.state_dict().items() if "temperature" in key}
    assert not torch.equal(dynamic(images, temperature=0.05), dynamic(images))
    assert all(torch.equal(dynamic.state_dict()[key], value) for key, value in before.items())


def test_setting_the_temperature_reaches_every_layer():
    model = build_model("dynamic_vgg19", num_classes=2, num_kernels=1, temperature=30.0)
    assert model.temperature == 30.0
    model.set_temperature(4.0)
    temperatures = [value.item() for key, value in model.state_dict().items() if key.endswith("temperature")]
    assert temperatures == [4.0] * 16


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(dynamic, images, temperature):
    with pytest.raises(ValueError, match="temperature must be a positive number"):
        dynamic.set_temperature(temperature)
    with pytest.raises(ValueError, match="temperature must be a positive number"):
        dynamic(images, temperature=temperature)


def test_one_kernel_is_a_plain_convolution(plain, images):
    dynamic = build_model("dynamic_vgg19", num_classes=5, num_kernels=1).eval()
    state = {key: value for key, value in plain.state_dict().items() if key in dynamic.state_dict()}
    dynamic.load_state_dict(state, strict=False)
    for layer in plain.features:
        if isinstance(layer, nn.Conv2d):
            assert not layer.bias.any()  # fresh: without bias, as the dynamic layers
    with torch.no_grad():
        torch.testing.assert_close(dynamic(images), plain(images), rtol=1e-4, atol=1e-5)


def test_a_small_map_is_replicated_before_the_head(plain):
    assert [plain.head_replication(size) for size in (32, 64, 224, 256)] == [49.0, 12.25, 1.0, 1.0]


def test_synchronised_normalisation_fails_instead_of_forgetting_what_it_learned():
    model = nn.SyncBatchNorm.convert_sync_batchnorm(build_model("adaptive_vgg19", num_classes=2, width=0.05)).eval()
    with pytest.raises(TypeError):
        model(torch.randn(1, 3, 32, 32))


@torch.no_grad()
def test_plain_normalisation_can_be_synchronised_and_takes_any_channels(tmp_path):
    model = build_model("adaptive_vgg19", num_classes=2, width=0.05, plain_norm=True).eval()
    assert {type(layer) for layer in model.features if hasattr(layer, "running_mean")} == {nn.BatchNorm2d}
    x = torch.randn(1, 2, 32, 32)
    expected = model(x, "R+NIR")
    save_checkpoint(model, tmp_path)
    torch.testing.assert_close(load_checkpoint(tmp_path)(x, "R+NIR"), expected)
    torch.testing.assert_close(nn.SyncBatchNorm.convert_sync_batchnorm(model)(x, "R+NIR"), expected)
