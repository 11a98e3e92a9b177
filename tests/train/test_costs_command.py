"""The study's two cost tables, to the digit."""

import json
import subprocess
import sys

import pytest

from models.costs import Cost
from train import ROOT
from train.costs import main

VGG19 = Cost(21_289_842, 25_578_677_248)
DYNAMIC_VGG19 = Cost(81_885_642, 25_672_863_320)
RESNET34 = Cost(21_797_672, 4_809_609_216)
COMPACT = Cost(447_491, 26_653_235_456)
COMPACT_AS_REPORTED = Cost(447_490, 7_319_591_296)


def test_the_command_prints_both_tables_as_json():
    command = [sys.executable, "-m", "train.costs", "--json"]
    tables = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    rows = {name: Cost(**cost) for table in ("task1", "task2") for name, cost in tables[table].items()}
    assert rows.pop("resnet34").parameters < RESNET34.parameters  # with our head
    assert tables["image_size"] == 256
    assert rows == {
        "vgg19": VGG19,
        "dynamic_vgg19": DYNAMIC_VGG19,
        "resnet34 (1000-class head)": RESNET34,
        "compact (as the study counted)": COMPACT_AS_REPORTED,
        "compact": COMPACT,
    }


def test_the_command_prints_both_tables_for_people(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["costs"])
    main()
    text = capsys.readouterr().out
    for cost in (VGG19, DYNAMIC_VGG19, RESNET34, COMPACT, COMPACT_AS_REPORTED):
        assert f"{cost.parameters:,}" in text and f"{cost.macs:,}" in text


def test_the_command_refuses_a_tiny_picture(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["costs", "--image-size", "16"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "--image-size must be at least 32, got 16" in capsys.readouterr().err
