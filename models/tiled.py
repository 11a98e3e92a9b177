"""The tiled method of ``mixture.py``: its C program, compiled when it is first needed.

A per-sample kernel costs more on its way through memory than in arithmetic, and PyTorch's operations
cannot mix a kernel and multiply with it while it is in the processor's cache; ``mixture.c`` does. It needs
a C compiler with OpenMP (``CC``, or ``cc``), which takes a second; the result is kept in
``~/.cache/dynconv-lab`` (or ``$XDG_CACHE_HOME``). Without a compiler, or with ``DYNCONV_TILED=0``, everything works as
before by the other methods. Under bfloat16 autocast it needs a processor that multiplies such numbers with AVX-512.
"""

import ctypes
import hashlib
import logging
import os
import shlex
import stat
import subprocess
import threading
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.precision import autocast_dtype
from models.processor import has, instructions
from models.second_order import twice_differentiable

if TYPE_CHECKING:
    from models.mixture import Geometry

SOURCE = Path(__file__).with_name("mixture.c")
FLAGS = ["-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"]  # the OpenMP that PyTorch has already loaded
FOR_BF16 = ["-DBF16"]

log = logging.getLogger(__name__)


@cache
def library(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The program compiled for maps of float32 or bfloat16, or None where it cannot be had."""
    if os.environ.get("DYNCONV_TILED") == "0":
        return None
    try:
        compiler = shlex.split(os.environ.get("CC", "cc"))
        version = subprocess.run([*compiler, "--version"], capture_output=True, check=True).stdout
        flags = FLAGS + FOR_BF16 if dtype == torch.bfloat16 else FLAGS
        made_of = [SOURCE.read_bytes(), version, " ".join(flags).encode(), instructions().encode()]
        path = cache_folder() / f"mixture-{hashlib.sha256(b''.join(made_of)).hexdigest()[:16]}.so"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_owner(path.parent)
        if not path.is_file():
            temporary = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
            subprocess.run([*compiler, *flags, "-o", temporary, SOURCE], capture_output=True, check=True)
            temporary.replace(path)
        return declared(ctypes.CDLL(str(path)))
    except PermissionError as error:
        log.warning("dynamic convolution without its C program, which makes it faster: %s", error)
        return None
    except (OSError, RuntimeError, ValueError, AttributeError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        log.info("dynamic convolution of %s without its C program: %s", dtype, reason)
        return None


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/dynconv-lab``; a relative one does not count, as the XDG specification has it."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "dynconv-lab"


def check_owner(folder: Path) -> None:
    """``PermissionError`` for a folder into which others could put a program that would run as ours."""
    if not hasattr(os, "getuid"):
        return
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"{folder} belongs to others, or others may write to it; chmod go-w, or remove it")


def declared(program: ctypes.CDLL) -> ctypes.CDLL:
    pointer, sizes = ctypes.c_void_p, [ctypes.c_long] * 7
    program.forward.argtypes = [pointer] * 4 + sizes + [pointer] * 3 + [ctypes.c_int]
    program.backward.argtypes = [pointer] * 7 + sizes + [pointer] * 3 + [ctypes.c_int]
    return program


def obstacle(x: Tensor, weight: Tensor, num_kernels: int, geometry: "Geometry") -> str | None:
    """Why the method cannot convolve ``x`` (B, C, H, W) with ``weight`` (K·C_out, C, k, k); None if it can."""
    if x.device.type != "cpu" or weight.dtype != torch.float32:
        return f"it needs float32 kernels on the CPU, got {weight.dtype} on {x.device.type}"
    if (dtype := autocast_dtype(x)) not in (torch.float32, torch.bfloat16):
        return f"it needs maps of float32, or bfloat16 under autocast, got {dtype}"
    if geometry.groups > 1:
        return f"it needs groups=1, got {geometry.groups}"
    if dtype == torch.bfloat16 and not has("avx512_bf16"):
        return "it needs a processor with AVX-512 for bfloat16"
    if (program := library(dtype)) is None:
        return "it needs a C compiler with OpenMP; set CC, and see that DYNCONV_TILED is not 0"
    out_channels = len(weight) // num_kernels
    if weight.shape[1] % program.block() or out_channels % 4:
        return (
            f"it needs input channels that {program.block()} divides and output channels that 4 divides, "
            f"got {weight.shape[1]} and {out_channels}"
        )
    return None


def enough_blocks(x: Tensor) -> bool:
    """Whether every thread has work: the backward pass divides the channels of ``x`` among them, block by block.
    ``obstacle`` must be None."""
    blocks = x.shape[1] // library(autocast_dtype(x)).block()
    return not torch.is_grad_enabled() or torch.get_num_threads() <= blocks


class TiledConvolution(torch.autograd.Function):
    """Each sample's own convolution, in tiles that are mixed and multiplied at once. ``obstacle`` must be None.

    Kernels and attention are float32, as are all sums; ``x`` is float32 or bfloat16, and so is the result.
    """

    @staticmethod
    def forward(ctx, x: Tensor, attention: Tensor, weight: Tensor, geometry: "Geometry") -> Tensor:
        program, attention = library(x.dtype), attention.contiguous()
        ctx.save_for_backward(x, attention, weight)
        ctx.geometry = geometry
        pixels, kernels = channels_last(x), channels_last(weight)
        size, kernel = tuple(x.shape[2:]), tuple(weight.shape[2:])
        y = weight.new_empty(len(x), *geometry.out_size(size, kernel), len(weight) // attention.shape[1])
        lists = pairs(geometry, size, kernel, program.positions())  # held: another thread may drop it from the cache
        check(
            program.forward(
                *map(address, (pixels, attention, kernels, y)), *sizes_of(pixels, attention, kernels, y),
                *map(address, lists), torch.get_num_threads(),
            )
        )  # fmt: skip
        return y.permute(0, 3, 1, 2).to(x.dtype)

    @staticmethod
    @twice_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, attention, weight = ctx.saved_tensors
        program = library(x.dtype)
        pixels, kernels, grad = channels_last(x), channels_last(weight), channels_last(grad)
        size, kernel = tuple(x.shape[2:]), tuple(weight.shape[2:])
        grad_x = torch.empty_like(pixels, dtype=torch.float32) if ctx.needs_input_grad[0] else None  # pixels need none
        grad_weight = torch.empty_like(kernels)
        blocks = weight.shape[1] // program.block()  # of channels, each with its share of the attention's gradient
        grad_attention = attention.new_empty(blocks, *attention.shape)
        lists = pairs(ctx.geometry, size, kernel, None)
        check(
            program.backward(
                *map(address, (pixels, attention, kernels, grad, grad_x, grad_weight, grad_attention)),
                *sizes_of(pixels, attention, kernels, grad),
                *map(address, lists), torch.get_num_threads(),
            )
        )  # fmt: skip
        grad_x = None if grad_x is None else grad_x.permute(0, 3, 1, 2).to(x.dtype)
        return grad_x, grad_attention.sum(0), grad_weight.permute(0, 3, 1, 2), None


def channels_last(x: Tensor) -> Tensor:
    """(N, C, H, W) → (N, H, W, C), contiguous; no copy if it lies so in memory."""
    return x.permute(0, 2, 3, 1).contiguous()


def sizes_of(x: Tensor, attention: Tensor, kernels: Tensor, y: Tensor) -> tuple[int, ...]:
    """B, K, C, O, taps, in, out of ``mixture.c``."""
    B, K = attention.shape
    taps = kernels.shape[1] * kernels.shape[2]
    return B, K, x.shape[3], y.shape[3], taps, x.shape[1] * x.shape[2], y.shape[1] * y.shape[2]


def address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def check(failed: int) -> None:
    if failed:
        raise MemoryError("no memory left for the tiles of a dynamic convolution; lower the batch size")


@lru_cache(maxsize=64)
def pairs(geometry: "Geometry", size: tuple[int, int], kernel: tuple[int, int], chunk: int | None):
    """Which input meets which output position under each tap: ``starts``, ``from`` and ``to`` of ``mixture.c``.

    With ``chunk``, for so many output positions after the other, which are counted from the first of their chunk.
    """
    out, count = geometry.out_size(size, kernel), partial(torch.arange, device="cpu")  # whatever the default device
    positions = count(out[0] * out[1]).view(out)
    taps = []
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            row = (count(out[0]) * geometry.stride[0] + i * geometry.dilation[0] - geometry.padding[0])[:, None]
            column = count(out[1]) * geometry.stride[1] + j * geometry.dilation[1] - geometry.padding[1]
            inside = (row >= 0) & (row < size[0]) & (column >= 0) & (column < size[1])
            taps.append((positions[inside], (row * size[1] + column)[inside]))
    starts, inputs, outputs = [0], [], []
    for first in range(0, positions.numel(), chunk or positions.numel()):
        for to, source in taps:
            here = (to >= first) & (to < first + chunk) if chunk else slice(None)
            inputs.append(source[here])
            outputs.append(to[here] - first)
            starts.append(starts[-1] + len(inputs[-1]))
    return tuple(list_.int() for list_ in (torch.tensor(starts, device="cpu"), torch.cat(inputs), torch.cat(outputs)))
