"""Checkpoints: a folder with ``model.safetensors``, ``config.json`` and ``golden.safetensors``.

Storage is ``fp32``, ``fp16`` or ``int8``. In ``int8`` every convolution and linear weight is
rounded to 8 bits with one scale per output channel (and per kernel), kept beside it as
``<key>.scale``; the rest is fp16. ``golden`` holds a fixed input and the logits it must give.

Only safetensors is ever read, every key and shape must fit, and each failure is a
``CheckpointError`` that names the file and the remedy.
"""

import hashlib
import json
import math
import os
import types
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args, get_origin

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.bands import parse_bands
from models.channels import CHANNELS
from models.classifier import ImageClassifier, ModelConfig
from models.registry import MODELS, build_model

BUNDLED = Path(__file__).resolve().parent.parent / "checkpoints"
FORMAT_VERSION = 1
STORAGES = ("fp32", "fp16", "int8")
WEIGHTS, CONFIG, GOLDEN = "model.safetensors", "config.json", "golden.safetensors"
LARGEST_INPUT = 16384  # pixels; more is a damaged config
GOLDEN_TOLERANCE = 1e-3  # of the largest logit: processors and their libraries add up in different orders


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read; the message names the file and what to do."""


def save_checkpoint(model: ImageClassifier, folder: str | Path, *, storage: str = "fp32") -> ModelConfig:
    """Write ``model`` with its ``config`` to ``folder`` and read it back to record golden logits.

    A model without a config gets one from its name and arguments. Raises ``ValueError`` for an unknown storage, for
    a model whose layers are not those its arguments make or whose weights are not finite, and for a config that could
    not be read again; nothing is written then.
    """
    folder = Path(folder)
    config = published(model, storage=storage)
    if storage not in STORAGES:
        raise ValueError(f"unknown storage {storage!r}; known are {', '.join(STORAGES)}")
    if problem := contradiction(config) or ambiguity(config) or unwritable(config):
        raise ValueError(f"the config of this {model.name} does not fit: {problem}")
    if problems := differences(blank(config).state_dict(), unpack(model.state_dict())):
        raise ValueError(
            f"this {model.name} has other layers than its arguments make ({shown(problems)}); of a compiled network "
            "save its _orig_mod, a converted one with safetensors.torch.save_model"
        )
    if broken := not_finite(model.state_dict()):
        raise ValueError(f"the weights of this {model.name} are not finite ({shown(broken)}); its training went wrong")
    folder.mkdir(parents=True, exist_ok=True)
    write_safely(folder / WEIGHTS, lambda path: save_file(pack(model.state_dict(), storage), path))
    write_config(config, folder)
    images = golden_input(config.input_size)
    logits = golden_logits(load_checkpoint(folder), images)
    write_safely(folder / GOLDEN, lambda path: save_file({"input": images, "logits": logits}, path))
    return config


def published(model: ImageClassifier, *, storage: str) -> ModelConfig:
    """The config of ``model`` as it stands beside weights of this ``storage``: complete, without private folders."""
    base = model.config or ModelConfig(model=model.name, arguments=model.arguments)
    return replace(
        base,
        model=model.name,
        arguments=model.arguments,
        temperature=getattr(model, "temperature", None),
        training=without_folders(base.training),
        storage=storage,
        format_version=FORMAT_VERSION,
    )


def checksum(folder: Path) -> str:
    """SHA-256 of a checkpoint's weights, shortened: folders keep their name when their weights are replaced.

    Raises ``CheckpointError`` where there are none.
    """
    if not (folder / WEIGHTS).is_file():
        raise CheckpointError(f"no {WEIGHTS} in {folder}; give the folder of a checkpoint")
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()[:16]


def write_config(config: ModelConfig, folder: Path) -> None:
    """Write ``config.json`` beside the weights of ``folder``."""
    write_json(folder / CONFIG, config.to_dict())


def without_folders(training: dict) -> dict:
    """The record of a run with the last part of its paths only: checkpoints travel, folders stay private."""
    paths = ("data_root", "run_dir", "init_from", "teacher")
    return {key: Path(value).name if key in paths and value else value for key, value in training.items()}


def load_checkpoint(
    folder: str | Path, *, device: str | torch.device = "cpu", expected: type[ImageClassifier] | None = None
) -> ImageClassifier:
    """The model of a checkpoint folder, in eval mode on ``device``, every key and shape checked.

    ``expected`` refuses another architecture. Raises ``CheckpointError``.
    """
    folder = Path(folder)
    config = read_config(folder / CONFIG)
    check_class(config, expected, folder / CONFIG)
    try:
        model = blank(config)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:  # the last two for impossible sizes
        raise CheckpointError(f"{folder / CONFIG} does not fit this version of the code: {error}") from error
    try:
        stored = read_tensors(folder / WEIGHTS)
        # what is stored as it is would follow whatever becomes of the file
        state = {key: value.clone() if value is stored.get(key) else value for key, value in unpack(stored).items()}
    except ValueError as error:
        raise CheckpointError(f"{folder / WEIGHTS} is damaged: {error}; fetch the checkpoint again") from error
    check_fit(model.state_dict(), state, folder / WEIGHTS, config.model)
    if broken := not_finite(state):
        raise CheckpointError(
            f"{folder / WEIGHTS} holds NaN or infinity ({shown(broken)}), with which every answer would be wrong; "
            "fetch the checkpoint again, or train it anew"
        )
    model.load_state_dict(state, strict=True, assign=True)
    model.config = config
    return model.to(device, memory_format=torch.channels_last).eval()  # in which convolutions are fastest


def blank(config: ModelConfig) -> ImageClassifier:
    """The network of a config without memory for its weights, or time spent on their initialisation; fp32."""
    with torch.device("meta"):
        return build_model(config.model, **config.arguments).float()


def read_config(path: Path) -> ModelConfig:
    """The parsed ``config.json``; ``CheckpointError`` if missing, malformed or too new."""
    if not path.is_file():
        raise CheckpointError(f"no {path.name} in {path.parent}; a checkpoint folder holds {CONFIG} and {WEIGHTS}")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        version, name, _ = raw["format_version"], raw["model"], raw["arguments"]
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise CheckpointError(f"{path} is not a DynConv Lab config ({error!r}); fetch the checkpoint again") from error
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{path} has format {version!r}, this code reads {FORMAT_VERSION}; update the code")
    if not isinstance(name, str) or name not in MODELS:
        raise CheckpointError(f"{path} names model {name!r}; known are {', '.join(MODELS)}")
    known = {field.name: types_of(field.type) for field in fields(ModelConfig)}
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items() if key in known}
    for key, value in values.items():
        whole = type(value) is int and isinstance(0.0, known[key])  # JSON has 1 for 1.0
        if isinstance(value, bool) or not (isinstance(value, known[key]) or whole):
            raise CheckpointError(f"{path}: {key} cannot be {value!r}; fetch the checkpoint again")
    config = ModelConfig(**values)
    if problem := contradiction(config):
        raise CheckpointError(f"{path}: {problem}; fetch the checkpoint again")
    return config


def types_of(annotation: type | types.UnionType | types.GenericAlias) -> type | tuple[type, ...]:
    """What ``isinstance`` compares with: ``tuple[str, ...]`` → tuple, ``float | None`` → (float, NoneType)."""
    if isinstance(annotation, types.UnionType):
        return get_args(annotation)
    return get_origin(annotation) or annotation


def contradiction(config: ModelConfig) -> str | None:
    """Why no picture could be prepared or answer named with this config; None if it could."""
    if not 1 <= config.input_size <= LARGEST_INPUT:
        return f"input_size cannot be {config.input_size}"
    if config.input_size < (least := MODELS[config.model].min_input_size):
        return f"input_size cannot be {config.input_size}, {config.model} needs {least} px or more"
    if not all(isinstance(name, str) for name in (*config.class_names, *config.synsets)):
        return "class_names and synsets must be texts"
    if not 0 < config.crop_pct <= 1:
        return f"crop_pct cannot be {config.crop_pct}"
    if config.bands and not MODELS[config.model].any_channels:
        return f"{config.model} takes R, G and B, not the bands {', '.join(map(str, config.bands))}"
    if config.scale is not None and not (config.bands and 0 < config.scale < math.inf):
        return f"scale cannot be {config.scale}{'' if config.bands else ' without bands'}"
    try:
        names = parse_bands(config.bands or CHANNELS)
    except ValueError as error:
        return f"bands cannot be {config.bands!r} ({error})"
    if config.bands and names != config.bands:
        return f"bands cannot be {config.bands!r}, they are written {', '.join(names)}"
    for name, least in (("mean", -math.inf), ("std", 0)):
        values = getattr(config, name)
        fits = len(values) in (1, len(names))
        if not fits or not all(isinstance(v, int | float) and least < v < math.inf for v in values):
            return f"{name} cannot be {values!r}, it is one number for each of {', '.join(names)}, or one for all"
    possible = {"calibration_temperature": lambda v: 0 < v < math.inf, "unsure_below": lambda v: 0 <= v <= 1}
    for name in possible.keys() & config.metrics.keys():
        found = config.metrics[name]
        values = found if isinstance(found, list) and found else [found]
        if not all(isinstance(value, int | float) and possible[name](value) for value in values):
            return f"{name} cannot be {found!r}"
    count = config.arguments.get("num_classes", 0)
    if config.class_names and count and len(config.class_names) != count:
        return f"it names {len(config.class_names)} classes for {count}"
    return None


def ambiguity(config: ModelConfig) -> str | None:
    """Why its answers could not be told apart; None if they could. Older checkpoints are read all the same."""
    repeated = [name for name, count in Counter(config.class_names).items() if count > 1]
    return f"class_names has {repeated[0]!r} more than once" if repeated else None


def unwritable(config: ModelConfig) -> str | None:
    """Why JSON cannot hold it; None if it can."""
    try:
        json.dumps(config.to_dict(), ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def check_class(config: ModelConfig, expected: type[ImageClassifier] | None, path: Path) -> None:
    """``CheckpointError`` if the config at ``path`` describes another architecture than ``expected``."""
    found = MODELS[config.model]
    if expected and not (found is expected if expected in MODELS.values() else issubclass(found, expected)):
        raise CheckpointError(
            f"{path} describes {config.model!r}, expected {expected.__name__}; "
            f"load it with {found.__name__}.from_pretrained or load_model"
        )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file; ``CheckpointError`` if missing, truncated or another format."""
    if not path.is_file():
        raise CheckpointError(
            f"no {path.name} in {path.parent}; fetch the checkpoint again (with Git LFS: git lfs pull)"
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is truncated or not a safetensors file ({error}); "
            "fetch it again; pickled weights (.pt, .pth, .bin) are never read"
        ) from error


