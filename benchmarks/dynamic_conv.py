"""What dynamic convolution costs over plain convolution: VGG19, dynamic VGG19, and the usual grouped form.

    python -m benchmarks.dynamic_conv                     # prints the table, about 10 minutes on two cores
    python -m benchmarks.dynamic_conv --json results/speed.json
    python -m benchmarks.dynamic_conv --layers            # one layer by every method: the rule's crossovers

One run times all three networks in turn, round by round, on whatever device there is, with random
weights and pixels: medians, quartiles and n. ``grouped`` is the form of the public implementations (one
kernel per sample, one convolution with the batch as groups), written below; it has the same allocator
setting as the others, except where the table says "default allocator". Peak memory is the growth of a
fresh process over a training step with SGD and momentum, or what CUDA allocated.
"""

import argparse
import json
import math
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from models import DynamicConv2d, build_model
from models.memory import keep_large_blocks
from models.mixture import METHODS, Geometry, choose_method, convolve
from models.processor import has, has_bf16
from models.tiled import library, obstacle

NETWORKS = ("vgg19", "dynamic_vgg19", "grouped")
SIZES = (32, 64, 128)
CASES = [("inference", 1), ("inference", 7), ("inference", 32), ("training", 32)]
LAYERS = [(64, 64), (32, 128), (16, 256), (8, 512), (4, 512), (2, 512)]  # map size, channels of VGG19 at 64 px
WARM_UP = 2


class GroupedConv2d(DynamicConv2d):
    """Dynamic convolution as it is usually written."""

    def convolve(self, x: Tensor, attention: Tensor) -> Tensor:
        B, K = attention.shape
        kernels = torch.mm(attention, self.weight.view(K, -1)).view(B * self.out_channels, -1, *self.kernel_size)
        y = F.conv2d(x.reshape(1, -1, *x.shape[2:]), kernels, None, self.stride, self.padding, groups=B)
        return y.view(B, self.out_channels, *y.shape[2:])


def build(name: str, device: str) -> torch.nn.Module:
    """A network with random weights in the memory format it likes: the grouped form flattens the batch."""
    torch.manual_seed(0)
    model = build_model("dynamic_vgg19" if name == "grouped" else name).to(device)
    if name != "grouped":
        return model.to(memory_format=torch.channels_last)
    for layer in model.dynamic_layers:
        layer.__class__ = GroupedConv2d
    return model


def images(name: str, batch: int, size: int, device: str) -> Tensor:
    x = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    return x if name == "grouped" else x.contiguous(memory_format=torch.channels_last)


def precisions(device: str) -> tuple[str, ...]:
    """Not bf16 on a CPU that would have to emulate it."""
    return ("fp32", "bf16") if device == "cuda" or has_bf16() else ("fp32",)


def run_once(model: torch.nn.Module, x: Tensor, mode: str, precision: str) -> None:
    model.train(mode == "training")
    device = x.device.type
    with torch.set_grad_enabled(mode == "training"):
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            logits = model(x)
        if mode == "training":
            labels = torch.arange(len(x), device=x.device) % logits.shape[1]
            F.cross_entropy(logits.float(), labels).backward()
            model.zero_grad()
    if device == "cuda":
        torch.cuda.synchronize()


def timings(runs: dict, rounds: int) -> dict:
    """Milliseconds of each named function over ``rounds``, taken in turn: median, quartiles and n."""
    for run in runs.values():
        for _ in range(WARM_UP):
            run()
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            taken[name].append(1000 * (time.perf_counter() - started))
    return {name: spread(values) for name, values in taken.items()}


def spread(values: list[float]) -> dict:
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median_ms": median, "low_ms": low, "high_ms": high, "n": len(values)}


def time_networks(device: str, sizes: tuple[int, ...], rounds: int) -> list[dict]:
    models = {name: build(name, device) for name in NETWORKS}
    rows = []
    for size in sizes:
        for precision in precisions(device):
            for mode, batch in CASES:
                runs = {
                    name: partial(run_once, model, images(name, batch, size, device), mode, precision)
                    for name, model in models.items()
                }
                row = {"mode": mode, "batch": batch, "size": size, "precision": precision} | timings(runs, rounds)
                rows.append(row | ratios(row))
                print(line(rows[-1]), flush=True)
    return rows


def ratios(row: dict) -> dict:
    plain, ours, grouped = (row[name]["median_ms"] for name in NETWORKS)
    return {"over_plain": ours / plain, "grouped_over_plain": grouped / plain, "grouped_over_ours": grouped / ours}


def line(row: dict) -> str:
    times = "".join(f"{row[name]['median_ms']:>10.1f}" for name in NETWORKS)
    return (
        f"{row['mode']:<10}{row['batch']:>4}{row['size']:>5} px {row['precision']}{times}"
        f"{row['over_plain']:>8.2f}{row['grouped_over_plain']:>8.2f}{row['grouped_over_ours']:>8.2f}"
    )


