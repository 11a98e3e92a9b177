"""Comparisons repeated over seeds: the study's of convolutions, kernels, temperature and blocks, and two of channels.

    python -m train.ablate convolutions --data-root data/mini-imagenet-50   # plain, dynamic, sharper, fixed at 34
    python -m train.ablate channels --data-root data/mini-imagenet-50       # those that fill, and the adaptive one
    python -m train.ablate kernels --data-root data/mini-imagenet-50        # K = 3, 4, 5, 6
    python -m train.ablate temperature --data-root data/mini-imagenet-50    # fixed 34, annealed 30 to 1
    python -m train.ablate blocks --data-root data/mini-imagenet-50         # none, rrdb, attention, both
    python -m train.ablate landsat --data-root data/landsat                 # a sensor's four bands (train/landsat.py)

Every variant and seed is one ``train.run`` under equal conditions, measured on validation after its
last epoch, never on test, and written to ``results/ablations/<ablation>-<variant>-seed<k>.json``.
A run whose file is there is not repeated; one that was interrupted goes on from its last epoch.
For the VGG19s it also holds the accuracy on every subset of the channels, for the adaptive one on 1 to 6 pseudo-bands.
For dynamic networks it says how even the routers' mix is on the validation pictures, the entropy of the attention
weights over ln K (1 for uniform and 0 for a single kernel), and what accuracy is left when every kernel gets the same
weight.

The defaults suit two CPU cores: 32 px, three seeds. ``convolutions`` and ``channels`` train eight epochs from scratch,
on networks a quarter as wide; ``--width 1 --image-size 64 --epochs 40`` would compare whole ones. ``kernels`` and
``temperature`` train one epoch, each kernel starting as a plain VGG19's (``--init-from``, the bundled one by default);
the temperature falls in the first half of the run, and the annealed runs of ``temperature`` are those of K = 4, taken
from there.
``blocks`` trains three epochs from scratch, ``landsat`` sixteen, its pictures being few and small, and ``sample-long``
thirty-two, whatever ``--epochs`` says.
An epoch of the whole dynamic network takes 10 to 20 minutes on two cores, one of the quarter two to five on one, and
``--images-per-class`` shortens it; ``--bf16`` halves it on processors that have bfloat16. ``blocks`` takes an hour on
one core with it. On 2,000 pictures a 95 % interval is about 2 points either way: smaller differences between variants
mean little. A run needs up to 2 GB of disk, freed when it is measured.
"""

import argparse
import itertools
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from scipy.stats import t as student
from torch import Tensor

from models import CHANNELS, SUBSETS, ImageClassifier
from models.adaptive_conv import LEAST_SPREAD
from models.bands import parse_bands, spell
from models.checkpoint import BUNDLED, GOLDEN, WEIGHTS, checksum, write_json
from models.compact import BLOCKS
from models.hub import locate
from models.pictures import normalize
from models.vgg import VGG19, AdaptiveVGG19, DynamicVGG19
from train import RESULTS
from train.bundle import minutes_of, read_run
from train.calibrate import accuracy_of_even_mix
from train.commands import command_line, one_line_errors, processes
from train.config import PLACES, TrainConfig
from train.data import Pictures, Split, load_split, make_loader
from train.engine import NonFiniteLossError
from train.evaluate import channels_of, parse_subsets, predict_views
from train.evaluate_bands import pseudo_name, pseudo_view
from train.findings import read_json
from train.landsat import BANDS as LANDSAT
from train.pseudo_bands import MOST_BANDS
from train.run import STATE, defaults_of, train
from train.views import View, named_view

FOLDER = RESULTS / "ablations"
MANY_BANDS = range(len(CHANNELS) + 1, MOST_BANDS + 1)  # more than a picture has channels


@dataclass(frozen=True)
class Ablation:
    """One question: what each variant sets, and what all of them share by default."""

    title: str
    variants: dict[str, dict]
    shared: dict
    rivals: dict[str, str] = field(default_factory=dict)  # variants to be compared that their names do not tell

    @property
    def bands(self) -> str | None:
        """Those of the sensor whose pictures it needs; None for RGB."""
        return self.shared.get("bands")


def experts_of(bands: str) -> dict[str, str]:
    """All bands of a sensor, all but each, and each alone, as ``--channels``: ``no NIR`` of B, R, NIR is ``BR``."""
    names = parse_bands(bands)
    return {subset: channels_of(subset, names) for subset in parse_subsets("all", names)}


