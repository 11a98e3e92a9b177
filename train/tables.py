"""Tables made from results: each is ``{"id", "title", "caption", "columns", "rows"}``.

Nothing is measured here. The study's own figures stand beside ours and are marked as on other data.
"""

import statistics
from collections.abc import Callable, Iterable

from models import CHANNELS, SUBSETS
from models.costs import cost_of
from models.model_card import percent
from train.bootstrap import paired_counts, ratio_interval
from train.config import TrainConfig
from train.costs import cost_tables
from train.findings import (
    ADAPTIVE,
    EXPERT,
    EXPERT_ON,
    RGB_PAIR,
    RGB_PLAIN,
    RIVALS,
    SAMPLED_PAIR,
    TASK2_EARLIER_PAIRS,
    TASK2_PAIR,
    bundled_evaluations,
    checkpoint_of,
    comparison,
    comparisons_with_itself,
    cost_of_bundled,
    data_line,
    input_text,
    of_kind,
    p_text,
    rgb_row,
    row_of,
    stages_of,
    trainings_by_checkpoint,
    with_interval,
    worst_single,
)

SPEED_NETWORKS = ("vgg19", "dynamic_vgg19", "grouped")  # of benchmarks/dynamic_conv.py
WHICH = {
    "adaptive": "",
    "adaptive-rgb": ", a plain VGG19 whose last steps saw RGB alone",
    "adaptive-sampled": ", an earlier stage",
}
NOT_YET = "not measured yet"
MORE_MIB_PER_PARAMETER = 3 * 4 / 2**20  # a weight, its gradient and its momentum in fp32

Table = dict


def accuracy_table(results: list[dict]) -> Table:
    """Test accuracy on RGB of the bundled weights, with size, cost and training."""
    trainings, evaluations = trainings_by_checkpoint(results), bundled_evaluations(results)
    rows, caption = [], NOT_YET
    for evaluation in evaluations:
        name, size = evaluation["model"], evaluation["input_size"]
        cost = cost_of_bundled(name, size)
        training = trainings.get(name)
        rows.append(
            [
                name,
                with_interval(rgb_row(evaluation)),
                input_text(evaluation),
                f"{cost.parameters / 1e6:.2f} M",
                f"{cost.macs / 1e6:,.0f} M",
                training_line(training, trainings, brief=True) if training else "?",
            ]
        )
        caption = (
            f"Bundled 8-bit weights; {data_line(*evaluations)}; accuracy in % with 95 % Wilson interval; "
            "one seed each; chance is 2 %. Crop: the share of each side of a picture that is seen. Multiply-"
            "accumulates per picture at that input size. Taught: part of the target is a trained network's answer "
            "to the same crop in RGB."
        )
    columns = ["model", "accuracy", "input", "parameters", "multiply-accumulates", "training"]
    return {"id": "accuracy", "title": "Test accuracy", "caption": caption, "columns": columns, "rows": rows}


def training_line(training: dict, trainings: dict[str, dict], *, brief: bool = False) -> str:
    """``10 epochs``, or ``9 epochs in 2 stages, the last 2 from vgg19-base`` for weights that started from others, and
    how; ``brief``: without the last stage."""
    start = training["settings"].get("init_from")
    counts = [stage["epochs"] for stage in stages_of(training, trainings)]
    line = f"{sum(counts)} epochs" + (f" in {len(counts)} stages" if len(counts) > 1 else "")
    if start and not brief:
        line += (f", the last {counts[-1]}" if len(counts) > 1 else ",") + f" from {start}"
    teacher = training["settings"].get("teacher")
    return line + (", random channels" if training["channels"] == "sample" else "") + (", taught" if teacher else "")


def temperature_line(training: dict) -> str:
    """``, temperature 30 to 1``: how that of a dynamic network's routers changed in training."""
    if training["model"] != "dynamic_vgg19":
        return ""
    kept = training["settings"]  # without those that are the defaults
    start, end = (kept.get(key, getattr(TrainConfig, key)) for key in ("temperature_start", "temperature_end"))
    return f", temperature {start:g} to {end:g}"


