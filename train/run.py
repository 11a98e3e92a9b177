"""Train one network: config in, run folder out.

    python -m train.run --model vgg19 --data-root data/mini-imagenet-50 --run-dir runs/vgg19 \\
        --image-size 32:8 --bf16
    accelerate launch --multi-gpu -m train.run …       # the same command on many GPUs
    python -m train.run --recipe train/recipes/vgg19.yaml --data-root … --run-dir …

Expected of the first line on mini-imagenet-50: 40 % validation accuracy or more, which seven such epochs gave in 76
minutes on one CPU core with bfloat16 (results/training-vgg19-base.json). The run folder then holds a checkpoint of the
best epoch by validation among those of the last size (model.safetensors, config.json), metrics.jsonl, curves.png,
run.json and state.safetensors, from which ``--resume`` goes on after a kill to the same weights (on a GPU, to within
its rounding).
"""

import argparse
import hashlib
import itertools
import json
import math
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import accelerate
import torch
import torchvision
import tyro
import yaml
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, broadcast, set_seed
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm import tqdm

from models import CheckpointError, ImageClassifier, ModelConfig, build_model, load_model, save_checkpoint
from models.checkpoint import CONFIG, WEIGHTS, read_config, remove_unfinished, write_json, write_safely, write_text
from models.hub import locate
from models.memory import keep_large_blocks
from models.processor import capabilities, has_bf16
from train.commands import one_line_errors
from train.confidence import confidence_metrics
from train.config import PLACES, TrainConfig
from train.curves import plot_curves
from train.data import (
    DataError,
    Pictures,
    Split,
    extensions,
    find_split,
    first_few,
    load_split,
    make_loader,
    workers_for_gpu,
)
from train.engine import NonFiniteLossError, Step, make_optimizer, predict, train_epoch
from train.views import named_view
from train.warm_start import warm_start

STATE = "state.safetensors"
FEW_STEPS = 100  # with fewer in all a network hardly moves
METRICS = ("val_accuracy", "calibration_temperature", "unsure_below", "epoch")  # of a row, kept with the weights


@dataclass
class Progress:
    """How far a run has come: finished epochs, one metrics row per epoch, best validation accuracy."""

    epoch: int = 0
    best: float = -1.0
    rows: list[dict] = field(default_factory=list)


