"""The compact network and its blocks, RRDB and self-attention."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from models import build_model
from models.attention import SelfAttention2d
from models.compact import BLOCKS
from models.rrdb import RRDB, DenseBlock


@pytest.fixture
def attention() -> SelfAttention2d:
    block = SelfAttention2d(16)
    with torch.no_grad():
        block.gamma.fill_(0.7)
    return block


def explicit_attention(block: SelfAttention2d, x: torch.Tensor) -> torch.Tensor:
    """softmax(Q Kᵀ), the matrix itself: (B, N, N)."""
    return (block.query(x).flatten(2).transpose(1, 2) @ block.key(x).flatten(2)).softmax(-1)


def explicit_output(block: SelfAttention2d, x: torch.Tensor) -> torch.Tensor:
    """γ · (attention · V) + x."""
    y = explicit_attention(block, x) @ block.value(x).flatten(2).transpose(1, 2)  # (B, N, C)
    return block.gamma * y.transpose(1, 2).reshape(x.shape) + x


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_self_attention_equals_the_explicit_formula(attention, layout):
    x = torch.randn(2, 16, 5, 6).contiguous(memory_format=layout)
    torch.testing.assert_close(attention(x), explicit_output(attention, x))


def test_self_attention_has_the_gradients_of_the_explicit_formula(attention):
    x = torch.randn(2, 16, 5, 6, requires_grad=True)
    inputs = (x, *attention.parameters())
    actual = torch.autograd.grad(attention(x).square().sum(), inputs)
    expected = torch.autograd.grad(explicit_output(attention, x).square().sum(), inputs)
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)


def test_self_attention_starts_as_the_identity():
    x = torch.randn(2, 16, 5, 6)
    assert torch.equal(SelfAttention2d(16)(x), x)


def test_attention_at_gives_rows_of_the_attention_matrix(attention):
    x = torch.randn(2, 16, 5, 6)
    maps = attention.attention_at(x, torch.tensor([[0, 0], [2, 5], [4, 1]]))
    rows = explicit_attention(attention, x)[:, [0, 2 * 6 + 5, 4 * 6 + 1]]
    torch.testing.assert_close(maps, rows.unflatten(2, (5, 6)))


def test_attention_maps_sum_to_one(attention):
    maps = attention.attention_at(10 * torch.randn(2, 16, 5, 6), torch.tensor([[1, 1], [3, 2]]))
    torch.testing.assert_close(maps.sum((2, 3)), torch.ones(2, 2))


@pytest.mark.parametrize("position", [(5, 0), (0, 6), (-1, 0)])
def test_positions_off_the_map_are_refused(attention, position):
    with pytest.raises(IndexError, match=r"within 5 x 6, got \[\["):
        attention.attention_at(torch.randn(1, 16, 5, 6), torch.tensor([position]))


def test_self_attention_needs_eight_channels():
    with pytest.raises(ValueError, match=r"at least 8.*got 4"):
        SelfAttention2d(4)


def test_a_dense_block_equals_its_formula():
    block, x = DenseBlock(8, growth_channels=4), torch.randn(2, 8, 6, 6)
    a = F.relu(block.conv1(x))
    b = F.relu(block.conv2(torch.cat([x, a], dim=1)))
    assert torch.equal(block(x), x + 0.2 * block.conv3(torch.cat([x, a, b], dim=1)))


def test_an_rrdb_equals_its_formula():
    block, x = RRDB(8, growth_channels=4), torch.randn(2, 8, 6, 6)
    first, second, third = block.body
    assert torch.equal(block(x), x + 0.2 * third(second(first(x))))


def test_an_rrdb_without_residual_scale_is_the_identity():
    x = torch.randn(2, 8, 6, 6)
    assert torch.equal(RRDB(8, growth_channels=4, residual_scale=0.0)(x), x)


@torch.no_grad()
def test_the_branches_run_in_parallel_and_are_added():
    model, images = build_model("compact").eval(), torch.randn(2, 3, 16, 16)
    model.branches["attention"].gamma.fill_(0.5)
    x = model.stem(images)
    x = model.neck(model.branches["rrdb"](x) + model.branches["attention"](x))
    torch.testing.assert_close(model(images), model.classifier(x.mean((2, 3))))


@pytest.mark.parametrize("blocks", BLOCKS)
def test_an_ablation_variant_has_just_its_blocks(blocks):
    model = build_model("compact", blocks=blocks)
    assert set(model.branches) == set(BLOCKS[blocks])
    assert model(torch.randn(2, 3, 16, 16)).shape == (2, 50)


@pytest.mark.parametrize("blocks", ["attention", "both"])
def test_gamma_is_zero_in_a_fresh_network(blocks):
    assert build_model("compact", blocks=blocks).gamma == 0.0


def test_gamma_is_none_without_attention():
    assert build_model("compact", blocks="rrdb").gamma is None


@torch.no_grad()
def test_attention_at_sees_the_filled_channels():
    model, position = build_model("compact").eval(), torch.tensor([[3, 4]])
    green = torch.randn(1, 1, 16, 16)
    expected = model.attention_at(green.repeat(1, 3, 1, 1), position)
    assert expected.shape == (1, 1, 8, 8)
    assert torch.equal(model.attention_at(green, position, channels="G"), expected)


def test_attention_at_needs_the_attention_block():
    with pytest.raises(ValueError, match="no attention block; build it with blocks='attention' or 'both'"):
        build_model("compact", blocks="rrdb").attention_at(torch.randn(1, 3, 16, 16), torch.tensor([[0, 0]]))


def test_unknown_blocks_are_refused():
    with pytest.raises(ValueError, match="unknown blocks 'all'; known are none, rrdb, attention, both"):
        build_model("compact", blocks="all")


MEASURE = r"""
import re
from pathlib import Path

import torch
from models import build_model

def peak():  # in KiB; of ru_maxrss the parent's is part
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])

model = build_model("compact").train()
x = torch.randn(1, 3, 256, 256)
model(x[..., :32, :32]).sum().backward()  # whatever is allocated once
before = peak()
model(x).sum().backward()
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read where Linux has it")
def test_a_training_step_at_256_pixels_never_holds_the_attention_matrix(root):
    done = subprocess.run([sys.executable, "-c", MEASURE], cwd=root, capture_output=True, text=True, check=True)
    growth_bytes = int(done.stdout) * 1024
    matrix_bytes = 16_384**2 * 4
    assert growth_bytes < matrix_bytes / 2