def check_fit(wanted: dict[str, Tensor], state: dict[str, Tensor], path: Path, name: str) -> None:
    """Every key present once, with its shape, or a ``CheckpointError`` naming the first few."""
    if problems := differences(wanted, state):
        raise CheckpointError(
            f"{path} does not hold the weights of {name} with the arguments in {CONFIG} "
            f"({len(problems)} differences: {shown(problems)}); use the {CONFIG} the weights came with"
        )


def differences(wanted: dict[str, Tensor], state: dict[str, Tensor]) -> list[str]:
    """What keeps a state dict from being that of a network, a text each."""
    problems = [f"{key} is missing" for key in wanted.keys() - state.keys()]
    problems += [f"{key} is unknown" for key in state.keys() - wanted.keys()]
    for key in wanted.keys() & state.keys():
        found, expected = ((tuple(tensor.shape), tensor.dtype) for tensor in (state[key], wanted[key]))
        problems += [f"{key} is {a}, expected {b}" for a, b in zip(found, expected, strict=True) if a != b]
    return problems


def not_finite(state: dict[str, Tensor]) -> list[str]:
    """The keys of tensors that hold NaN or infinity."""
    return [key for key, tensor in state.items() if not tensor.isfinite().all()]


def shown(problems: list[str]) -> str:
    """The first few."""
    return "; ".join(sorted(problems)[:3]) + ("; …" if len(problems) > 3 else "")