def train(config: TrainConfig) -> ImageClassifier:
    """Run the whole training and return the last weights (averaged ones with ``ema``).

    Raises ``DataError``, ``CheckpointError``, ``FileExistsError`` or ``NonFiniteLossError``.
    """
    check_folder(config)
    accelerator = set_up(config)
    split, val = load_data(config)
    pictures = Pictures(split, size=config.sizes[0], crop_scale=config.crop_scale, seed=config.seed)
    workers = config.workers
    if workers is None:
        workers = 1 if accelerator.device.type == "cpu" else workers_for_gpu()
    loader = make_loader(pictures, batch_size=config.batch_size, workers=workers, seed=config.seed)
    sampler = loader.sampler
    val_pictures = Pictures(val, size=config.sizes[0], crop_pct=config.crop_pct)
    val_loader = make_loader(val_pictures, batch_size=config.batch_size, workers=workers)

    plain = build_model(config.model, num_classes=len(split.synsets), **config.model_arguments)
    state_path = config.run_dir / STATE
    resuming = config.resume and state_path.is_file()
    if config.resume and not resuming and accelerator.is_main_process:
        tqdm.write(f"{config.run_dir} holds nothing to resume; training starts anew")
    if config.init_from and not resuming:
        source = config.init_from.as_posix()
        kept_head = warm_start(plain, source, noise=config.init_noise, seed=config.seed, synsets=split.synsets)
        if not kept_head and accelerator.is_main_process:
            tqdm.write(f"{source} knows other classes than the data: its last layer starts anew")
    if config.channels_last:
        plain = plain.to(memory_format=torch.channels_last)
    teacher = load_teacher(config, split, accelerator.device) if config.teacher else None
    optimizer = make_optimizer(plain, config)
    model, optimizer, loader, val_loader = accelerator.prepare(plain, optimizer, loader, val_loader)
    if not len(loader):
        raise DataError(
            f"{len(split)} training pictures are fewer than one batch of {config.batch_size} "
            f"for each of {accelerator.num_processes} processes; lower --batch-size"
        )
    averaged = None
    if config.ema:
        averaged = AveragedModel(plain, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True)
    kept: ImageClassifier = averaged.module if averaged else plain  # what is evaluated and saved

    progress = Progress()
    if resuming:
        progress = load_state(state_path, config, split, val, plain, averaged, optimizer, accelerator.num_processes)
    if accelerator.is_main_process:
        start_folder(config, split, val, progress, accelerator)
        if not resuming:
            save_state(state_path, progress, plain, averaged, optimizer)

    describe(kept, config, split, config.sizes[-1])
    steps = len(loader)
    if accelerator.is_main_process:
        foretell(config, len(split), steps * len(config.sizes), progress)
    for epoch in range(progress.epoch, len(config.sizes)):
        size = config.sizes[epoch]
        for part in (pictures, val_pictures):
            part.start(size=size, epoch=epoch)
        sampler.epoch = epoch
        describe(kept, config, split, size)
        started = time.perf_counter()
        meter = Meter(steps, f"epoch {epoch + 1}/{len(config.sizes)} {size} px", accelerator)
        train_epoch(
            accelerator, model, loader, optimizer, config,
            epoch=epoch, steps=steps, num_classes=len(split.synsets),
            mean=kept.config.mean, std=kept.config.std, averaged=averaged, teacher=teacher,
            on_step=meter,
        )  # fmt: skip
        broadcast([*plain.buffers(), *kept.buffers()])  # running statistics are each process's own until here
        row = meter.close() | {"epoch": epoch + 1, "size": size, "train_s": time.perf_counter() - started}
        if hasattr(plain, "set_temperature"):
            row["temperature"] = config.temperature_at(epoch + 1)
            kept.set_temperature(row["temperature"])
            row["kernel_spread"] = kept.kernel_spread()
        row |= validate(accelerator, kept, val_loader, config, epoch)
        progress.rows.append(row)
        progress.epoch = epoch + 1
        if accelerator.is_main_process:
            tqdm.write(f"epoch {epoch + 1}: val accuracy {row['val_accuracy']:.4f}, train loss {row['train_loss']:.4f}")
            finish_epoch(config, progress, kept, plain, averaged, optimizer)
    accelerator.wait_for_everyone()
    return accelerator.unwrap_model(kept, keep_fp32_wrapper=False)  # whose own forward answers as PyTorch is told to


def set_up(config: TrainConfig) -> Accelerator:
    """Processes, threads, memory and seeds of a run."""
    # told that it runs on CPUs, Accelerate joins the processes of torchrun instead of letting each train alone
    accelerator = Accelerator(
        mixed_precision="bf16" if config.bf16 else "no",
        cpu=not torch.accelerator.is_available(),
        dataloader_config=DataLoaderConfiguration(non_blocking=True),
    )
    if accelerator.is_main_process:
        remove_unfinished(config.run_dir)
    if config.threads:
        torch.set_num_threads(config.threads)
    if accelerator.device.type == "cpu":
        keep_large_blocks()
        if config.bf16 and capabilities() and not has_bf16():
            tqdm.write("this CPU has no bfloat16 and emulates it, many times slower; --no-bf16 is faster here")
    else:
        torch.backends.cudnn.benchmark = True
    set_seed(config.seed)
    return accelerator


def load_data(config: TrainConfig) -> tuple[Split, Split]:
    """Pictures to train on and to validate with, of the same classes. Raises ``DataError``."""
    options = {"bands": config.band_names, "scale": config.scale, "skip_unreadable": config.skip_unreadable}
    split = load_split(config.data_root, "train", **options)
    if config.images_per_class:
        split = split.first_of_each_class(config.images_per_class)
    val = load_split(config.data_root, "val", **options)
    if val.synsets != split.synsets:
        differing = ", ".join(sorted({*split.synsets} ^ {*val.synsets})[:5]) or "they have other labels"
        raise DataError(
            f"train has {len(split.synsets)} classes, val {len(val.synsets)}; they must be the same ({differing}); "
            "name them all in classes.txt, or give both splits the same class folders"
        )
    if len(split.synsets) < 2:
        raise DataError(
            f"{config.data_root} holds one class ({split.synsets[0]}); there must be two or more to tell apart"
        )
    if empty := split.without_pictures():
        raise DataError(
            f"{len(empty)} of {len(split.synsets)} classes have no picture to train on ({first_few(empty)}); add some "
            f"({', '.join(extensions(split.bands))}), or take the classes out"
        )
    places = {"train": split.paths, "val": val.paths}
    with suppress(DataError):  # training needs none, so that one without labels, say, does no harm
        if test := find_split(config.data_root, "test", bands=config.band_names):
            places["test"] = test.paths
    real = {name: {path.resolve(): path for path in paths} for name, paths in places.items()}  # links lead to one
    for one, other in itertools.combinations(real, 2):
        if both := real[one].keys() & real[other].keys():
            raise DataError(
                f"{len(both)} pictures are both in {one} and in {other} ({min(map(real[one].get, both))}, …), so that "
                f"{other} would show nothing; take them out of one of them"
            )
    return split, val


