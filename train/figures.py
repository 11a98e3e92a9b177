"""Figures made from results, readable on light and dark pages. Each returns its entry in the app's summary."""

import statistics
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator

from models import MODELS, SUBSETS
from train import ROOT
from train.ablate import ABLATIONS, Variant, variants_of
from train.findings import (
    ADAPTIVE,
    RGB_PAIR,
    SAMPLED_PAIR,
    bundled_evaluations,
    comparison,
    cost_of_bundled,
    data_line,
    input_text,
    of_kind,
    rgb_row,
    stages_of,
)

COLORS = {
    "vgg19": "#8a8f98",
    "dynamic_vgg19": "#2f7ed8",
    "adaptive_vgg19": "#8a5cc2",
    "compact": "#d9822b",
    "resnet34": "#3a9a6b",
}

MARKERS = {"vgg19": "s", "dynamic_vgg19": "o", "adaptive_vgg19": "^", "compact": "D", "resnet34": "v"}


def subset_figure(results: list[dict], path: Path) -> dict | None:
    """Accuracy by channel subset with error bars: VGG19 of each kind, trained on RGB and on random channels."""
    rgb, sampled = comparison(results, RGB_PAIR), comparison(results, SAMPLED_PAIR)
    adaptive = comparison(results, (SAMPLED_PAIR[0], ADAPTIVE))
    shown = [(found[side], found is rgb) for found in (rgb, sampled) if found for side in ("first", "second")]
    shown += [(adaptive["second"], False)] if adaptive else []
    if not shown:
        return None
    axes = start()
    width = 0.8 / len(shown)
    for number, (evaluation, only_rgb) in enumerate(shown):
        rows = {row["channels"]: row for row in evaluation["rows"]}
        values = [100 * rows[channels]["accuracy"] for channels in SUBSETS]
        errors = [
            [100 * (rows[c]["accuracy"] - rows[c]["ci_low"]) for c in SUBSETS],
            [100 * (rows[c]["ci_high"] - rows[c]["accuracy"]) for c in SUBSETS],
        ]
        name = evaluation["model"]
        positions = [index + width * (number - (len(shown) - 1) / 2) for index in range(len(SUBSETS))]
        axes.bar(
            positions, values, 0.9 * width, yerr=errors, capsize=2, color=COLORS[name], ecolor="#444",
            label=f"{name}, {'trained on RGB' if only_rgb else 'random channels'}, {input_text(evaluation)}",
            alpha=0.45 if only_rgb else 1.0, hatch="//" if only_rgb else None,
        )  # fmt: skip
    axes.set_xticks(range(len(SUBSETS)), SUBSETS)
    axes.set(ylabel="test accuracy, %", xlabel="channels the network sees")
    alt = "Bar chart of test accuracy by channel subset with 95 % intervals, for VGG19 trained in each way"
    caption = f"Test accuracy by channel subset, 95 % intervals; {data_line(shown[0][0])}."
    if rgb and sampled:
        caption += " Networks trained on RGB alone and on random channels differ in size and length of training, too."
    return finish(axes, path, alt, caption)


def curves_figure(results: list[dict], path: Path) -> dict | None:
    """Validation accuracy on RGB by epoch of every training that was validated there."""
    trainings = [record for record in of_kind(results, "training") if record["channels"] in ("RGB", "sample")]
    known = {record["checkpoint"]: record for record in trainings}
    if not trainings:
        return None
    axes, named = start(), set()
    for record in sorted(trainings, key=lambda record: list(MODELS).index(record["model"])):
        rows, model = record["rows"], record["model"]
        # a run that started from another goes on where that one ended
        before = sum(stage["epochs"] for stage in stages_of(record, known)[:-1])
        epochs, values = [before + row["epoch"] for row in rows], [100 * row["val_accuracy"] for row in rows]
        look = {"marker": "o" if record["channels"] == "sample" else ".", "color": COLORS[model]}
        look["linestyle"] = "--" if "crop_pct" in record["settings"] else "-"
        axes.plot(epochs, values, label=None if model in named else model, **look)
        named.add(model)
    axes.set(xlabel="epoch", ylabel="validation accuracy, %")
    axes.grid(alpha=0.3)
    alt = "Line chart of validation accuracy by epoch for every training run"
    caption = (
        "Validation accuracy on RGB by epoch, at each epoch's own size; a line is one stage of training, large points "
        "are stages with random channels; solid: of whole pictures, dashed: of their middle."
    )
    return finish(axes, path, alt, caption)


