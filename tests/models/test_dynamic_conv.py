"""DynamicConv2d against a plain loop over samples, in float64."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from compiler import has_compiler
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models import DynamicConv2d, KernelAttention, mixture
from models.mixture import METHODS, Geometry, choose_method, convolve, mix_inputs
from models.tiled import obstacle

IN_PYTHON = [method for method in METHODS if method != "tiled"]  # which test_tiled.py tests, in float32
GEOMETRIES = {
    "plain": {},
    "padded": {"padding": 1},
    "strided": {"stride": 2, "padding": 1},
    "dilated": {"dilation": 2, "padding": 2},
    "grouped": {"groups": 2, "padding": 1},
    "depthwise, unequal": {"groups": 6, "stride": (2, 1), "padding": (0, 2), "dilation": (1, 2)},
}


def make_layer(num_kernels: int = 4, bias: bool = True, **geometry) -> DynamicConv2d:
    torch.manual_seed(0)
    layer = DynamicConv2d(6, 12, 3, bias=bias, num_kernels=num_kernels, **geometry).double()
    if bias:
        nn.init.normal_(layer.bias)
    return layer


def one_by_one(layer: DynamicConv2d, x: Tensor, attention: Tensor) -> Tensor:
    """The definition: for each sample, aggregate its kernel and convolve it alone."""
    kernels = layer.weight.unflatten(0, (layer.num_kernels, -1))
    biases = None if layer.bias is None else layer.bias.unflatten(0, (layer.num_kernels, -1))
    outputs = []
    for sample, weights in zip(x, attention, strict=True):
        kernel = torch.einsum("k,koihw->oihw", weights, kernels)
        kernel = kernel.contiguous()  # PyTorch 2.14 gets its gradient wrong in other layouts, with groups and in fp64
        bias = None if biases is None else weights @ biases
        y = F.conv2d(sample[None], kernel, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        outputs.append(y)
    return torch.cat(outputs)


def results(layer: DynamicConv2d, x: Tensor, attention: Tensor, convolve) -> list[Tensor]:
    """Output and gradients of input, attention, weight and bias."""
    inputs = [x.clone().requires_grad_(), attention.clone().requires_grad_()]
    parameters = [layer.weight] + ([] if layer.bias is None else [layer.bias])
    y = convolve(*inputs)
    return [y, *torch.autograd.grad((y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum(), inputs + parameters)]


def geometry_of(layer: DynamicConv2d) -> Geometry:
    return Geometry(layer.stride, layer.padding, layer.dilation, layer.groups)


@pytest.mark.parametrize("method", IN_PYTHON)
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("batch", [1, 3, 35])  # below, within and beyond the samples taken at once
def test_every_method_equals_the_per_sample_loop(method, geometry, memory_format, batch):
    layer = make_layer(**GEOMETRIES[geometry]).to(memory_format=memory_format)
    if method == "matmul" and layer.groups > 1:
        pytest.skip("matmul is for one group")
    x = torch.randn(batch, 6, 9, 7).double().contiguous(memory_format=memory_format)
    attention = torch.randn(batch, 4).double().softmax(1)
    arguments = (layer.weight, layer.bias, geometry_of(layer), method)
    got = results(layer, x, attention, lambda x, attention: convolve(x, attention, *arguments))
    expected = results(layer, x, attention, lambda x, attention: one_by_one(layer, x, attention))
    for value, reference in zip(got, expected, strict=True):
        torch.testing.assert_close(value, reference, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("num_kernels", [1, 4])
def test_copies_of_the_input_give_the_same_as_the_per_sample_loop(geometry, memory_format, num_kernels):
    layer = make_layer(num_kernels, bias=False, **GEOMETRIES[geometry]).to(memory_format=memory_format)
    x = torch.randn(3, 6, 9, 7).double().contiguous(memory_format=memory_format)
    attention = torch.randn(3, num_kernels).double()  # whose weights need not sum to one
    got = results(layer, x, attention, lambda x, attention: mix_inputs(x, attention, layer.weight, geometry_of(layer)))
    expected = results(layer, x, attention, lambda x, attention: one_by_one(layer, x, attention))
    for value, reference in zip(got, expected, strict=True):
        torch.testing.assert_close(value, reference, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [(2, 2), (4, 4), (8, 8), (16, 16), (40, 40)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rule_takes_a_method_that_computes_the_same(size, dtype):
    layer = make_layer(padding=1).float()
    x = torch.randn(5, 6, *size)
    attention = torch.randn(5, 4).softmax(1)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        method = choose_method(x, layer.weight, 4, geometry_of(layer))
        y = convolve(x, attention, layer.weight, layer.bias, geometry_of(layer), method)
    assert y.dtype == dtype
    expected = one_by_one(layer, x, attention)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    assert (y.float() - expected).abs().max() < tolerance * expected.abs().max()


def test_every_method_is_taken_somewhere():
    layer = make_layer(padding=1).float()
    sizes = [(1, 8), (4, 2), (4, 8), (4, 40)]
    taken = [choose_method(torch.empty(b, 6, s, s), layer.weight, 4, geometry_of(layer)) for b, s in sizes]
    assert taken == ["grouped", "mix", "matmul", "loop"]


def test_on_a_gpu_small_maps_take_no_kernel_per_sample():
    layer = make_layer(padding=1).float()
    sizes = [(1, 8), (4, 2), (4, 16), (4, 17), (0, 17)]
    maps = [torch.empty(b, 6, s, s, device="meta") for b, s in sizes]
    taken = [choose_method(x, layer.weight, 4, geometry_of(layer)) for x in maps]
    assert taken == ["grouped", "mix", "mix", "grouped", "mix"]
    depthwise = Geometry(padding=(1, 1), groups=6)
    assert choose_method(maps[2], torch.empty(24, 1, 3, 3), 4, depthwise) == "grouped"


def test_mix_takes_copies_of_the_input_on_other_devices_than_a_cpu(monkeypatch):
    taken = []
    monkeypatch.setattr(mixture, "mix_inputs", lambda x, *_: taken.append(x.device.type) or x)
    layer = make_layer(padding=1).float()
    for device in ("cpu", "meta"):
        tensors = [tensor.to(device) for tensor in (torch.randn(2, 6, 4, 4), torch.full((2, 4), 0.25), layer.weight)]
        convolve(*tensors, None, geometry_of(layer), "mix")
    assert taken == ["meta"]


@pytest.mark.parametrize("method", ["loop", "matmul"])
def test_no_kernel_per_sample_is_kept_for_the_backward_pass(method):
    layer = make_layer(padding=1, method=method)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor.numel()), lambda saved: saved):
        layer(torch.randn(35, 6, 5, 5).double())
    assert max(saved) < 35 * layer.weight.numel() // layer.num_kernels


@pytest.mark.parametrize("num_kernels", range(1, 7))
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(3, 5), (9, 8)])
def test_the_layer_equals_the_per_sample_loop(num_kernels, batch, bias, size):
    layer = make_layer(num_kernels, bias, padding=1)
    x = torch.randn(batch, 6, *size).double()
    y, attention = layer(x, return_attention=True)
    torch.testing.assert_close(y, one_by_one(layer, x, attention.double()), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("method", IN_PYTHON)
def test_gradients_pass_gradcheck(method):
    layer = make_layer(2, padding=1)
    x = torch.randn(2, 6, 3, 4).double().requires_grad_()
    attention = torch.randn(2, 2).double().softmax(1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, attention, weight, bias: convolve(x, attention, weight, bias, geometry_of(layer), method),
        (x, attention, layer.weight, layer.bias),
        fast_mode=True,
    )


def test_the_router_learns_through_the_convolution():
    layer = make_layer(padding=1)
    layer(torch.randn(3, 6, 5, 5).double()).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in layer.attention.parameters())


def test_one_kernel_equals_plain_convolution():
    layer = make_layer(1, padding=1)
    plain = nn.Conv2d(6, 12, 3, padding=1).double()
    plain.load_state_dict({"weight": layer.weight, "bias": layer.bias})
    x = torch.randn(2, 6, 8, 8).double()
    torch.testing.assert_close(layer(x), plain(x))


def test_a_sample_does_not_depend_on_its_neighbours():
    layer = make_layer(padding=1)
    x = torch.randn(4, 6, 7, 7).double()
    torch.testing.assert_close(layer(x)[2:3], layer(x[2:3]))


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 13])
def test_any_channel_count_is_taken(channels):
    layer = DynamicConv2d(channels, 4, 3, padding=1)
    assert layer(torch.randn(2, channels, 6, 5)).shape == (2, 4, 6, 5)


def test_attention_sums_to_one_and_is_nearly_uniform_when_hot():
    router = KernelAttention(8, 4)
    x = 100 * torch.randn(5, 8, 4, 4)
    assert torch.allclose(router(x).sum(1), torch.ones(5))
    sharp, flat = router(x), router(x, temperature=1e6)
    assert (flat - 0.25).abs().max() < 1e-3 < (sharp - 0.25).abs().max()


def test_hidden_width_is_the_studys():
    widths = {channels: KernelAttention(channels, 4).fc1.out_features for channels in (3, 64, 128, 256, 512)}
    assert widths == {3: 4, 64: 17, 128: 33, 256: 65, 512: 129}


def test_temperature_is_saved_and_a_call_can_override_it():
    router = KernelAttention(8, 4, temperature=30)
    x = torch.randn(2, 8, 4, 4)
    overridden = router(x, temperature=1)
    assert router.state_dict()["temperature"] == 30
    router.set_temperature(1)
    torch.testing.assert_close(router(x), overridden)


@pytest.mark.parametrize("temperature", [0, -1, float("inf"), float("nan"), "cold", None])
def test_a_bad_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be a positive number"):
        KernelAttention(8, 4, temperature=temperature)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_kernels": 2.5}, "must be whole numbers of at least 1, got 6, 12, 1 and 2.5"),
        ({"groups": 5}, "groups=5 must divide in_channels=6"),
        ({"num_kernels": 0}, "must be whole numbers of at least 1"),
        ({"groups": 0}, "must be whole numbers of at least 1"),
        ({"method": "fast"}, "unknown method 'fast'; known are auto, grouped, mix, loop, matmul, tiled"),
        ({"method": "matmul", "groups": 2}, "needs groups=1"),
        ({"kernel_size": 0}, "kernel_size must be one or two whole numbers of at least 1, got 0"),
        ({"kernel_size": (3, 3, 3)}, r"kernel_size must be .*got \(3, 3, 3\)"),
        ({"stride": 0}, "stride must be"),
        ({"dilation": 0}, "dilation must be"),
        ({"padding": -1}, "padding must be one or two whole numbers of at least 0, got -1"),
        ({"padding": "same", "stride": 2}, "padding 'same' .* is not possible"),
        ({"padding": "reflect"}, "padding 'reflect' .* is not possible"),
        ({"reduction": 0}, "reduction must be above 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DynamicConv2d(6, 12, **{"kernel_size": 3} | arguments)


def test_autocast_keeps_the_routing_in_full_precision():
    layer = DynamicConv2d(6, 12, 3, padding=1)
    with torch.autocast("cpu", torch.bfloat16):
        y, attention = layer(torch.randn(2, 6, 8, 8), return_attention=True)
    assert (y.dtype, attention.dtype) == (torch.bfloat16, torch.float32)


def test_the_spread_of_kernels_is_0_for_equal_ones_and_known_for_independent_ones():
    layer = DynamicConv2d(32, 64, 3, num_kernels=5, bias=False)
    assert layer.kernel_spread() == pytest.approx(2.0, abs=0.1)  # √(K − 1)
    with torch.no_grad():
        layer.weight.copy_(layer.weight.chunk(5)[0].repeat(5, 1, 1, 1))
    assert layer.kernel_spread() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("method", IN_PYTHON)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_second_derivatives_pass_gradgradcheck(method, memory_format):
    torch.manual_seed(0)
    geometry = Geometry((1, 1), (1, 1), (1, 1), 1)
    x, weight = torch.randn(2, 2, 3, 3).double(), torch.randn(4, 2, 3, 3).double().to(memory_format=memory_format)
    attention = torch.randn(2, 2).double()
    inputs = [tensor.requires_grad_() for tensor in (x, attention, weight)]
    assert torch.autograd.gradgradcheck(lambda *given: convolve(*given, None, geometry, method), inputs)


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_a_gradient_penalty_is_the_same_by_every_method(method):
    """Its layer is the last, so that the gradient it is sent back needs none itself."""

    def penalty(method: str) -> Tensor:
        torch.manual_seed(0)
        layer = DynamicConv2d(64, 8, 3, padding=1, method=method).to(memory_format=torch.channels_last)
        x = torch.rand(3, 64, 6, 6, requires_grad=True)
        (gradient,) = torch.autograd.grad(layer(x).sum(), x, create_graph=True)
        (gradient.flatten(1).norm(dim=1) - 1).square().mean().backward()
        return layer.weight.grad

    if method == "tiled" and not has_compiler():
        pytest.skip("no C compiler")
    torch.testing.assert_close(penalty(method), penalty("grouped"), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_an_empty_batch_gives_an_empty_answer_and_zero_gradients(method):
    layer = DynamicConv2d(32, 8, 3, padding=1, method=method).to(memory_format=torch.channels_last)
    y = layer(torch.randn(0, 32, 9, 7))
    assert y.shape == (0, 8, 9, 7)
    y.sum().backward()
    assert all(parameter.grad.count_nonzero() == 0 for parameter in layer.parameters())


@pytest.mark.parametrize(
    ("shape", "attention", "message"),
    [
        ((2, 32, 8, 8), (1, 4), r"attention of shape \(2, 4\).*got \(1, 4\); expand"),
        ((2, 32, 8, 8), (4, 4), r"attention of shape \(2, 4\).*got \(4, 4\)"),
        ((2, 32, 8, 8), (2, 2), r"attention of shape \(2, 4\).*got \(2, 2\)"),
        ((2, 16, 8, 8), (2, 4), r"x of shape \(B, 32, H, W\), got \(2, 16, 8, 8\)"),
        ((32, 8, 8), (32, 4), r"x of shape \(B, 32, H, W\), got \(32, 8, 8\).*batch axis"),
        ((2, 32, 1, 8), (2, 4), r"a map of 1x8 .* is smaller than the 3x3 kernel"),
    ],
)
def test_maps_and_attention_that_do_not_fit_are_refused(shape, attention, message):
    layer = DynamicConv2d(32, 8, 3).to(memory_format=torch.channels_last)
    with torch.no_grad(), pytest.raises(ValueError, match=message):
        layer.convolve(torch.randn(shape), torch.full(attention, 0.25))


@pytest.mark.parametrize(("padding", "size"), [("same", (9, 7)), ("valid", (7, 5))])
def test_padding_may_be_named(padding, size):
    layer = DynamicConv2d(3, 4, 3, padding=padding)
    assert layer(torch.randn(2, 3, 9, 7)).shape[2:] == size == nn.Conv2d(3, 4, 3, padding=padding)(
        torch.randn(2, 3, 9, 7)
    ).shape[2:]  # fmt: skip


def test_what_counts_operations_sees_the_convolution():
    layer = DynamicConv2d(64, 8, 3, padding=1).to(memory_format=torch.channels_last)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        layer(torch.randn(2, 64, 8, 8))
    assert counter.get_total_flops() >= 2 * 2 * 64 * 8 * 9 * 64  # two samples, 8x8 positions


@torch.no_grad()
@pytest.mark.parametrize("size", [2, 4, 8, 32])
def test_contiguous_maps_give_contiguous_ones(size):
    assert DynamicConv2d(16, 32, 3, padding=1)(torch.randn(2, 16, size, size)).is_contiguous()


def test_attention_may_be_one_row_expanded():
    """Also for second derivatives, for which what is saved must have a graph."""
    layer = DynamicConv2d(16, 8, 3, padding=1).to(memory_format=torch.channels_last)
    x = torch.randn(2, 16, 4, 4).contiguous(memory_format=torch.channels_last)
    gradients = {}
    for method in ("auto", "grouped"):
        layer.method = method
        row = torch.tensor([[0.1, 0.2, 0.3, 0.4]], requires_grad=True)
        (first,) = torch.autograd.grad(
            layer.convolve(x, row.expand(2, 4)).square().sum(), layer.weight, create_graph=True
        )
        (gradients[method],) = torch.autograd.grad(first.square().sum(), row)
    torch.testing.assert_close(gradients["auto"], gradients["grouped"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [4, 12])
def test_torch_func_and_forward_mode_see_through_the_layer(size):
    layer = DynamicConv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last)
    x = torch.randn(3, 64, size, size).contiguous(memory_format=torch.channels_last)
    one_by_one = torch.cat([layer(sample[None]) for sample in x])
    torch.testing.assert_close(torch.func.vmap(lambda sample: layer(sample[None])[0])(x), one_by_one)

    def loss(parameters, sample):
        return torch.func.functional_call(layer, parameters, (sample[None],)).square().sum()

    parameters = dict(layer.named_parameters())
    per_sample = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
    layer(x).square().sum().backward()
    torch.testing.assert_close(per_sample["weight"].sum(0), layer.weight.grad, rtol=1e-3, atol=1e-2)
    _, tangent = torch.func.jvp(layer, (x,), (torch.ones_like(x),))
    step = 1e-6  # small, for the router has corners
    difference = (layer.double()(x.double() + step) - layer(x.double() - step)) / (2 * step)
    torch.testing.assert_close(tangent.double(), difference, rtol=1e-3, atol=1e-3)


def test_device_and_precision_are_those_asked_for():
    layer = DynamicConv2d(4, 4, 3, device="meta", dtype=torch.float64)
    tensors = [*layer.parameters(), *layer.buffers()]
    assert {(tensor.device.type, tensor.dtype) for tensor in tensors} == {("meta", torch.float64)}


def test_whole_numbers_of_numpy_are_sizes():
    layer = DynamicConv2d(np.int64(4), 4, np.int64(3), padding=np.int32(1))
    assert layer.kernel_size == (3, 3) and layer.padding == (1, 1)


@pytest.mark.parametrize("method", METHODS)
def test_maps_smaller_than_the_kernel_are_refused_by_every_method(method):
    layer = DynamicConv2d(16, 8, 5, method=method).to(memory_format=torch.channels_last)
    with pytest.raises(ValueError, match=r"a map of 4x4 .* is smaller than the 5x5 kernel"):
        layer(torch.randn(2, 16, 4, 4))


@pytest.mark.parametrize("method", [mix_inputs, *(method for method in IN_PYTHON if method != "mix")])  # rounds maps
def test_autocast_does_not_round_the_attention(method):
    """Nearly even weights, as the study's temperature gives: in bfloat16 they would be 0.25 all four."""
    torch.manual_seed(0)
    attention = torch.tensor([[0.2505, 0.2498, 0.2499, 0.2498]]).repeat(2, 1)
    weight = torch.tensor([1.0, -1.0, 1.0, -1.0]).repeat_interleave(8)[:, None, None, None].repeat(1, 8, 3, 3)
    x = torch.rand(2, 8, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        run = method if callable(method) else partial(convolve, bias=None, method=method)
        y = run(x, attention, weight, geometry=Geometry(padding=(1, 1)))
    expected = convolve(x, attention, weight, None, Geometry(padding=(1, 1)), "grouped")
    torch.testing.assert_close(y.float(), expected, rtol=0.05, atol=2e-3)


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_many_gradients_at_once_are_those_one_by_one(method):
    torch.manual_seed(0)
    layer = DynamicConv2d(3, 4, 3, padding=1, method=method).to(memory_format=torch.channels_last)
    if method == "tiled" and (why := obstacle(torch.zeros(2, 3, 8, 8), layer.weight, 4, Geometry(padding=(1, 1)))):
        pytest.skip(why)
    x = torch.randn(2, 3, 8, 8)
    both = [
        torch.autograd.functional.jacobian(lambda x: layer(x).mean(dim=(2, 3)), x, vectorize=vectorize)
        for vectorize in (False, True)
    ]
    torch.testing.assert_close(*both, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_traced_layer_can_be_saved_and_takes_any_batch(tmp_path, batch, bias):
    layer = DynamicConv2d(3, 4, 3, padding=1, bias=bias).eval()
    traced = torch.jit.trace(layer, torch.randn(batch, 3, 24, 24))
    traced.save(tmp_path / "layer.pt")
    loaded = torch.jit.load(tmp_path / "layer.pt")
    for count in (1, 2, 3):
        x = torch.randn(count, 3, 24, 24)
        torch.testing.assert_close(loaded(x), layer(x), rtol=1e-4, atol=1e-5)


def test_a_layer_from_the_meta_device_has_its_temperature_after_a_reset():
    layer = DynamicConv2d(3, 4, 3, temperature=7, device="meta").to_empty(device="cpu")
    for part in layer.modules():
        getattr(part, "reset_parameters", lambda: None)()
    assert layer.attention.temperature == 7
