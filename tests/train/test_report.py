"""Tables are made from results alone."""

import json

import pytest
from matplotlib.image import imread

from models import MODELS
from models.checkpoint import BUNDLED, CONFIG, checksum, read_config
from tests.train.records import STUDY
from train import RESULTS, figures
from train.ablate import ABLATIONS
from train.figures import ablations_figure, cost_figure, curves_figure, subset_figure
from train.findings import RGB_PAIR, SAMPLED_PAIR, input_text, is_bundled, p_text, read_results, stages_of
from train.report import SECTIONS, fill_markers, make_tables, markdown
from train.tables import (
    accuracy_table,
    adaptive_table,
    bands_table,
    calibration_table,
    cost_table,
    expert_table,
    memory_table,
    milliseconds,
    seen_table,
    speed_table,
    subset_table,
    task2_subset_table,
    task2_table,
    training_line,
)

ROW = {"precision": 0.4, "recall": 0.5, "f1": 0.45}


def row(channels: str, accuracy: float) -> dict:
    interval = {"ci_low": accuracy - 0.022, "ci_high": accuracy + 0.022}
    return ROW | interval | {"channels": channels, "accuracy": accuracy, "correct": round(2000 * accuracy)}


def size_of(checkpoint: str) -> dict:
    """How a bundled network sees its pictures; 32 px for a stage before."""
    config = read_config(BUNDLED / checkpoint / CONFIG) if checkpoint in MODELS else None
    return {"input_size": config.input_size, "crop_pct": config.crop_pct} if config else {"input_size": 32}


def evaluation(model: str, subsets: list[str], accuracy: float = 0.5, *, checkpoint: str | None = None) -> dict:
    return {
        "kind": "evaluation",
        "model": model,
        "checkpoint": checkpoint or model,
        "split": "test",
        "data": "pictures",
        "n": 2000,
        "fill": "aligned",
        **size_of(checkpoint or model),
        "trained_on": "RGB" if (checkpoint or "").endswith("-32") else "sample",
        "rows": [row(channels, accuracy) for channels in subsets],
    }


@pytest.fixture
def results():
    subsets = ["RGB", "RG", "RB", "GB", "R", "G", "B"]
    paired = [{"channels": channels, "only_first": 3, "only_second": 9, "p_value": 0.146} for channels in subsets]
    pairs = [
        {
            "kind": "comparison",
            "first": evaluation("vgg19", subsets, checkpoint=f"vgg19{suffix}"),
            "second": evaluation("dynamic_vgg19", subsets, 0.6, checkpoint=f"dynamic_vgg19{suffix}"),
            "paired": paired,
        }
        for suffix in ("-32", "")
    ]
    adaptive = evaluation("adaptive_vgg19", subsets, 0.55) | {"fill": None}
    adaptive["rows"][4] = row("R", 0.5)
    pairs.append({"kind": "comparison", "first": pairs[1]["first"], "second": adaptive, "paired": paired})
    task2 = {"first": evaluation("compact", ["RGB"], 0.45), "second": evaluation("resnet34", ["RGB"], 0.5)}
    return [
        *pairs,
        {"kind": "comparison", **task2, "paired": [{"channels": "RGB", "only_first": 100, "only_second": 200}]},
    ]


def test_subset_rows_show_interval_p_and_the_study(results):
    table = subset_table(results, STUDY, RGB_PAIR, "aligned")
    assert table["rows"][0] == ["RGB", "50.0 (47.8–52.2)", "60.0 (57.8–62.2)", "0.15", "30.0", "30.0"]
    assert table["rows"][1][-1] == "–"  # the study has no such row here
    assert "n = 2,000" in table["caption"]
    assert "other data" in table["caption"]


def test_the_pair_of_random_channels_stands_without_the_study(results):
    table = subset_table(results, STUDY, SAMPLED_PAIR, "aligned")
    assert table["id"] == "sampled-aligned"
    assert table["rows"][0] == ["RGB", "50.0 (47.8–52.2)", "60.0 (57.8–62.2)", "0.15"]
    assert "Trained on random subsets" in table["caption"] and "study" not in table["caption"]