def subsets_of(bands: str) -> list[str]:
    """Every subset of a sensor's bands, the largest first, each in one word."""
    names = parse_bands(bands)
    return [spell(some) for count in range(len(names), 0, -1) for some in itertools.combinations(names, count)]


FIXED = {"temperature_start": 34.0, "temperature_end": 34.0}  # the study's
ANNEALED = {"temperature_start": 30.0, "temperature_end": 1.0}  # the authors'
SHARP = {"temperature_start": 30.0, "temperature_end": 0.1}  # lest the mix stay even

# as the recipes vgg19-base, dynamic_vgg19-32 and compact-48, but for what is said here
THIN = {"width": 0.25, "epochs": 8, "batch_size": 128, "lr": 0.1}
WARM = {"model": "dynamic_vgg19", "epochs": 1, "batch_size": 128, "lr": 0.02, "init_from": BUNDLED / "vgg19"}
SENSOR = {"model": "adaptive_vgg19", "bands": LANDSAT, "width": 0.25, "epochs": 16, "batch_size": 64, "lr": 0.05}
SENSOR |= {"least_spread": LEAST_SPREAD}  # which was the default for bands, too, when it was measured
COLD = {"model": "compact", "epochs": 3, "batch_size": 64, "lr": 0.1, "crop_scale": 0.6, "weight_decay": 1e-4}

ABLATIONS = {
    "convolutions": Ablation(
        "plain convolution, dynamic with its temperature annealed 30 → 1, 30 → 0.1 (sharp) and fixed at 34 (the study)",
        {
            "vgg19": {"model": "vgg19"},
            "dynamic_vgg19": {"model": "dynamic_vgg19"} | ANNEALED,
            "dynamic_vgg19-sharp": {"model": "dynamic_vgg19"} | SHARP,
            "dynamic_vgg19-fixed": {"model": "dynamic_vgg19"} | FIXED,
        },
        THIN,
    ),
    "channels": Ablation(
        "random channels in training: missing ones filled, with mixtures of colours too (mixed), or none needed, with "
        "and without pseudo-bands and normalisation that follows the channels",
        {
            "vgg19": {"model": "vgg19"},
            "vgg19-mixed": {"model": "vgg19", "colour_mixing": 1 / 3},
            "dynamic_vgg19": {"model": "dynamic_vgg19"} | ANNEALED,
            "adaptive_vgg19": {"model": "adaptive_vgg19"},
            "adaptive_vgg19-real": {"model": "adaptive_vgg19", "pseudo_share": 0.0},
            "adaptive_vgg19-plain_norm": {"model": "adaptive_vgg19", "plain_norm": True},
            "adaptive_vgg19-real-plain_norm": {"model": "adaptive_vgg19", "pseudo_share": 0.0, "plain_norm": True},
            "adaptive_vgg19-own_kernels": {"model": "adaptive_vgg19", "own_kernels": True},
        },
        THIN | {"channels": "sample"},
        rivals={"adaptive_vgg19": "vgg19-mixed"},
    ),
    "kernels": Ablation(
        "number of kernels K", {str(kernels): {"num_kernels": kernels} for kernels in (3, 4, 5, 6)}, WARM
    ),
    "temperature": Ablation(
        "softmax temperature, fixed at 34 (the study) or annealed 30 → 1", {"fixed": FIXED, "annealed": ANNEALED}, WARM
    ),
    "blocks": Ablation("blocks between the convolutions", {name: {"blocks": name} for name in BLOCKS}, COLD),
    "landsat": Ablation(
        "random bands of a real sensor, with shared and with own kernels, beside experts",
        {
            "sample": {"channels": "sample"},
            "sample-own_kernels": {"channels": "sample", "own_kernels": True},
            "sample-long": {"channels": "sample", "epochs": 32},
            **{channels: {"channels": channels} for channels in experts_of(LANDSAT).values()},
        },
        SENSOR | {"crop_scale": 1.0},  # the middle pixel decides
    ),
}


@dataclass(frozen=True)
class Run:
    """One variant with one seed; ``start`` is the checksum of the weights it starts from, None from scratch."""

    ablation: str
    variant: str
    config: TrainConfig
    start: str | None

    @property
    def name(self) -> str:
        return self.config.run_dir.name

    @property
    def settings(self) -> dict:
        """Everything that decides the outcome but the data, as it is written to the record."""
        settings = {key: value for key, value in self.config.to_dict().items() if key not in PLACES}
        source = self.config.init_from
        return settings | {"init_from": source.resolve().name if source else None, "init_sha256": self.start}

    def differences(self, record: dict) -> set[str]:
        """The settings in which ``record`` was made otherwise."""
        settings = defaults_of(self.config) | record["settings"]  # one younger than the record had its default
        differing = {key for key, value in self.settings.items() if settings.get(key) != value}
        return differing | ({"data"} if record["data"] != self.config.data_root.resolve().name else set())


