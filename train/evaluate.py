"""Accuracy of a checkpoint on channel subsets, or of two, compared picture by picture.

    python -m train.evaluate --checkpoint checkpoints/vgg19 --data-root data/mini-imagenet-50
    python -m train.evaluate --checkpoint checkpoints/vgg19 checkpoints/dynamic_vgg19 \\
        --data-root data/mini-imagenet-50 --split test --channels all --json results/task1.json
    python -m train.evaluate --checkpoint vgg19 vgg19 --image-size 64 80 --crop-pct 1 0.9 \\
        --data-root data/mini-imagenet-50
    python -m train.evaluate --checkpoint runs/sensor --data-root DATA --channels "all bands,no NIR,B+NIR"

Prints accuracy with its 95 % Wilson interval, macro precision, recall and F1, mean confidence and its expected
calibration error; with two checkpoints also the p-value of McNemar's exact test on the pictures that only one of
them gets right. Size and crop are the checkpoint's own unless given. ``--per-class`` says of each class how often it is
recognised and what it is taken for.
"""

import argparse
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from scipy.stats import binomtest
from torch import Tensor
from torch.backends import cudnn
from torchmetrics.functional.classification import (
    multiclass_calibration_error,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)
from tqdm import tqdm

from models import CHANNELS, FILLS, SUBSETS, ImageClassifier, ModelConfig, load_model
from models.band_files import check_scale
from models.bands import parse_bands, places_of, spell
from models.checkpoint import checksum, write_json, write_text
from models.hub import locate
from models.memory import keep_large_blocks
from train import ROOT
from train.commands import command_line, one_line_errors, processes
from train.config import parse_rgb
from train.data import SPLITS, DataError, Pictures, Split, load_split, make_loader, workers_for_gpu
from train.engine import predict
from train.findings import ALL_BANDS, input_text, worst_single
from train.per_class import as_csv
from train.views import View, named_view

NO = "no "  # before the bands of a sensor that a subset lacks


@dataclass(frozen=True)
class Row:
    """Metrics on one channel subset, in 0..1; the interval is Wilson's at 95 %.

    ``confidence`` is the mean of the answers given, of softmax over ``calibration_temperature``. ``calibration_error``
    is the expected one (ECE, 15 bins): how far confidence and share of right answers lie apart;
    ``raw_calibration_error`` the same of the plain softmax.
    """

    channels: str
    accuracy: float
    precision: float
    recall: float
    f1: float
    ci_low: float
    ci_high: float
    correct: int
    calibration_temperature: float
    confidence: float
    calibration_error: float
    raw_calibration_error: float


@dataclass(frozen=True)
class Paired:
    """McNemar's test on one subset: pictures that only the first, or only the second, gets right."""

    channels: str
    only_first: int
    only_second: int
    p_value: float


def measure(
    channels: str, logits: Tensor, labels: Tensor, config: ModelConfig | None = None, num_channels: int | None = None
) -> Row:
    """Metrics of (N, num_classes) logits against (N,) labels; confidences as ``config`` makes them of logits."""
    options = {"num_classes": logits.shape[1], "average": "none"}
    present = labels.unique()  # macro averages are over the classes that there are pictures of
    config = config or ModelConfig("", {})  # not calibrated
    raw, probabilities = logits.softmax(1), config.probabilities(logits, num_channels)
    correct = (logits.argmax(1) == labels).sum().item()
    interval = binomtest(correct, len(labels)).proportion_ci(0.95, method="wilson")
    return Row(
        channels=channels,
        accuracy=correct / len(labels),
        precision=multiclass_precision(logits, labels, **options)[present].mean().item(),
        recall=multiclass_recall(logits, labels, **options)[present].mean().item(),
        f1=multiclass_f1_score(logits, labels, **options)[present].mean().item(),
        ci_low=interval.low,
        ci_high=interval.high,
        correct=correct,
        calibration_temperature=config.calibration_temperature(num_channels),
        confidence=probabilities.amax(1).mean().item(),
        calibration_error=multiclass_calibration_error(probabilities, labels, logits.shape[1]).item(),
        raw_calibration_error=multiclass_calibration_error(raw, labels, logits.shape[1]).item(),
    )


def compare(channels: str, first: Tensor, second: Tensor, labels: Tensor) -> Paired:
    """McNemar's exact test of two (N, num_classes) logits on the same pictures."""
    a, b = (logits.argmax(1) == labels for logits in (first, second))
    only_a, only_b = (a & ~b).sum().item(), (b & ~a).sum().item()
    p_value = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return Paired(channels, only_a, only_b, p_value)


