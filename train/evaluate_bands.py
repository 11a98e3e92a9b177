"""Channels that a three-channel network never met: more of them, other wavelengths, another order, a dead one.

    python -m train.evaluate_bands --checkpoint adaptive_vgg19 --others vgg19 dynamic_vgg19 \\
        --data-root data/mini-imagenet-50 --json results/bands.json

The adaptive network is measured on 1 to 6 pseudo-bands (mixtures of R, G and B, new ones for every picture,
with their mixed wavelengths, then without them), on R, G and B without names, and in all six orders; and,
beside the others, on RGB pictures of which one channel is dead without anybody saying so: zero but for noise of
one grey level. Accuracy with 95 % Wilson intervals; p is McNemar's exact test against the adaptive network.
"""

import argparse
import itertools
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from models import CHANNELS, ImageClassifier, ModelConfig, load_model
from models.channels import channel_indices
from models.checkpoint import checksum, write_json
from models.hub import locate
from models.memory import keep_large_blocks
from models.pictures import normalize
from train.commands import command_line, one_line_errors
from train.data import SPLITS, Split, load_split
from train.evaluate import compare, measure, predict_views, result_file
from train.findings import is_bundled
from train.pseudo_bands import MOST_BANDS, pseudo_bands, real_bands
from train.views import View, band_view, named_view

SEED = 0


def pseudo_view(count: int, *, known: bool) -> View:
    """``count`` pseudo-bands, other ones for every picture but the same in every run."""
    generator = torch.Generator().manual_seed(SEED + count)

    def view(images: Tensor) -> tuple[Tensor, dict]:
        bands = pseudo_bands(len(images), count, generator=generator)
        return band_view(bands if known else bands.blind())(images)

    return view


def pseudo_name(count: int, known: bool) -> str:
    return f"{count} pseudo-band{'s' if count > 1 else ''}{'' if known else ', unknown'}"


def dead_view(channel: str, config: ModelConfig) -> View:
    """RGB with one channel at 0 or 1 of 255 everywhere, the network being told of three."""
    index = channel_indices(channel)
    generator = torch.Generator().manual_seed(SEED)

    def view(images: Tensor) -> tuple[Tensor, dict]:
        noise = torch.randint(2, images.shape, generator=generator, dtype=torch.uint8)
        images = images.clone()
        images[:, index] = normalize(noise, config.mean, config.std)[:, index].to(images.device)
        return images, {"channels": CHANNELS}

    return view


PSEUDO_BANDS = {  # by name: how many there are, and whether their wavelengths are told
    pseudo_name(count, known): (count, known) for known in (True, False) for count in range(1, MOST_BANDS + 1)
}


def adaptive_views() -> dict[str, View]:
    orders = ("".join(order) for order in itertools.permutations(CHANNELS))
    return (
        {order: named_view(order) for order in orders}
        | {name: pseudo_view(count, known=known) for name, (count, known) in PSEUDO_BANDS.items()}
        | {"RGB, unknown": band_view(real_bands(CHANNELS).blind())}
    )


def dead_views(config: ModelConfig) -> dict[str, View]:
    return {f"{channel} dead": dead_view(channel, config) for channel in CHANNELS}


def evaluate_bands(adaptive: ImageClassifier, others: dict[str, ImageClassifier], split: Split, about: dict) -> dict:
    """What ``--json`` writes. Raises ``DataError``."""
    bf16 = about["bf16"]
    logits, labels = predict_views(adaptive, split, adaptive_views() | dead_views(adaptive.config), bf16=bf16)
    rgb = logits[CHANNELS]
    orders = [values for name, values in logits.items() if sorted(name) == sorted(CHANNELS)]
    rows = {}
    for name, model in others.items():
        theirs, _ = predict_views(model, split, dead_views(model.config), bf16=bf16)
        rows[name] = [
            asdict(measure(case, values, labels, model.config)) | asdict(compare(case, values, logits[case], labels))
            for case, values in theirs.items()
        ]
    counts = {name: count for name, (count, _) in PSEUDO_BANDS.items()}  # the other cases have all three channels
    return about | {
        "kind": "bands",
        "n": len(labels),
        "input_size": adaptive.config.input_size,
        "crop_pct": adaptive.config.crop_pct,
        "adaptive": [
            asdict(measure(case, values, labels, adaptive.config, counts.get(case))) for case, values in logits.items()
        ],
        "others": rows,
        "largest_difference_between_orders": max((values - rgb).abs().max().item() for values in orders),
    }


def parse() -> argparse.Namespace:
    parser = command_line("evaluate_bands", __doc__)
    parser.add_argument("--checkpoint", default="adaptive_vgg19", help="name, folder or user/repo")
    parser.add_argument("--others", nargs="*", default=[], help="checkpoints of three-channel networks")
    parser.add_argument("--data-root", type=Path, required=True, help="folder with the pictures")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast, several times faster on recent CPUs")
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out pictures that cannot be read")
    parser.add_argument("--json", type=result_file, help="write the results to this file")
    options = parser.parse_args()
    names = [Path(source).name for source in (options.checkpoint, *options.others)]
    if len({*names}) < len(names):
        parser.error(f"the networks are told apart by their names, got {', '.join(names)}; rename a folder")
    return options


@one_line_errors()
def main() -> None:
    options = parse()
    keep_large_blocks()
    adaptive = load_model(options.checkpoint)
    if not adaptive.any_channels:
        raise ValueError(f"{options.checkpoint} is {adaptive.name}, which takes three channels; give adaptive_vgg19")
    if adaptive.config.bands:
        raise ValueError(
            f"{options.checkpoint} is for {', '.join(adaptive.config.bands)}, but pseudo-bands are mixtures of R, G "
            "and B; see train.evaluate --channels all"
        )
    others = {Path(source).name: load_model(source) for source in options.others}
    split = load_split(options.data_root, options.split, skip_unreadable=options.skip_unreadable)
    about = {"checkpoint": Path(options.checkpoint).name, "split": options.split, "bf16": options.bf16}
    bundled = [source for source in (options.checkpoint, *options.others) if is_bundled(source)]
    about["weights_sha256"] = {Path(source).name: checksum(locate(source)) for source in bundled}
    result = evaluate_bands(adaptive, others, split, about | {"data": options.data_root.resolve().name})
    if options.json:
        write_json(options.json, result)
    for name, rows in {result["checkpoint"]: result["adaptive"], **result["others"]}.items():
        for row in rows:
            print(f"{name:<20}{row['channels']:<26}{row['accuracy']:.4f}  {row['ci_low']:.4f}–{row['ci_high']:.4f}")
    print(f"largest difference of logits between orders: {result['largest_difference_between_orders']:.2g}")


if __name__ == "__main__":
    main()