def subset_table(results: list[dict], study: dict, pair: tuple[str, str], fill: str) -> Table:
    """Task 1: both VGG19 on every channel subset, the paired test, and the study's figures beside its protocol."""
    both = ("RB", "GB")  # where the fills differ
    compared = comparison(results, pair, fill, channels=both if fill == "appended" else SUBSETS)
    theirs = {name: study["task1"][name] for name in SAMPLED_PAIR} if pair == RGB_PAIR else {}
    rows, caption = [], NOT_YET
    if compared:
        first, second = ({row["channels"]: row for row in compared[side]["rows"]} for side in ("first", "second"))
        paired = {row["channels"]: row for row in compared["paired"]}
        for channels in [channels for channels in SUBSETS if channels in first]:
            quoted = [figures.get(channels) for figures in theirs.values()]
            rows.append(
                [
                    channels,
                    with_interval(first[channels]),
                    with_interval(second[channels]),
                    p_text(paired[channels]["p_value"]),
                    *[percent(values[0]) if values else "–" for values in quoted],
                ]
            )
        trained = compared["first"]["trained_on"]
        caption = (
            f"Trained on {'random subsets' if trained == 'sample' else trained}, missing channels filled ({fill}); "
            f"{data_line(compared['first'])}, {input_text(compared['first'])}; accuracy in % with 95 % Wilson "
            "interval; p is McNemar's exact test, "
            f"plain against dynamic, not corrected for {len(rows)} tests."
        )
        if theirs:
            trainings = trainings_by_checkpoint(results)
            found = {name: trainings[name] for name in pair if name in trainings}
            lines = [f"{name}: {training_line(one, trainings)}{temperature_line(one)}" for name, one in found.items()]
            caption += (
                f" {'; '.join(lines)}. The study's columns are of networks trained otherwise, on other data: "
                f"{study['data']}; it does not say which fill it used."
            )
    columns = ["input", "vgg19", "dynamic_vgg19", "p", *[f"study: {name}" for name in theirs]]
    kind = "subsets" if pair == RGB_PAIR else "sampled"
    way = "trained on RGB" if pair == RGB_PAIR else "random channels in training"
    title = f"Task 1: channel subsets, {way}, fill {fill}"
    return {"id": f"{kind}-{fill}", "title": title, "caption": caption, "columns": columns, "rows": rows}


def metrics_table(results: list[dict], study: dict) -> Table:
    """Task 1: what the study reports beside accuracy, of the pair that saw RGB alone."""
    compared = comparison(results, RGB_PAIR)
    rows, caption, names = [], NOT_YET, SAMPLED_PAIR
    if compared:
        ours = [{row["channels"]: row for row in compared[side]["rows"]} for side in ("first", "second")]
        for channels in ours[0]:
            cells = [percent(one[channels][key]) for one in ours for key in ("precision", "f1")]
            quoted = [study["task1"][name].get(channels) for name in names]
            cells += [percent(values[place]) if values else "–" for values in quoted for place in (1, 3)]
            rows.append([channels, *cells])
        caption = (
            f"{data_line(compared['first'])}, {input_text(compared['first'])}; macro averages in %. Macro recall is "
            f"accuracy, as every class has as many pictures. {' and '.join(RGB_PAIR)}, trained on RGB alone, missing "
            f"channels filled (aligned); the study's figures are of other data: {study['data']}."
        )
    kinds = [f"{name} {metric}" for name in names for metric in ("precision", "F1")]
    columns = ["input", *kinds, *[f"study: {kind}" for kind in kinds]]
    title = "Task 1: precision and F1, trained on RGB"
    return {"id": "task1-metrics", "title": title, "caption": caption, "columns": columns, "rows": rows}


