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

from models import MODELS, SUBSETS
from models.costs import cost_of, cost_tables
from models.model_card import percent, table
from train import RESULTS, ROOT

DOCUMENTS = (ROOT / "README.md", RESULTS / "README.md")
PAIRS = (("vgg19", "dynamic_vgg19"), ("compact", "resnet34"))
COLORS = {"vgg19": "#8a8f98", "dynamic_vgg19": "#2f7ed8", "compact": "#d9822b", "resnet34": "#3a9a6b"}

Table = dict  # {"id", "title", "caption", "columns", "rows"}


def read_results(folder: Path = RESULTS) -> list[dict]:
    """Every result in ``results/*.json`` except the summary made here, in the order of their names."""
    paths = sorted(path for path in folder.glob("*.json") if path.name != "summary.json")
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def comparison(results: list[dict], pair: tuple[str, str], fill: str = "aligned") -> dict | None:
    """The comparison of two models on the test split with this fill, if it was made."""
    for result in results:
        if result["kind"] != "comparison" or result["first"]["split"] != "test":
            continue
        if (result["first"]["model"], result["second"]["model"]) == pair and result["first"]["fill"] == fill:
            return result
    return None


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
    for pair in PAIRS:
        compared = comparison(results, pair)
        for side in ("first", "second") if compared else ():
            evaluation = compared[side]
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
        ratio = rgb_row(compared["first"])["accuracy"] / rgb_row(compared["second"])["accuracy"]
        caption = (
            f"{data_line(compared['first'])}; in %, accuracy with 95 % Wilson interval. compact has "
            f"{percent(ratio)} % of ResNet34's accuracy, {percent(study_ratio(study))} % in the study (other data)."
        )
    columns = ["model", "accuracy", "precision", "recall", "F1", "study: accuracy"]
    title = "Task 2: compact against ResNet34"
    return {"id": "task2", "title": title, "caption": caption, "columns": columns, "rows": rows}


def study_ratio(study: dict) -> float:
    return study["task2"]["compact"]["RGB"][0] / study["task2"]["resnet34"]["RGB"][0]


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


def start() -> plt.Axes:
    """Empty axes of a size for the page; a white ground is readable on dark pages, too."""
    return plt.subplots(figsize=(8, 3.6), layout="constrained", facecolor="white")[1]


def finish(axes: plt.Axes, path: Path, alt: str, caption: str) -> dict:
    """Save the figure and return its entry in the summary."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    axes.figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(axes.figure)
    return {"path": path.relative_to(ROOT).as_posix(), "alt": alt, "caption": caption}


def make_tables(results: list[dict]) -> list[Table]:
    study = of_kind(results, "study")[0]
    subsets = [subset_table(results, study, fill) for fill in ("aligned", "appended")]
    return [accuracy_table(results), *subsets, task2_table(results, study), cost_table()]


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
    ]
    summary = {"tables": [made for made in tables if made["rows"]], "figures": [figure for figure in made if figure]}
    (RESULTS / "summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
