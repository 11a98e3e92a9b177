"""The networks leave PyTorch's eager mode: torch.export, ONNX with any batch and any channels, torch.compile."""

import json
import math

import numpy as np
import pytest
import torch

from models import (
    MODELS,
    ChannelAdaptiveConv2d,
    DynamicConv2d,
    ImageClassifier,
    ModelConfig,
    build_model,
    save_checkpoint,
    vgg,
)
from models import export as module
from models.export import NEEDED, TOLERANCE, ExportedNetwork, export_onnx

BATCHES = (1, 2, 5)
SHORT = (16, "M", 32, "M", 32, "M", 32, "M", 64, "M")  # a VGG of five convolutions is exported much faster
SMALL = {"adaptive_vgg19": {"own_kernels": True}}


def images(batch: int, channels: int = 3) -> torch.Tensor:
    return torch.randn(batch, channels, 32, 32, generator=torch.Generator().manual_seed(batch))


@torch.no_grad()
def test_the_exported_program_takes_any_batch_size():
    layer = DynamicConv2d(3, 8, 3, padding=1).eval()
    program = torch.export.export(layer, (images(2),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for batch in BATCHES:
        torch.testing.assert_close(program.module()(images(batch)), layer(images(batch)))


@pytest.fixture(scope="module", autouse=True)
def short_vgg():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vgg, "CONFIGURATION_E", SHORT)
        yield


def described(name: str, **config) -> ImageClassifier:
    """A small network with random weights and a config; nothing of it is neutral, neither mean nor statistics."""
    torch.manual_seed(0)
    model = build_model(name, num_classes=5, **SMALL.get(name, {}))
    usual = {"class_names": tuple("abcde"), "input_size": 32, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}
    training = {"data_root": "/home/me/pictures", "epochs": 1}
    model.config = ModelConfig(name, model.arguments, training=training, storage="int8", **usual | config)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(), layer.running_var.uniform_(0.5, 2)
        if isinstance(layer, ChannelAdaptiveConv2d):
            torch.nn.init.normal_(layer.weight, std=0.2)  # the second parts, too
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, std=0.05)
    return model.eval()


@pytest.fixture(scope="module")
def needed():
    for package in NEEDED:
        pytest.importorskip(package)


@pytest.fixture(scope="module")
def any_channels(needed, tmp_path_factory):
    """An adaptive network, and a session with its file."""
    model, path = described("adaptive_vgg19", crop_pct=0.875), tmp_path_factory.mktemp("onnx") / "any.onnx"
    model.train()
    assert export_onnx(model, path) < TOLERANCE
    assert model.training and model.config.storage == "int8"  # it was left as it was
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
    return (logits - expected).abs().max() < TOLERANCE * expected.abs().max()


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
    model, session = any_channels
    values = images(2, 3).sigmoid()
    values[0, 1] = 0.2
    two = answers(session, values[:1, [0, 2]], [0.665, 0.49])
    assert close(answers(session, values, [0.665, 0.56, 0.49])[:1], two)
    still = torch.full((1, 2, 32, 32), 0.3)  # where none varies all are kept
    expected = model((still - 0.5) / 0.3, wavelengths_um=[0.665, 0.49])
    assert close(answers(session, still, [0.665, 0.49]), expected)
    assert not close(model((still - 0.5) / 0.3, wavelengths_um=[0.842, 2.19]), expected)  # they are looked at


def test_the_onnx_file_refuses_wavelengths_that_cannot_be(any_channels):
    _, session = any_channels
    values = images(2, 2).sigmoid()
    for wavelengths_um in ([665, 842], [0.665, -1], [0.665, 0]):
        assert answers(session, values, wavelengths_um).isnan().all()
    for wavelengths_um in ([0.665], [0.665, 0.56, 0.49]):
        with pytest.raises(Exception, match=r"MatMul|Gemm|dimension|Expand|ReduceSum|Reshape|Shape mismatch"):
            answers(session, values, wavelengths_um)


def test_the_onnx_files_metadata_is_the_checkpoints_config_and_says_how_to_use_it(any_channels, tmp_path):
    model, session = any_channels
    about = session.get_modelmeta().custom_metadata_map
    save_checkpoint(model, tmp_path)
    assert json.loads(about["config"]) == json.loads((tmp_path / "config.json").read_text())
    assert "/home/me" not in about["config"] and json.loads(about["config"])["storage"] == "fp32"
    assert about["channels"] == "" and "to 37 x 37 pixels" in about["usage"] and "middle 32 x 32" in about["usage"]
    assert [value.name for value in (*session.get_inputs(), *session.get_outputs())] == [
        "images", "wavelengths_um", "logits"
    ]  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_the_onnx_file_normalises_and_fills_the_named_channels(needed, name, tmp_path):
    model = described(name)
    export_onnx(model, tmp_path / "file.onnx", channels="BR")
    session = session_of(tmp_path / "file.onnx")
    assert session.get_modelmeta().custom_metadata_map["channels"] == "BR"
    for batch in BATCHES:
        values = images(batch, 2).sigmoid()
        mean, std = (torch.tensor(v)[[2, 0], None, None] for v in (model.config.mean, model.config.std))
        assert close(answers(session, values), model((values - mean) / std, "BR"))
    assert [path.name for path in tmp_path.iterdir()] == ["file.onnx"]


@pytest.mark.parametrize(
    ("channels", "mean", "std"),
    [(("NIR", "G"), (0.2, 0.4), (0.1, 0.4)), (("R", "G"), (0.325,), (0.325,)), ((), (0.325,), (0.325,))],
)
def test_a_sensors_values_are_normalised_by_its_bands_or_by_the_averages(channels, mean, std):
    bands = ("B", "G", "0.74", "NIR")
    network = ExportedNetwork(
        described("adaptive_vgg19", bands=bands, mean=(0.3, 0.4, 0.4, 0.2), std=(0.5, 0.4, 0.3, 0.1)), channels
    )
    assert network.mean == pytest.approx(mean) and network.std == pytest.approx(std)


def test_what_cannot_be_exported_is_said_and_leaves_no_file(needed, tmp_path, monkeypatch):
    path = tmp_path / "a.onnx"
    for other in (build_model("compact", num_classes=2), torch.nn.Identity()):
        with pytest.raises(ValueError, match=r"expected a network of this project with its config.*load_model"):
            export_onnx(other, path)
    for channels, words in {"R+NIR": "unknown channel 'NIR'", "": "channels is empty"}.items():
        with pytest.raises(ValueError, match=words):
            export_onnx(described("compact"), path, channels=channels)
    monkeypatch.setattr(module, "largest_difference", lambda path, network: math.nan)
    with pytest.raises(ValueError, match=r"logits differ by nan of the largest; .*a\.onnx was not written"):
        export_onnx(described("compact"), path)
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(ImportError, match=r"needs onnx onnxscript onnxruntime: pip install onnxscript$"):
        export_onnx(described("compact"), path)
    assert not [*tmp_path.iterdir()]


def test_the_layer_compiles_into_one_graph_with_the_same_gradients():
    layer = DynamicConv2d(3, 8, 3, padding=1).double()  # so that sums in another order agree
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")  # inductor would spend a minute on C++
    x = images(2).double()
    y, expected = compiled(x), layer(x)
    torch.testing.assert_close(y, expected)
    gradients = [torch.autograd.grad(output.square().sum(), list(layer.parameters())) for output in (y, expected)]
    torch.testing.assert_close(*gradients)