def test_the_adaptive_table_shows_every_measured_rival_and_the_worst_channel(results):
    table = adaptive_table(results, "adaptive")
    assert table["columns"] == ["input", "adaptive_vgg19", "vgg19 (p)"]
    assert table["rows"][0] == ["RGB", "55.0 (52.8–57.2)", "50.0 (0.15)"]
    assert "The worst single channel (R) keeps 90.9 % of RGB's accuracy" in table["caption"]


def test_a_comparison_on_some_channels_does_not_stand_in_for_the_one_on_all(results):
    tables = {table["id"]: table for table in make_tables([STUDY, *results])}
    some = json.loads(json.dumps([results[1], results[1] | {"second": results[1]["first"]}, results[2]]))
    for compared in some:
        for rows in (compared["first"]["rows"], compared["second"]["rows"], compared["paired"]):
            del rows[1:]
    again = {table["id"]: table for table in make_tables([STUDY, *some, *results])}
    assert {name for name in tables if again[name] != tables[name]} == set()


def test_the_accuracy_table_takes_no_evaluation_beside_a_stage_that_is_not_bundled(results):
    beside_a_stage = json.loads(json.dumps(results[2]))
    beside_a_stage["first"]["checkpoint"] = "runs/dynamic_vgg19-rgb"
    beside_a_stage["second"]["rows"][0] = row("RGB", 0.9)
    assert accuracy_table([beside_a_stage, *results])["rows"] == accuracy_table(results)["rows"]


def test_runs_of_ones_own_called_as_bundled_networks_are_in_no_table(results):
    mine = json.loads(json.dumps(results[1:3]))
    for compared in (*mine, yourself := mine[0] | {"second": mine[0]["first"]}):
        for side in ("first", "second"):
            compared[side] = compared[side] | {"checkpoint": f"runs/{compared[side]['model']}"}
            compared[side]["rows"] = [row(entry["channels"], 0.9) for entry in compared[side]["rows"]]
    assert make_tables([STUDY, *mine, yourself, *results]) == make_tables([STUDY, *results])


def test_a_bundled_network_is_known_from_wherever_one_asks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_bundled("vgg19") and is_bundled("checkpoints/vgg19") and is_bundled(RESULTS.parent / "checkpoints/vgg19")
    assert not is_bundled("checkpoints/mine")
    assert not is_bundled("runs/vgg19") and not is_bundled(tmp_path / "checkpoints" / "vgg19")


def test_the_accuracy_table_takes_no_evaluation_at_another_size_or_without_rgb(results):
    larger, red = (json.loads(json.dumps(results[1])) for _ in range(2))
    for side in ("first", "second"):
        larger[side]["input_size"] += 16
        larger[side]["rows"][0] = row("RGB", 0.9)
        red[side]["rows"] = red[side]["rows"][4:]
    assert accuracy_table([larger, red, *results]) == accuracy_table(results)


def test_the_adaptive_table_says_which_rival_was_compared_in_another_precision(results):
    bf16, fp32 = (json.loads(json.dumps(results[2])) for _ in range(2))
    bf16["first"]["bf16"] = bf16["second"]["bf16"] = True
    bf16["first"]["checkpoint"], fp32["first"]["checkpoint"] = "vgg19-64-rgb", "vgg19-sampled"
    for compared in (bf16, fp32):
        compared["second"]["checkpoint"] = "adaptive_vgg19-sampled"
    table = adaptive_table([*results, bf16, fp32], "adaptive-sampled")
    assert table["columns"] == ["input", "adaptive_vgg19-sampled", "vgg19-64-rgb (p)", "vgg19-sampled (p)"]
    assert "Compared in fp32, both sides: vgg19-sampled. " in table["caption"]
    assert "Compared in" not in adaptive_table([*results, fp32], "adaptive-sampled")["caption"]


def test_the_adaptive_table_says_whose_weights_were_not_8_bit(results):
    stored = json.loads(json.dumps(results[2]))
    stored["first"]["storage"], stored["second"]["storage"] = "fp32", "int8"
    stored["first"]["checkpoint"] = "runs/vgg19-rgb"
    said = "Weights in full precision: vgg19-rgb; the others 8-bit. "
    assert said in adaptive_table([stored], "adaptive-rgb")["caption"]
    stored["first"]["storage"] = "int8"
    assert "full precision" not in adaptive_table([stored], "adaptive-rgb")["caption"]


