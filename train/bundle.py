"""From a run folder to a bundled checkpoint and its training record.

    python -m train.bundle --run-dir runs/vgg19 --to checkpoints/vgg19 --data-root data/mini-imagenet-50

Writes the 8-bit copy with its golden logits, measures on validation what the rounding costs and what its
confidences are worth, keeps both in the checkpoint's config, and writes
``results/training-<name>.json``: settings, one row per epoch, minutes and device of the run.
"""

import json
from dataclasses import replace
from pathlib import Path

from models import CheckpointError, load_checkpoint, save_checkpoint
from models.checkpoint import STORAGES, pack, unpack, without_folders, write_json
from models.memory import keep_large_blocks
from models.training_record import data_name, validated_on
from train import RESULTS
from train.calibrate import validation_metrics, validation_split
from train.commands import command_line, one_line_errors
from train.config import PLACES, TrainConfig
from train.evaluate import measure, predict_subsets


def bundle(
    run_dir: Path, target: Path, data_root: Path, storage: str, *, bf16: bool = False, skip_unreadable: bool = False
) -> dict:
    """Write ``target`` and return the training record. Raises ``CheckpointError`` or ``DataError``."""
    if target.resolve() == run_dir.resolve():
        raise ValueError(f"{target} holds the run's own weights, which would be rounded; name another folder with --to")
    model = load_checkpoint(run_dir)
    about, rows = read_run(run_dir)
    config = about["config"]
    own = {key: config[key] for key in ("image_size", "epochs", "bands")}  # which other defaults follow from
    plain, alike = (TrainConfig(model.name, data_root, run_dir, **some).to_dict() for some in ({}, own))
    defaults = alike | {key: plain[key] for key in own}
    settings = {
        key: value
        for key, value in without_folders(config).items()
        if key not in PLACES and value is not None and (value != defaults[key] or key == "seed")
    }
    val = validation_split(model.config, data_root, skip_unreadable=skip_unreadable)
    channels = validated_on(model.config)
    logits, labels = predict_subsets(model, val, [channels], bf16=bf16)
    full = measure(channels, logits[channels], labels).accuracy
    training = {
        "data": data_name(model.config),
        "images": about["train_images"],
        "epochs": len(rows),
        "channels": about["config"]["channels"],
        "settings": settings,
    }
    model.load_state_dict(unpack(pack(model.state_dict(), storage)), strict=True)  # as the stored copy will be
    metrics = validation_metrics(model, val, bf16=bf16) | {
        "val_accuracy_full_precision": full,
        "epoch": model.config.metrics["epoch"],
    }
    model.config = replace(model.config, training=training, metrics=metrics)
    save_checkpoint(model, target, storage=storage)
    return {
        "kind": "training",
        "model": model.name,
        "checkpoint": target.name,
        **training,
        "minutes": minutes_of(rows),
        "device": about["device"],
        "threads": about["threads"],
        "versions": about["versions"],
        "seed": about["config"]["seed"],
        "rows": rows,
    }


def read_run(run_dir: Path) -> tuple[dict, list[dict]]:
    """``run.json`` and the rows of ``metrics.jsonl`` of a run folder. Raises ``CheckpointError`` for damaged ones."""
    about, rows = ((run_dir / name).read_text(encoding="utf-8") for name in ("run.json", "metrics.jsonl"))
    try:
        return json.loads(about), [json.loads(line) for line in rows.splitlines()]
    except ValueError as error:
        raise CheckpointError(
            f"run.json or metrics.jsonl in {run_dir} is damaged ({error}); restore it, or train again"
        ) from error


def minutes_of(rows: list[dict]) -> float:
    """Training time of these epochs, validation not counted."""
    return sum(row["train_s"] for row in rows) / 60


@one_line_errors()
def main() -> None:
    parser = command_line("bundle", __doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="folder that train.run wrote")
    parser.add_argument("--to", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--data-root", type=Path, required=True, help="folder with the validation pictures")
    parser.add_argument("--storage", choices=STORAGES, default="int8")
    parser.add_argument("--bf16", action="store_true", help="measure under bfloat16 autocast")
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out pictures that cannot be read")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the training record")
    options = parser.parse_args()
    keep_large_blocks()
    record = bundle(
        options.run_dir, options.to, options.data_root, options.storage,
        bf16=options.bf16, skip_unreadable=options.skip_unreadable,
    )  # fmt: skip
    options.results.mkdir(parents=True, exist_ok=True)
    path = options.results / f"training-{options.to.name}.json"
    write_json(path, record)
    print(f"wrote {options.to} and {path}")


if __name__ == "__main__":
    main()