def plan(ablation: str, *, seeds: Iterable[int], runs_dir: Path, **options) -> list[Run]:
    """All runs, seed by seed, so that a campaign cut short has compared all variants.

    ``options`` are ``TrainConfig`` fields that replace the defaults of all variants. Raises ``ValueError``
    or ``CheckpointError``.
    """
    made = ABLATIONS[ablation]
    if options.get("init_from") and "init_from" not in made.shared:
        raise ValueError(f"{ablation} compares different networks, which share no start; no --init-from")
    shared = {"image_size": "32"} | made.shared | options
    if options.get("width", 1) != 1 and shared.get("init_from") == BUNDLED / "vgg19":
        raise ValueError(
            f"{ablation} starts from the bundled vgg19, whose width is 1, got width {options['width']:g}; add "
            "--from-scratch, or --init-from a plain vgg19 of that width"
        )
    start = checksum(locate(shared["init_from"].as_posix())) if shared.get("init_from") else None
    runs = []
    for seed in dict.fromkeys(seeds):
        for variant, changes in made.variants.items():
            folder = runs_dir / f"{ablation}-{variant}-seed{seed}"
            config = TrainConfig(run_dir=folder, seed=seed, resume=True, **shared | changes)
            config = replace(config, temperature_epochs=len(config.sizes) / 2)
            runs.append(Run(ablation, variant, config, start))
    return runs


def ablate(runs: list[Run], folder: Path, *, keep_weights: bool = False) -> list[dict]:
    """Train what ``folder`` has no record of and return the records of all ``runs``.

    Raises ``ValueError`` before any training when a record was made under other conditions, and
    what ``train`` raises.
    """
    known = read_records(folder)
    for run in runs:
        check_conditions(run, known)
    folder.mkdir(parents=True, exist_ok=True)
    for run in runs:
        path = folder / f"{run.name}.json"
        if path.is_file():
            continue
        record = same_run(run, read_records(folder)) or train_and_record(run)
        write_json(path, record)
        if not keep_weights:
            for name in (STATE, WEIGHTS, GOLDEN):
                (run.config.run_dir / name).unlink(missing_ok=True)
    names = {run.name for run in runs}
    return [record for record in read_records(folder) if name_of(record) in names]


def read_records(folder: Path = FOLDER) -> list[dict]:
    """The records of a folder; other files there are none of its business."""
    found = [read_json(path) for path in sorted(folder.glob("*.json"))]
    return [record for record in found if isinstance(record, dict) and record.get("kind") == "ablation"]


def name_of(record: dict) -> str:
    return f"{record['ablation']}-{record['variant']}-seed{record['seed']}"


def check_conditions(run: Run, records: list[dict]) -> None:
    """``ValueError`` if a record of the same ablation differs in more than its seed and what variants set."""
    varied = {"seed"}.union(*ABLATIONS[run.ablation].variants.values())
    varied |= {"temperature_epochs"} if "epochs" in varied else set()  # which follow from those
    for record in records:
        if record["ablation"] != run.ablation:
            continue
        if differing := run.differences(record) - ({"seed"} if record["variant"] == run.variant else varied):
            raise ValueError(
                f"{name_of(record)} was measured with other settings ({', '.join(sorted(differing))}), which does not "
                "compare; use its settings, or another folder with --results and --runs-dir"
            )


def same_run(run: Run, records: list[dict]) -> dict | None:
    """The record of a run of another ablation that equals this one in every setting: K = 4, annealed."""
    for record in records:
        if not run.differences(record):
            return record | {"ablation": run.ablation, "variant": run.variant, "same_run_as": name_of(record)}
    return None


