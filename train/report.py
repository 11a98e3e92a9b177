"""From results/*.json to the tables of the README, the figures and the app's summary.

    python -m train.report            # rewrites the tables of the documents, results/figures/, results/summary.json
    python -m train.report --check    # only says whether the tables are up to date

Nothing is measured here and no figure of a table is written by hand; those in the prose of ``results/*.md`` are. The
study's own figures stand beside ours and are marked as on other data; they are quoted in results/study.json.
"""

import re
import sys
from pathlib import Path

from models.checkpoint import write_json, write_text
from models.model_card import table
from train import RESULTS, ROOT, figures
from train.ablate import ABLATIONS
from train.ablation_tables import ablation_table, difference_table
from train.commands import command_line, one_line_errors
from train.findings import RGB_PAIR, RIVALS, SAMPLED_PAIR, of_kind, read_results
from train.tables import (
    Table,
    accuracy_table,
    adaptive_table,
    bands_table,
    calibration_table,
    cost_table,
    expert_table,
    memory_table,
    metrics_table,
    seen_table,
    speed_table,
    subset_table,
    task2_subset_table,
    task2_table,
)

SECTIONS = {  # of the app's Results page: tables by id, figures by file name
    "accuracy": ("accuracy", "calibration", "accuracy_by_cost", "training_curves"),
    "task1": (
        "accuracy_by_subset",
        "subsets-aligned",
        "task1-metrics",
        "subsets-appended",
        "sampled-aligned",
        "sampled-appended",
    ),
    "any_channels": ("adaptive", "adaptive-rgb", "bands", "expert", "seen", "adaptive-sampled"),
    "task2": ("task2", "task2-subsets", "task2-earlier"),
    "ablations": ("ablations", *[f"ablation-{ablation}" for ablation in ABLATIONS], "ablation-differences"),
    "cost": ("costs", "memory", "speed-all"),
}
DOCUMENTS = (ROOT / "README.md", RESULTS / "README.md", RESULTS / "DETAILS.md")


def make_tables(results: list[dict]) -> list[Table]:
    study = of_kind(results, "study")[0]
    fills = ("aligned", "appended")
    return [
        accuracy_table(results),
        *[subset_table(results, study, pair, fill) for pair in (RGB_PAIR, SAMPLED_PAIR) for fill in fills],
        metrics_table(results, study),
        *[adaptive_table(results, kind) for kind in RIVALS],
        expert_table(results),
        seen_table(results),
        calibration_table(results),
        bands_table(results),
        task2_table(results, study),
        *[task2_subset_table(results, earlier=earlier) for earlier in (False, True)],
        *[ablation_table(results, study, ablation) for ablation in ABLATIONS],
        difference_table(results),
        speed_table(results, brief=True),
        speed_table(results),
        memory_table(results),
        cost_table(),
    ]


def make_figures(results: list[dict]) -> list[dict]:
    """Draw what has been measured into ``results/figures/``; what the app says of each."""
    folder = RESULTS / "figures"
    made = [
        figures.subset_figure(results, folder / "accuracy_by_subset.png"),
        figures.curves_figure(results, folder / "training_curves.png"),
        figures.cost_figure(results, folder / "accuracy_by_cost.png"),
        figures.ablations_figure(results, folder / "ablations.png"),
    ]
    return [figure for figure in made if figure]


def make_summary(tables: list[Table], drawn: list[dict]) -> dict:
    """What the app shows, section by section: every table that has rows, and the figures."""
    items = {made["id"]: made for made in tables if made["rows"]}
    items |= {Path(figure["path"]).stem: figure for figure in drawn}
    sections = [
        {"id": section, "items": [items[name] for name in names if name in items]}
        for section, names in SECTIONS.items()
    ]
    return {"sections": [section for section in sections if section["items"]]}


def markdown(made: Table) -> str:
    """A table as GitHub Markdown, numbers to the right, its caption below it."""
    rows = [list(map(str, row)) for row in made["rows"]]
    return f"{table(made['columns'], rows, rule='---:')}\n\n*{made['caption']}*"


def fill_markers(text: str, tables: list[Table]) -> str:
    """Replace what stands between ``<!-- table:ID -->`` and ``<!-- end -->`` for every table used.

    Raises ``ValueError`` for an ID that no table has.
    """
    if unknown := {*re.findall("<!-- table:(.*?) -->", text)} - {made["id"] for made in tables}:
        raise ValueError(
            f"there is no table {', '.join(sorted(unknown))}; known are {', '.join(m['id'] for m in tables)}"
        )
    for made in tables:
        begin, end = f"<!-- table:{made['id']} -->", "<!-- end -->"
        if begin in text:
            head, rest = text.split(begin, 1)
            if end not in rest:
                raise ValueError(f"{begin} has no {end} after it")
            _, tail = rest.split(end, 1)
            text = f"{head}{begin}\n{markdown(made)}\n{end}{tail}"
    return text


@one_line_errors()
def main() -> None:
    parser = command_line("report", __doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a table has drifted")
    options = parser.parse_args()
    results = read_results()
    tables = make_tables(results)
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        filled = fill_markers(text, tables)
        if not options.check:
            write_text(path, filled)
        elif filled != text:
            sys.exit(f"{path.relative_to(ROOT)} differs from results/*.json; run python -m train.report")
    if options.check:
        return
    summary = make_summary(tables, make_figures(results))
    write_json(RESULTS / "summary.json", summary)


if __name__ == "__main__":
    main()
