"""Tables of the ablations: means over seeds, differences with their intervals, a sensor's bands.

Nothing is measured here.
"""

import itertools
from collections.abc import Callable, Iterable
from functools import partial

from models.model_card import percent
from train.ablate import (
    ABLATIONS,
    MANY_BANDS,
    Variant,
    difference,
    entropy_text,
    experts_of,
    spread,
    subsets_of,
    variants_of,
)
from train.findings import of_kind
from train.tables import NOT_YET, Table

STUDY_ABLATIONS = {"kernels": "ablation_num_kernels", "blocks": "ablation_blocks"}  # keys in results/study.json
MANY = f"{MANY_BANDS[0]} to {MANY_BANDS[-1]} pseudo-bands"
EVEN = "even weights"  # 1/K for every kernel
MEASURES: dict[str, Callable[[Variant], list[float]]] = {  # of an ablation's variant, one figure for each seed
    "validation accuracy": lambda variant: variant.accuracies,
    "two channels": lambda variant: variant.accuracies_with(2),
    "one channel": lambda variant: variant.accuracies_with(1),
    MANY: lambda variant: variant.accuracies_with_many,
}


def ablation_table(results: list[dict], study: dict, ablation: str) -> Table:
    """Validation accuracy of each variant over seeds, with fewer channels, the evenness of its routers and what it is
    worth, and the study's figure."""
    if ABLATIONS[ablation].bands:
        return sensor_table(results, ablation)
    variants = variants_of(of_kind(results, "ablation"), ablation)
    columns = {
        ablation: lambda variant: variant.name,
        "seeds": lambda variant: str(len(variant.records)),
        **{name: lambda variant, of=of: spread(of(variant)) for name, of in MEASURES.items()},
        "attention entropy": lambda variant: entropy_text(variant.entropy),
        EVEN: lambda variant: spread(variant.even),
    }
    columns = {name: of for name, of in columns.items() if any(of(variant) != "–" for variant in variants)}
    if theirs := study.get(STUDY_ABLATIONS.get(ablation), {}):
        columns["study"] = lambda variant: percent(theirs[variant.name]) if variant.name in theirs else "–"
    rows = [[value(variant) for value in columns.values()] for variant in variants]
    title = f"Ablation: {ABLATIONS[ablation].title}"
    caption = ablation_caption(results, study, ablation, list(columns)) if rows else NOT_YET
    return {"id": f"ablation-{ablation}", "title": title, "caption": caption, "columns": list(columns), "rows": rows}


def ablation_caption(results: list[dict], study: dict, ablation: str, columns: list[str]) -> str:
    """Under which conditions the runs of an ablation, equal in all but variant and seed, were made."""
    records = all_records(variants_of(of_kind(results, "ablation"), ablation))
    settings = records[0]["settings"]
    sentences = [conditions(records, f", {ABLATIONS[ablation].title}")]
    if "one channel" in columns:
        shown = "one, two or three random channels" if settings["channels"] == "sample" else settings["channels"]
        sentences.append(
            f"Trained on {shown}; two channels and one: mean over the three subsets, missing ones filled "
            f"({settings['fill']}){', for adaptive_vgg19 left out' if MANY in columns else ''}."
        )
    if MANY in columns:
        sentences.append(f"{MANY}: mean over these numbers, other bands for every picture, wavelengths known.")
    if "attention entropy" in columns:
        sentences.append(
            "Attention entropy: of the kernel weights over ln K, mean over validation pictures, layers and seeds; "
            "1 is an even mix, 0 a single kernel."
        )
    if EVEN in columns:
        sentences.append("Even weights: the same networks on RGB with 1/K for every kernel in place of the attention.")
    if "study" in columns:
        sentences.append(f"The study's column is its validation accuracy on other data: {study['data']}.")
    return " ".join(sentences)


