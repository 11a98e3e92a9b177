"""The benchmark of dynamic convolution compares what it says it compares."""

import pytest
import torch

from benchmarks.dynamic_conv import GroupedConv2d, ratios, spread, timings
from models import DynamicConv2d


def test_the_grouped_reference_is_the_same_function():
    layer = DynamicConv2d(6, 8, 3, padding=1, bias=False).double()
    x = torch.randn(5, 6, 9, 9).double()
    expected = layer(x)
    layer.__class__ = GroupedConv2d
    torch.testing.assert_close(layer(x), expected)


def test_the_spread_is_the_median_and_the_quartiles():
    assert spread([1.0, 5.0, 2.0, 4.0, 3.0]) == {"median_ms": 3.0, "low_ms": 2.0, "high_ms": 4.0, "n": 5}


def test_rounds_take_turns():
    calls = []
    taken = timings({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    assert calls[-6:] == ["a", "b"] * 3
    assert [taken[name]["n"] for name in "ab"] == [3, 3]


def test_ratios_are_of_medians():
    times = {"vgg19": 100.0, "dynamic_vgg19": 150.0, "grouped": 300.0}
    row = {name: {"median_ms": value} for name, value in times.items()}
    assert ratios(row) == pytest.approx({"over_plain": 1.5, "grouped_over_plain": 3.0, "grouped_over_ours": 2.0})