def train_and_record(run: Run) -> dict:
    """Train and return the record. Raises what ``train`` raises."""
    print(f"{run.name}:", flush=True)
    model = train(run.config)
    about, rows = read_run(run.config.run_dir)
    options = {"bands": run.config.band_names, "scale": run.config.scale}
    options |= {"skip_unreadable": run.config.skip_unreadable}
    val = load_split(run.config.data_root, "val", **options)
    record = {
        "kind": "ablation",
        "ablation": run.ablation,
        "variant": run.variant,
        "model": model.name,
        "seed": run.config.seed,
        "settings": run.settings,
        "epochs": len(rows),
        "data": run.config.data_root.resolve().name,
        "images": about["train_images"],
        "val_accuracy": rows[-1]["val_accuracy"],
        "val_images": len(val),
        "minutes": minutes_of(rows),
        **{key: about[key] for key in ("device", "threads", "versions", "git_commit")},
    }
    if isinstance(model, VGG19):
        bands = run.config.bands
        subsets = subsets_of(bands) if bands else SUBSETS
        views = {subset: named_view(subset, run.config.band_names) for subset in subsets}
        record["val_accuracy_by_channels"] = accuracies(model, val, views, run.config.bf16)
    if isinstance(model, AdaptiveVGG19) and not run.config.bands:
        views = {pseudo_name(count, True): pseudo_view(count, known=True) for count in range(1, MOST_BANDS + 1)}
        record["val_accuracy_by_pseudo_bands"] = accuracies(model, val, views, run.config.bf16)
    if isinstance(model, DynamicVGG19):
        layers = attention_entropy(model, val, rows[-1]["size"])
        record["attention_entropy"] = {"layers": layers.tolist(), "mean": layers.mean().item()}
        record["val_accuracy_even"] = accuracy_of_even_mix(model, val, bf16=run.config.bf16)
    return record


def accuracies(model: ImageClassifier, split: Split, views: dict[str, View], bf16: bool) -> dict[str, float]:
    """Share of right answers, 0..1, on each view."""
    logits, labels = predict_views(model, split, views, bf16=bf16)
    return {name: (values.argmax(1) == labels).double().mean().item() for name, values in logits.items()}


@torch.inference_mode()
def attention_entropy(model: ImageClassifier, split: Split, size: int, batch_size: int = 64) -> Tensor:
    """Normalised entropy of each layer's attention weights, mean over the pictures of ``split``: (layers,)."""
    device, total = next(model.parameters()).device, 0.0
    model.eval()
    for pixels, _ in make_loader(Pictures(split, size=size), batch_size=batch_size, workers=0):
        images = normalize(pixels.to(device), model.config.mean, model.config.std)  # (B, 3, S, S)
        total += normalized_entropy(model.kernel_attention(images)).sum(0)  # (layers,)
    return (total / len(split)).cpu()


def normalized_entropy(weights: Tensor) -> Tensor:
    """-Σ π ln π / ln K over the last axis, for K of at least 2: 1 for uniform weights, 0 for a single kernel."""
    return torch.special.entr(weights.cpu().double()).sum(-1) / math.log(weights.shape[-1])


@dataclass(frozen=True)
class Variant:
    """One variant's records, one for each seed, in the order of seeds."""

    name: str
    records: list[dict]

    @property
    def model(self) -> str:
        return self.records[0]["model"]

    @property
    def accuracies(self) -> list[float]:
        """On all channels, in 0..1, one for each seed."""
        return [record["val_accuracy"] for record in self.records]

    @property
    def even(self) -> list[float]:
        """The same with even weights for all kernels; empty without routers."""
        return self.of_all("val_accuracy_even")

    @property
    def entropy(self) -> float | None:
        """Mean over the seeds; None without routers."""
        found = self.of_all("attention_entropy")
        return statistics.mean(entropy["mean"] for entropy in found) if found else None

    def accuracies_with(self, number: int) -> list[float]:
        """Mean over the subsets of so many channels, one for each seed; empty for other networks than VGG19s."""
        return self.accuracies_on([subset for subset in SUBSETS if len(subset) == number])

    def accuracies_on(self, subsets: list[str]) -> list[float]:
        """Mean over these subsets, one for each seed."""
        found = self.of_all("val_accuracy_by_channels")
        return [statistics.mean(by_channels[subset] for subset in subsets) for by_channels in found]

    @property
    def accuracies_with_many(self) -> list[float]:
        """Mean over ``MANY_BANDS`` numbers of pseudo-bands, one for each seed; empty for other networks."""
        found = self.of_all("val_accuracy_by_pseudo_bands")
        return [statistics.mean(by_bands[pseudo_name(count, True)] for count in MANY_BANDS) for by_bands in found]

    @property
    def seeds(self) -> list[int]:
        return [record["seed"] for record in self.records]

    def beside(self, other: "Variant") -> "Variant":
        """Only the seeds that ``other`` has, too."""
        return Variant(self.name, [record for record in self.records if record["seed"] in other.seeds])

    def of_all(self, key: str) -> list:
        """What each record says; nothing where one is from before it was measured, for seeds must not mix."""
        found = [record[key] for record in self.records if key in record]
        return found if len(found) == len(self.records) else []