def sensor_table(results: list[dict], ablation: str) -> Table:
    """Networks for random bands of a sensor on every subset, beside one for all of them and experts for some."""
    made = ABLATIONS[ablation]
    subsets, names = subsets_of(made.bands), {channels: name for name, channels in experts_of(made.bands).items()}
    inputs = {names.get(subset, subset): [subset] for subset in subsets} | {f"mean of the {len(subsets)}": subsets}
    found = {variant.name: variant for variant in variants_of(of_kind(results, "ablation"), ablation)}
    experts = {names[channels]: variant for channels, variant in found.items() if channels in names}
    shown_names = ("sample", "sample-long", "sample-own_kernels", subsets[0])
    random, long, own, every = (found.get(name, Variant(name, [])) for name in shown_names)
    rows, caption = [], NOT_YET
    if random.records:
        for name, shown in inputs.items():
            on = partial(Variant.accuracies_on, subsets=shown)
            cells = [
                spread(on(variant)) for variant in (random, long, own, every, experts.get(name, Variant(name, [])))
            ]
            rows.append([name, *cells, compared(long, random, on), compared(own, random, on)])
        longer = f"longer: for {epochs_line(long.records[0])}; " if long.records else ""
        caption = (
            f"{conditions(all_records(found.values()))} Bands by their middles in µm. Random bands, all bands: what "
            f"one network was trained on; {longer}expert: one for its row, trained on these bands and no others. In "
            "the last two columns points, in brackets the 95 % interval over the seeds that both have (Student's t), "
            "not corrected for the number of rows. "
        )
        caption += each_seeds(
            {"random bands": random, "longer": long, "own kernels": own, "all bands and experts": every}
        )
    columns = [
        "input", "random bands", "longer", "own kernels", "all bands", "expert", "longer minus random bands",
        "own kernels minus random bands",
    ]  # fmt: skip
    title = f"Ablation: {made.title}"
    return {"id": f"ablation-{ablation}", "title": title, "caption": caption, "columns": columns, "rows": rows}


def each_seeds(variants: dict[str, Variant]) -> str:
    """``Seeds: random bands 3, experts 1.``"""
    return f"Seeds: {', '.join(f'{name} {len(variant.records)}' for name, variant in variants.items())}."


def difference_table(results: list[dict]) -> Table:
    """Every variant of an ablation against its first, those whose words are in its name, its rival, and itself with
    even weights for all kernels, over seeds."""
    measures = {name: of for name, of in MEASURES.items() if name != MANY}  # which no first variant has
    rows = []
    for ablation, made in ABLATIONS.items():
        variants = [] if made.bands else variants_of(of_kind(results, "ablation"), ablation)
        for variant, other in itertools.permutations(variants, 2):
            both = variant.beside(other).seeds
            extends = {*variant.name.split("-")} > {*other.name.split("-")}
            rivals = made.rivals.get(variant.name) == other.name
            if (other is variants[0] or extends or rivals) and len(both) > 1:
                figures = [compared(variant, other, of) for of in measures.values()]
                rows.append([ablation, variant.name, other.name, str(len(both)), *figures])
        for variant in variants:
            if len(variant.even) > 1:  # on all channels alone
                figures = [difference(variant.accuracies, variant.even), *["–"] * (len(measures) - 1)]
                rows.append([ablation, variant.name, EVEN, str(len(variant.even)), *figures])
    caption = (
        "From the tables of ablations: accuracy of the variant minus that of the other, in points, seed beside seed; "
        "mean and in brackets the 95 % interval over the seeds that both have (Student's t), not corrected for the "
        f"number of comparisons. Against {EVEN}: what its attention is worth. An interval that holds 0 shows no "
        "difference, nor that there is none."
    )
    columns = ["ablation", "variant", "against", "seeds", *measures]
    return {
        "id": "ablation-differences",
        "title": "Ablations: differences",
        "caption": caption if rows else NOT_YET,
        "columns": columns,
        "rows": rows,
    }


def compared(variant: Variant, other: Variant, of: Callable[[Variant], list[float]]) -> str:
    """The first minus the second, over the seeds that both have."""
    return difference(of(variant.beside(other)), of(other.beside(variant)))


def all_records(variants: Iterable[Variant]) -> list[dict]:
    return [record for variant in variants for record in variant.records]


def conditions(records: list[dict], what: str = "") -> str:
    """What was trained on what and how, in one sentence; ``what`` follows the networks."""
    about, settings = records[0], records[0]["settings"]
    *others, last = dict.fromkeys(record["model"] for record in records)
    networks, width = f"{', '.join(others)} and {last}" if others else last, settings.get("width", 1)
    seeds = ", ".join(map(str, sorted({record["seed"] for record in records})))
    return (
        f"{networks}{f' of {width:g} times the width' if width != 1 else ''}{what}; {about['data']}, val, "
        f"n = {about['val_images']:,}; {about['images']:,} training pictures, {epochs_line(about)}, "
        f"{start_line(settings)}; accuracy after the last epoch in %, mean ± sample standard deviation over seeds "
        f"({seeds})."
    )


def epochs_line(record: dict) -> str:
    """``5 epochs at 32 px``, or with a schedule of sizes ``5 epochs (32:4,48:1 px)``."""
    epochs, size = record["epochs"], record["settings"]["image_size"]
    count = f"{epochs} epoch" + ("s" if epochs > 1 else "")
    return f"{count} ({size} px)" if ":" in size else f"{count} at {size} px"


def start_line(settings: dict) -> str:
    return f"each started from {settings['init_from']}" if settings["init_from"] else "from scratch"