def predict_subsets(
    model: ImageClassifier, split: Split, subsets: list[str], *, fill: str | None = None, bf16: bool = False
) -> tuple[dict[str, Tensor], Tensor]:
    """Logits of every subset, and the labels. Raises ``DataError``."""
    views = {subset: named_view(channels_of(subset, split.bands), split.bands) for subset in subsets}
    return predict_views(model, split, views, fill=fill, bf16=bf16)


def predict_views(
    model: ImageClassifier, split: Split, views: dict[str, View], *, fill: str | None = None, bf16: bool = False
) -> tuple[dict[str, Tensor], Tensor]:
    """Logits of every named view of the pictures, and the labels. Pictures are read once. Raises ``DataError``."""
    if model.config.synsets and model.config.synsets != split.synsets:
        ours, theirs = model.config.synsets, split.synsets
        differing = ", ".join(sorted({*ours} ^ {*theirs})[:5]) or "the same in another order"
        raise DataError(
            f"the checkpoint knows {len(ours)} classes, the data has {len(theirs)} ({differing}); evaluate on the data "
            "it was trained for: each class needs a folder, be it empty, or a line in classes.txt"
        )
    if (count := processes()) > 1:
        raise ValueError(
            f"evaluation counts every picture once in each of {count} processes; start it as one, with python alone"
        )
    accelerator = Accelerator(mixed_precision="bf16" if bf16 else "no")
    model = model.to(accelerator.device, memory_format=torch.channels_last)
    pictures = Pictures(split, size=model.config.input_size, crop_pct=model.config.crop_pct)
    workers = 0 if accelerator.device.type == "cpu" else workers_for_gpu()
    results, all_labels = {name: [] for name in views}, []
    bar = tqdm(total=len(views) * len(split), desc=model.name, unit="img", leave=False)
    with bar, cudnn.flags(enabled=True, allow_tf32=False):  # 32 bits are 32 on a GPU, too
        for batch in make_loader(pictures, batch_size=64, workers=workers):
            for name, view in views.items():
                logits, labels = predict(
                    accelerator, model, [batch], mean=model.config.mean, std=model.config.std,
                    view=view, fill=fill, on_batch=bar.update,
                )  # fmt: skip
                results[name].append(logits)
            all_labels.append(labels)
    return {name: torch.cat(parts) for name, parts in results.items()}, torch.cat(all_labels)


def evaluate(
    model: ImageClassifier, split: Split, subsets: list[str], *, fill: str | None = None, bf16: bool = False
) -> tuple[dict, dict]:
    """One network's evaluation as it is written to JSON, and its logits by subset. Raises ``DataError``."""
    logits, labels = predict_subsets(model, split, subsets, fill=fill, bf16=bf16)
    rows = [
        measure(channels, values, labels, model.config, number_of(channels, split.bands))
        for channels, values in logits.items()
    ]
    evaluation = {
        "kind": "evaluation",
        "model": model.name,
        "n": len(labels),
        "fill": model.fill and (fill or model.fill),
        "input_size": model.config.input_size,
        "crop_pct": model.config.crop_pct,
        "bands": list(split.bands),
        "scale": split.scale,
        "storage": model.config.storage,
        "bf16": bf16,
        "device": next(model.parameters()).device.type,
        "trained_on": model.config.training.get("channels", "unknown"),
        "rows": [asdict(row) for row in rows],
    }
    return evaluation, {"logits": logits, "labels": labels}


def named(source: str) -> str:
    """A checkpoint as results call it: an absolute path would tell of the machine."""
    path = Path(source)
    if not path.is_absolute():
        return source
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else f"…/{path.name}"


def print_evaluation(evaluation: dict) -> None:
    print(
        f"\n{evaluation['model']} ({evaluation['checkpoint']}), {evaluation['split']} of {evaluation['data']}, "
        f"n = {evaluation['n']}, {input_text(evaluation)}, "
        f"{'fill ' + evaluation['fill'] if evaluation['fill'] else 'nothing filled'}"
        f"{', bands ' + ', '.join(evaluation['bands']) if evaluation['bands'] else ''}"
    )
    width = 1 + max(len(row["channels"]) for row in evaluation["rows"])
    print(
        f"  {'input':<{width}}{'accuracy':>9}   {'95 % interval':<16}{'precision':>9}{'recall':>9}{'F1':>9}"
        f"{'confidence':>12}{'ECE':>9}"
    )
    for row in evaluation["rows"]:
        interval = f"{row['ci_low']:.4f}–{row['ci_high']:.4f}"
        print(
            f"  {row['channels']:<{width}}{row['accuracy']:>9.4f}   {interval:<16}"
            f"{row['precision']:>9.4f}{row['recall']:>9.4f}{row['f1']:>9.4f}"
            f"{row['confidence']:>12.4f}{row['calibration_error']:>9.4f}"
        )
    if found := worst_single(evaluation):
        print("  the worst single channel, {}, keeps {:.1%} of the accuracy with all of them".format(*found))


