import pytest
import torch
import torch.nn.functional as F

from models import CheckpointError, ModelConfig, build_model, save_checkpoint, select_channels
from models.adaptive_conv import tuning_for
from train.warm_start import plain_to_dynamic, warm_start


@pytest.fixture(scope="module")
def plain():
    """A plain VGG19 with biases and running statistics unlike those of a fresh one."""
    torch.manual_seed(0)
    model = build_model("vgg19", num_classes=3)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith(".bias"):
                parameter.normal_(std=0.3)
        model(torch.randn(4, 3, 32, 32))
    return model.eval()


@pytest.fixture(scope="module")
def folder(plain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    save_checkpoint(plain, folder)
    return folder


@pytest.fixture
def images():
    return torch.randn(4, 3, 32, 32)


def dynamic_vgg19(num_classes: int = 3, temperature: float = 30.0):
    return build_model("dynamic_vgg19", num_classes=num_classes, num_kernels=2, temperature=temperature)


@torch.no_grad()
def test_without_noise_the_dynamic_network_answers_as_the_plain_one(plain, folder, images):
    dynamic = dynamic_vgg19().eval()
    warm_start(dynamic, str(folder), noise=0.0, seed=0)
    torch.testing.assert_close(dynamic(images), plain(images), rtol=1e-3, atol=1e-3)


def test_with_noise_the_kernels_differ_and_training_lowers_the_loss(folder, images):
    dynamic = dynamic_vgg19().train()
    warm_start(dynamic, str(folder), noise=0.1, seed=0)
    first, second = dynamic.dynamic_layers[5].weight.chunk(2)
    assert 0.05 < (first - second).std() / first.std() < 0.3
    optimizer = torch.optim.SGD(dynamic.parameters(), lr=1e-4)
    losses = []
    for _ in range(3):
        loss = F.cross_entropy(dynamic(images), torch.tensor([0, 1, 2, 0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[2] < losses[0]


def test_noise_depends_only_on_its_seed(plain):
    with torch.device("meta"):
        shapes = dynamic_vgg19().state_dict()
    dynamic = {key: torch.empty_like(value, device="cpu") for key, value in shapes.items()}
    first, again, other = (
        plain_to_dynamic(plain.state_dict(), dynamic, noise=0.1, seed=seed)["features.3.weight"] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_layers_draw_their_noise_in_order(plain):
    """Python's sets have another order in every process; a seed has to mean the same in all of them."""
    plain = plain.state_dict()
    kernels = plain_to_dynamic(plain, dynamic_vgg19().state_dict(), noise=0.5, seed=3)["features.0.weight"]
    kernel = plain["features.0.weight"]
    spread = torch.randn(2, *kernel.shape, generator=torch.Generator().manual_seed(3)) * kernel.std()
    expected = (kernel + 0.5 * (spread - spread.mean(dim=0))) / 2**0.5
    torch.testing.assert_close(torch.stack(kernels.chunk(2)), expected)


def test_the_noise_of_all_kernels_sums_to_zero(plain):
    plain = plain.state_dict()
    kernels = plain_to_dynamic(plain, dynamic_vgg19().state_dict(), noise=0.5, seed=0)["features.3.weight"]
    mean = torch.stack(kernels.chunk(2)).mean(0)
    torch.testing.assert_close(mean * 2**0.5, plain["features.3.weight"])


def test_the_mixture_learns_as_fast_as_the_plain_kernel(plain, folder, images):
    """One step of gradient descent moves both by the same share of their size."""
    dynamic, labels = dynamic_vgg19(temperature=1e6).eval(), torch.tensor([0, 1, 2, 0])
    warm_start(dynamic, str(folder), noise=0.0, seed=0)
    moved = []
    for layer, model in ((plain.features[3], plain), (dynamic.features[3], dynamic)):
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(images), labels), layer.weight)
        count = getattr(layer, "num_kernels", 1)
        moved.append(gradient.unflatten(0, (count, -1)).mean(0) / layer.weight.norm() * count**0.5)
    torch.testing.assert_close(moved[1], moved[0], rtol=1e-2, atol=1e-5)


def test_the_temperature_and_the_routers_stay_those_of_the_new_network(folder):
    dynamic = dynamic_vgg19(temperature=12.0)
    router = dynamic.dynamic_layers[3].attention.fc1.weight.clone()
    warm_start(dynamic, str(folder), noise=0.1, seed=0)
    assert dynamic.temperature == 12.0
    assert torch.equal(dynamic.dynamic_layers[3].attention.fc1.weight, router)


@torch.no_grad()
@pytest.mark.parametrize("channels", ["R", "G", "B"])
def test_the_adaptive_network_starts_as_the_plain_one_with_one_channel_copied(plain, folder, images, channels):
    adaptive = build_model("adaptive_vgg19", num_classes=3).eval()
    warm_start(adaptive, str(folder), noise=0.0, seed=0)
    one = select_channels(images, channels)
    torch.testing.assert_close(adaptive(one, channels), plain(one, channels), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_the_adaptive_network_starts_close_to_the_plain_one_on_rgb(plain, folder, images):
    adaptive = build_model("adaptive_vgg19", num_classes=3).eval()
    warm_start(adaptive, str(folder), noise=0.0, seed=0)
    difference = (adaptive(images) - plain(images)).norm() / plain(images).norm()
    assert difference < 0.3  # neighbouring tuning curves overlap


def test_the_same_network_is_copied(tmp_path):
    source, copy = build_model("compact", num_classes=3), build_model("compact", num_classes=3)
    save_checkpoint(source, tmp_path)
    warm_start(copy, str(tmp_path), noise=0.5, seed=0)
    assert all(torch.equal(copy.state_dict()[key], value) for key, value in source.state_dict().items())


def test_a_dynamic_network_is_copied_but_for_its_temperature(tmp_path):
    source, copy = dynamic_vgg19(temperature=1.0), dynamic_vgg19(temperature=30.0)
    save_checkpoint(source, tmp_path)
    warm_start(copy, str(tmp_path), noise=0.5, seed=0)
    assert copy.temperature == 30.0
    assert torch.equal(copy.dynamic_layers[7].weight, source.dynamic_layers[7].weight)


def adaptive_vgg19(wavelengths_um=(), **options):
    """A network for these channels whose router and normalisations look at everything."""
    tuning_um = tuning_for(wavelengths_um)
    options = {"num_classes": 3, "num_kernels": len(tuning_um) + 1, "tuning_um": tuning_um} | options
    model = build_model("adaptive_vgg19", **options)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "router" in key or "modulation" in key:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model.eval()


@torch.no_grad()
def test_an_adaptive_network_with_more_kernels_answers_as_the_one_it_starts_from(tmp_path):
    small, wide = adaptive_vgg19([0.74]), adaptive_vgg19([1.61, 0.74, 0.842])
    save_checkpoint(small, tmp_path)
    warm_start(wide, str(tmp_path), noise=0.1, seed=0)
    assert wide.features[0].num_kernels == 7
    x, wavelengths_um = torch.randn(2, 5, 32, 32), [0.49, 0.74, 0.842, None, 0.665]
    for model in (small, wide):
        model.double()
    torch.testing.assert_close(
        wide(x.double(), wavelengths_um=wavelengths_um), small(x.double(), wavelengths_um=wavelengths_um)
    )


def test_the_further_kernels_learn(tmp_path):
    save_checkpoint(adaptive_vgg19(), tmp_path)
    wide = adaptive_vgg19([0.842])
    warm_start(wide, str(tmp_path), noise=0.1, seed=0)
    wide.train()(torch.randn(4, 2, 32, 32), "R+NIR").square().sum().backward()
    assert wide.features[0].weight[:, 3].eq(0).all() and wide.features[0].weight.grad[:, 3].abs().max() > 0


@torch.no_grad()
def test_second_parts_of_the_kernels_start_at_zero_and_are_kept(tmp_path):
    shared, own, wide = adaptive_vgg19(), adaptive_vgg19(own_kernels=True), adaptive_vgg19([0.842], own_kernels=True)
    save_checkpoint(shared, tmp_path / "shared")
    warm_start(own, str(tmp_path / "shared"), noise=0.1, seed=0)
    x = torch.randn(2, 2, 32, 32)
    torch.testing.assert_close(own(x, "R+NIR"), shared(x, "R+NIR"), rtol=1e-4, atol=1e-4)
    own.features[0].weight[:, 4:].normal_(std=0.1)
    save_checkpoint(own, tmp_path / "own")
    warm_start(wide, str(tmp_path / "own"), noise=0.1, seed=0)
    weight = own.features[0].weight
    torch.testing.assert_close(wide.features[0].weight[:, [0, 1, 2, 4, 5, 6, 7, 9]], weight)
    assert not wide.features[0].weight[:, [3, 8]].any()  # of the kernel for 0.842 µm
    torch.testing.assert_close(wide(x, "R+NIR"), own(x, "R+NIR"), rtol=1e-4, atol=1e-4)
    with pytest.raises(CheckpointError, match="second parts, which would be lost; add --own-kernels"):
        warm_start(adaptive_vgg19(), str(tmp_path / "own"), noise=0.1, seed=0)


@torch.no_grad()
def test_plain_normalisations_become_conditional_ones_and_not_the_other_way(plain, folder, images, tmp_path):
    classes = plain.arguments["num_classes"]
    model, told, wide = (
        build_model("adaptive_vgg19", num_classes=classes, plain_norm=flag, **more).eval()
        for flag, more in ((True, {}), (False, {}), (True, {"num_kernels": 5}))
    )
    for network in (model, told):
        warm_start(network, str(folder), noise=0.1, seed=0)
    torch.testing.assert_close(model(images), told(images), rtol=1e-4, atol=1e-4)
    save_checkpoint(model, tmp_path / "plain_norm")
    for network in (told, wide):
        warm_start(network, str(tmp_path / "plain_norm"), noise=0.1, seed=0)
        torch.testing.assert_close(network(images[:, :2], "R+NIR"), model(images[:, :2], "R+NIR"), rtol=1e-4, atol=1e-4)
    save_checkpoint(told, tmp_path / "told")
    with pytest.raises(CheckpointError, match="normalisations follow the channels; leave out --plain-norm"):
        warm_start(model, str(tmp_path / "told"), noise=0.1, seed=0)


@torch.no_grad()
def test_a_plain_network_becomes_one_with_own_kernels_that_answers_alike(plain, folder, images):
    classes = plain.arguments["num_classes"]
    model = build_model("adaptive_vgg19", num_classes=classes, own_kernels=True).eval()
    shared = build_model("adaptive_vgg19", num_classes=classes).eval()
    for network in (model, shared):
        warm_start(network, str(folder), noise=0.1, seed=0)
    torch.testing.assert_close(model(images), shared(images), rtol=1e-4, atol=1e-4)


def test_an_adaptive_network_without_a_place_for_a_kernel_is_refused(tmp_path):
    save_checkpoint(adaptive_vgg19([0.74]), tmp_path)
    with pytest.raises(CheckpointError, match=r"tuned to 0\.74 µm has no place among 5 tuned otherwise"):
        warm_start(adaptive_vgg19([0.842]), str(tmp_path), noise=0.1, seed=0)
    with pytest.raises(CheckpointError, match="has no place among 4"):
        warm_start(adaptive_vgg19(), str(tmp_path), noise=0.1, seed=0)


def test_another_fill_is_refused(folder):
    with pytest.raises(CheckpointError, match=r"fill appended from .*, which was trained with aligned; use --fill"):
        warm_start(build_model("dynamic_vgg19", num_classes=3, fill="appended"), str(folder), noise=0.0, seed=0)


def test_another_number_of_classes_is_refused(folder):
    with pytest.raises(CheckpointError, match=r"cannot start vgg19 from .*: classifier\.bias differs; use the same"):
        warm_start(build_model("vgg19", num_classes=4), str(folder), noise=0.0, seed=0)
    with pytest.raises(CheckpointError, match=r"differs; .* \(num_classes is 3 there and 4 here\)"):
        warm_start(build_model("adaptive_vgg19", num_classes=4), str(folder), noise=0.0, seed=0)
    with pytest.raises(CheckpointError, match=r"classifier\.bias differs; .* \(num_classes is 3 there and 6 here\)"):
        warm_start(dynamic_vgg19(num_classes=6), str(folder), noise=0.0, seed=0)


@pytest.mark.parametrize("name", ["vgg19", "dynamic_vgg19", "adaptive_vgg19"])
def test_for_other_classes_only_the_last_layer_stays_fresh(plain, folder, name):
    model = build_model(name, num_classes=4)
    fresh = model.classifier.weight.clone()
    copied_head = warm_start(model, str(folder), noise=0.0, seed=0, synsets=("a", "b", "c", "d"))
    assert not copied_head
    assert torch.equal(model.classifier.weight, fresh)
    (convolution, norm), (start, its_norm) = model.features[3:5], plain.features[3:5]
    if name == "dynamic_vgg19":  # four kernels of half the plain one's size, without its bias
        torch.testing.assert_close(convolution.weight, start.weight.repeat(4, 1, 1, 1) / 2)
        torch.testing.assert_close(norm.running_mean, (its_norm.running_mean - start.bias) / 2)
    else:
        assert torch.equal(convolution.weight, start.weight)
        assert torch.equal(norm.running_mean, its_norm.running_mean)


@pytest.mark.parametrize(("synsets", "copied"), [(("n1", "n2", "n3"), True), (("n3", "n2", "n1"), False)])
def test_the_last_layer_is_copied_for_the_same_classes_in_the_same_order_alone(tmp_path, synsets, copied):
    source = build_model("compact", num_classes=3)
    source.config = ModelConfig(model="compact", arguments=source.arguments, synsets=("n1", "n2", "n3"))
    save_checkpoint(source, tmp_path)
    model = build_model("compact", num_classes=3)
    assert warm_start(model, str(tmp_path), noise=0.0, seed=0, synsets=synsets) == copied
    assert torch.equal(model.classifier.weight, source.classifier.weight) == copied


@pytest.mark.parametrize(("saved", "wanted"), [("both", "none"), ("none", "both"), ("rrdb", "attention")])
def test_other_blocks_are_refused(tmp_path, saved, wanted):
    save_checkpoint(build_model("compact", num_classes=3, blocks=saved), tmp_path)
    with pytest.raises(CheckpointError, match=r"cannot start compact from .*: branches\..* differs"):
        warm_start(build_model("compact", num_classes=3, blocks=wanted), str(tmp_path), noise=0.0, seed=0)


def test_another_architecture_is_refused(folder):
    with pytest.raises(CheckpointError, match=r"cannot start compact from .*, which holds vgg19"):
        warm_start(build_model("compact", num_classes=3), str(folder), noise=0.0, seed=0)


@pytest.mark.parametrize("name", ["vgg19", "dynamic_vgg19", "adaptive_vgg19"])
def test_another_width_is_refused(folder, name):
    thin = build_model(name, num_classes=5, width=0.25)
    with pytest.raises(CheckpointError, match=r"of width 0\.25 from .*, which has 1; use --width 1"):
        warm_start(thin, str(folder), noise=0.1, seed=0)


def test_widths_of_the_same_channels_are_the_same(tmp_path):
    save_checkpoint(build_model("vgg19", num_classes=5, width=1 / 30), tmp_path)
    assert warm_start(build_model("dynamic_vgg19", num_classes=5, width=0.0333), str(tmp_path), noise=0.1, seed=0)


def test_a_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint '.*nowhere'; give one of"):
        warm_start(build_model("compact"), str(tmp_path / "nowhere"), noise=0.0, seed=0)