def adaptive_table(results: list[dict], kind: str) -> Table:
    """The network for any channels, or an earlier stage of it, beside the other VGG19 of that table."""
    adaptive, names = RIVALS[kind]
    compared = {name: found for name in names if (found := comparison(results, (name, adaptive)))}
    trainings = trainings_by_checkpoint(results)
    rows, caption = [], NOT_YET
    if compared:
        ours = next(iter(compared.values()))["second"]
        for row in ours["rows"]:
            channels, cells = row["channels"], []
            for found in compared.values():
                theirs, test = row_of(found["first"]["rows"], channels), row_of(found["paired"], channels)
                cells.append(f"{percent(theirs['accuracy'])} ({p_text(test['p_value'])})")
            rows.append([channels, with_interval(row), *cells])
        worst, share = worst_single(ours)
        caption = (
            f"{data_line(ours)}, {input_text(ours)}; accuracy in % with 95 % Wilson interval; in brackets the p-value "
            f"of McNemar's exact test against {adaptive}, not corrected for {len(rows) * len(compared)} tests. The "
            f"others' missing channels are filled: one is copied to all three, the mean of two takes the missing slot "
            f"(aligned). {other_precision(compared)}"
            f"{full_weights(ours, *[found['first'] for found in compared.values()])}{trained(compared, trainings)}"
            f"The worst single channel ({worst}) keeps {percent(share)} % of RGB's accuracy in {adaptive}."
        )
    columns = ["input", adaptive, *[f"{name} (p)" for name in compared or names]]
    title = "Any channels: adaptive VGG19 against filling" + WHICH[kind]
    return {"id": kind, "title": title, "caption": caption, "columns": columns, "rows": rows}


def other_precision(compared: dict[str, dict]) -> str:
    """``Compared in fp32, both sides: dynamic_vgg19-rgb. `` where that is not what the first was compared in."""
    in_bf16 = [bool(found["first"].get("bf16")) for found in compared.values()]
    others = [name for name, bf16 in zip(compared, in_bf16, strict=True) if bf16 != in_bf16[0]]
    precision = "fp32" if in_bf16[0] else "bf16"
    return f"Compared in {precision}, both sides: {', '.join(others)}. " if others else ""


def full_weights(*evaluations: dict) -> str:
    """``Weights in full precision: vgg19-rgb; the others 8-bit. `` where weights were stored in different ways."""
    full = [checkpoint_of(evaluation) for evaluation in evaluations if evaluation.get("storage") != "int8"]
    differ = 0 < len(full) < len(evaluations)
    return f"Weights in full precision: {', '.join(full)}; the others 8-bit. " if differ else ""


def trained(names: Iterable[str], trainings: dict[str, dict]) -> str:
    """``Last stage of training: vgg19 2 epochs on random channels, …. `` of those on record, or nothing."""
    stages = []
    for training in (trainings[name] for name in names if name in trainings):
        count, channels = training["epochs"], training["channels"]
        channels = "random channels" if channels == "sample" else channels
        stages.append(f"{training['checkpoint']} {count} epoch{'s' if count > 1 else ''} on {channels}")
    return f"Last stage of training: {', '.join(stages)}. " if stages else ""


def expert_table(results: list[dict]) -> Table:
    """What one channel can give: a network whose last steps saw it alone, beside one trained on any channels."""
    expert = comparison(results, (EXPERT, ADAPTIVE), channels=EXPERT_ON)
    full = comparison(results, (RGB_PLAIN, ADAPTIVE), channels=[CHANNELS])
    trainings = trainings_by_checkpoint(results)
    rows, caption = [], NOT_YET
    if expert and full:
        whole = rgb_row(full["first"])["accuracy"]
        for name, evaluation in ((EXPERT, expert["first"]), (ADAPTIVE, expert["second"])):
            found = row_of(evaluation["rows"], EXPERT_ON)
            rows.append([name, with_interval(found), f"{percent(found['accuracy'] / whole)} %"])
        test = row_of(expert["paired"], EXPERT_ON)
        caption = (
            f"{data_line(expert['first'])}, {input_text(expert['first'])}; accuracy in % with 95 % Wilson interval. "
            f"Last column: divided by the {percent(whole)} % of {RGB_PLAIN} on RGB. "
            f"McNemar's exact test of the two on {EXPERT_ON}: p-value {p_text(test['p_value'])}. "
            f"{full_weights(expert['first'], expert['second'], full['first'])}"
            f"{trained((EXPERT, RGB_PLAIN, ADAPTIVE), trainings)}".strip()
        )
    columns = ["model", f"accuracy on {EXPERT_ON} alone", f"of {RGB_PLAIN} on RGB"]
    title = "One channel: a network whose last steps saw nothing else"
    return {"id": "expert", "title": title, "caption": caption, "columns": columns, "rows": rows}