def check_folder(config: TrainConfig) -> None:
    """``FileExistsError`` where weights would be overwritten that this run does not go on from."""
    resumable = (config.run_dir / STATE).is_file()
    if (config.run_dir / WEIGHTS).is_file() and not (config.resume and resumable):
        remedy = "go on with it with --resume, or" if resumable else f"without {STATE} it cannot go on;"
        raise FileExistsError(
            f"{config.run_dir} already holds a trained network ({WEIGHTS}); {remedy} choose another --run-dir"
        )


def load_teacher(config: TrainConfig, split: Split, device: torch.device) -> ImageClassifier:
    """The network to learn from; ``CheckpointError`` unless it knows the same classes, bands and normalisation."""
    teacher = load_model(config.teacher.as_posix(), device=device)
    ours = config_of(config)
    if min(config.sizes) < teacher.min_input_size:
        raise CheckpointError(
            f"the teacher {config.teacher} needs {teacher.min_input_size} px or more, this run has {min(config.sizes)}"
        )
    if teacher.config.synsets != split.synsets:
        raise CheckpointError(
            f"the teacher {config.teacher} knows {len(teacher.config.synsets)} classes, the data has "
            f"{len(split.synsets)}; they must be the same, in the same order"
        )
    if teacher.config.all_channels != ours.all_channels:
        raise CheckpointError(
            f"the teacher {config.teacher} was trained on {teacher.config.all_channels}, this run has pictures of "
            f"{ours.all_channels}; choose a teacher of the same"
        )
    if teacher.config.scale != ours.scale:
        raise CheckpointError(
            f"the teacher {config.teacher} was trained with scale {teacher.config.scale}, this run has {ours.scale}; "
            "use the same"
        )
    pairs = ((teacher.config.mean, ours.mean), (teacher.config.std, ours.std))
    if any(theirs != mine and {*theirs, *mine} != {mine[0]} for theirs, mine in pairs):  # one for all may say it, too
        raise CheckpointError(
            f"the teacher {config.teacher} was trained with mean {teacher.config.mean} and std {teacher.config.std}, "
            f"this run has {ours.mean} and {ours.std}; choose a teacher with the same"
        )
    return teacher


class Meter:
    """Progress bar with loss, accuracy, images/s and time left of this process; averages over an epoch of all."""

    def __init__(self, steps: int, name: str, accelerator: Accelerator):
        self.accelerator = accelerator
        self.bar = tqdm(
            total=steps, desc=name, disable=not accelerator.is_main_process, mininterval=1, dynamic_ncols=True
        )
        self.loss = self.correct = self.images = 0.0
        self.started = time.perf_counter()

    def __call__(self, step: Step) -> None:
        self.loss += step.loss * step.images
        self.correct += step.correct
        self.images += step.images
        self.bar.set_postfix_str(
            f"loss {self.loss / self.images:.3f} acc {self.correct / self.images:.3f} lr {step.lr:.3g} "
            f"{self.images / (time.perf_counter() - self.started):.0f} img/s",
            refresh=False,
        )
        self.bar.update()

    def close(self) -> dict:
        self.bar.close()
        seconds = time.perf_counter() - self.started
        loss, correct, images = self.loss, self.correct, self.images
        if self.accelerator.num_processes > 1:
            sums = torch.tensor([loss, correct, images], device=self.accelerator.device)
            loss, correct, images = self.accelerator.reduce(sums).tolist()
        return {"train_loss": loss / images, "train_accuracy": correct / images, "images_per_s": images / seconds}