def test_an_earlier_stage_has_its_own_table_and_says_how_each_was_trained(results):
    before = json.loads(json.dumps(results[2]))
    before["first"]["checkpoint"], before["second"]["checkpoint"] = "runs/vgg19-64-rgb", "adaptive_vgg19-sampled"
    training = {"kind": "training", "checkpoint": "vgg19-64-rgb", "epochs": 1, "channels": "RGB", "settings": {}}
    table = adaptive_table([*results, before, training], "adaptive-sampled")
    assert table["id"] == "adaptive-sampled"
    assert table["columns"] == ["input", "adaptive_vgg19-sampled", "vgg19-64-rgb (p)"]
    assert "Last stage of training: vgg19-64-rgb 1 epoch on RGB. The worst" in table["caption"]


def test_the_expert_table_measures_one_channel_by_what_rgb_gives(results):
    def against_adaptive(name: str, subsets: list[str], accuracy: float) -> dict:
        first = evaluation("vgg19", subsets, accuracy, checkpoint=f"runs/{name}")
        return results[2] | {"first": first}

    assert expert_table(results)["rows"] == []  # neither network was measured
    expert, full = against_adaptive("vgg19-b", ["B"], 0.48), against_adaptive("vgg19-rgb", ["RGB"], 0.6)
    table = expert_table([*results, expert, full])
    assert table["rows"] == [
        ["vgg19-b", "48.0 (45.8–50.2)", "80.0 %"],
        ["adaptive_vgg19", "55.0 (52.8–57.2)", "91.7 %"],
    ]
    assert "the 60.0 % of vgg19-rgb" in table["caption"] and "p-value 0.15" in table["caption"]


def test_a_network_seeing_otherwise_is_compared_with_itself_and_enters_no_other_table(results):
    assert seen_table(results)["rows"] == []
    larger, less = (json.loads(json.dumps(results[2])) for _ in range(2))
    own = larger["second"]["input_size"]
    for compared, seen in ((larger, {"input_size": own + 16}), (less, {"crop_pct": 1.0})):
        compared["first"] = json.loads(json.dumps(compared["second"]))
        compared["second"] |= seen
        compared["second"]["rows"] = [
            row(one["channels"], 0.6 if one["channels"] == "RGB" else 0.57) for one in compared["first"]["rows"]
        ]
    table = seen_table([larger, less, *results])
    assert [line[1] for line in table["rows"]] == [f"{own} px, crop 0.875", f"{own + 16} px, crop 0.875", f"{own} px"]
    assert {line[0] for line in table["rows"]} == {"adaptive_vgg19"}
    assert table["rows"][0][2] == "55.0" and table["rows"][1][2] == table["rows"][2][2] == "60.0 (0.15)"
    assert table["rows"][1][-2] == "95.0 %"
    assert "not corrected for 8 tests" in table["caption"]
    assert accuracy_table([larger, less, *results])["rows"] == accuracy_table(results)["rows"]
    assert adaptive_table([larger, less, *results], "adaptive") == adaptive_table(results, "adaptive")


def test_the_calibration_table_averages_over_subsets_of_a_size(results):
    assert calibration_table(results)["rows"] == []  # measured before confidences were
    measured = json.loads(json.dumps(results[1]))
    for side, values in (("first", (0.4, 0.5, 0.6)), ("second", (0.5, 0.5, 0.5))):
        confidences = dict(zip("RGB", values, strict=True))
        for one in measured[side]["rows"]:
            errors = {"confidence": confidences.get(one["channels"], 0.7), "calibration_error": 0.02}
            one |= errors | {"raw_calibration_error": 0.125, "calibration_temperature": 1.4 - len(one["channels"]) / 5}
    table = calibration_table([measured])
    assert table["rows"][:3] == [
        ["vgg19", "RGB", "0.80", "50.0", "70.0", "2.0", "12.5"],
        ["vgg19", "two channels", "1.00", "50.0", "70.0", "2.0", "12.5"],
        ["vgg19", "one channel", "1.20", "50.0", "50.0", "2.0", "12.5"],
    ]
    assert len(table["rows"]) == 6


