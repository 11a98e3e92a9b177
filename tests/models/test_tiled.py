"""The C program against a per-sample loop in float64, and life without it."""

import platform
import subprocess
import weakref
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from compiler import needs_compiler
from torch import Tensor

from models import DynamicConv2d, mixture, tiled
from models.mixture import Geometry, choose_method, convolve
from models.processor import has

needs_bf16 = pytest.mark.skipif(not has("avx512_bf16"), reason="the processor has no AVX-512 with bfloat16")
in_both_types = pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=needs_bf16)])
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}  # of the largest value

GEOMETRIES = {
    "plain": Geometry(),
    "padded": Geometry(padding=(1, 1)),
    "strided": Geometry(stride=(2, 1), padding=(1, 2)),
    "dilated": Geometry(padding=(2, 1), dilation=(2, 1)),
}
CHANNELS = 128  # in: a multiple of every processor's block
OUT_CHANNELS = 28  # a multiple of 4, not of the tiles


def operands(batch: int, num_kernels: int, size: tuple[int, int], memory_format=torch.channels_last) -> list[Tensor]:
    """x, attention and weight in float32."""
    generator = torch.Generator().manual_seed(batch * 10 + num_kernels)
    x = torch.randn(batch, CHANNELS, *size, generator=generator).contiguous(memory_format=memory_format)
    attention = torch.randn(batch, num_kernels, generator=generator).softmax(1)
    weight = torch.randn(num_kernels * OUT_CHANNELS, CHANNELS, 3, 3, generator=generator) / 30
    return [x, attention, weight.contiguous(memory_format=memory_format)]