def foretell(config: TrainConfig, images: int, steps: int, progress: Progress) -> None:
    """Say where nothing, or not much, will come of the training."""
    if progress.epoch == len(config.sizes):
        tqdm.write(f"{config.run_dir} has finished its {progress.epoch} epochs; nothing is left to train")
    elif steps < FEW_STEPS:
        tqdm.write(
            f"{images} pictures make {steps} steps in all, too few to learn much; with few "
            f"pictures say --batch-size 16 --lr 0.01 --image-size {config.sizes[-1]}:50, for example"
        )


def validate(
    accelerator: Accelerator, model: ImageClassifier, loader: DataLoader, config: TrainConfig, epoch: int
) -> dict:
    """What a row of metrics says of the validation pictures. Raises ``NonFiniteLossError``."""
    logits, labels = predict(
        accelerator, model, loader, mean=model.config.mean, std=model.config.std,
        view=named_view(config.val_channels, config.band_names),
    )  # fmt: skip
    accuracy = (logits.argmax(1) == labels).float().mean().item()
    confidence = confidence_metrics(logits, labels)
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    if not math.isfinite(loss):  # the last step can break weights that its own loss was fine with
        raise NonFiniteLossError(
            f"validation loss is {loss} after epoch {epoch + 1}, of which nothing was kept; lower --lr"
        )
    return {"val_accuracy": accuracy} | confidence | {"val_loss": loss}


def describe(model: ImageClassifier, config: TrainConfig, split: Split, size: int) -> None:
    """Attach the config that travels with the weights."""
    model.config = replace(
        config_of(config),
        arguments=model.arguments,
        class_names=split.class_names,
        synsets=split.synsets,
        input_size=size,
        crop_pct=config.crop_pct,
        training=config.to_dict()
        | {"data": config.data_root.resolve().name, "images": len(split), "skipped": split.skipped},
    )


def config_of(config: TrainConfig) -> ModelConfig:
    """What a run's checkpoint says of its pictures; the rest is its defaults."""
    ours = ModelConfig(model=config.model, arguments={})
    return replace(ours.for_bands(config.band_names), scale=config.scale) if config.bands else ours


def start_folder(config: TrainConfig, split: Split, val: Split, progress: Progress, accelerator: Accelerator) -> None:
    """Write ``run.json``, of a resumed run what this session adds to it; drop metrics of an epoch that a kill left
    unfinished."""
    config.run_dir.mkdir(parents=True, exist_ok=True)
    session = {
        "command": " ".join(sys.argv),
        "git_commit": git_commit(),
        "versions": {module.__name__: module.__version__ for module in (torch, torchvision, accelerate)},
        "device": torch.cuda.get_device_name() if accelerator.device.type == "cuda" else accelerator.device.type,
        "threads": torch.get_num_threads(),
    }
    path, about = config.run_dir / "run.json", {}
    if not progress.epoch:
        about = {"config": config.to_dict()} | session | data_facts(config, split, val, accelerator.num_processes)
    elif progress.epoch < len(config.sizes):
        about = json.loads(path.read_text(encoding="utf-8"))
        about["resumed"] = [*about.get("resumed", []), session | {"after_epoch": progress.epoch}]
    if about:
        write_json(path, about)
    write_metrics(config.run_dir, progress.rows)


def data_facts(config: TrainConfig, split: Split, val: Split, processes: int) -> dict:
    """What a run must find again to be resumed."""
    return {
        "processes": processes,
        "synsets": split.synsets,
        "train_images": len(split),
        "skipped_images": split.skipped,
        "val_images": len(val),
        "pictures_sha256": fingerprint(config.data_root, split, val),
        "labels_sha256": hashlib.sha256(repr((split.labels, val.labels)).encode()).hexdigest()[:16],
    }


def fingerprint(root: Path, *splits: Split) -> str:
    """A hash of the names and sizes of all files, shortened: the same on a copy, another for other pictures."""
    hashed = hashlib.sha256()
    for path in (path for split in splits for path in split.paths):
        hashed.update(os.fsencode(f"{relative(path, root)} {path.stat().st_size}\n"))
    return hashed.hexdigest()[:16]


def relative(path: Path, root: Path) -> str:
    """A path as seen from ``root``, with /; the whole of it on another drive of Windows, from where no way leads."""
    with suppress(ValueError):
        path = Path(os.path.relpath(path, root))
    return path.as_posix()


