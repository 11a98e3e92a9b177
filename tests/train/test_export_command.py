"""The command that writes ONNX files."""

import sys

import pytest

from train import export as module


@pytest.fixture
def command(monkeypatch, tmp_path):
    """``command(*words)`` runs ``train.export`` with the file to write."""
    for package in ("onnxruntime", "onnxscript"):
        pytest.importorskip(package)

    def run(*words: str):
        monkeypatch.setattr(sys, "argv", ["export", *words, "--to", str(tmp_path / "out" / "model.onnx")])
        module.main()
        return tmp_path / "out" / "model.onnx"

    return run


def test_it_says_what_the_file_takes_and_that_its_logits_agree(command, capsys):
    path = command("--checkpoint", "compact", "--channels", "rg")
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith(f"{path}: 2 MB, takes RG; ONNX Runtime's logits agree (difference ")


def test_logits_that_differ_are_an_error(command, monkeypatch):
    monkeypatch.setattr(module, "largest_difference", lambda path, network: float("nan"))
    with pytest.raises(SystemExit, match="error: ONNX Runtime's logits differ by nan of the largest; do not use"):
        command("--checkpoint", "compact")


def test_bad_input_is_an_error_without_a_traceback(command):
    for words, message in {
        ("--checkpoint", "compact", "--channels", "RX"): "error: unknown channel 'X'",
        ("--checkpoint", "nowhere"): "error: .*nowhere",
    }.items():
        with pytest.raises(SystemExit, match=message):
            command(*words)
