"""From results/*.json to the tables of the README, the figures and the app's summary.

    python -m train.report            # rewrites the tables of both READMEs, results/figures/, results/summary.json
    python -m train.report --check    # only says whether they are up to date

Nothing is measured here and no measured figure is written anywhere by hand. The study's own
figures stand beside ours and are marked as on other data; they are quoted in results/study.json.
"""

import argparse
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator

from models import MODELS, SUBSETS
from models.costs import cost_of, cost_tables
from models.model_card import percent, table
from train import RESULTS, ROOT
from train.ablate import ABLATIONS, Variant, variants_of
from train.bootstrap import paired_counts, ratio_interval

DOCUMENTS = (ROOT / "README.md", RESULTS / "README.md")
PAIRS = (("vgg19", "dynamic_vgg19"), ("compact", "resnet34"))
COLORS = {"vgg19": "#8a8f98", "dynamic_vgg19": "#2f7ed8", "compact": "#d9822b", "resnet34": "#3a9a6b"}
STUDY_ABLATIONS = {"kernels": "ablation_num_kernels", "blocks": "ablation_blocks"}  # keys in results/study.json

Table = dict  # {"id", "title", "caption", "columns", "rows"}


def read_results(folder: Path = RESULTS) -> list[dict]:
    """Every result in ``results/`` and ``results/ablations/`` except the summary made here, by name."""
    paths = sorted(path for path in folder.glob("*.json") if path.name != "summary.json")
    paths += sorted((folder / "ablations").glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def comparison(results: list[dict], pair: tuple[str, str], fill: str = "aligned") -> dict | None:
    """The comparison of two models on the test split with this fill, if it was made."""
    for result in results:
        if result["kind"] != "comparison" or result["first"]["split"] != "test":
            continue
        if (result["first"]["model"], result["second"]["model"]) == pair and result["first"]["fill"] == fill:
            return result
    return None


def bundled_evaluations(results: list[dict]) -> list[dict]:
    """The test evaluation of every compared network."""
    compared = [found for pair in PAIRS if (found := comparison(results, pair))]
    return [found[side] for found in compared for side in ("first", "second")]


def of_kind(results: list[dict], kind: str) -> list[dict]:
    return [result for result in results if result["kind"] == kind]


def rgb_row(evaluation: dict) -> dict:
    return next(row for row in evaluation["rows"] if row["channels"] == "RGB")


def with_interval(row: dict) -> str:
    """``43.7 (41.5–45.9)``: accuracy and its 95 % Wilson interval, in %."""
    return f"{percent(row['accuracy'])} ({percent(row['ci_low'])}–{percent(row['ci_high'])})"


def data_line(evaluation: dict) -> str:
    return f"{evaluation['data']}, {evaluation['split']}, n = {evaluation['n']:,}"


def accuracy_table(results: list[dict]) -> Table:
    """Test accuracy on RGB of the bundled weights, with size, cost and training."""
    trainings = {record["checkpoint"]: record for record in of_kind(results, "training")}
    rows, caption = [], "not measured yet"
    for evaluation in bundled_evaluations(results):
        name, size = evaluation["model"], evaluation["input_size"]
        cost = cost_of(name, size)
        training = trainings.get(name)
        rows.append(
            [
                name,
                f"{size} px",
                with_interval(rgb_row(evaluation)),
                f"{cost.parameters / 1e6:.2f} M",
                f"{cost.macs / 1e6:,.0f} M",
                training_line(training, trainings) if training else "?",
            ]
        )
        caption = (
            f"Bundled 8-bit weights; {data_line(evaluation)}; accuracy in % with 95 % Wilson interval; "
            "one seed each; chance is 2 %. Multiply-accumulates per picture at that input size."
        )
    columns = ["model", "input", "accuracy", "parameters", "multiply-accumulates", "training"]
    return {"id": "accuracy", "title": "Test accuracy", "caption": caption, "columns": columns, "rows": rows}


def training_line(training: dict, trainings: dict[str, dict]) -> str:
    """``10 epochs``, or ``7 + 2 epochs, from vgg19-base`` for weights that started from others."""
    start = training["settings"].get("init_from")
    before = f"{trainings[start]['epochs']} + " if start in trainings else ""
    return f"{before}{training['epochs']} epochs" + (f", from {start}" if start else "")


def subset_table(results: list[dict], study: dict, fill: str) -> Table:
    """Task 1: both VGG19 on every channel subset, the paired test, and the study's figures."""
    compared = comparison(results, PAIRS[0], fill)
    rows, caption = [], "not measured yet"
    if compared:
        first, second = ({row["channels"]: row for row in compared[side]["rows"]} for side in ("first", "second"))
        paired = {row["channels"]: row for row in compared["paired"]}
        for channels in [channels for channels in SUBSETS if channels in first]:
            theirs = [study["task1"][name].get(channels) for name in PAIRS[0]]
            rows.append(
                [
                    channels,
                    with_interval(first[channels]),
                    with_interval(second[channels]),
                    f"{paired[channels]['p_value']:.2g}",
                    *[percent(values[0]) if values else "–" for values in theirs],
                ]
            )
        caption = (
            f"Trained on {compared['first']['trained_on']}, missing channels filled ({fill}); "
            f"{data_line(compared['first'])}; accuracy in % with 95 % Wilson interval; p is McNemar's exact test, "
            f"plain against dynamic, not corrected for {len(rows)} tests. "
            f"The study's columns are on other data: {study['data']}; it does not say which fill it used."
        )
    columns = ["input", *PAIRS[0], "p", *[f"study: {name}" for name in PAIRS[0]]]
    title = f"Task 1: channel subsets, fill {fill}"
    return {"id": f"subsets-{fill}", "title": title, "caption": caption, "columns": columns, "rows": rows}


def task2_table(results: list[dict], study: dict) -> Table:
    """Task 2: the compact network beside ResNet34."""
    compared = comparison(results, PAIRS[1])
    rows, caption = [], "not measured yet"
    if compared:
        for side in ("first", "second"):
            evaluation = compared[side]
            row = rgb_row(evaluation)
            theirs = study["task2"][evaluation["model"]]["RGB"]
            rows.append(
                [
                    evaluation["model"],
                    with_interval(row),
                    *[percent(row[key]) for key in ("precision", "recall", "f1")],
                    percent(theirs[0]),
                ]
            )
        caption = (
            f"{data_line(compared['first'])}; in %, accuracy with 95 % Wilson interval. compact has "
            f"{ratio_line(compared)}, {percent(study_ratio(study))} % in the study (other data)."
        )
    columns = ["model", "accuracy", "precision", "recall", "F1", "study: accuracy"]
    title = "Task 2: compact against ResNet34"
    return {"id": "task2", "title": title, "caption": caption, "columns": columns, "rows": rows}


def ratio_line(compared: dict) -> str:
    """``83.6 % of ResNet34's accuracy (…)``: the ratio with its paired bootstrap interval."""
    counts = paired_counts(compared)
    low, high = ratio_interval(counts)
    interval = f"95 % interval {percent(low)}–{percent(high)}, paired bootstrap over the test pictures"
    return f"{percent(counts.ratio)} % of ResNet34's accuracy ({interval})"


def study_ratio(study: dict) -> float:
    return study["task2"]["compact"]["RGB"][0] / study["task2"]["resnet34"]["RGB"][0]


def ablation_table(results: list[dict], study: dict, ablation: str) -> Table:
    """Validation accuracy of each variant over seeds, the evenness of its routers, and the study's figure."""
    variants = variants_of(of_kind(results, "ablation"), ablation)
    columns = {
        ablation: lambda variant: variant.name,
        "seeds": lambda variant: str(len(variant.accuracies)),
        "validation accuracy": str,
    }
    if any(variant.entropy is not None for variant in variants):
        columns["attention entropy"] = lambda variant: "–" if variant.entropy is None else f"{variant.entropy:.3f}"
    if theirs := study.get(STUDY_ABLATIONS.get(ablation), {}):
        columns["study"] = lambda variant: percent(theirs[variant.name]) if variant.name in theirs else "–"
    rows = [[value(variant) for value in columns.values()] for variant in variants]
    title = f"Ablation: {ABLATIONS[ablation].title}"
    caption = ablation_caption(results, study, ablation, list(columns)) if rows else "not measured yet"
    return {"id": f"ablation-{ablation}", "title": title, "caption": caption, "columns": list(columns), "rows": rows}


def ablation_caption(results: list[dict], study: dict, ablation: str, columns: list[str]) -> str:
    """Under which conditions the runs of an ablation, equal in all but variant and seed, were made."""
    records = [record for record in of_kind(results, "ablation") if record["ablation"] == ablation]
    about, settings = records[0], records[0]["settings"]
    seeds = sorted({record["seed"] for record in records})
    sentences = [
        f"{about['model']}, {ABLATIONS[ablation].title}; {about['data']}, val, n = {about['val_images']:,}; "
        f"{about['images']:,} training pictures, {epochs_line(about)}, {start_line(settings)}; accuracy after the last "
        f"epoch in %, mean ± sample standard deviation over seeds ({', '.join(map(str, seeds))})."
    ]
    if "attention entropy" in columns:
        sentences.append(
            "Attention entropy: of the kernel weights over ln K, mean over validation pictures, layers and seeds; "
            "1 is an even mix, 0 a single kernel."
        )
    if "study" in columns:
        sentences.append(f"The study's column is its validation accuracy on other data: {study['data']}.")
    return " ".join(sentences)


def epochs_line(record: dict) -> str:
    """``5 epochs at 32 px``, or with a schedule of sizes ``5 epochs (32:4,48:1 px)``."""
    epochs, size = record["epochs"], record["settings"]["image_size"]
    count = f"{epochs} epoch" + ("s" if epochs > 1 else "")
    return f"{count} ({size} px)" if ":" in size else f"{count} at {size} px"


def start_line(settings: dict) -> str:
    return f"each started from {settings['init_from']}" if settings["init_from"] else "from scratch"


def cost_table() -> Table:
    """Both cost tables of the study, counted from the modules."""
    tables = cost_tables()
    rows = [
        [name, f"{cost.parameters:,}", f"{cost.macs:,}"] for costs in tables.values() for name, cost in costs.items()
    ]
    caption = (
        "256 x 256 input, `python -m models.costs`; fvcore's train-mode convention except where the study's differs."
    )
    columns = ["model", "parameters", "multiply-accumulates"]
    return {"id": "costs", "title": "Cost", "caption": caption, "columns": columns, "rows": rows}


def markdown(made: Table) -> str:
    """A table as GitHub Markdown, numbers to the right, its caption below it."""
    rows = [list(map(str, row)) for row in made["rows"]]
    return f"{table(made['columns'], rows, rule='---:')}\n\n*{made['caption']}*"


def fill_markers(text: str, tables: list[Table]) -> str:
    """Replace what stands between ``<!-- table:ID -->`` and ``<!-- end -->`` for every table used."""
    for made in tables:
        begin, end = f"<!-- table:{made['id']} -->", "<!-- end -->"
        if begin in text:
            head, rest = text.split(begin, 1)
            _, tail = rest.split(end, 1)
            text = f"{head}{begin}\n{markdown(made)}\n{end}{tail}"
    return text


def subset_figure(results: list[dict], path: Path) -> dict | None:
    """Accuracy of both VGG19 by channel subset with error bars, readable on light and dark pages."""
    compared = comparison(results, PAIRS[0])
    if not compared:
        return None
    axes = start()
    for offset, side in ((-0.19, "first"), (0.19, "second")):
        rows = {row["channels"]: row for row in compared[side]["rows"]}
        values = [100 * rows[channels]["accuracy"] for channels in SUBSETS]
        errors = [
            [100 * (rows[c]["accuracy"] - rows[c]["ci_low"]) for c in SUBSETS],
            [100 * (rows[c]["ci_high"] - rows[c]["accuracy"]) for c in SUBSETS],
        ]
        name = compared[side]["model"]
        positions = [index + offset for index in range(len(SUBSETS))]
        axes.bar(positions, values, 0.36, yerr=errors, capsize=3, label=name, color=COLORS[name], ecolor="#444")
    axes.set_xticks(range(len(SUBSETS)), SUBSETS)
    axes.set(ylabel="test accuracy, %", xlabel="channels the network sees (the rest is filled)")
    alt = "Bar chart of test accuracy by channel subset for vgg19 and dynamic_vgg19, with 95 % intervals"
    return finish(axes, path, alt, f"Test accuracy by channel subset, 95 % intervals; {data_line(compared['first'])}.")


def curves_figure(results: list[dict], path: Path) -> dict | None:
    """Validation accuracy by epoch of every training record."""
    trainings = of_kind(results, "training")
    lengths = {record["checkpoint"]: record["epochs"] for record in trainings}
    if not trainings:
        return None
    axes = start()
    for record in sorted(trainings, key=lambda record: list(MODELS).index(record["model"])):
        rows, source = record["rows"], record["settings"].get("init_from")
        before = lengths.get(source, 0)  # a run that started from another goes on where that one ended
        epochs, values = [before + row["epoch"] for row in rows], [100 * row["val_accuracy"] for row in rows]
        label = record["checkpoint"] + (f" (from {source})" if source else "")
        axes.plot(epochs, values, marker="o", label=label, color=COLORS[record["model"]])
    axes.set(xlabel="epoch", ylabel="validation accuracy, %")
    axes.grid(alpha=0.3)
    alt = "Line chart of validation accuracy by epoch for the four networks"
    return finish(axes, path, alt, "Validation accuracy by epoch, at each epoch's own image size.")


def ablations_figure(results: list[dict], path: Path) -> dict | None:
    """Validation accuracy of every ablation run, one panel per ablation, with the mean of each variant."""
    records = of_kind(results, "ablation")
    measured = {name: variants for name in ABLATIONS if (variants := variants_of(records, name))}
    if not measured:
        return None
    panels = start_panels([len(variants) for variants in measured.values()])
    for axes, (name, variants) in zip(panels, measured.items(), strict=True):
        plot_variants(axes, variants, COLORS[ABLATIONS[name].model])
        axes.set(xlabel=f"{name}\n{ABLATIONS[name].model}")
        axes.tick_params(axis="x", labelsize=9)
    panels[0].set(ylabel="validation accuracy, %")
    alt = "Dot plots of validation accuracy by variant, one panel each for " + ", ".join(measured)
    caption = (
        "Ablations: validation accuracy after the last epoch; a dot is a seed, a bar the mean of a variant. "
        "Each panel has its own scale, network and training."
    )
    return finish(panels[0], path, alt, caption)


def plot_variants(axes: plt.Axes, variants: list[Variant], color: str) -> None:
    """A dot for each seed, side by side, and a bar for the mean."""
    for index, variant in enumerate(variants):
        values = [100 * value for value in variant.accuracies.values()]
        positions = [index + 0.12 * (number - (len(values) - 1) / 2) for number in range(len(values))]
        axes.scatter(positions, values, color=color, alpha=0.7, zorder=2)
        axes.hlines(100 * variant.mean, index - 0.3, index + 0.3, color="#222", zorder=3)
    axes.set_xticks(range(len(variants)), [variant.name for variant in variants])
    axes.set_xlim(-0.6, len(variants) - 0.4)
    axes.grid(axis="y", alpha=0.3)


def cost_figure(results: list[dict], path: Path) -> dict | None:
    """Test accuracy of the bundled networks against their multiply-accumulates."""
    evaluations = bundled_evaluations(results)
    if not evaluations:
        return None
    axes = start()
    for evaluation in evaluations:
        name, size, row = evaluation["model"], evaluation["input_size"], rgb_row(evaluation)
        macs, low, value, high = cost_of(name, size).macs, *(100 * row[k] for k in ("ci_low", "accuracy", "ci_high"))
        axes.errorbar(macs, value, yerr=[[value - low], [high - value]], fmt="o", capsize=3, color=COLORS[name])
        axes.annotate(f"{name}, {size} px", (macs, high), (0, 5), textcoords="offset points", ha="center")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 4, 5, 7)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda macs, _: f"{macs / 1e6:,.0f} M"))
    axes.xaxis.set_minor_formatter("")
    axes.margins(x=0.2, y=0.2)
    axes.set(xlabel="multiply-accumulates per picture (logarithmic)", ylabel="test accuracy, %")
    axes.grid(alpha=0.3)
    alt = "Test accuracy against multiply-accumulates of " + ", ".join(e["model"] for e in evaluations)
    caption = f"Test accuracy on RGB against cost, 95 % intervals; bundled weights, {data_line(evaluations[0])}."
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
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    axes.figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(axes.figure)
    return {"path": path.relative_to(ROOT).as_posix(), "alt": alt, "caption": caption}


def make_tables(results: list[dict]) -> list[Table]:
    study = of_kind(results, "study")[0]
    subsets = [subset_table(results, study, fill) for fill in ("aligned", "appended")]
    ablations = [ablation_table(results, study, ablation) for ablation in ABLATIONS]
    return [accuracy_table(results), *subsets, task2_table(results, study), *ablations, cost_table()]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m train.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a table has drifted")
    options = parser.parse_args()
    results = read_results()
    tables = make_tables(results)
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        filled = fill_markers(text, tables)
        if not options.check:
            path.write_text(filled, encoding="utf-8")
        elif filled != text:
            sys.exit(f"{path.relative_to(ROOT)} differs from results/*.json; run python -m train.report")
    if options.check:
        return
    figures = RESULTS / "figures"
    made = [
        subset_figure(results, figures / "accuracy_by_subset.png"),
        curves_figure(results, figures / "training_curves.png"),
        cost_figure(results, figures / "accuracy_by_cost.png"),
        ablations_figure(results, figures / "ablations.png"),
    ]
    summary = {"tables": [made for made in tables if made["rows"]], "figures": [figure for figure in made if figure]}
    (RESULTS / "summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
