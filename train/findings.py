"""Finding measurements in ``results/*.json`` and writing their numbers as text."""

import json
from collections.abc import Iterable
from pathlib import Path

from models import CHANNELS, MODELS, SUBSETS
from models.checkpoint import BUNDLED, CONFIG, WEIGHTS, checksum, read_config
from models.classifier import ModelConfig
from models.costs import Cost, cost_of
from models.model_card import percent
from models.training_record import data_name, settings_of
from train import RESULTS, ROOT

RGB_PAIR = ("vgg19-32", "dynamic_vgg19-32")  # checkpoints trained on RGB alone, as in the study
RGB_PLAIN = "vgg19-rgb"  # as the bundled plain one, its last steps on RGB alone
EXPERT, EXPERT_ON = "vgg19-b", "B"  # as the bundled plain one, its last steps on blue alone
SAMPLED_PAIR = ("vgg19", "dynamic_vgg19")  # the bundled ones, trained on random subsets
TASK2_PAIR = ("compact", "resnet34")
TASK2_EARLIER_PAIRS = (  # the stage before, and that before it, on RGB alone as in the study
    ("compact-48-taught", "resnet34-48-taught"),
    ("compact-48", "resnet34-48"),
)
ADAPTIVE = "adaptive_vgg19"
ALL_BANDS = "all bands"  # the subset of a sensor's bands that is all of them
RIVALS = {  # by table: the network for any channels, and what it is compared with
    "adaptive": (ADAPTIVE, SAMPLED_PAIR),
    "adaptive-rgb": (ADAPTIVE, (RGB_PLAIN,)),
    "adaptive-sampled": ("adaptive_vgg19-sampled", ("vgg19-64-rgb", "vgg19-sampled", "dynamic_vgg19-sampled")),
}


def read_results(folder: Path = RESULTS) -> list[dict]:
    """Every result in ``results/`` and ``results/ablations/`` by name, but for the summary made here and evaluations of
    bundled weights that others have replaced."""
    paths = sorted(path for path in folder.glob("*.json") if path.name != "summary.json")
    paths += sorted((folder / "ablations").glob("*.json"))
    results = [read_json(path) for path in paths]
    return [result for result in results if isinstance(result, dict) and "kind" in result and not is_outdated(result)]


def read_json(path: Path):
    """What a file of results holds; ``ValueError`` naming one that is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); write it again, or remove it") from error


def find_evaluations(results_dir: Path, config: ModelConfig, checkpoint: Path) -> list[dict]:
    """Test-set evaluations of this checkpoint among the JSON files of a folder, in the order of their names.

    An evaluation belongs to a checkpoint of the same network in a folder of the same name, both bundled or neither,
    with the same weights if it says which they were, on pictures of its input size. One that was made again for another
    comparison stands once; those in the precision of the training come first. Raises ``ValueError`` naming a file that
    is not JSON.
    """
    found = []
    for path in sorted(results_dir.glob("*.json")):
        found += [
            evaluation
            for evaluation in evaluations_in(read_json(path))
            if evaluation["split"] == "test"
            and evaluation["model"] == config.model
            and checkpoint_of(evaluation) == checkpoint.resolve().name
            and is_bundled(evaluation["checkpoint"]) == is_bundled(checkpoint)
            and at_own_size(evaluation, config)
            and (tuple(evaluation.get("bands", ())), evaluation.get("scale")) == (config.bands, config.scale)
            and of_these_weights(evaluation, checkpoint)
            and evaluation["data"] == data_name(config)  # a run of that name on other pictures is another network
        ]
    return without_repetition(found, bf16=settings_of(config).get("bf16", False))


def at_own_size(evaluation: dict, config: ModelConfig) -> bool:
    """Whether the pictures were seen as the checkpoint says: at its input size, and as much of them."""
    return (evaluation["input_size"], evaluation.get("crop_pct", 1.0)) == (config.input_size, config.crop_pct)


def is_outdated(result: dict) -> bool:
    """Whether it holds an evaluation of bundled weights that are no longer there."""
    if result["kind"] == "bands":
        return any(weights_of(BUNDLED / name) != theirs for name, theirs in result["weights_sha256"].items())
    bundled = [evaluation for evaluation in evaluations_in(result) if is_bundled(evaluation["checkpoint"])]
    return not all(of_these_weights(evaluation, BUNDLED / checkpoint_of(evaluation)) for evaluation in bundled)


def of_these_weights(evaluation: dict, checkpoint: Path) -> bool:
    """Whether an evaluation is of the weights that the folder holds now; of one's own, older ones do not say."""
    theirs = evaluation.get("weights_sha256")
    return theirs == weights_of(checkpoint) if theirs or is_bundled(checkpoint) else True