def seen_table(results: list[dict]) -> Table:
    """The same weights on pictures of other sizes and on more or less of them."""
    found, rows, caption, subsets = comparisons_with_itself(results), [], NOT_YET, (CHANNELS, *CHANNELS)
    for name, comparisons in found.items():
        whole = comparisons[0]["first"]
        others = [(compared["second"], compared["paired"]) for compared in comparisons]
        for evaluation, paired in [(whole, []), *others]:
            p_values = {row["channels"]: f" ({p_text(row['p_value'])})" for row in paired}
            cells = [percent(row_of(evaluation["rows"], c)["accuracy"]) + p_values.get(c, "") for c in subsets]
            cost = f"{cost_of_bundled(evaluation['model'], evaluation['input_size']).macs / 1e6:,.0f} M"
            rows.append([name, input_text(evaluation), *cells, f"{percent(worst_single(evaluation)[1])} %", cost])
        tests = len(subsets) * sum(map(len, found.values()))
        caption = (
            f"{data_line(whole)}; accuracy in %; in brackets the p-value of McNemar's exact test against the network's "
            f"first line, not corrected for {tests} tests. Crop: the share of each side of a picture that is seen. "
            f"Missing channels are filled (aligned), for {ADAPTIVE} left out. Kept: the worst single channel's "
            "accuracy divided by RGB's."
        )
    columns = ["model", "input", *subsets, "kept", "multiply-accumulates"]
    title = "The same weights on pictures of other sizes and crops"
    return {"id": "seen", "title": title, "caption": caption, "columns": columns, "rows": rows}


def calibration_table(results: list[dict]) -> Table:
    """Confidence beside accuracy of the bundled networks, on all, two and one of the channels."""
    measured = [e for e in bundled_evaluations(results) if "calibration_temperature" in e["rows"][0]]
    rows, caption = [], NOT_YET
    for evaluation in measured:
        for count, channels in {3: "RGB", 2: "two channels", 1: "one channel"}.items():
            if found := [row for row in evaluation["rows"] if len(row["channels"]) == count]:
                keys = ("accuracy", "confidence", "calibration_error", "raw_calibration_error")
                cells = [percent(statistics.mean(row[key] for row in found)) for key in keys]
                rows.append([evaluation["model"], channels, f"{found[0]['calibration_temperature']:.2f}", *cells])
        caption = (
            f"{data_line(*measured)}; in %, two and one channel: mean over the three subsets. Confidence: mean "
            "probability of the answers, the softmax of logits over the temperature, which was fitted on validation "
            "pictures for each number of channels. Error: expected calibration error, 15 bins; in the last column "
            "without the temperature."
        )
    columns = ["model", "input", "temperature", "accuracy", "confidence", "error", "error, no temperature"]
    title = "What a confidence is worth"
    return {"id": "calibration", "title": title, "caption": caption, "columns": columns, "rows": rows}


def bands_table(results: list[dict]) -> Table:
    """Channels that a three-channel network never met."""
    found = of_kind(results, "bands")
    rows, columns, caption = [], ["input", ADAPTIVE], NOT_YET
    if found:
        bands = found[0]
        columns += [f"{name} (p)" for name in bands["others"]]
        others = {name: {row["channels"]: row for row in theirs} for name, theirs in bands["others"].items()}
        for row in bands["adaptive"]:
            cells = [theirs.get(row["channels"]) for theirs in others.values()]
            shown = [f"{percent(cell['accuracy'])} ({p_text(cell['p_value'])})" if cell else "–" for cell in cells]
            rows.append([row["channels"], with_interval(row), *shown])
        caption = (
            f"{data_line(bands)}, {input_text(bands)}; accuracy in % with 95 % Wilson interval. Pseudo-bands: random "
            "mixtures of R, G and B, other ones for every picture, with their mixed wavelengths or with none "
            "(unknown). Dead: the channel is zero but for noise of one grey level and nobody says so; p is McNemar's "
            "exact test against adaptive_vgg19. Largest difference of a logit between the six orders of R, G and B: "
            f"{bands['largest_difference_between_orders']:.1g}."
        )
    title = "Any channels: other counts, orders and a dead sensor"
    return {"id": "bands", "title": title, "caption": caption, "columns": columns, "rows": rows}