def spread(accuracies: list[float]) -> str:
    """``41.2 ± 0.4``: mean and sample standard deviation over seeds, in %; one seed has no deviation."""
    if not accuracies:
        return "–"
    values = [100 * value for value in accuracies]
    return f"{statistics.mean(values):.1f}" + (f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else "")


def difference(accuracies: list[float], others: list[float]) -> str:
    """``0.3 (-3.0 to 3.6)``: the first minus the second in points, mean over the seeds, which both have in the same
    order, with its 95 % interval (Student's t); ``–`` for fewer than two seeds."""
    if not len(accuracies) == len(others) > 1:
        return "–"
    values = [100 * (value - other) for value, other in zip(accuracies, others, strict=True)]
    mean, error = statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))
    reach = error * student.ppf(0.975, len(values) - 1)
    shown = (f"{round(value, 1) + 0.0:.1f}" for value in (mean, mean - reach, mean + reach))  # 0.0, never -0.0
    return "{} ({} to {})".format(*shown)


def entropy_text(entropy: float | None) -> str:
    return "–" if entropy is None else f"{entropy:.3f}"


def variants_of(records: list[dict], ablation: str) -> list[Variant]:
    """What was measured of an ablation, in the order of its variants."""
    variants = []
    for name in ABLATIONS[ablation].variants:
        mine = [record for record in records if (record["ablation"], record["variant"]) == (ablation, name)]
        if mine:
            variants.append(Variant(name, sorted(mine, key=lambda record: record["seed"])))
    return variants


def print_variants(records: list[dict], ablation: str) -> None:
    print(f"\n{ABLATIONS[ablation].title}; {records[0]['data']}, val, n = {records[0]['val_images']}")
    if ABLATIONS[ablation].bands:
        print("each measured on the bands it was trained on, sample on all of them")
    print(f"  {ablation:<20}{'seeds':>6}   {'accuracy, %':<14}{'attention entropy':>18}")
    for variant in variants_of(records, ablation):
        shown = spread(variant.accuracies)
        print(f"  {variant.name:<20}{len(variant.records):>6}   {shown:<14}{entropy_text(variant.entropy):>18}")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_line("ablate", __doc__)
    parser.add_argument("ablation", choices=ABLATIONS)
    parser.add_argument("--data-root", type=Path, required=True, help="folder with the pictures")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs/ablation"), help="run folders (%(default)s)")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the records (results/ablations)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one run of each variant per seed")
    parser.add_argument(
        "--epochs", type=int, help="by default 8 for convolutions and channels, 16 for landsat, 3 for blocks, else 1"
    )
    parser.add_argument("--image-size", help="pixels, or a schedule such as 32:4,48:1 (32)")
    parser.add_argument("--batch-size", type=int, help="by default 64 for blocks and landsat, else 128")
    parser.add_argument(
        "--lr", type=float, help="by default 0.02 for kernels and temperature, 0.05 for landsat, else 0.1"
    )
    parser.add_argument(
        "--width", type=float, help="of the VGG19s: by default 0.25 for convolutions, channels and landsat, else 1"
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--init-from", type=Path, help="plain vgg19 for dynamic networks (checkpoints/vgg19)")
    start.add_argument("--from-scratch", action="store_true", help="dynamic networks start from none")
    parser.add_argument("--images-per-class", type=int, help="train on the first so many pictures of each class")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast")
    parser.add_argument("--threads", type=int, help="CPU threads; PyTorch's choice by default")
    parser.add_argument("--workers", type=int, help="processes that load pictures")
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out pictures that cannot be read")
    parser.add_argument("--keep-weights", action="store_true", help="keep weights and state of finished runs")
    return parser.parse_args(arguments)


def options_of(options: argparse.Namespace) -> dict:
    """The ``TrainConfig`` fields that the command line sets."""
    fields = (
        "epochs", "images_per_class", "image_size", "batch_size", "lr", "width", "init_from", "threads", "workers",
    )  # fmt: skip
    given = {key: getattr(options, key) for key in fields if getattr(options, key) is not None}
    if options.from_scratch:
        given["init_from"] = None
    return given | {key: getattr(options, key) for key in ("data_root", "skip_unreadable", "bf16")}


@one_line_errors(NonFiniteLossError)
def main() -> None:
    options = parse()
    if processes() > 1:
        raise ValueError("ablations are trained and measured by one process; start without torchrun or accelerate")
    runs = plan(options.ablation, seeds=options.seeds, runs_dir=options.runs_dir, **options_of(options))
    records = ablate(runs, options.results, keep_weights=options.keep_weights)
    print_variants(records, options.ablation)


if __name__ == "__main__":
    main()