def test_the_bands_table_has_a_dash_where_others_cannot_answer():
    bands = {
        "kind": "bands",
        "data": "pictures",
        "split": "test",
        "n": 2000,
        "input_size": 64,
        "adaptive": [row("6 pseudo-bands", 0.5), row("R dead", 0.4)],
        "others": {"vgg19": [row("R dead", 0.3) | {"p_value": 0.001}]},
        "largest_difference_between_orders": 2e-6,
    }
    table = bands_table([bands])
    assert table["rows"] == [
        ["6 pseudo-bands", "50.0 (47.8–52.2)", "–"],
        ["R dead", "40.0 (37.8–42.2)", "30.0 (0.001)"],
    ]
    assert "2e-06" in table["caption"]


@pytest.fixture
def speed():
    times = {"low_ms": 90.0, "median_ms": 100.0, "high_ms": 110.0, "n": 7}
    row = {
        "mode": "training",
        "batch": 32,
        "size": 64,
        "precision": "fp32",
        "over_plain": 1.5,
        "grouped_over_ours": 2.0,
    }
    row |= {"vgg19": times, "dynamic_vgg19": times | {"median_ms": 150.0}, "grouped": times | {"median_ms": 300.0}}
    return {
        "kind": "speed",
        "device": "AMD EPYC, AVX2, AVX-512",
        "tiled": True,
        "threads": 2,
        "torch": "2.14",
        "rows": [row, row | {"size": 32}],
        "read_kernels": times,
        "grouped_default_allocator": times | {"median_ms": 450.0},
        "peak_memory_mib": {"vgg19": {"32": 800.0, "64": 1400.0}, "dynamic_vgg19": {"32": 1700.0, "64": 2200.0}},
    }


def test_speed_shows_times_ratios_and_the_default_allocator(speed):
    table = speed_table([speed], brief=True)
    shown = ["1.50", "2.00", "100 (90–110)", "150 (90–110)", "300 (90–110)"]
    assert table["rows"] == [["AMD AVX-512", "training, batch 32", "64 px", "fp32", *shown]]
    assert table["columns"][4:6] == ["dynamic / plain", "grouped / ours"]
    assert len(speed_table([speed])["rows"]) == 2
    assert "takes 3.0 times as long as ours" in table["caption"]


def test_long_times_have_thousands_separators():
    assert milliseconds({"median_ms": 12345.6, "low_ms": 999.9, "high_ms": 23456.7}) == "12,346 (1,000–23,457)"


def test_machines_stand_below_each_other_those_with_tiles_first(speed):
    other = speed | {"device": "Intel(R) Xeon(R) Processor, AMX", "rows": 2 * speed["rows"], "tiled": False}
    other |= {"grouped_default_allocator": {"median_ms": 300.0}}
    table = speed_table([other, speed])
    assert [row[0] for row in table["rows"]] == ["AMD AVX-512"] * 2 + ["Intel AMX, untiled"] * 4
    assert "takes 3.0 (AMD AVX-512) and 2.0 (Intel AMX, untiled) times as long as ours" in table["caption"]
    assert "without the C program" in table["caption"]
    assert "without the C program" not in speed_table([speed])["caption"]


def test_memory_states_what_parameters_take(speed):
    assert memory_table([speed])["rows"] == [
        ["vgg19", "800", "1,400", "244"],
        ["dynamic_vgg19", "1,700", "2,200", "937"],
    ]


def test_epochs_add_up_over_the_runs_a_checkpoint_came_from():
    def record(epochs, start=None, channels="RGB"):
        return {"epochs": epochs, "settings": {"init_from": start}, "channels": channels}

    trainings = {"base": record(7), "large": record(5, "base")}
    assert training_line(record(2, "large", "sample"), trainings) == (
        "14 epochs in 3 stages, the last 2 from large, random channels"
    )
    assert training_line(record(10), trainings) == "10 epochs"