def weights_of(checkpoint: Path) -> str | None:
    """The checksum of a checkpoint's weights, None where there are none."""
    return checksum(checkpoint) if (checkpoint / WEIGHTS).is_file() else None


def without_repetition(evaluations: list[dict], *, bf16: bool) -> list[dict]:
    """Those that say something new: data, fill or channels. First come those in bf16, or those that are not."""
    kept, said = [], set()
    for evaluation in sorted(evaluations, key=lambda evaluation: evaluation.get("bf16", False) != bf16):
        says = {(evaluation["data"], evaluation["fill"], row["channels"]) for row in evaluation["rows"]}
        if not says <= said:
            kept.append(evaluation)
            said |= says
    return kept


def evaluations_in(result: dict) -> list[dict]:
    """The evaluations in one result file: itself, both sides of a comparison, or none."""
    kind = result.get("kind") if isinstance(result, dict) else None
    if kind == "comparison":
        return [result["first"], result["second"]]
    return [result] if kind == "evaluation" else []


def comparison(
    results: list[dict], pair: tuple[str, str], fill: str = "aligned", *, channels: Iterable[str] = SUBSETS
) -> dict | None:
    """The comparison of two checkpoints on the test split with this fill, if it was made on these ``channels``."""
    for result in of_kind(results, "comparison"):
        first, names = result["first"], (known_as(result["first"]), known_as(result["second"]))
        if names == pair and first["split"] == "test" and first["fill"] == fill and measured_on(result, channels):
            return result
    return None


def measured_on(compared: dict, channels: Iterable[str]) -> bool:
    """Whether a comparison has a row for each of these channels: one may be made on some, to look at them alone."""
    return {*channels} <= {row["channels"] for row in compared["first"]["rows"]}


def is_bundled(source: str | Path) -> bool:
    """Whether a checkpoint, by its name or folder, is one that comes with this code."""
    folder = (ROOT / source).resolve()  # from wherever it is asked
    return str(source) in MODELS or (folder.parent == BUNDLED and folder.name in MODELS)


def checkpoint_of(evaluation: dict) -> str:
    """The name of the evaluated checkpoint, without its folder."""
    return Path(evaluation["checkpoint"]).name


def known_as(evaluation: dict) -> str | None:
    """The name by which tables know the evaluated checkpoint: of a bundled one only if it is that, for anybody may
    call a run ``vgg19``."""
    name = checkpoint_of(evaluation)
    return name if name not in MODELS or is_bundled(evaluation["checkpoint"]) else None


def comparisons_with_itself(results: list[dict]) -> dict[str, list[dict]]:
    """By bundled network, in the order of ``MODELS``: its comparisons with itself on test pictures seen otherwise, of
    those with RGB and every single channel."""
    found = {}
    for result in of_kind(results, "comparison"):
        name = known_as(result["first"])
        whole = result["first"]["split"] == "test" and measured_on(result, (CHANNELS, *CHANNELS))
        if whole and name == known_as(result["second"]):
            found.setdefault(name, []).append(result)
    return {name: found[name] for name in MODELS if name in found}


def cost_of_bundled(name: str, image_size: int) -> Cost:
    """What the bundled network of this name costs, which may not have its constructor's defaults."""
    return cost_of(name, image_size, **read_config(BUNDLED / name / CONFIG).arguments)


