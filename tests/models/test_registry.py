"""Claims that hold for every network in ``MODELS``."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models import FILLS, MODELS, SUBSETS, build_model, fill_channels, select_channels

FILLING = [name for name in MODELS if name != "adaptive_vgg19"]  # the others fill missing channels
LEARNING_RATE = {"compact": 0.1}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    """Each network once, in eval mode, its running statistics those of a real batch."""
    torch.manual_seed(0)
    model = build_model(request.param, num_classes=5)
    with torch.no_grad():
        model(torch.randn(4, 3, 32, 32))
    return model.eval()


@pytest.fixture
def images():
    return torch.randn(3, 3, 32, 32)


@torch.no_grad()
def test_logits_have_one_column_per_class(model, images):
    assert model(images).shape == (3, 5)


@torch.no_grad()
@pytest.mark.parametrize("fill", FILLS)
def test_every_subset_answers_as_its_filled_picture(model, images, fill):
    if model.name not in FILLING:
        pytest.skip("fills nothing")
    parts = {channels: select_channels(images[:1], channels) for channels in SUBSETS}
    filled = torch.cat([fill_channels(x, channels, fill) for channels, x in parts.items()])
    answers = torch.cat([model(x, channels, fill=fill) for channels, x in parts.items()])
    torch.testing.assert_close(answers, model(filled), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_the_order_of_the_channels_does_not_matter(model, images):
    torch.testing.assert_close(model(images[:, [1, 0]], channels="GR"), model(images[:, [0, 1]], channels="RG"))


@torch.no_grad()
def test_the_image_size_is_free(model):
    assert model(torch.randn(1, 3, 40, 33)).isfinite().all()


@torch.no_grad()
def test_a_picture_does_not_depend_on_its_batch_neighbours(model, images):
    alone, together = model(images[:1]), model(images)[:1]
    torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("channels", ["", "RX", "RR"])
def test_bad_channels_are_refused(model, images, channels):
    with pytest.raises(ValueError, match="channel"):
        model(images, channels=channels)


@pytest.mark.parametrize("name", MODELS)
def test_the_arguments_rebuild_the_network(name):
    fill = {"fill": "appended"} if name in FILLING else {}
    with torch.device("meta"):
        model = build_model(name, num_classes=7, **fill)
        again = build_model(model.name, **model.arguments)
    assert model.name == name and again.fill == fill.get("fill")
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}


@pytest.mark.parametrize("name", MODELS)
def test_one_batch_is_overfitted(name):
    model = build_model(name, num_classes=4).train()
    images, labels = torch.randn(4, 3, 32, 32), torch.arange(4)
    head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    body = [parameter for key, parameter in model.named_parameters() if parameter.shape[:1] != (4,)]
    lr = LEARNING_RATE.get(name, 0.01)
    groups = [{"params": body}, {"params": head.parameters(), "lr": lr / model.head_replication(32)}]
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=0.9)
    losses = []
    while len(losses) < 25 and (not losses or losses[-1] > 0.1):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 < 1 < losses[0]


def test_an_unknown_model_is_refused():
    with pytest.raises(
        ValueError, match="unknown model 'vgg16'; known are vgg19, dynamic_vgg19, adaptive_vgg19, compact, resnet34"
    ):
        build_model("vgg16")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"fill": "middle"}, "unknown fill 'middle'; known are aligned, appended"),
    ],
)
@pytest.mark.parametrize("name", MODELS)
def test_bad_arguments_are_refused(name, arguments, message):
    if "fill" in arguments and name not in FILLING:
        message = "bad arguments for adaptive_vgg19"
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        build_model(name, **arguments)


@pytest.mark.parametrize("name", list(MODELS))
def test_an_unknown_argument_is_refused(name):
    with torch.device("meta"), pytest.raises(ValueError, match=f"bad arguments for {name}: .*depth"):
        build_model(name, depth=3)


def test_a_network_compiles_into_one_graph():
    torch.compiler.reset()
    model = build_model("compact", num_classes=3).eval()
    x = torch.randn(2, 2, 16, 16)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, "RG"), model(x, "RG"))