def finish_epoch(config, progress, kept, plain, averaged, optimizer) -> None:
    """Metrics, curves, the best checkpoint, and last the state, so that a kill in between only repeats the epoch."""
    row = progress.rows[-1]
    new_size = len(progress.rows) > 1 and progress.rows[-2]["size"] != row["size"]
    if row["val_accuracy"] >= progress.best or new_size:  # accuracies at another size do not compare
        progress.best = row["val_accuracy"]
        metrics = {key: row[key] for key in METRICS}
        kept.config = replace(kept.config, metrics=metrics)
        save_checkpoint(kept, config.run_dir)
    write_metrics(config.run_dir, progress.rows)
    plot_curves(progress.rows, config.run_dir / "curves.png", title=config.model)
    save_state(config.run_dir / STATE, progress, plain, averaged, optimizer)


def write_metrics(run_dir: Path, rows: list[dict]) -> None:
    write_text(run_dir / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def save_state(path: Path, progress: Progress, plain, averaged, optimizer) -> None:
    """Everything the next epoch depends on, in one safetensors file that appears at once or not at all."""
    tensors = {f"model.{key}": value for key, value in plain.state_dict().items()}
    if averaged:
        tensors |= {f"averaged.{key}": value for key, value in averaged.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in values.items() if isinstance(value, Tensor)}
    tensors = {key: value.detach().contiguous().cpu() for key, value in tensors.items()}
    about = {"epoch": str(progress.epoch), "best": repr(progress.best), "rows": json.dumps(progress.rows)}
    write_safely(path, lambda temporary: save_file(tensors, temporary, metadata=about))


def load_state(
    path: Path, config: TrainConfig, split: Split, val: Split, plain, averaged, optimizer, processes: int
) -> Progress:
    """Restore what ``save_state`` wrote; ``CheckpointError`` when it is damaged, of other settings or other data."""
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata()
            # copies, for the file will be replaced, which Windows refuses while it is mapped
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118 - not a dict
        saved = json.loads((config.run_dir / "run.json").read_text(encoding="utf-8"))
        if missing := {"synsets", "train_images", "config"} - {*saved}:
            raise KeyError(", ".join(sorted(missing)))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"cannot resume from {path} and run.json beside it ({error}); begin another --run-dir, "
            "from the weights there with --init-from if there are any"
        ) from error
    check_same_run(path, saved, config, split, val, processes)

    def part(name: str) -> dict[str, Tensor]:
        return {key.removeprefix(name): value for key, value in tensors.items() if key.startswith(name)}

    try:
        plain.load_state_dict(part("model."), strict=True)
        if averaged:
            averaged.load_state_dict(part("averaged."), strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} holds a network of other shapes than this version of the code builds; begin another --run-dir"
        ) from error
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in part("optimizer.").items():
        index, name = key.split(".", 1)
        moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, found in optimizer.state.items():  # in the memory layout of the weights, which the file has lost
        found |= {key: torch.empty_like(parameter).copy_(v) for key, v in found.items() if key != "step"}  # AdamW's
    return Progress(int(about["epoch"]), float(about["best"]), json.loads(about["rows"]))


def check_same_run(path: Path, saved: dict, config: TrainConfig, split: Split, val: Split, processes: int) -> None:
    """``CheckpointError`` unless the run whose run.json was ``saved`` had the same settings, processes and data."""
    settings = defaults_of(config) | saved["config"]  # a setting younger than the run had its default
    synsets, images = tuple(saved["synsets"]), saved["train_images"]
    ignored = PLACES if config.model == "dynamic_vgg19" else PLACES | {"temperature_epochs"}  # once another default
    changed = [key for key, value in config.to_dict().items() if key not in ignored and settings[key] != value]
    if changed:
        raise CheckpointError(
            f"{path} belongs to a run with other settings ({', '.join(changed)}); "
            "repeat the first command with --resume, or choose another --run-dir"
        )
    if (before := saved.get("processes", 1)) != processes:
        raise CheckpointError(
            f"{path} belongs to a run of {before} processes with {config.batch_size} pictures each, this one has "
            f"{processes}; start as many, or begin another --run-dir from these weights with --init-from"
        )
    if (synsets, images) != (split.synsets, len(split)):
        differing = ", ".join(sorted({*synsets} ^ {*split.synsets})[:5]) or "in the same classes"
        raise CheckpointError(
            f"{path} belongs to a run on {images} pictures of {len(synsets)} classes, {config.data_root} has "
            f"{len(split)} of {len(split.synsets)} ({differing}); restore the pictures and repeat the first command "
            "with --resume, or begin another --run-dir from these weights with --init-from"
        )

    if (before := saved.get("val_images", len(val))) != len(val):
        raise CheckpointError(
            f"{path} belongs to a run with {before} validation pictures, {config.data_root} has {len(val)}, so that "
            "its epochs would not compare; restore the pictures, or begin another --run-dir with --init-from"
        )

    now = data_facts(config, split, val, processes)
    for key, what in (("pictures_sha256", "names or sizes of files"), ("labels_sha256", "labels")):
        if saved.get(key, now[key]) != now[key]:
            raise CheckpointError(
                f"{path} belongs to a run on other pictures than {config.data_root} has ({what} differ); "
                "restore them, or begin another --run-dir from these weights with --init-from"
            )


