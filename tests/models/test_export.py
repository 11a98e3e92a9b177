"""The networks leave PyTorch's eager mode: torch.export, ONNX with any batch and any channels, torch.compile."""

import json
import math

import numpy as np
import pytest
import torch

from models import DynamicConv2d, ImageClassifier, ModelConfig, build_model
from models import export as module
from models.export import export_onnx, largest_difference

BATCHES = (1, 2, 5)
CLOSE = 1e-4  # of the largest logit


def images(batch: int, channels: int = 3) -> torch.Tensor:
    return torch.randn(batch, channels, 32, 32, generator=torch.Generator().manual_seed(batch))


@torch.no_grad()
def test_the_exported_program_takes_any_batch_size():
    layer = DynamicConv2d(3, 8, 3, padding=1).eval()
    program = torch.export.export(layer, (images(2),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for batch in BATCHES:
        torch.testing.assert_close(program.module()(images(batch)), layer(images(batch)))


def described(name: str, **arguments) -> ImageClassifier:
    """A network with random weights and a config; nothing of it is neutral, neither mean nor running statistics."""
    torch.manual_seed(0)
    model = build_model(name, num_classes=5, **arguments)
    model.config = ModelConfig(
        name, model.arguments, class_names=tuple("abcde"), input_size=32, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4)
    )
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(), layer.running_var.uniform_(0.5, 2)
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, std=0.05)
    return model.eval()


@pytest.fixture(scope="module")
def needed():
    for package in ("onnxruntime", "onnxscript"):
        pytest.importorskip(package)


@pytest.fixture(scope="module")
def any_channels(needed, tmp_path_factory):
    """An adaptive network, and a session with its file."""
    model, path = described("adaptive_vgg19", width=0.25), tmp_path_factory.mktemp("onnx") / "any.onnx"
    model.train()
    network = export_onnx(model, path)
    assert model.training  # it was left as it was
    assert largest_difference(path, network) < CLOSE
    return model.eval(), session_of(path)


def session_of(path):
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def answers(session, values: torch.Tensor, wavelengths_um=None) -> torch.Tensor:
    inputs = {"images": values.numpy()}
    if wavelengths_um is not None:
        inputs["wavelengths_um"] = np.float32(wavelengths_um)
    return torch.from_numpy(session.run(None, inputs)[0])


def close(logits: torch.Tensor, expected: torch.Tensor) -> bool:
    return (logits - expected).abs().max() < CLOSE * expected.abs().max()


@torch.no_grad()
@pytest.mark.parametrize("wavelengths_um", [[0.56], [0.842, 0.665], [0.49, math.nan, 0.56, 1.61, 0.665, 0.74, 2.19]])
@pytest.mark.parametrize("batch", BATCHES)
def test_the_onnx_file_of_a_network_for_any_channels_takes_any_number(any_channels, wavelengths_um, batch):
    model, session = any_channels
    values = images(batch, len(wavelengths_um)).sigmoid()
    expected = model((values - 0.5) / 0.3, wavelengths_um=wavelengths_um)  # the averages of mean and std
    assert close(answers(session, values, wavelengths_um), expected)


@torch.no_grad()
def test_the_onnx_file_counts_a_dead_channel_as_absent_too(any_channels):
    _, session = any_channels
    values = images(2, 3).sigmoid()
    values[0, 1] = 0.2
    two = answers(session, values[:1, [0, 2]], [0.665, 0.49])
    assert close(answers(session, values, [0.665, 0.56, 0.49])[:1], two)
    still = torch.full((1, 2, 32, 32), 0.3)  # where none varies all are kept
    assert answers(session, still, [0.665, 0.49]).isfinite().all()


def test_the_onnx_files_metadata_is_the_checkpoints_config(any_channels):
    model, session = any_channels
    config = json.loads(session.get_modelmeta().custom_metadata_map["config"])
    assert config == json.loads(json.dumps(model.config.to_dict())) and config["class_names"] == [*"abcde"]
    assert [value.name for value in (*session.get_inputs(), *session.get_outputs())] == [
        "images", "wavelengths_um", "logits"
    ]  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize(("name", "options"), [("vgg19", {"width": 0.25}), ("dynamic_vgg19", {"num_kernels": 2})])
def test_the_onnx_file_of_a_network_that_fills_normalises_and_fills_the_named_channels(needed, name, options, tmp_path):
    model = described(name, **options)
    export_onnx(model, tmp_path / "rb.onnx", channels="RB")
    session = session_of(tmp_path / "rb.onnx")
    for batch in BATCHES:
        values = images(batch, 2).sigmoid()
        mean, std = (torch.tensor(v)[[0, 2], None, None] for v in (model.config.mean, model.config.std))
        assert close(answers(session, values), model((values - mean) / std, "RB"))
    assert [path.name for path in tmp_path.iterdir()] == ["rb.onnx"]


def test_what_cannot_be_exported_is_said_before(needed, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="has no config; load it with load_model"):
        export_onnx(build_model("compact", num_classes=2), tmp_path / "a.onnx")
    with pytest.raises(ValueError, match="unknown channel 'NIR'"):
        export_onnx(described("compact"), tmp_path / "a.onnx", channels="R+NIR")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install onnx onnxscript"):
        export_onnx(described("compact"), tmp_path / "a.onnx")
    assert not [*tmp_path.iterdir()]


def test_the_layer_compiles_into_one_graph_with_the_same_gradients():
    layer = DynamicConv2d(3, 8, 3, padding=1)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")  # inductor would spend a minute on C++
    x = images(2)
    y, expected = compiled(x), layer(x)
    torch.testing.assert_close(y, expected)
    gradients = [torch.autograd.grad(output.square().sum(), list(layer.parameters())) for output in (y, expected)]
    torch.testing.assert_close(*gradients)