def speed_table(results: list[dict], *, brief: bool = False) -> Table:
    """Dynamic over plain VGG19 in time, and the usual grouped form beside it.

    ``brief``: at 64 px in fp32, on the first machine.
    """
    found, rows, caption = speed_records(results)[: 1 if brief else None], [], NOT_YET
    for speed in found:
        for row in speed["rows"]:
            if not brief or (row["size"], row["precision"]) == (64, "fp32"):
                times = [milliseconds(row[name]) for name in SPEED_NETWORKS]
                ratios = [f"{row[key]:.2f}" for key in ("over_plain", "grouped_over_ours")]
                run = f"{row['mode']}, batch {row['batch']}"
                rows.append([processor(speed), run, f"{row['size']} px", row["precision"], *ratios, *times])
    if found:
        machines = "; ".join(f"{s['device']}, {s['threads']} threads, PyTorch {s['torch']}" for s in found)
        slowest = each(found, lambda speed: f"{default_allocator_ratio(speed):.1f}")
        rounds = each(found, lambda speed: str(speed["rows"][0]["vgg19"]["n"]))
        caption = (
            f"Milliseconds, median (quartiles), n = {rounds}, all three in turn in one run; "
            f"{machines}. Grouped: one kernel per sample "
            "and one convolution with the batch as groups, as it is usually written, with the memory allocator set as "
            f"for ours; with its defaults a training step (64 px, fp32) takes {slowest} times as long as ours."
        )
        if not all(speed["tiled"] for speed in found):
            caption += " Untiled: without the C program, as where there is no compiler."
    columns = ["processor", "run", "input", "precision", "dynamic / plain", "grouped / ours", *SPEED_NETWORKS]
    kind = "speed" if brief else "speed-all"
    return {"id": kind, "title": "What dynamic convolution costs", "caption": caption, "columns": columns, "rows": rows}


def speed_records(results: list[dict]) -> list[dict]:
    """What ``benchmarks.dynamic_conv`` measured on each machine: with tiles first, then the most complete."""
    return sorted(of_kind(results, "speed"), key=lambda speed: (not speed["tiled"], -len(speed["rows"])))


def processor(speed: dict) -> str:
    """``AMD AVX-512`` of ``AMD EPYC, AVX2, AVX-512``, and whether the tiles of ``mixture.c`` were left out."""
    maker, *features = speed["device"].split(", ")
    name = " ".join([maker.partition(" ")[0].partition("(")[0], *features[-1:]])
    return name if speed["tiled"] else f"{name}, untiled"


def each(found: list[dict], say: Callable[[dict], str]) -> str:
    """``11 ms``, or ``11 ms (Intel AMX) and 14 ms (AMD AVX2)``: machines that say the same stand together."""
    said: dict[str, list[str]] = {}
    for speed in found:
        said.setdefault(say(speed), []).append(processor(speed))
    if len(said) == 1:
        return next(iter(said))
    *parts, last = [f"{text} ({'; '.join(processors)})" for text, processors in said.items()]
    return f"{', '.join(parts)} and {last}"


def default_allocator_ratio(speed: dict) -> float:
    """Time of the grouped form's training step with the allocator as it comes, over ours."""
    ours = next(r for r in speed["rows"] if (r["mode"], r["size"], r["precision"]) == ("training", 64, "fp32"))
    return speed["grouped_default_allocator"]["median_ms"] / ours["dynamic_vgg19"]["median_ms"]


def milliseconds(times: dict) -> str:
    digits = 1 if times["median_ms"] < 100 else 0
    return f"{times['median_ms']:,.{digits}f} ({times['low_ms']:,.{digits}f}–{times['high_ms']:,.{digits}f})"


