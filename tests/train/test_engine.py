import copy
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models import MODELS, ImageClassifier, build_model, select_channels
from models.pictures import normalize
from train.engine import (
    NonFiniteLossError,
    learning_rate,
    make_optimizer,
    mix_batch,
    predict,
    train_epoch,
)
from train.views import named_view

HALF = (0.5, 0.5, 0.5)
RGB = named_view("RGB")


class Tiny(ImageClassifier):
    """Channel means → logits: the smallest network with a normalisation and a head."""

    name = "tiny"

    def __init__(self, *, num_classes: int = 3, fill: str = "aligned", replication: float = 1.0):
        super().__init__(num_classes=num_classes, fill=fill)
        self.norm, self.head, self.replication = nn.BatchNorm2d(3), nn.Linear(3, num_classes), replication
        self.seen = []

    def classify(self, x):
        self.seen.append(x.shape)
        return self.head(self.norm(x).mean((2, 3)))

    def head_replication(self, image_size):
        return self.replication


def batches(steps: int = 4, size: int = 6, generator_seed: int = 0) -> list:
    """uint8 pictures whose brightest channel is their label."""
    generator = torch.Generator().manual_seed(generator_seed)
    made = []
    for _ in range(steps):
        labels = torch.randint(3, (size,), generator=generator)
        pixels = torch.randint(0, 100, (size, 3, 8, 8), generator=generator, dtype=torch.uint8)
        pixels[torch.arange(size), labels] += 120
        made.append((pixels, labels))
    return made


def run_epoch(model, config, data=None, *, epoch=0, **options):
    """One epoch; returns the steps and, per step, the learning rates of the optimiser's groups."""
    optimizer = make_optimizer(model, config)
    data = data or batches()
    steps, rates = [], []

    optimizer.register_step_pre_hook(lambda *_: rates.append([group["lr"] for group in optimizer.param_groups]))
    train_epoch(
        Accelerator(cpu=True), model, data, optimizer, config,
        epoch=epoch, steps=len(data), num_classes=3, mean=HALF, std=HALF, on_step=steps.append, **options,
    )  # fmt: skip
    return steps, rates, optimizer


# Learning rate


def test_cosine_falls_from_the_peak_to_zero(config):
    ours = config(schedule="cosine", lr=0.4)
    rates = [learning_rate(ours, progress) for progress in (0.0, 0.25, 0.5, 1.0)]
    assert rates == pytest.approx([0.4, 0.2 * (1 + math.sqrt(0.5)), 0.2, 0.0])


def test_one_cycle_rises_linearly_then_falls_to_zero(config):
    ours = config(schedule="one-cycle", lr=0.4, warmup=0.2)
    rates = [learning_rate(ours, progress) for progress in (0.0, 0.05, 0.1, 0.2, 0.6, 1.0)]
    assert rates == pytest.approx([0.004, 0.1, 0.2, 0.4, 0.2, 0.0])


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_the_learning_rate_is_never_above_its_peak_nor_below_zero(config, schedule):
    ours = config(schedule=schedule, lr=0.3, warmup=0.0)
    assert all(0 <= learning_rate(ours, step / 100) <= 0.3 for step in range(101))


def test_the_schedule_spans_all_epochs(config):
    ours = config(schedule="cosine", lr=0.4, epochs=2)
    first, second = (run_epoch(Tiny(), ours, epoch=epoch)[0] for epoch in (0, 1))
    assert [step.lr for step in first + second] == [learning_rate(ours, step / 8) for step in range(8)]


@pytest.mark.parametrize(("scale", "expected"), [(None, 1 / 49), (0.5, 0.5), (0.0, 0.0), (1.0, 1.0)])
def test_the_head_has_its_own_learning_rate(config, scale, expected):
    steps, rates, optimizer = run_epoch(Tiny(replication=49.0), config(head_lr_scale=scale))
    for step, row in zip(steps, rates, strict=True):
        for rate, group in zip(row, optimizer.param_groups, strict=True):
            assert rate == step.lr * (expected if group["head"] else 1.0)


# Optimiser


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("name", MODELS)
def test_only_weights_decay_and_only_the_last_layer_is_the_head(config, name, optimizer):
    with torch.device("meta"):
        model = build_model(name, num_classes=3)
    groups = make_optimizer(model, config(optimizer=optimizer, weight_decay=0.01)).param_groups
    of = {id(parameter): group for group in groups for parameter in group["params"]}
    assert len(of) == len(list(model.parameters()))
    for key, parameter in model.named_parameters():
        assert of[id(parameter)]["weight_decay"] == (0.01 if parameter.ndim >= 2 else 0.0), key
        assert of[id(parameter)]["head"] == key.startswith(("classifier.", "fc.")), key


def test_normalisation_and_gamma_do_not_decay(config):
    model = build_model("compact")
    free = {id(p) for g in make_optimizer(model, config()).param_groups if not g["weight_decay"] for p in g["params"]}
    assert {id(model.stem[1].weight), id(model.stem[1].bias), id(model.branches["attention"].gamma)} <= free