def test_weights_that_replaced_those_they_started_from_are_counted_once():
    again = {"checkpoint": "vgg19", "model": "vgg19", "epochs": 3, "settings": {"init_from": "vgg19"}}
    later = {"checkpoint": "tuned", "model": "vgg19", "epochs": 2, "settings": {"init_from": "vgg19"}}
    trainings = {"vgg19": again, "tuned": later}
    assert stages_of(again, trainings) == [again]
    assert stages_of(later, trainings) == [again, later]


def test_task2_states_the_ratio_beside_the_studys(results):
    caption = task2_table(results, STUDY)["caption"]
    assert "compact has 90.0 % of ResNet34's accuracy (95 % interval 86.8–93.3, paired bootstrap" in caption
    assert "), 90.2 % in the study (other data)" in caption


def test_task2_on_fewer_channels_shows_the_bundled_pair_and_apart_from_it_the_stages_before(results):
    subsets = [row["channels"] for row in results[0]["first"]["rows"]]
    for suffix, accuracy in ("", 0.7), ("-48-taught", 0.6), ("-48", 0.4):
        first = evaluation("compact", subsets, accuracy, checkpoint=f"compact{suffix}")
        second = evaluation("resnet34", subsets, 0.5, checkpoint=f"resnet34{suffix}")
        results.append({"kind": "comparison", "first": first, "second": second, "paired": results[0]["paired"]})
    training = {"kind": "training", "checkpoint": "compact-48-taught", "epochs": 4, "channels": "sample"}
    bundled = task2_subset_table(results)
    assert bundled["columns"] == ["input", "compact", "resnet34", "p"] and bundled["rows"][0][1].startswith("70.0 (")
    assert "not corrected for 7 tests" in bundled["caption"]
    table = task2_subset_table([*results, training | {"settings": {}}], earlier=True)
    taught, alone = (["compact" + end, "resnet34" + end, "p"] for end in ("-48-taught", "-48"))
    assert table["columns"] == ["input", *taught, *alone]
    compact, resnet34, before = (f"{100 * a:.1f} ({100 * a - 2.2:.1f}–{100 * a + 2.2:.1f})" for a in (0.6, 0.5, 0.4))
    assert table["rows"][0] == ["RGB", compact, resnet34, "0.15", before, resnet34, "0.15"]
    assert [row[0] for row in table["rows"]] == subsets
    assert "not corrected for 14 tests" in table["caption"]
    assert table["caption"].endswith("Last stage of training: compact-48-taught 4 epochs on random channels.")


def test_accuracy_counts_parameters_and_macs(results):
    rows = {row[0]: row for row in accuracy_table(results)["rows"]}
    assert rows["dynamic_vgg19"][3] == "81.89 M"
    assert list(rows) == ["vgg19", "dynamic_vgg19", "adaptive_vgg19", "compact", "resnet34"]


def test_missing_results_make_empty_tables_not_invented_ones():
    for table in make_tables([STUDY]):
        assert table["id"] == "costs" or (table["rows"] == [] and table["caption"] == "not measured yet")


def test_results_of_bundled_weights_that_were_replaced_are_left_out(tmp_path):
    evaluation = {"kind": "evaluation", "checkpoint": "compact"}
    now = checksum(BUNDLED / "compact")
    kept = [evaluation | {"checkpoint": "runs/compact"}, evaluation | {"weights_sha256": now}]
    others = [evaluation, evaluation | {"weights_sha256": "of others"}, [], {"a": 1}]
    for number, result in enumerate([*kept, *others]):
        (tmp_path / f"{number}.json").write_text(json.dumps(result))
    assert read_results(tmp_path) == kept


def test_a_table_of_bands_goes_with_the_weights_it_is_of(tmp_path):
    now = checksum(BUNDLED / "compact")
    for number, theirs in enumerate((now, "of others")):
        result = {"kind": "bands", "weights_sha256": {"compact": theirs}}
        (tmp_path / f"{number}.json").write_text(json.dumps(result))
    assert [result["weights_sha256"]["compact"] for result in read_results(tmp_path)] == [now]


def test_a_result_that_is_not_json_is_named(tmp_path):
    (tmp_path / "half.json").write_text('{"kind":')
    with pytest.raises(ValueError, match=r"half\.json is not JSON"):
        read_results(tmp_path)