def ablations_figure(results: list[dict], path: Path) -> dict | None:
    """Validation accuracy of the ablations' runs on RGB pictures, one panel each, with the mean of each variant."""
    records = of_kind(results, "ablation")
    measured = {
        name: variants
        for name, made in ABLATIONS.items()
        if not made.bands and (variants := variants_of(records, name))
    }
    if not measured:
        return None
    panels = start_panels([len(variants) for variants in measured.values()])
    for axes, (name, variants) in zip(panels, measured.items(), strict=True):
        plot_variants(axes, variants)
        models = dict.fromkeys(variant.model for variant in variants)
        axes.set(xlabel="\n".join([name, *models]))
        axes.tick_params(axis="x", labelsize=9)
    panels[0].set(ylabel="validation accuracy, %")
    alt = "Dot plots of validation accuracy by variant, one panel each for " + ", ".join(measured)
    caption = (
        "Ablations: validation accuracy after the last epoch; a dot is a seed, a bar the mean of a variant. "
        "Each panel has its own range of 6 points or more, network and training; on 2,000 pictures a 95 % interval "
        "is about 2 points either way."
    )
    return finish(panels[0], path, alt, caption)


def plot_variants(axes: plt.Axes, variants: list[Variant]) -> None:
    """A dot for each seed, side by side, and a bar for the mean."""
    for index, variant in enumerate(variants):
        values, color = [100 * value for value in variant.accuracies], COLORS[variant.model]
        step = min(0.12, 0.6 / len(values))  # within the variant's own column, however many
        positions = [index + step * (number - (len(values) - 1) / 2) for number in range(len(values))]
        axes.scatter(positions, values, color=color, alpha=0.7, zorder=2)
        axes.hlines(statistics.mean(values), index - 0.3, index + 0.3, color="#222", zorder=3)
    names = [variant.name for variant in variants]
    slanted = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if max(map(len, names)) > 6 else {}
    axes.set_xticks(range(len(variants)), names, **slanted)
    axes.set_xlim(-0.6, len(variants) - 0.4)
    low, high = axes.get_ylim()
    room = max(0, 6 - (high - low)) / 2  # differences within the interval of 2,000 pictures shall look small
    axes.set_ylim(low - room, high + room)
    axes.grid(axis="y", alpha=0.3)


def cost_figure(results: list[dict], path: Path) -> dict | None:
    """Test accuracy of the bundled networks against their multiply-accumulates."""
    evaluations = bundled_evaluations(results)
    if not evaluations:
        return None
    axes = start()
    for evaluation in evaluations:
        name, size, row = evaluation["model"], evaluation["input_size"], rgb_row(evaluation)
        macs = cost_of_bundled(name, size).macs
        low, value, high = (100 * row[key] for key in ("ci_low", "accuracy", "ci_high"))
        error, label = [[value - low], [high - value]], f"{name}, {input_text(evaluation)}"
        style = {"fmt": MARKERS[name], "fillstyle": "none", "markersize": 9, "capsize": 3}  # of which some coincide
        axes.errorbar(macs, value, yerr=error, color=COLORS[name], label=label, **style)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda macs, _: f"{macs / 1e6:,.0f} M"))
    axes.xaxis.set_minor_formatter("")
    axes.margins(x=0.2, y=0.1)
    axes.set(xlabel="multiply-accumulates per picture (logarithmic)", ylabel="test accuracy, %")
    axes.grid(alpha=0.3)
    alt = "Test accuracy against multiply-accumulates of " + ", ".join(e["model"] for e in evaluations)
    caption = f"Test accuracy on RGB against cost, 95 % intervals; bundled weights, {data_line(*evaluations)}."
    return finish(axes, path, alt, caption)


def start() -> plt.Axes:
    """Empty axes of a size for the page; a white ground is readable on dark pages, too."""
    return start_panels([1])[0]


def start_panels(widths: list[int]) -> list[plt.Axes]:
    """Axes side by side in the same space, with these widths to each other."""
    options = {"figsize": (8, 3.6), "layout": "constrained", "facecolor": "white"}
    return list(plt.subplots(1, len(widths), width_ratios=widths, squeeze=False, **options)[1][0])


def finish(axes: plt.Axes, path: Path, alt: str, caption: str) -> dict:
    """Save the figure and return its entry in the summary."""
    for panel in axes.figure.axes:
        panel.spines[["top", "right"]].set_visible(False)
    if labels := axes.get_legend_handles_labels()[1]:
        place = {"loc": "outside right center"} if len(labels) > 6 else {"loc": "outside upper center", "ncols": 2}
        axes.figure.legend(frameon=False, fontsize=9, **place)
    path.parent.mkdir(parents=True, exist_ok=True)
    axes.figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(axes.figure)
    return {"path": path.relative_to(ROOT).as_posix(), "alt": alt, "caption": caption}
