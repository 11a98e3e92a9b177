"""Dynamic convolution leaves PyTorch's eager mode: torch.export, ONNX with any batch size, torch.compile."""

import pytest
import torch

from models import DynamicConv2d, build_model

BATCHES = (1, 2, 5)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_model("dynamic_vgg19", num_classes=5, num_kernels=2).eval()


def images(batch: int) -> torch.Tensor:
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(batch))


@torch.no_grad()
def test_the_exported_program_takes_any_batch_size():
    layer = DynamicConv2d(3, 8, 3, padding=1).eval()
    program = torch.export.export(layer, (images(2),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for batch in BATCHES:
        torch.testing.assert_close(program.module()(images(batch)), layer(images(batch)))


@torch.no_grad()
def test_onnx_gives_the_whole_networks_logits_at_any_batch_size(network, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path / "dynamic_vgg19.onnx"
    batch = torch.export.Dim("batch", min=1, max=1024)
    torch.onnx.export(
        network, (images(2),), path, dynamo=True, verbose=False, input_names=["images"], dynamic_shapes=({0: batch},)
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for size in BATCHES:
        logits = torch.from_numpy(session.run(None, {"images": images(size).numpy()})[0])
        expected = network(images(size))
        assert (logits - expected).abs().max() < 1e-4 * expected.abs().max()


def test_the_layer_compiles_into_one_graph_with_the_same_gradients():
    layer = DynamicConv2d(3, 8, 3, padding=1)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")  # inductor would spend a minute on C++
    x = images(2)
    y, expected = compiled(x), layer(x)
    torch.testing.assert_close(y, expected)
    gradients = [torch.autograd.grad(output.square().sum(), list(layer.parameters())) for output in (y, expected)]
    torch.testing.assert_close(*gradients)
