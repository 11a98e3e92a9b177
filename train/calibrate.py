"""Measure on validation what a checkpoint's confidences are worth, and keep it in its config.

    python -m train.calibrate --checkpoint checkpoints/vgg19 --data-root data/mini-imagenet-50

``train.bundle`` does so itself, ``train.run`` with the channels that it validates on. This is for a run that will
answer with fewer, for pictures of another kind (of the same classes), and for another crop (``--crop-pct 0.875`` is
kept in the config, too). The weights stay as they are. Measured are accuracy on validation with all channels, or those
that a training showed alone (of a dynamic network also with an even mix of its kernels in every layer) and, for every
number of channels, the softmax temperature that makes confidences match the share of right answers, and the confidence
below which an answer is unsure.
Of a sensor's bands, numbers between one and all but one are measured on two subsets each, drawn by chance.
"""

import random
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from models import CheckpointError, ImageClassifier, ModelConfig, load_checkpoint
from models.bands import spell
from models.checkpoint import write_config
from models.memory import keep_large_blocks
from models.training_record import validated_on
from models.vgg import DynamicVGG19
from train.commands import command_line, one_line_errors
from train.confidence import confidence_by_number
from train.data import Split, load_split
from train.evaluate import measure, number_of, parse_subsets, predict_subsets, set_size

FEW = 50  # pictures
EVEN = 1e9  # a softmax temperature that gives every kernel the same weight


def calibrate(
    folder: Path,
    data_root: Path,
    crop_pct: float | None = None,
    *,
    bf16: bool = False,
    skip_unreadable: bool = False,
) -> ModelConfig:
    """Renew the metrics in the config of ``folder`` and return it. Raises ``CheckpointError`` or ``DataError``."""
    if not folder.is_dir():
        raise CheckpointError(f"no folder {folder}; calibration renews the config in one, such as checkpoints/vgg19")
    model = set_size(load_checkpoint(folder), crop_pct=crop_pct)
    val = validation_split(model.config, data_root, skip_unreadable=skip_unreadable)
    kept = {key: value for key, value in model.config.metrics.items() if key == "epoch"}
    config = replace(model.config, metrics=validation_metrics(model, val, bf16=bf16) | kept)
    write_config(config, folder)
    return config


def validation_split(config: ModelConfig, data_root: Path, *, skip_unreadable: bool = False) -> Split:
    """The validation pictures as the network of ``config`` was trained to see them. Raises ``DataError``."""
    return load_split(data_root, "val", bands=config.bands, scale=config.scale, skip_unreadable=skip_unreadable)


def validation_metrics(model: ImageClassifier, val: Split, *, bf16: bool) -> dict:
    """Accuracy on the pictures of ``val`` (``validated_on``), their number, and what confidences are worth."""
    subsets, trained_on = [*parse_subsets("all", val.bands), *between(val.bands)], validated_on(model.config)
    trained_on = subsets[0] if trained_on == model.config.all_channels else trained_on
    logits, labels = predict_subsets(model, val, dict.fromkeys([*subsets, trained_on]), bf16=bf16)
    by_number = defaultdict(list)
    for subset in subsets:
        by_number[number_of(subset, val.bands)].append(logits[subset])
    accuracies = {"val_accuracy": measure(trained_on, logits[trained_on], labels).accuracy}
    if isinstance(model, DynamicVGG19):
        accuracies["val_accuracy_even"] = accuracy_of_even_mix(model, val, bf16=bf16)
    return accuracies | {"val_images": len(val)} | confidence_by_number(by_number, labels)


def between(bands: tuple[str, ...]) -> list[str]:
    """Subsets of more than one of a sensor's bands and fewer than all but one: two for each number, the same ones on
    every machine. Of several unknown bands there are none, as these have no names of their own."""
    named, generator = [band for band in bands if bands.count(band) == 1], random.Random(0)
    numbers = range(2, min(len(bands) - 1, len(named) + 1))
    drawn = [generator.sample(range(len(named)), number) for number in numbers for _ in range(2)]
    return list(dict.fromkeys(spell(named[place] for place in sorted(places)) for places in drawn))


def accuracy_of_even_mix(model: DynamicVGG19, val: Split, *, bf16: bool) -> float:
    """Accuracy with all channels where every kernel has the same weight: what attention adds is the rest."""
    temperature, channels = model.temperature, model.config.all_channels
    model.set_temperature(EVEN)
    try:
        logits, labels = predict_subsets(model, val, [channels], bf16=bf16)
    finally:
        model.set_temperature(temperature)
    return measure(channels, logits[channels], labels).accuracy


@one_line_errors()
def main() -> None:
    parser = command_line("calibrate", __doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint folder whose config.json is renewed")
    parser.add_argument("--data-root", type=Path, required=True, help="folder with the validation pictures")
    parser.add_argument("--crop-pct", type=float, help="share of each side that is seen; by default the checkpoint's")
    parser.add_argument("--bf16", action="store_true", help="measure under bfloat16 autocast")
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out pictures that cannot be read")
    options = parser.parse_args()
    keep_large_blocks()
    config = calibrate(
        options.checkpoint, options.data_root, options.crop_pct,
        bf16=options.bf16, skip_unreadable=options.skip_unreadable,
    )  # fmt: skip
    for name, value in config.metrics.items():
        values = value if isinstance(value, list) else [value]
        print(f"{name:<26}{', '.join(f'{value:.4g}' for value in values)}")
    if (count := config.metrics["val_images"]) < FEW:
        print(f"measured on {count} pictures, which are too few to rely on these numbers")


if __name__ == "__main__":
    main()