def memory_table(results: list[dict]) -> Table:
    """Peak memory of a training step, and how much of it is parameters, gradients and momentum."""
    found = speed_records(results)
    rows, caption = [], NOT_YET
    if found:
        for name, peaks in found[0]["peak_memory_mib"].items():
            parameters = cost_of("vgg19" if name == "vgg19" else "dynamic_vgg19", 64).parameters
            rows.append(
                [name, *[f"{peaks[b]:,.0f}" for b in ("32", "64")], f"{parameters * MORE_MIB_PER_PARAMETER:,.0f}"]
            )
        caption = "MiB that three training steps at 64 px, fp32, add to a fresh process (SGD with momentum)."
    columns = ["network", "batch 32", "batch 64", "of which weights, gradients, momentum"]
    return {"id": "memory", "title": "Peak memory of training", "caption": caption, "columns": columns, "rows": rows}


def task2_table(results: list[dict], study: dict) -> Table:
    """Task 2: the compact network beside ResNet34."""
    compared = comparison(results, TASK2_PAIR, channels=[CHANNELS])
    rows, caption = [], NOT_YET
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
            f"{data_line(compared['first'])}, {input_text(compared['first'])}; in %, accuracy with 95 % Wilson "
            "interval. compact has "
            f"{ratio_line(compared)}, {percent(study_ratio(study))} % in the study (other data)."
        )
    columns = ["model", "accuracy", "precision", "recall", "F1", "study: accuracy"]
    title = "Task 2: compact against ResNet34"
    return {"id": "task2", "title": title, "caption": caption, "columns": columns, "rows": rows}


def task2_subset_table(results: list[dict], *, earlier: bool = False) -> Table:
    """Task 2 with fewer channels: the bundled pair, or ``earlier`` stages on random channels and on RGB alone."""
    pairs = TASK2_EARLIER_PAIRS if earlier else (TASK2_PAIR,)
    found = {pair: compared for pair in pairs if (compared := comparison(results, pair)) is not None}
    rows, columns, caption = [], ["input"], NOT_YET
    for (first, second), compared in found.items():
        columns += [first, second, "p"]
        if not rows:
            rows = [[row["channels"]] for row in compared["first"]["rows"]]
            caption = (
                f"{data_line(compared['first'])}, {input_text(compared['first'])}; accuracy in % with 95 % Wilson "
                "interval; missing channels are filled (aligned); p is McNemar's exact test, of the two networks to "
                f"its left, not corrected for {len(rows) * len(found)} tests. "
            )
        for row in rows:
            sides = [with_interval(row_of(compared[side]["rows"], row[0])) for side in ("first", "second")]
            row += [*sides, p_text(row_of(compared["paired"], row[0])["p_value"])]
    if found:
        names = [name for pair in found for name in pair]
        caption += trained(names, trainings_by_checkpoint(results)).strip()
    kind, suffix = ("task2-earlier", ", earlier stages") if earlier else ("task2-subsets", "")
    title = f"Task 2: channel subsets{suffix}"
    return {"id": kind, "title": title, "caption": caption, "columns": columns, "rows": rows}


def ratio_line(compared: dict) -> str:
    """``83.6 % of ResNet34's accuracy (…)``: the ratio with its paired bootstrap interval."""
    counts = paired_counts(compared)
    low, high = ratio_interval(counts)
    interval = f"95 % interval {percent(low)}–{percent(high)}, paired bootstrap over the test pictures"
    return f"{percent(counts.ratio)} % of ResNet34's accuracy ({interval})"


def study_ratio(study: dict) -> float:
    return study["task2"]["compact"]["RGB"][0] / study["task2"]["resnet34"]["RGB"][0]


def cost_table() -> Table:
    """Both cost tables of the study, counted from the modules."""
    tables = cost_tables()
    rows = [
        [name, f"{cost.parameters:,}", f"{cost.macs:,}"] for costs in tables.values() for name, cost in costs.items()
    ]
    caption = (
        "256 x 256 input, counted by python -m train.costs; fvcore's train-mode convention except where the study's "
        "differs."
    )
    columns = ["model", "parameters", "multiply-accumulates"]
    return {"id": "costs", "title": "Cost", "caption": caption, "columns": columns, "rows": rows}