def pack(state: dict[str, Tensor], storage: str) -> dict[str, Tensor]:
    """A state dict as it is stored, one of ``STORAGES``, on the CPU."""
    packed: dict[str, Tensor] = {}
    for key, tensor in state.items():
        tensor = tensor.detach().cpu().contiguous()
        if storage == "fp32" or not tensor.is_floating_point():  # a copy: safetensors refuses shared memory
            packed[key] = tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)
        elif storage == "int8" and tensor.ndim >= 2:
            packed[key], packed[f"{key}.scale"] = quantize(tensor)
        else:
            packed[key] = halve(tensor)
    return packed


def unpack(packed: dict[str, Tensor]) -> dict[str, Tensor]:
    """The fp32 state dict of stored tensors: the inverse of ``pack`` up to its rounding.

    Raises ``ValueError`` for 8-bit weights whose scales are missing or not one per row.
    """
    state: dict[str, Tensor] = {}
    for key, tensor in packed.items():
        if tensor.dtype == torch.int8:
            scale = packed.get(f"{key}.scale")
            if scale is None or not tensor.ndim or scale.shape != tensor.shape[:1]:
                found = "none" if scale is None else scale.numel()
                raise ValueError(f"{key} needs a scale for each row of {tuple(tensor.shape)}, found {found}")
            state[key] = tensor.float() * scale.view(-1, *[1] * (tensor.ndim - 1))
        elif not (key.endswith(".scale") and key.removesuffix(".scale") in packed):
            state[key] = tensor.float() if tensor.is_floating_point() else tensor
    return state


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric 8-bit rounding: (O, …) → int8 (O, …) and one fp32 scale per row (O,).

    A dynamic layer stacks its kernels along the first axis, so each kernel has scales of its
    own. The error is at most half a scale.
    """
    rows = weight.float().flatten(1)
    scale = rows.abs().amax(-1).clamp_min(1e-12) / 127
    return (rows / scale.unsqueeze(-1)).round().to(torch.int8).view(weight.shape), scale


def halve(tensor: Tensor) -> Tensor:
    """fp16, or the tensor itself where fp16 would overflow."""
    half = tensor.half()
    return half if half.isfinite().all() else tensor.clone()


def golden_input(input_size: int) -> Tensor:
    """A fixed (2, 3, S, S) batch in -1..1, the same on every machine: colour gradients and waves."""
    t = torch.linspace(0, 1, input_size)
    y, x = torch.meshgrid(t, t, indexing="ij")
    waves = torch.stack([torch.sin(9 * x + 4 * y), torch.cos(7 * y - 3 * x), torch.sin(12 * x * y)])
    gradients = torch.stack([2 * x - 1, 2 * y - 1, 1 - x - y])
    return torch.stack([waves, gradients])


@torch.inference_mode()
def golden_logits(model: ImageClassifier, images: Tensor) -> Tensor:
    """Logits of ``images`` in full precision on the model's device, back on the CPU."""
    device = next(model.parameters()).device
    return model(images.to(device), CHANNELS).float().cpu()


