"""Tables are made from results alone."""

import pytest

from train.report import accuracy_table, cost_table, fill_markers, markdown, subset_table, task2_table

ROW = {"accuracy": 0.5, "precision": 0.4, "recall": 0.5, "f1": 0.45, "ci_low": 0.478, "ci_high": 0.522, "correct": 1000}
STUDY = {
    "data": "other data",
    "task1": {name: {"RGB": [0.3] * 4} for name in ("vgg19", "dynamic_vgg19")},
    "task2": {name: {"RGB": [value] * 4} for name, value in (("compact", 0.4311), ("resnet34", 0.4778))},
}


def evaluation(model: str, subsets: list[str], accuracy: float = 0.5) -> dict:
    return {
        "kind": "evaluation",
        "model": model,
        "split": "test",
        "data": "pictures",
        "n": 2000,
        "fill": "aligned",
        "input_size": 32,
        "trained_on": "RGB",
        "rows": [ROW | {"channels": channels, "accuracy": accuracy} for channels in subsets],
    }


@pytest.fixture
def results():
    subsets = ["RGB", "RG", "RB", "GB", "R", "G", "B"]
    paired = [{"channels": channels, "only_first": 3, "only_second": 9, "p_value": 0.146} for channels in subsets]
    first, second = evaluation("vgg19", subsets), evaluation("dynamic_vgg19", subsets, 0.6)
    task2 = {"first": evaluation("compact", ["RGB"], 0.45), "second": evaluation("resnet34", ["RGB"], 0.5)}
    return [
        {"kind": "comparison", "first": first, "second": second, "paired": paired},
        {"kind": "comparison", **task2, "paired": []},
    ]


def test_subset_rows_show_interval_p_and_the_study(results):
    table = subset_table(results, STUDY, "aligned")
    assert table["rows"][0] == ["RGB", "50.0 (47.8–52.2)", "60.0 (47.8–52.2)", "0.15", "30.0", "30.0"]
    assert table["rows"][1][-1] == "–"  # the study has no such row here
    assert "n = 2,000" in table["caption"]
    assert "other data" in table["caption"]


def test_task2_states_the_ratio_beside_the_studys(results):
    assert "compact has 90.0 % of ResNet34's accuracy, 90.2 % in the study" in task2_table(results, STUDY)["caption"]


def test_accuracy_counts_parameters_and_macs(results):
    rows = {row[0]: row for row in accuracy_table(results)["rows"]}
    assert rows["dynamic_vgg19"][3] == "81.89 M"
    assert set(rows) == {"vgg19", "dynamic_vgg19", "compact", "resnet34"}


def test_missing_results_make_empty_tables_not_invented_ones():
    assert subset_table([], STUDY, "aligned")["rows"] == []
    assert accuracy_table([])["rows"] == []


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