def defaults_of(config: TrainConfig) -> dict:
    """The settings of a run of the same network on the same pictures that gives none of its own."""
    return TrainConfig(model=config.model, data_root=config.data_root, run_dir=config.run_dir).to_dict()


def git_commit() -> str:
    """The commit of this code, with ``-dirty`` where files differ from it; ``unknown`` outside a clone."""
    options = {"capture_output": True, "text": True, "check": True, "cwd": Path(__file__).parent}
    try:
        subprocess.run(["git", "ls-files", "--error-unmatch", Path(__file__).name], **options)
        describe = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(describe, **options).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def parse(arguments: list[str] | None = None) -> TrainConfig:
    """The command line; values of ``--recipe FILE.yaml`` are defaults that flags override."""
    recipe = argparse.ArgumentParser(add_help=False)
    recipe.add_argument("--recipe", type=Path)
    known, rest = recipe.parse_known_args(arguments)
    values = read_recipe(known.recipe) if known.recipe else {}
    flags = [part for key, value in values.items() for part in flag(key, value)]
    config = tyro.cli(TrainConfig, args=flags + rest, prog="python -m train.run", description=__doc__)
    check_needless(config, rest)
    return config


def check_needless(config: TrainConfig, typed: list[str]) -> None:
    """``ValueError`` for a flag that would change nothing; what a recipe sets may, beside other flags."""
    given = {word.partition("=")[0].removeprefix("--").replace("_", "-") for word in typed if word.startswith("--")}
    sampling = config.channels == "sample"
    needless = {
        "epochs": config.epochs != len(config.sizes) and f": the schedule {config.image_size} has its own",
        "channel-counts": not sampling and " without --channels sample",
        "pseudo-share": (not sampling and " without --channels sample") or (config.bands and " with --bands"),
        "temperature-epochs": config.model != "dynamic_vgg19" and f": {config.model} has no temperature",
        "warmup": config.schedule == "cosine" and " with --schedule cosine",
        "momentum": config.optimizer == "adamw" and " with --optimizer adamw",
        "init-noise": not config.init_from and " without --init-from",
    }
    if "init-noise" in given and config.init_from and config.model == holds(config.init_from):
        needless["init-noise"] = f": {config.init_from} holds a {config.model} already, whose kernels are copied"
    for name in sorted(given):
        if why := needless.get(name):
            raise ValueError(f"--{name} would change nothing{why}; leave it out")


def holds(source: Path) -> str:
    """The network of a checkpoint: a bundled name, a folder or a Hub repository. Raises ``CheckpointError``."""
    return read_config(locate(source.as_posix()) / CONFIG).model


def read_recipe(path: Path) -> dict[str, str]:
    """The settings of a YAML file as they are written there: YAML itself would read ``32:1`` as 1921."""
    if not path.is_file():
        raise FileNotFoundError(f"no recipe {path}; the project's own are in train/recipes/")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise ValueError(f"{path} is not a recipe; each line sets one value, such as 'lr: 0.1'")
    return values


def flag(key: str, value: str) -> list[str]:
    name = key.replace("_", "-")
    match value.lower():
        case "true":
            return [f"--{name}"]
        case "false":
            return [f"--no-{name}"]
        case "null" | "~" | "":
            return [f"--{name}", "None"]
    return [f"--{name}", value]


@one_line_errors(NonFiniteLossError)
def main() -> None:
    try:
        train(parse())
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command with --resume goes on from the last finished epoch") from None


if __name__ == "__main__":
    main()