def verify_golden(model: ImageClassifier, folder: str | Path) -> float:
    """Replay the golden input of a checkpoint; return the largest difference, relative to the largest logit.

    Raises ``CheckpointError`` when the logits differ by more than ``GOLDEN_TOLERANCE``: the
    weights, the config or the code are then not those that were saved.
    """
    path = Path(folder) / GOLDEN
    golden = read_tensors(path)
    if golden.keys() != {"input", "logits"}:
        raise CheckpointError(f"{path} holds {sorted(golden)}, expected input and logits; save the checkpoint again")
    logits, wanted = golden_logits(model, golden["input"]), golden["logits"]
    if logits.shape != wanted.shape:
        raise CheckpointError(f"{path} has logits {tuple(wanted.shape)}, the model gives {tuple(logits.shape)}")
    difference = ((logits - wanted).abs().max() / wanted.abs().max()).item()
    if not difference <= GOLDEN_TOLERANCE:  # so that NaN is refused too
        raise CheckpointError(
            f"{model.name} in {folder} gives other logits than {path.name} holds (they differ by {difference:.2g} "
            f"of the largest, allowed is {GOLDEN_TOLERANCE:g}); restore its files, or save the checkpoint again"
        )
    return difference


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as ``write_safely`` does."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as ``write_safely`` does."""
    write_safely(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def remove_unfinished(folder: Path) -> None:
    """Remove what ``write_safely`` leaves where the process is killed while it writes; no other may write there now."""
    for path in folder.glob(".*.tmp"):
        path.unlink()


def write_safely(path: Path, write):
    """What ``write(temporary path)`` gives; then rename: a crash leaves the old file or the new one, never half."""
    path = path.resolve()  # a link stays one
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        result = write(temporary)
        temporary.replace(path)
    except SafetensorError as error:  # a full disk, say
        raise OSError(f"{path} could not be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return result