def input_text(evaluation: dict) -> str:
    """``64 px``, and with ``crop 0.875`` how much of each side of the pictures was seen."""
    crop = evaluation.get("crop_pct", 1.0)
    return f"{evaluation['input_size']} px" + (f", crop {crop:g}" if crop < 1 else "")


def bundled_evaluations(results: list[dict]) -> list[dict]:
    """A test evaluation of every bundled network, on RGB at least and at its own size, from comparisons with another
    one, in the order of ``MODELS``."""
    found = {}
    for result in of_kind(results, "comparison"):
        pair = (result["first"], result["second"])
        names = {checkpoint_of(evaluation) for evaluation in pair}
        if len(names) == 1 or not all(is_bundled(evaluation["checkpoint"]) for evaluation in pair):
            continue  # so that no stage measured in another precision enters
        for evaluation in pair if measured_on(result, [CHANNELS]) else ():
            name = checkpoint_of(evaluation)
            usual = evaluation["split"] == "test" and evaluation["fill"] in ("aligned", None)
            if usual and at_own_size(evaluation, read_config(BUNDLED / name / CONFIG)):
                found.setdefault(name, evaluation)
    return [found[name] for name in MODELS if name in found]


def of_kind(results: list[dict], kind: str) -> list[dict]:
    return [result for result in results if result["kind"] == kind]


def trainings_by_checkpoint(results: list[dict]) -> dict[str, dict]:
    return {record["checkpoint"]: record for record in of_kind(results, "training")}


def stages_of(training: dict, trainings: dict[str, dict]) -> list[dict]:
    """The records of a training and of those that it went on from, the first first.

    One that went on from weights of its own name, which it replaced, is the first there is.
    """
    stages = [training]
    while (source := stages[0]["settings"].get("init_from")) in trainings and trainings[source] not in stages:
        stages.insert(0, trainings[source])
    return stages


def row_of(rows: list[dict], channels: str) -> dict:
    """The one on these channels, of an evaluation's rows or a comparison's paired tests."""
    return next(row for row in rows if row["channels"] == channels)


def rgb_row(evaluation: dict) -> dict:
    return row_of(evaluation["rows"], "RGB")


def worst_single(evaluation: dict) -> tuple[str, float] | None:
    """The single channel with the lowest accuracy, and what share of the accuracy with all channels it keeps.

    None where not all of these were measured, or nothing was right.
    """
    bands, accuracy = evaluation.get("bands"), {row["channels"]: row["accuracy"] for row in evaluation["rows"]}
    singles, whole = bands or CHANNELS, accuracy.get(ALL_BANDS if bands else CHANNELS)
    distinct = len({*singles}) == len(singles)  # of several unknown bands only the first has a name of its own
    if not whole or not distinct or not {*singles} <= accuracy.keys():
        return None
    worst = min(singles, key=lambda channel: (accuracy[channel], channel))
    return worst, accuracy[worst] / whole


def with_interval(row: dict) -> str:
    """``43.7 (41.5–45.9)``: accuracy and its 95 % Wilson interval, in %."""
    return f"{percent(row['accuracy'])} ({percent(row['ci_low'])}–{percent(row['ci_high'])})"


def p_text(p_value: float) -> str:
    """``0.019``; below one in ten thousand only that, since it may be too small for a float."""
    return f"{p_value:.2g}" if p_value >= 1e-4 else "<0.0001"


def data_line(*evaluations: dict) -> str:
    """What the evaluations, which share their pictures, were made on, and which of them in bf16."""
    first, halves = evaluations[0], [evaluation for evaluation in evaluations if evaluation.get("bf16")]
    line = f"{first['data']}, {first['split']}, n = {first['n']:,}"
    if len(halves) < len(evaluations):
        return f"{line} ({', '.join(half['model'] for half in halves)} in bf16)" if halves else line
    return f"{line}, bf16"