def print_paired(first: str, second: str, rows: list[Paired]) -> None:
    print(f"\npictures that only one of them gets right (McNemar, exact): {first} | {second}")
    width = 1 + max(len(row.channels) for row in rows)
    for row in rows:
        print(f"  {row.channels:<{width}}{row.only_first:>6} |{row.only_second:>5}   p = {row.p_value:.3g}")


def parse_subsets(channels: str, bands: tuple[str, ...] = ()) -> list[str]:
    """``all`` or a comma-separated list such as ``RGB,RG,R``; ``ValueError`` for unknown channels.

    Of a sensor with ``bands``, ``all`` are ``all bands``, all but each (``no NIR``), and each alone; others are named
    like ``R+NIR``, of several unknown ones (``?``) the first.
    """
    if "," in channels:
        listed = (parse_subsets(part.strip(), bands) for part in channels.split(","))
        return list(dict.fromkeys(subset for part in listed for subset in part))
    if not bands:
        return list(SUBSETS) if channels == "all" else [parse_rgb(channels)]
    if channels == "all":
        named = [band for band in bands if bands.count(band) == 1]  # several unknown ones have no names of their own
        alone = named if len(bands) > 1 else []
        return [ALL_BANDS, *(f"{NO}{band}" for band in named if len(bands) > 2), *alone]
    return [spelt(channels, bands)]


def spelt(subset: str, bands: tuple[str, ...]) -> str:
    """A subset of a sensor's bands as it is always named: ``r+nir`` → ``R+NIR``. Raises ``ValueError``."""
    channels_of(subset, bands)
    if subset == ALL_BANDS:
        return subset
    if subset.startswith(NO):
        return NO + spell(bands[place] for place in sorted(places_of(subset.removeprefix(NO), bands)))
    return spell(bands[place] for place in places_of(subset, bands))


def channels_of(subset: str, bands: tuple[str, ...]) -> str:
    """The channels that a subset names, in one word: ``no NIR`` of B, R, NIR → ``BR``. Raises ``ValueError``."""
    if subset == ALL_BANDS:
        return spell(bands)
    if bands and subset.startswith(NO):
        if several := [band for band in parse_bands(subset.removeprefix(NO)) if bands.count(band) > 1]:
            raise ValueError(f"{subset!r} leaves open which of the {bands.count(several[0])} {several[0]} is meant")
        absent = places_of(subset.removeprefix(NO), bands)
        if len(absent) == len(bands):
            raise ValueError(f"{subset!r} leaves none of {', '.join(bands)}")
        return spell(band for place, band in enumerate(bands) if place not in absent)
    if bands:
        places_of(subset, bands)
    return subset


def number_of(subset: str, bands: tuple[str, ...]) -> int:
    """How many channels a subset has."""
    return len(parse_bands(channels_of(subset, bands)))


def result_file(text: str) -> Path:
    """The file of ``--json``, known to be writable before anything is measured."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise argparse.ArgumentTypeError(f"{path} is a device or a pipe; name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be written ({error})") from error
    return path


def parse() -> argparse.Namespace:
    parser = command_line("evaluate", __doc__)
    parser.add_argument("--checkpoint", nargs="+", required=True, help="one or two: name, folder or user/repo")
    parser.add_argument("--data-root", type=Path, required=True, help="folder with the pictures")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument(
        "--channels", help="all, or subsets such as RGB,RG,R (of a sensor: R+NIR,no B); by default every channel"
    )
    parser.add_argument(
        "--bands", help="of the sensor whose .tif, .tiff or .npy files are evaluated; by default the checkpoint's own"
    )
    parser.add_argument(
        "--scale", type=float, help="what the values of such files are divided by; by default the checkpoint's own"
    )
    parser.add_argument(
        "--image-size", nargs="+", type=int, help="pixels, one for all or one for each; by default the checkpoint's own"
    )
    parser.add_argument(
        "--crop-pct", nargs="+", type=float, help="share of each side that is seen, one for all or one for each"
    )
    parser.add_argument("--fill", choices=FILLS, help="by default the checkpoint's own")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast, several times faster on recent CPUs")
    parser.add_argument("--json", type=result_file, help="write the results to this file")
    parser.add_argument("--per-class", type=result_file, help="write a row for each class to this CSV file")
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out pictures that cannot be read")
    options = parser.parse_args()
    if len(options.checkpoint) > 2:
        parser.error(f"give one or two checkpoints, got {len(options.checkpoint)}")
    for name in ("image_size", "crop_pct"):
        values = getattr(options, name) or [None]
        if len(values) == 1:
            values *= len(options.checkpoint)
        if len(values) != len(options.checkpoint):
            parser.error(f"give one {name.replace('_', ' ')} or one for each checkpoint, got {len(values)}")
        setattr(options, name, values)
    return options


def set_size(model: ImageClassifier, image_size: int | None = None, crop_pct: float | None = None) -> ImageClassifier:
    """Let ``model`` see pictures of that size and crop instead of its config's. ``ValueError`` for impossible ones."""
    if image_size is not None and image_size < model.min_input_size:
        raise ValueError(f"image size {image_size}: {model.name} needs {model.min_input_size} px or more")
    if crop_pct is not None and not 0 < crop_pct <= 1:
        raise ValueError(f"crop pct {crop_pct}: it must be above 0 and at most 1, which shows the whole picture")
    changes = {"input_size": image_size, "crop_pct": crop_pct}
    model.config = replace(model.config, **{key: value for key, value in changes.items() if value is not None})
    return model


