"""Measure on validation what a checkpoint's confidences are worth, and keep it in its config.

    python -m train.calibrate --checkpoint checkpoints/vgg19 --data-root data/mini-imagenet-50

``train.run`` and ``train.bundle`` do so themselves. This is for a checkpoint that came without, for pictures of
another kind (of the same classes), and for another crop (``--crop-pct 0.875`` is kept in the config, too). The weights
stay as they are; accuracy on validation, the softmax temperature that makes confidences match it, and the
confidence below which an answer is unsure are measured on all its channels.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from models import CheckpointError, ImageClassifier, ModelConfig, load_checkpoint
from models.checkpoint import write_config
from models.memory import keep_large_blocks
from train.confidence import confidence_metrics
from train.data import DataError, Split, load_split
from train.evaluate import measure, predict_subsets, set_size


def calibrate(folder: Path, data_root: Path, crop_pct: float | None = None, *, bf16: bool = False) -> ModelConfig:
    """Renew the metrics in the config of ``folder`` and return it. Raises ``CheckpointError`` or ``DataError``."""
    model = set_size(load_checkpoint(folder), crop_pct=crop_pct)
    val = load_split(data_root, "val", bands=model.config.bands)
    kept = {key: value for key, value in model.config.metrics.items() if key == "epoch"}
    config = replace(model.config, metrics=validation_metrics(model, val, bf16=bf16) | kept)
    write_config(config, folder)
    return config


def validation_metrics(model: ImageClassifier, val: Split, *, bf16: bool) -> dict[str, float]:
    """Accuracy on the pictures of ``val`` with all channels, their number, and what confidences are worth."""
    logits, labels = full_answers(model, val, bf16)
    accuracy = measure(model.config.all_channels, logits, labels).accuracy
    return {"val_accuracy": accuracy, "val_images": len(val)} | confidence_metrics(logits, labels)


def full_answers(model: ImageClassifier, split: Split, bf16: bool) -> tuple[Tensor, Tensor]:
    """Logits (N, num_classes) for all channels, and labels (N,)."""
    channels = model.config.all_channels
    logits, labels = predict_subsets(model, split, [channels], bf16=bf16)
    return logits[channels], labels


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m train.calibrate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint folder whose config.json is renewed")
    parser.add_argument("--data-root", type=Path, required=True, help="folder with the validation pictures")
    parser.add_argument("--crop-pct", type=float, help="share of each side that is seen; by default the checkpoint's")
    parser.add_argument("--bf16", action="store_true", help="measure under bfloat16 autocast")
    options = parser.parse_args()
    keep_large_blocks()
    try:
        config = calibrate(options.checkpoint, options.data_root, options.crop_pct, bf16=options.bf16)
    except (CheckpointError, DataError, ValueError) as error:
        sys.exit(f"error: {error}")
    for name, value in config.metrics.items():
        print(f"{name:<26}{value:.4g}")


if __name__ == "__main__":
    main()