def read_kernels(device: str, rounds: int) -> dict:
    """Only reading the fp32 kernels of dynamic VGG19 once: what one sample costs more than in VGG19, at the least."""
    kernels = [layer.weight for layer in build("dynamic_vgg19", device).dynamic_layers]
    with torch.inference_mode():
        return timings({"read": lambda: [weight.sum() for weight in kernels]}, rounds)["read"]


def default_allocator(device: str, rounds: int) -> dict:
    """Training the grouped form at 64 px, batch 32, fp32, in a process that left the allocator alone."""
    run = partial(run_once, build("grouped", device), images("grouped", 32, 64, device), "training", "fp32")
    return timings({"grouped": run}, rounds)["grouped"]


def peak_memory(name: str, batch: int, device: str) -> float:
    """MiB that three training steps at 64 px add to a fresh process, or allocate on the GPU."""
    keep_large_blocks()
    before = peak_resident()
    model = build(name, device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    x = images(name, batch, 64, device)
    for _ in range(3):
        F.cross_entropy(model(x), torch.arange(batch, device=device) % 50).backward()
        optimizer.step()
        optimizer.zero_grad()
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_resident() - before


def peak_resident() -> float:
    """MiB this process has had in memory at most (NaN but on Linux; ``ru_maxrss`` would include the parent's)."""
    if not Path("/proc/self/status").is_file():
        return math.nan
    line = next(text for text in Path("/proc/self/status").read_text().splitlines() if text.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def in_fresh_process(function, *arguments):
    """The result of ``function`` in a new process, so that neither memory nor allocator settings are shared."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def time_layers(device: str, rounds: int, batch: int = 32) -> None:
    """Forward, and forward with backward, of one layer by every method; ``*`` marks the rule's choice."""
    print(f"milliseconds forward / forward + backward, batch {batch}, K = 4")
    for precision in precisions(device):
        for size, channels in LAYERS:
            x = images("dynamic_vgg19", batch, size, device)[:, :1].repeat(1, channels, 1, 1)
            x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
            weight = torch.randn(4 * channels, channels, 3, 3, device=device) / (3 * channels**0.5)
            weight = weight.contiguous(memory_format=torch.channels_last).requires_grad_()
            attention = torch.randn(batch, 4, device=device).softmax(1).requires_grad_()
            geometry = Geometry(padding=(1, 1))
            kernel = weight[:channels].detach().requires_grad_()
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
                chosen = choose_method(x, weight, 4, geometry)
                impossible = {"tiled"} if obstacle(x, weight, 4, geometry) else set()
            forward = {"plain": partial(F.conv2d, x, kernel, padding=1)} | {
                method: partial(convolve, x, attention, weight, None, geometry, method)
                for method in METHODS
                if method not in impossible
            }
            ahead, full = (
                timings(
                    {name: partial(run_layer, run, device, precision, back) for name, run in forward.items()}, rounds
                )
                for back in (False, True)
            )
            cells = [
                f"{name}{'*' if name == chosen else ''} {ahead[name]['median_ms']:.1f} / {full[name]['median_ms']:.1f}"
                for name in forward
            ]
            print(f"{precision} {size:>3}x{size:<3}{channels:>4} channels  " + "  ".join(cells), flush=True)


def run_layer(forward: Callable[[], Tensor], device: str, precision: str, back: bool) -> None:
    with torch.set_grad_enabled(back), torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        y = forward()
    if back:
        y.backward(torch.ones_like(y))
    if device == "cuda":
        torch.cuda.synchronize()


def processor() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [text.split(":", 1)[1].strip() for text in lines if text.startswith("model name")]
    features = [label for flag, label in (("avx2", "AVX2"), ("avx512_f", "AVX-512"), ("amx_bf16", "AMX")) if has(flag)]
    return ", ".join([names[0] if names else platform.processor(), *features])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="pixels")
    parser.add_argument("--rounds", type=int, default=7, help="timed runs of each network")
    parser.add_argument("--layers", action="store_true", help="time single layers by every method instead")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    allocator = keep_large_blocks()
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, n = {options.rounds}")
    if options.layers:
        time_layers(device, options.rounds)
        return
    print(f"{'':<28}" + "".join(f"{name[:9]:>10}" for name in NETWORKS) + "   ours/ grouped/ grouped/")
    print(f"{'':<28}{'ms':>10}{'ms':>10}{'ms':>10}   plain   plain    ours")
    rows = time_networks(device, tuple(options.sizes), options.rounds)
    memory = {
        name: {str(batch): in_fresh_process(peak_memory, name, batch, device) for batch in (32, 64)}
        for name in NETWORKS
    }
    result = {
        "kind": "speed",
        "device": processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "keeps_large_blocks": allocator,
        "tiled": device == "cpu" and library(torch.float32) is not None,
        "rows": rows,
        "read_kernels": read_kernels(device, options.rounds),
        "grouped_default_allocator": in_fresh_process(default_allocator, device, options.rounds),
        "peak_memory_mib": memory,
    }
    print(json.dumps({key: value for key, value in result.items() if key != "rows"}, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