# Training


def test_training_lowers_the_loss(config):
    model, ours = Tiny(), config(lr=0.05, epochs=1, schedule="cosine", label_smoothing=0.0)
    steps, _, _ = run_epoch(model, ours, batches(steps=40))
    assert sum(step.loss for step in steps[-5:]) < 0.5 * sum(step.loss for step in steps[:5])


def test_a_step_reports_what_it_did(config):
    steps, _, _ = run_epoch(Tiny(), config(), batches(steps=2, size=5))
    assert [step.images for step in steps] == [5, 5]
    assert all(0 <= step.correct <= 5 and math.isfinite(step.loss) for step in steps)


def test_the_network_trains_on_just_the_named_channels(config):
    model, given = Tiny(), []
    model.register_forward_pre_hook(lambda module, x, said: given.append((x[0].shape[1], said)), with_kwargs=True)
    run_epoch(model, config(channels="GB"))
    assert given == [(2, {"channels": "GB"})] * 4


@pytest.mark.parametrize("clip_norm", [0.0, 0.01])
def test_gradients_are_clipped_when_asked(config, clip_norm):
    model = Tiny()
    run_epoch(model, config(clip_norm=clip_norm), batches(steps=1))
    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item()
    assert (norm <= 0.0101) == bool(clip_norm)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_with_its_step_and_learning_rate(config, value):
    model, ours = Tiny(), config(lr=0.4, schedule="cosine", epochs=2)
    with torch.no_grad():
        model.head.weight.fill_(value)
    lr = learning_rate(ours, 4 / 8)
    with pytest.raises(NonFiniteLossError, match=rf"loss is (nan|inf) at step 4, learning rate {lr:.4g}; lower --lr"):
        run_epoch(model, ours, epoch=1)


def test_averaged_weights_follow_behind(config):
    model, decay = Tiny(), 0.75
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    history = []
    original = averaged.update_parameters
    averaged.update_parameters = lambda source: (history.append(source.head.weight.detach().clone()), original(source))
    run_epoch(model, config(), averaged=averaged)
    expected = history[0]
    for weight in history[1:]:
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(averaged.module.head.weight, expected)


def test_an_epoch_leaves_the_random_state_alone(config):
    model = Tiny()
    before = torch.get_rng_state()
    run_epoch(model, config(channels="sample", mix="both"))
    assert torch.equal(torch.get_rng_state(), before)


# Mixing and sampling


@pytest.mark.parametrize("mix", ["mixup", "cutmix", "both"])
def test_mixed_targets_sum_to_one(mix):
    images, labels = torch.randn(8, 3, 6, 6), torch.arange(8) % 3
    for seed in range(5):
        mixed, targets = mix_batch(images, labels, mix, 3, torch.Generator().manual_seed(seed))
        assert mixed.shape == images.shape and targets.shape == (8, 3)
        assert (targets >= 0).all()
        torch.testing.assert_close(targets.sum(1), torch.ones(8))


def test_mixup_mixes_pictures_as_their_targets():
    images, labels = torch.eye(3).view(3, 3, 1, 1).expand(3, 3, 4, 4), torch.arange(3)
    mixed, targets = mix_batch(images, labels, "mixup", 3, torch.Generator().manual_seed(3))
    torch.testing.assert_close(mixed.mean((2, 3)), targets)


