"""One epoch of training and one pass of evaluation. No printing, no file access."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torchvision.transforms import v2

from models import ImageClassifier
from models.pictures import normalize
from train.config import TrainConfig
from train.data import mix_seed
from train.views import View, training_view


@dataclass(frozen=True)
class Step:
    """What one optimiser step reports."""

    loss: float
    correct: float
    images: int
    lr: float


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite; the message says at which step and learning rate."""


def make_optimizer(model: ImageClassifier, config: TrainConfig) -> torch.optim.Optimizer:
    """Groups: weights with decay, the rest without, the head's with their own learning-rate scale."""
    head_ids = {id(parameter) for parameter in head_of(model)[1].parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        groups.setdefault((id(parameter) in head_ids, parameter.ndim >= 2), []).append(parameter)
    options = [
        {"params": parameters, "head": head, "weight_decay": config.weight_decay if decayed else 0.0}
        for (head, decayed), parameters in groups.items()
    ]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(options, lr=config.lr)
    return torch.optim.SGD(options, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0)


def head_of(model: nn.Module) -> tuple[str, nn.Linear]:
    """Name and module of the layer that gives the logits: the last linear one."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]


def learning_rate(config: TrainConfig, progress: float) -> float:
    """Learning rate at ``progress`` 0..1 of the run: linear warm-up (one-cycle only), cosine to zero."""
    warmup = config.warmup if config.schedule == "one-cycle" else 0.0
    if progress < warmup:
        return config.lr * max(progress / warmup, 0.01)
    return config.lr * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def train_epoch(
    accelerator: Accelerator,
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    *,
    epoch: int,
    steps: int,
    num_classes: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    averaged: AveragedModel | None = None,
    teacher: ImageClassifier | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
) -> None:
    """Train one epoch of ``steps`` steps; ``epoch`` counts from 0. Raises ``NonFiniteLossError``.

    A ``teacher``, in eval mode on the same device and normalised alike, has ``config.teacher_share`` of the loss.
    """
    model.train()
    plain = accelerator.unwrap_model(model)
    head_scale = config.head_lr_scale
    if head_scale is None:
        head_scale = 1 / plain.head_replication(config.sizes[epoch])
    total_steps = len(config.sizes) * steps
    rank = [accelerator.process_index] if accelerator.process_index else []  # each process draws for itself
    unread = None
    for index, (pixels, labels) in enumerate(batches):
        step = epoch * steps + index
        lr = learning_rate(config, step / total_steps)
        for group in optimizer.param_groups:
            group["lr"] = lr * (head_scale if group["head"] else 1.0)
        if hasattr(plain, "set_temperature"):
            plain.set_temperature(config.temperature_at(step / steps))
        generator = torch.Generator().manual_seed(mix_seed(config.seed, step, *rank))
        images = normalize(pixels, mean, std)  # (B, 3, S, S), or all bands of a sensor
        images, targets = mix_batch(images, labels, config.mix, num_classes, generator)
        answers = None  # (B, num_classes)
        if teacher is not None:
            answers = ask(accelerator, teacher, images, config.all_channels)
        images, seen = training_view(config, plain.fill, generator)(images)  # (B, C, S, S)
        if config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)

        optimizer.zero_grad(set_to_none=True)
        with accelerator.autocast():
            logits = model(images, **seen).float()  # (B, num_classes)
        loss = F.cross_entropy(logits, targets, label_smoothing=config.label_smoothing)
        if answers is not None:
            loss = loss.lerp(F.cross_entropy(logits, answers), config.teacher_share)
        accelerator.backward(loss)
        if config.clip_norm:
            accelerator.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        if averaged is not None:
            averaged.update_parameters(plain)
        if unread:  # of the step before, so that a GPU has its next work before anything waits for it
            on_step(report(*unread))
        correct = (logits.argmax(1) == labels).sum()
        unread = step, Underway(torch.stack([loss.detach(), correct.to(loss)])), len(labels), lr
    if unread:
        on_step(report(*unread))


class Underway:
    """Values that come from a GPU as soon as they are there: reading them waits for no work queued after them."""

    def __init__(self, values: Tensor):
        self.values = values.to("cpu", non_blocking=values.is_cuda)  # into pinned memory then
        self.arrival = torch.cuda.current_stream(values.device).record_event() if values.is_cuda else None

    def read(self) -> list[float]:
        if self.arrival:
            self.arrival.synchronize()
        return self.values.tolist()


def report(step: int, results: Underway, images: int, lr: float) -> Step:
    """What a step says, from its loss and number of right answers; ``NonFiniteLossError`` if the loss is none."""
    loss, correct = results.read()
    if not math.isfinite(loss):
        raise NonFiniteLossError(f"loss is {loss} at step {step}, learning rate {lr:.4g}; lower --lr")
    return Step(loss, correct, images, lr)


def mix_batch(
    images: Tensor, labels: Tensor, mix: str, num_classes: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """MixUp or CutMix of a batch (then targets are (B, num_classes)), or the batch as it is."""
    if mix == "none":
        return images, labels
    kinds = {"mixup": v2.MixUp(num_classes=num_classes, alpha=0.2), "cutmix": v2.CutMix(num_classes=num_classes)}
    if mix == "both":
        mix = ("mixup", "cutmix")[torch.randint(2, (), generator=generator)]
    with torch.random.fork_rng(devices=[]):
        # by a number of its own, for channels are drawn from ``generator`` itself
        torch.default_generator.manual_seed(torch.randint(2**62, (), generator=generator).item())
        return kinds[mix](images, labels)


@torch.no_grad()
def ask(accelerator: Accelerator, teacher: ImageClassifier, images: Tensor, channels: str) -> Tensor:
    """The teacher's probabilities (B, num_classes) for pictures with all ``channels``, (B, C, S, S).

    The network is shown some channels and learns what a teacher says who sees them all: distillation
    (Hinton et al., 2015) on the very crop that the network sees (Beyer et al., CVPR 2022, section 3).
    """
    with accelerator.autocast():
        return teacher(images, channels).float().softmax(1)


@torch.inference_mode()
def predict(
    accelerator: Accelerator,
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    view: View,
    on_batch: Callable[[int], None] = lambda images: None,
    **options,
) -> tuple[Tensor, Tensor]:
    """Logits (N, num_classes) in fp32 and labels (N,), on the CPU, of a pass in eval mode.

    The model sees what ``view`` makes of the normalised pictures. ``options`` (``fill``, ``temperature``) go to the
    model. The model's mode is restored.
    """
    training = model.training
    model.eval()
    try:
        all_logits, all_labels = [], []
        for pixels, labels in batches:
            pixels = pixels.to(accelerator.device, non_blocking=True)
            images, seen = view(normalize(pixels, mean, std))
            with accelerator.autocast():
                logits = model(images, **seen, **options)
            logits, labels = accelerator.gather_for_metrics((logits.float(), labels))
            all_logits.append(logits.cpu())
            all_labels.append(labels.cpu())
            on_batch(len(labels))
    finally:
        model.train(training)
    return torch.cat(all_logits), torch.cat(all_labels)