def test_a_marker_without_an_end_is_named():
    with pytest.raises(ValueError, match="<!-- table:a --> has no <!-- end --> after it"):
        fill_markers("<!-- table:a -->", [{"id": "a", "columns": ["x"], "rows": [], "caption": ""}])


def test_a_marker_of_no_table_is_named():
    with pytest.raises(ValueError, match="there is no table acuracy; known are accuracy"):
        fill_markers("<!-- table:acuracy -->\n<!-- end -->", [{"id": "accuracy"}])


def test_markers_are_filled_and_stay():
    table = {"id": "x", "columns": ["a", "b"], "rows": [[1, 2]], "caption": "c"}
    text = "before\n<!-- table:x -->\nold\n<!-- end -->\nafter"
    filled = fill_markers(text, [table])
    assert "old" not in filled
    assert markdown(table) in filled
    assert fill_markers(filled, [table]) == filled


def test_costs_are_the_studys():
    figures = {row[0]: row[1:] for row in cost_table()["rows"]}
    assert figures["dynamic_vgg19"] == ["81,885,642", "25,672,863,320"]
    assert figures["compact (as the study counted)"] == ["447,490", "7,319,591,296"]


def test_ablations_are_read_beside_the_other_results(tmp_path, ablations):
    (tmp_path / "ablations").mkdir()
    for path in ("summary.json", "study.json", "ablations/kernels-3-seed0.json"):
        (tmp_path / path).write_text(json.dumps(STUDY if "study" in path else ablations[3]))
    assert read_results(tmp_path) == [STUDY, ablations[3]]


def test_without_ablations_their_tables_are_empty_and_figures_left_out(tmp_path):
    tables = {table["id"]: table for table in make_tables([STUDY])}
    for name in ABLATIONS:
        assert tables[f"ablation-{name}"]["rows"] == []
        assert tables[f"ablation-{name}"]["caption"] == "not measured yet"
    assert ablations_figure([STUDY], tmp_path / "a.png") is None
    assert cost_figure([STUDY], tmp_path / "b.png") is None
    assert not list(tmp_path.iterdir())


def test_figures_are_drawn_on_white_and_described(results, ablations, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    training = {
        "kind": "training",
        "checkpoint": "vgg19",
        "model": "vgg19",
        "epochs": 1,
        "settings": {},
        "channels": "RGB",
    }
    results.append(training | {"rows": [{"epoch": 1, "val_accuracy": 0.3}]})
    figures_and_words = {
        ablations_figure: "kernels, blocks",
        cost_figure: "vgg19, dynamic_vgg19, adaptive_vgg19, compact",
        subset_figure: "by channel subset",
        curves_figure: "by epoch",
    }
    for draw, words in figures_and_words.items():
        entry = draw(results + ablations, tmp_path / "figures" / "x.png")
        assert entry["path"] == "figures/x.png" and words in entry["alt"] and entry["caption"].endswith(".")
        picture = imread(tmp_path / entry["path"])
        assert picture.shape[1] == 960 and (picture[0] == 1).all()  # readable on dark pages, too


def test_costs_are_drawn_with_each_networks_interval_and_name(results, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "finish", lambda axes, *_: drawn.append(axes))
    cost_figure(results, tmp_path / "x.png")
    (axes,) = drawn
    assert axes.get_xscale() == "log" and len(axes.containers) == 5
    assert set(axes.get_legend_handles_labels()[1]) == {
        f"{name}, {input_text(size_of(name))}" for name in figures.COLORS
    }


def test_every_table_and_figure_of_the_app_is_in_one_section():
    tables = {table["id"] for table in make_tables([STUDY])} - {"speed"}  # a part of speed-all
    drawn = {path.stem for path in (RESULTS / "figures").glob("*.png")}
    placed = [name for names in SECTIONS.values() for name in names]
    assert sorted(placed) == sorted(tables | drawn)


@pytest.mark.parametrize(
    ("p_value", "text"), [(1.0, "1"), (0.0191, "0.019"), (0.0001, "0.0001"), (9.9e-5, "<0.0001"), (0.0, "<0.0001")]
)
def test_a_tiny_p_value_is_a_bound(p_value, text):
    assert p_text(p_value) == text
