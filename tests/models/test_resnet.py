import torch
import torchvision

from models import build_model


@torch.no_grad()
def test_it_is_torchvisions_network_with_our_head():
    ours = build_model("resnet34", num_classes=50).eval()
    theirs = torchvision.models.resnet34(num_classes=50).eval()
    theirs.load_state_dict(ours.state_dict())  # strict: the keys are the same
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(ours(images), theirs(images))


@torch.no_grad()
def test_a_single_channel_reaches_all_three_inputs():
    model = build_model("resnet34", num_classes=3).eval()
    red = torch.randn(1, 1, 32, 32)
    assert torch.equal(model(red, channels="R"), model(red.repeat(1, 3, 1, 1)))