def one_by_one(x: Tensor, attention: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    kernels = weight.unflatten(0, (attention.shape[1], -1))
    mixed = [torch.einsum("k,koihw->oihw", pi, kernels) for pi in attention]
    convolved = [
        F.conv2d(one[None], kernel, None, geometry.stride, geometry.padding, geometry.dilation)
        for one, kernel in zip(x, mixed, strict=True)
    ]
    return torch.cat(convolved)


def with_gradients(function, inputs: list[Tensor]) -> list[Tensor]:
    inputs = [tensor.detach().requires_grad_() for tensor in inputs]
    y = function(*inputs)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    return [y, *torch.autograd.grad((y * weights).sum(), inputs)]


def tiled_in(dtype: torch.dtype, x: Tensor, attention: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        return convolve(x, attention, weight, None, geometry, "tiled")


def assert_equal_to_the_loop(inputs: list[Tensor], geometry: Geometry, dtype: torch.dtype = torch.float32) -> None:
    got = with_gradients(lambda x, pi, w: tiled_in(dtype, x, pi, w, geometry), inputs)
    assert got[0].dtype == dtype
    expected = with_gradients(lambda x, pi, w: one_by_one(x, pi, w, geometry), [tensor.double() for tensor in inputs])
    for value, reference in zip(got, expected, strict=True):
        assert value.shape == reference.shape
        assert (value - reference).abs().max() < TOLERANCE[dtype] * reference.abs().max()


@needs_compiler
@in_both_types
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("size", [(5, 8), (17, 19), (3, 3)])  # more and fewer positions than a chunk
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_tiles_equal_the_per_sample_loop_for_any_geometry(geometry, size, memory_format, dtype):
    if size == (3, 3) and geometry == "dilated":
        size = (4, 3)
    assert_equal_to_the_loop(operands(3, 4, size, memory_format), GEOMETRIES[geometry], dtype)


@needs_compiler
@in_both_types
@pytest.mark.parametrize("num_kernels", range(1, 7))
@pytest.mark.parametrize("batch", [1, 2, 4, 9])  # below, at and beyond the samples mixed together
def test_tiles_equal_the_per_sample_loop_for_any_batch_and_number_of_kernels(num_kernels, batch, dtype):
    assert_equal_to_the_loop(operands(batch, num_kernels, (4, 4)), GEOMETRIES["padded"], dtype)


@needs_compiler
@needs_bf16
def test_in_bfloat16_only_the_operands_are_rounded():
    """Sums are float32: with operands that bfloat16 holds exactly, the error is that of rounding the result once."""
    x, _, weight = (tensor.bfloat16().float() for tensor in operands(3, 1, (8, 8)))
    attention = torch.ones(3, 1)
    y = tiled_in(torch.bfloat16, x, attention, weight, GEOMETRIES["padded"])
    expected = one_by_one(x.double(), attention.double(), weight.double(), GEOMETRIES["padded"])
    torch.testing.assert_close(y.double(), expected, rtol=2**-8, atol=1e-5)


@needs_compiler
@needs_bf16
def test_a_bfloat16_network_without_autocast_is_refused():
    x, attention, weight = operands(2, 4, (8, 8))
    with pytest.raises(ValueError, match="needs float32 kernels on the CPU, got"):
        convolve(x.bfloat16(), attention, weight.bfloat16(), None, Geometry(), "tiled")


@needs_compiler
def test_autocast_on_a_processor_without_bfloat16_is_refused(monkeypatch):
    monkeypatch.setattr(tiled, "has", lambda feature: False)
    inputs = operands(2, 4, (8, 8))
    with pytest.raises(ValueError, match="needs a processor with AVX-512 for bfloat16"):
        tiled_in(torch.bfloat16, *inputs, Geometry())


@needs_compiler
@in_both_types
def test_results_do_not_depend_on_the_number_of_threads(dtype):
    inputs, threads = operands(5, 4, (8, 8)), torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(with_gradients(lambda x, pi, w: tiled_in(dtype, x, pi, w, GEOMETRIES["padded"]), inputs))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@needs_compiler
def test_the_lists_live_as_long_as_the_program_reads_them(monkeypatch):
    """Another thread may have dropped them from the cache, or have been first with its own."""
    make, lists, alive = tiled.pairs.__wrapped__, [], []

    def uncached(*args):
        made = make(*args)
        lists.extend(map(weakref.ref, made))
        return made

    monkeypatch.setattr(tiled, "pairs", uncached)
    monkeypatch.setattr(tiled, "check", lambda failed: alive.extend(one() is not None for one in lists[-3:]))
    with_gradients(lambda x, pi, w: tiled_in(torch.float32, x, pi, w, GEOMETRIES["padded"]), operands(2, 4, (8, 8)))
    assert alive == [True] * 6  # forward and backward


@needs_compiler
def test_where_there_is_a_compiler_the_program_compiles():
    assert tiled.library(torch.float32) is not None


@needs_compiler
def test_lists_are_made_on_the_cpu_whatever_the_default_device():
    tiled.pairs.cache_clear()
    layer, x = DynamicConv2d(CHANNELS, OUT_CHANNELS, 3), torch.randn(1, CHANNELS, 6, 7)
    with torch.device("meta"), torch.no_grad():
        assert layer(x).isfinite().all()


@needs_compiler
def test_pixels_that_need_no_gradient_get_none():
    x, attention, weight = operands(2, 4, (8, 8))

    def others(method: str) -> tuple[Tensor, Tensor]:
        pi, w = (leaf.detach().clone().requires_grad_() for leaf in (attention, weight))
        convolve(x, pi, w, None, GEOMETRIES["padded"], method).square().sum().backward()
        return pi.grad, w.grad

    for found, expected in zip(others("tiled"), others("loop"), strict=True):
        assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    assert x.grad is None


@needs_compiler
def test_a_sample_does_not_depend_on_its_neighbours_nor_on_what_else_is_in_memory():
    x, attention, weight = operands(9, 4, (6, 6))
    together = convolve(x, attention, weight, None, GEOMETRIES["padded"], "tiled")
    for index in range(len(x)):
        one = slice(index, index + 1)
        alone = convolve(x[one], attention[one], weight, None, GEOMETRIES["padded"], "tiled")
        assert torch.equal(together[one], alone)


@needs_compiler
def test_the_rule_takes_tiles_on_maps_of_up_to_16x16(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    geometry = GEOMETRIES["padded"]

    def chosen(side: int, batch: int = 4) -> str:
        x, _, weight = operands(batch, 4, (side, side))
        return choose_method(x, weight, 4, geometry)

    assert [chosen(side) for side in (2, 4, 8, 16, 17)] == ["tiled"] * 4 + ["loop"]
    x, _, weight = operands(4, 4, (8, 8), torch.contiguous_format)
    assert choose_method(x, weight, 4, geometry) == "matmul"  # a copy of all kernels would cost more
    assert (chosen(8, batch=1), chosen(17, batch=1)) == ("tiled", "grouped")
    for features, method in (
        (set(), "matmul"),
        ({"avx512_bf16"}, "tiled" if has("avx512_bf16") else "matmul"),  # the program compiles only where it is true
        ({"avx512_bf16", "amx_bf16"}, "mix"),  # AMX multiplies faster than the tiles
    ):
        for module in (mixture, tiled):
            monkeypatch.setattr(module, "has", lambda feature, features=features: feature in features)
        with torch.autocast("cpu", torch.bfloat16):
            assert chosen(8) == method
    blocks = x.shape[1] // tiled.library(torch.float32).block()  # of channels
    monkeypatch.setattr(torch, "get_num_threads", lambda: blocks)
    assert chosen(8) == "tiled"
    monkeypatch.setattr(torch, "get_num_threads", lambda: blocks + 1)  # one would be idle
    assert chosen(8) == "matmul"
    with torch.no_grad():
        assert chosen(8) == "tiled"


@needs_compiler
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, w: (x.double(), w.double()), "needs float32 kernels on the CPU, got torch.float64"),
        (lambda x, w: (x[:, :6], w[:, :6]), "needs input channels that .* divides .* got 6 and 28"),
        (lambda x, w: (x, w[: 4 * 26]), "output channels that 4 divides, got 128 and 26"),
    ],
)
def test_what_it_cannot_convolve_is_refused(change, message):
    x, attention, weight = operands(2, 4, (8, 8))
    x, weight = change(x, weight)
    with pytest.raises(ValueError, match=message):
        convolve(x, attention, weight, None, Geometry(), "tiled")