def set_bands(models: list[ImageClassifier], bands: str | None = None) -> tuple[str, ...]:
    """Let ``models`` see pictures of these bands, or of those they were trained on, and say which.

    ``ValueError`` for networks of RGB pictures alone, or two of different sensors.
    """
    if bands is None:
        (names, *others) = {model.config.bands for model in models}
        if others and (limited := [model.name for model in models if not model.any_channels]):
            raise ValueError(f"{limited[0]} takes R, G and B alone, so it cannot be compared on other bands")
        if others:
            shown = " and ".join(model.config.all_channels for model in models)
            raise ValueError(f"the checkpoints were trained on {shown}; say with --bands what the files hold")
        return names
    names = parse_bands(bands)
    for model in models:
        if not model.any_channels:
            raise ValueError(f"{model.name} takes R, G and B alone, not the bands {bands}")
        model.config = model.config.for_bands(names)
    return names


def scale_for(models: list[ImageClassifier], bands: tuple[str, ...], scale: float | None = None) -> float | None:
    """What the values of a sensor's files are divided by: ``scale``, or what ``models`` were trained with.

    ``ValueError`` for RGB pictures, and for networks that were trained with different ones.
    """
    if scale is not None and not bands:
        raise ValueError(f"scale {scale:g} is for a sensor's files; name their --bands, too")
    check_scale(scale)
    known = {model.config.scale for model in models}
    if scale is None and len(known) > 1:
        shown = " and ".join(str(model.config.scale) for model in models)
        raise ValueError(f"the checkpoints were trained with scale {shown}; say with --scale what to divide by")
    return known.pop() if scale is None else scale


def run(options: argparse.Namespace) -> dict:
    """Evaluate as the command line says and return what ``--json`` writes."""
    folders = [locate(source) for source in options.checkpoint]
    chosen = list(zip(folders, options.image_size, options.crop_pct, strict=True))
    models = [set_size(load_model(folder), *size_and_crop) for folder, *size_and_crop in chosen]
    bands = set_bands(models, options.bands)
    subsets = parse_subsets(options.channels or (ALL_BANDS if bands else CHANNELS), bands)
    scale = scale_for(models, bands, options.scale)
    pictures = {"bands": bands, "scale": scale, "skip_unreadable": options.skip_unreadable}
    split = load_split(options.data_root, options.split, **pictures)
    about, results = {"split": options.split, "data": options.data_root.resolve().name}, []
    for model, source, folder in zip(models, options.checkpoint, folders, strict=True):
        evaluation, found = evaluate(model, split, subsets, fill=options.fill, bf16=options.bf16)
        whose = {"checkpoint": named(source), "weights_sha256": checksum(folder)}
        results.append((whose | about | evaluation, found))
    for evaluation, _ in results:
        print_evaluation(evaluation)
    if options.per_class:
        write_text(options.per_class, as_csv(results, split.class_names))
    if len(results) == 1:
        return results[0][0]
    (first, a), (second, b) = results
    paired = [compare(c, a["logits"][c], b["logits"][c], a["labels"]) for c in subsets]
    print_paired(*(f"{side['checkpoint']} at {input_text(side)}" for side in (first, second)), paired)
    return {"kind": "comparison", "first": first, "second": second, "paired": [asdict(row) for row in paired]}


@one_line_errors()
def main() -> None:
    options = parse()
    keep_large_blocks()
    result = run(options)
    if options.json:
        write_json(options.json, result)


if __name__ == "__main__":
    main()
