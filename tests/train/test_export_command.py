"""The command that writes ONNX files."""

import subprocess
import sys

import pytest

from models.export import NEEDED
from train import export as module


@pytest.fixture
def command(monkeypatch, tmp_path):
    """``command(*words)`` runs ``train.export`` with the file to write."""
    for package in NEEDED:
        pytest.importorskip(package)

    def run(*words: str):
        monkeypatch.setattr(sys, "argv", ["export", *words, "--to", str(tmp_path / "out" / "model.onnx")])
        module.main()
        return tmp_path / "out" / "model.onnx"

    return run


def test_it_says_what_the_file_takes_and_that_its_logits_agree(command, capsys):
    path = command("--checkpoint", "compact", "--channels", "r, g")
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith(f"{path}: 2 MB, takes RG; ONNX Runtime's logits agree (difference ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--checkpoint", "adaptive_vgg19"), "any number of channels, with their wavelengths_um"),
        (("--checkpoint", "adaptive_vgg19", "--channels", "R,NIR"), "R+NIR"),
        (("--checkpoint", "compact"), "RGB"),
    ],
)
def test_channels_are_named_as_everywhere(command, monkeypatch, capsys, words, said):
    monkeypatch.setattr(module, "export_onnx", lambda model, path, channels: float(path.write_bytes(b"")))
    command(*words)
    assert f"takes {said};" in capsys.readouterr().out


def test_bad_input_is_an_error_without_a_traceback(command, tmp_path):
    for words, message in {
        ("--checkpoint", "compact", "--channels", "RX"): "error: unknown channel 'X'",
        ("--checkpoint", "compact", "--channels", ""): "error: channels is empty",
        ("--checkpoint", "nowhere"): "error: .*nowhere",
    }.items():
        with pytest.raises(SystemExit, match=message):
            command(*words)
    (tmp_path / "out" / "model.onnx").mkdir()
    with pytest.raises(SystemExit, match="is a folder; name a file in it"):
        command("--checkpoint", "compact")


def test_it_needs_nothing_of_the_packages_for_training(root):
    """In the environment of ``make demo`` there is no accelerate, scipy or torchmetrics."""
    code = "import sys, train.export; print({'accelerate', 'scipy', 'torchmetrics', 'tyro'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