def test_groups_are_refused():
    with pytest.raises(ValueError, match="method 'tiled' needs groups=1, got 2"):
        DynamicConv2d(128, 128, 3, groups=2, method="tiled")


# Without the program


@pytest.fixture
def fresh_library():
    tiled.library.cache_clear()
    yield tiled.library
    tiled.library.cache_clear()


@pytest.mark.parametrize(
    "environment",
    [{"DYNCONV_TILED": "0"}, {"CC": "no-such-compiler"}, {"CC": "false"}, {"CC": 'gcc "-O2'}],
    ids=lambda value: str(value),
)
def test_without_a_compiler_other_methods_are_taken(environment, monkeypatch, fresh_library):
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert fresh_library(torch.float32) is None
    x, attention, weight = operands(4, 4, (8, 8))
    assert choose_method(x, weight, 4, GEOMETRIES["padded"]) == "matmul"
    with pytest.raises(ValueError, match="needs a C compiler with OpenMP; set CC"):
        convolve(x, attention, weight, None, GEOMETRIES["padded"], "tiled")


@needs_compiler
def test_a_program_that_does_not_compile_is_done_without_and_leaves_nothing(monkeypatch, tmp_path, fresh_library):
    broken = tmp_path / "mixture.c"
    broken.write_text("int forward(")
    monkeypatch.setattr(tiled, "SOURCE", broken)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert fresh_library(torch.float32) is None
    assert list((tmp_path / "cache" / "dynconv-lab").iterdir()) == []


@needs_compiler
def test_a_folder_that_others_may_write_to_is_not_trusted(monkeypatch, tmp_path, fresh_library):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shared = tmp_path / "dynconv-lab"
    shared.mkdir()
    shared.chmod(0o777)
    assert fresh_library(torch.float32) is None and list(shared.iterdir()) == []
    shared.chmod(0o755)
    fresh_library.cache_clear()
    assert fresh_library(torch.float32) is not None


def test_a_relative_cache_does_not_count(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert tiled.cache_folder() == Path.home() / ".cache" / "dynconv-lab"


@needs_compiler
def test_it_is_compiled_once(monkeypatch, tmp_path, fresh_library):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls, run = [], subprocess.run
    monkeypatch.setattr(
        tiled.subprocess, "run", lambda command, **options: calls.append(command) or run(command, **options)
    )
    assert fresh_library(torch.float32) is not None
    fresh_library.cache_clear()
    assert fresh_library(torch.float32) is not None
    assert sum("-shared" in command for command in calls) == 1
    assert len(list((tmp_path / "dynconv-lab").glob("*.so"))) == 1


@needs_compiler
@pytest.mark.parametrize("wide", [0, 1], ids=["8 lanes", "16 lanes"])
def test_every_vector_width_computes_the_same_without_the_processors_own_registers(
    wide, monkeypatch, tmp_path, fresh_library
):
    """As other processors compile it: the code for AVX-512 and, without the hints for AVX, for any other."""
    source = tiled.SOURCE.read_text().replace("defined(__AVX512F__)", str(wide)).replace("defined(__AVX__)", "0")
    (tmp_path / "mixture.c").write_text(source)
    monkeypatch.setattr(tiled, "SOURCE", tmp_path / "mixture.c")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fresh_library(torch.float32).block() == (64 if wide else 32)
    for batch, size in ((1, (4, 4)), (6, (5, 8))):
        assert_equal_to_the_loop(operands(batch, 4, size), GEOMETRIES["padded"])


@needs_compiler
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the instruction sets of x86")
@pytest.mark.parametrize(
    ("instructions", "more"),
    [("x86-64", []), ("x86-64-v3", []), ("x86-64-v4", []), ("cooperlake", tiled.FOR_BF16)],
)
def test_it_compiles_without_a_warning_for_any_x86(instructions, more, tmp_path):
    flags = [f"-march={instructions}" if flag == "-march=native" else flag for flag in tiled.FLAGS + more]
    command = ["cc", *flags, "-Wall", "-Wextra", "-Wno-psabi", "-Werror", "-o", tmp_path / "mixture.so", tiled.SOURCE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