@pytest.mark.parametrize("mix", ["mixup", "cutmix", "both"])
def test_mixing_repeats_for_the_same_generator(mix):
    images, labels = torch.randn(8, 3, 6, 6), torch.arange(8) % 3
    first, second = (mix_batch(images, labels, mix, 3, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_how_pictures_are_mixed_tells_nothing_of_what_is_drawn_next(mix):
    """Channels are drawn from the same generator."""
    images, labels = torch.randn(2, 3, 6, 6), torch.arange(2)
    shares, draws = [], []
    for seed in range(300):
        generator = torch.Generator().manual_seed(seed)
        shares.append(mix_batch(images, labels, mix, 2, generator)[1][0, 0])
        draws.append(torch.rand(8, generator=generator))
    together = torch.cat([torch.tensor(shares)[None], torch.stack(draws, dim=1)])
    assert together.corrcoef()[0, 1:].abs().max() < 0.25  # 0.5 when the stream was the same


def test_both_uses_mixup_and_cutmix():
    images, labels = torch.randn(8, 3, 6, 6), torch.arange(8) % 3
    kinds = set()
    for seed in range(20):
        mixed, _ = mix_batch(images, labels, "both", 3, torch.Generator().manual_seed(seed))
        pasted = (mixed == images) | (mixed == images.roll(1, 0))
        kinds.add("cutmix" if pasted.all() else "mixup")
    assert kinds == {"mixup", "cutmix"}


def test_no_mixing_leaves_the_batch_as_it_is():
    images, labels = torch.randn(4, 3, 6, 6), torch.arange(4)
    mixed, targets = mix_batch(images, labels, "none", 4, torch.Generator())
    assert mixed is images and targets is labels


def test_sampled_channels_differ_within_a_batch_and_between_steps(config):
    model, given = Tiny(), []
    model.register_forward_pre_hook(lambda module, x, said: given.append((x[0], said)), with_kwargs=True)
    run_epoch(model, config(channels="sample"))
    assert all(said == {"channels": "RGB"} for _, said in given)
    copied = [(images[:, 0] == images[:, 2]).flatten(1).all(1).tolist() for images, _ in given]
    assert any(True in step and False in step for step in copied) and copied[0] != copied[1]


# Evaluation


@torch.no_grad()
def test_prediction_covers_every_picture_in_order():
    model, data = Tiny().eval(), [*batches(steps=2), *batches(steps=1, size=2)]
    logits, labels = predict(Accelerator(cpu=True), model, data, mean=HALF, std=HALF, view=RGB)
    pixels = torch.cat([pixels for pixels, _ in data])
    assert torch.equal(labels, torch.cat([labels for _, labels in data]))
    torch.testing.assert_close(logits, model(normalize(pixels, HALF, HALF)))


@torch.no_grad()
def test_prediction_sees_the_asked_channels_and_fill():
    model, data = Tiny().eval(), batches(steps=1)
    logits, _ = predict(Accelerator(cpu=True), model, data, mean=HALF, std=HALF, view=named_view("RB"), fill="appended")
    images = normalize(data[0][0], HALF, HALF)
    torch.testing.assert_close(logits, model(select_channels(images, "RB"), "RB", fill="appended"))


@pytest.mark.parametrize("training", [True, False])
def test_prediction_restores_the_mode_even_after_a_failure(training):
    model = Tiny().train(training)
    predict(Accelerator(cpu=True), model, batches(steps=1), mean=HALF, std=HALF, view=RGB)
    assert model.training is training
    with pytest.raises(ValueError, match="unknown channel"):
        predict(Accelerator(cpu=True), model, batches(steps=1), mean=HALF, std=HALF, view=named_view("X"))
    assert model.training is training


def test_prediction_changes_no_running_statistics():
    model = Tiny()
    before = model.norm.running_mean.clone()
    predict(Accelerator(cpu=True), model, batches(), mean=HALF, std=HALF, view=RGB)
    assert torch.equal(model.norm.running_mean, before)


def test_bfloat16_gives_logits_in_full_precision():
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    logits, labels = predict(accelerator, Tiny(), batches(steps=1), mean=HALF, std=HALF, view=RGB)
    assert logits.dtype == torch.float32 and F.cross_entropy(logits, labels).isfinite()


# A teacher


def test_label_and_answer_share_the_loss(config):
    """The cross-entropy with 0.75 of the smoothed label and 0.25 of the teacher's answer."""
    model, teacher, data = Tiny(), Tiny().eval(), batches(1)
    pixels, labels = data[0]
    images = normalize(pixels, HALF, HALF)
    target = 0.75 * (0.7 * torch.eye(3)[labels] + 0.1) + 0.25 * teacher(images).softmax(1)
    expected = -(target * copy.deepcopy(model).train()(images).log_softmax(1)).sum(1).mean()
    steps, _, _ = run_epoch(
        model, config(label_smoothing=0.3, teacher=Path("t"), teacher_share=0.25), data, teacher=teacher
    )
    assert steps[0].loss == pytest.approx(expected.item(), rel=1e-5)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_teacher_sees_all_channels_whatever_the_network_is_shown(config):
    seen = []
    teacher = Tiny().eval()
    teacher.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    data = batches(1)
    run_epoch(Tiny(), config(channels="B"), data, teacher=teacher)
    torch.testing.assert_close(seen[0], normalize(data[0][0], HALF, HALF))
    assert not teacher.training


def test_the_teacher_alone_can_teach(config):
    """With the whole target from a good teacher, the labels do not matter."""
    ours = config(teacher=Path("t"), teacher_share=1.0, label_smoothing=0.0, epochs=20, lr=0.5)
    data, teacher = batches(), Tiny()
    for epoch in range(20):
        run_epoch(teacher, config(epochs=20, lr=0.5), data, epoch=epoch)
    wrong = [(pixels, (labels + 1) % 3) for pixels, labels in data]
    pupil = Tiny()
    for epoch in range(20):
        run_epoch(pupil, ours, wrong, epoch=epoch, teacher=teacher.eval())
    pixels, labels = data[0]
    answers = pupil.eval()(normalize(pixels, HALF, HALF)).argmax(1)
    assert (answers == labels).all()


def test_every_process_draws_for_itself(config, monkeypatch):
    def losses(rank: int) -> list[float]:
        monkeypatch.setattr(Accelerator, "process_index", rank)
        torch.manual_seed(0)
        return [step.loss for step in run_epoch(Tiny(), config(channels="sample"))[0]]

    assert losses(0) == losses(0) and losses(1) == losses(1)
    assert losses(0)[0] != losses(1)[0]
