"""What networks cost, to the digit of the study's tables."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models import build_model, load_checkpoint, save_checkpoint
from models.attention import SelfAttention2d, tokens
from models.costs import Cost, cost_of, cost_of_loaded, count

VGG19 = Cost(21_289_842, 25_578_677_248)
DYNAMIC_VGG19 = Cost(81_885_642, 25_672_863_320)
RESNET34 = Cost(21_797_672, 4_809_609_216)
COMPACT = Cost(447_491, 26_653_235_456)
MACS_OF_COMPACT_AS_REPORTED = 7_319_591_296


@pytest.mark.parametrize(
    ("name", "classes", "cost"),
    [
        ("vgg19", 50, VGG19),
        ("dynamic_vgg19", 50, DYNAMIC_VGG19),
        ("resnet34", 1000, RESNET34),
        ("compact", 50, COMPACT),
    ],
)
def test_a_network_costs_what_the_study_says(name, classes, cost):
    assert cost_of(name, 256, num_classes=classes) == cost


def test_the_studys_counter_misses_the_attention_products():
    assert cost_of("compact", 256, "thop", num_classes=50).macs == MACS_OF_COMPACT_AS_REPORTED


def test_counting_needs_no_memory_for_weights():
    with torch.device("meta"):
        model = build_model("dynamic_vgg19")
    count(model, 64)
    assert all(parameter.is_meta for parameter in model.parameters())


def test_counting_leaves_no_hooks():
    with torch.device("meta"):
        model = build_model("compact")
    assert count(model, 32) == count(model, 32)
    assert not any(module._forward_hooks for module in model.modules())


def test_kernels_add_parameters_but_hardly_any_arithmetic():
    one, four = (cost_of("dynamic_vgg19", 256, num_kernels=k) for k in (1, 4))
    assert four.parameters > 3 * one.parameters and four.macs < 1.01 * one.macs


@pytest.mark.parametrize("size", [64, 256])
def test_any_channels_cost_at_most_two_per_cent_more(size):
    plain, adaptive = cost_of("vgg19", size), cost_of("adaptive_vgg19", size)
    assert plain.parameters < adaptive.parameters < 1.02 * plain.parameters
    assert plain.macs < adaptive.macs < 1.02 * plain.macs


@pytest.mark.parametrize("blocks", ["none", "rrdb", "attention"])
def test_an_ablation_variant_costs_less(blocks):
    variant, whole = cost_of("compact", 64, blocks=blocks), cost_of("compact", 64)
    assert variant.parameters < whole.parameters and variant.macs < whole.macs


def test_a_loaded_network_is_counted_at_its_own_size(tmp_path):
    save_checkpoint(build_model("compact", num_classes=7, blocks="rrdb"), tmp_path)
    expected = cost_of("compact", 64, num_classes=7, blocks="rrdb")  # 64 pixels is the config's default
    assert cost_of_loaded(load_checkpoint(tmp_path)) == expected


@pytest.mark.parametrize("name", ["dynamic_vgg19", "adaptive_vgg19"])
def test_the_other_convention_counts_every_kind_of_layer(name):
    """Nearly as many as the first: normalisation and pooling alone differ."""
    first, other = (cost_of(name, 64, convention).macs for convention in ("fvcore", "thop"))
    assert 0.99 < other / first < 1


def test_an_unknown_convention_is_refused():
    with pytest.raises(ValueError, match="unknown convention 'flops'; known are fvcore, thop"):
        cost_of("compact", 32, "flops")


class ExplicitAttention(SelfAttention2d):
    """The same block with its matrix products written out, which fvcore can see."""

    def forward(self, x):
        q, k, v = (tokens(conv(x)).squeeze(1) for conv in (self.query, self.key, self.value))
        y = torch.matmul(F.softmax(torch.matmul(q, k.transpose(1, 2)), -1), v)
        return self.gamma * y.transpose(1, 2).reshape(x.shape) + x


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "size"), [("vgg19", 32), ("vgg19", 64), ("resnet34", 64), ("compact", 16), ("compact", 36)]
)
def test_fvcore_counts_the_same(name, size):
    fvcore = pytest.importorskip("fvcore.nn")
    model = build_model(name).train()
    for module in model.modules():
        if type(module) is SelfAttention2d:
            module.__class__ = ExplicitAttention
    analysis = fvcore.FlopCountAnalysis(model, torch.randn(1, 3, size, size))
    assert analysis.unsupported_ops_warnings(False).total() == cost_of(name, size).macs


def test_a_grouped_convolution_costs_a_share():
    with torch.device("meta"):
        dense, grouped = (nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, groups=groups)) for groups in (1, 3))
    assert count(dense, 8).macs == 3 * count(grouped, 8).macs == 8 * 8 * 6 * 3 * 9
