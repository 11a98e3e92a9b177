"""Tables of the ablations are made from their records alone."""

import pytest

from tests.train.records import STUDY, ablation
from train.ablate import subsets_of
from train.ablation_tables import ablation_table, difference_table
from train.landsat import BANDS


def test_an_ablation_shows_mean_deviation_entropy_and_the_study(ablations):
    table = ablation_table(ablations, STUDY, "kernels")
    assert table["id"] == "ablation-kernels"
    assert table["columns"] == ["kernels", "seeds", "validation accuracy", "attention entropy", "study"]
    assert table["rows"] == [["3", "3", "41.0 ± 1.0", "0.910", "56.3"], ["4", "3", "41.0 ± 1.0", "0.910", "56.4"]]


def test_an_ablation_states_its_conditions(ablations):
    caption = ablation_table(ablations, STUDY, "kernels")["caption"]
    for words in (
        "pictures, val, n = 2,000; 23,998 training pictures, 2 epochs at 32 px, each started from vgg19",
        "sample standard deviation over seeds (0, 1, 2)",
        "its validation accuracy on other data: other data",
    ):
        assert words in caption


def test_networks_without_routers_have_no_entropy_and_one_seed_no_deviation(ablations):
    table = ablation_table(ablations, STUDY, "blocks")
    assert table["columns"] == ["blocks", "seeds", "validation accuracy"]
    assert table["rows"] == [["none", "1", "25.0"], ["both", "1", "30.0"]]  # in the order of the study
    assert "from scratch" in table["caption"]


def test_plain_and_dynamic_convolution_stand_side_by_side_with_fewer_channels():
    subsets = {"RGB": 0.4, "RG": 0.3, "RB": 0.2, "GB": 0.1, "R": 0.1, "G": 0.2, "B": 0.3}
    settings = {"image_size": "32", "init_from": None, "width": 0.25, "channels": "RGB", "fill": "aligned"}
    records = []
    for seed in (0, 1):
        shared = {"name": "convolutions", "settings": settings, "val_accuracy_by_channels": subsets}
        plain = ablation("vgg19", seed, 0.4, model="vgg19", **shared)
        del plain["attention_entropy"]
        records += [plain, ablation("dynamic_vgg19", seed, 0.5 + seed / 10, val_accuracy_even=0.3, **shared)]
    table = ablation_table(records, STUDY, "convolutions")
    assert table["columns"][2:] == [
        "validation accuracy", "two channels", "one channel", "attention entropy", "even weights"
    ]  # fmt: skip
    assert table["rows"] == [
        ["vgg19", "2", "40.0 ± 0.0", "20.0 ± 0.0", "20.0 ± 0.0", "–", "–"],
        ["dynamic_vgg19", "2", "55.0 ± 7.1", "20.0 ± 0.0", "20.0 ± 0.0", "0.905", "30.0 ± 0.0"],
    ]
    assert difference_table(records)["rows"] == [
        ["convolutions", "dynamic_vgg19", "vgg19", "2", "15.0 (-48.5 to 78.5)", "0.0 (0.0 to 0.0)", "0.0 (0.0 to 0.0)"],
        ["convolutions", "dynamic_vgg19", "even weights", "2", "25.0 (-38.5 to 88.5)", "–", "–"],
    ]  # t of one degree of freedom at 0.975 is 12.706, the standard error 5 points
    assert difference_table(records[:3])["rows"] == []  # different seeds
    for words in (
        "vgg19 and dynamic_vgg19 of 0.25 times the width, plain convolution, dynamic with its temperature annealed",
        "2 epochs at 32 px, from scratch",
        "Trained on RGB; two channels and one: mean over the three subsets, missing ones filled (aligned).",
        "1/K for every kernel in place of the attention",
    ):
        assert words in table["caption"]


def test_the_adaptive_network_stands_beside_those_that_fill_with_more_bands_than_they_take():
    subsets = dict.fromkeys(["RGB", "RG", "RB", "GB", "R", "G", "B"], 0.3)
    bands = {f"{count} pseudo-band{'s' if count > 1 else ''}": count / 10 for count in range(1, 7)}
    settings = {"image_size": "32", "init_from": None, "width": 0.25, "channels": "sample", "fill": "aligned"}
    records = [
        ablation(
            model, 0, 0.4, name="channels", model=model, settings=settings, val_accuracy_by_channels=subsets, **more
        )
        for model, more in {"vgg19": {}, "adaptive_vgg19": {"val_accuracy_by_pseudo_bands": bands}}.items()
    ]
    for record in records:
        del record["attention_entropy"]
    table = ablation_table(records, STUDY, "channels")
    assert table["columns"][-1] == "4 to 6 pseudo-bands"
    assert table["rows"] == [
        ["vgg19", "1", "40.0", "30.0", "30.0", "–"],
        ["adaptive_vgg19", "1", "40.0", "30.0", "30.0", "50.0"],
    ]
    assert "Trained on one, two or three random channels" in table["caption"]
    assert "filled (aligned), for adaptive_vgg19 left out" in table["caption"]
    assert difference_table(records)["rows"] == []  # one seed has no interval


def test_a_variant_of_a_variant_is_compared_with_that_too():
    names = ("vgg19", "dynamic_vgg19", "dynamic_vgg19-fixed")
    records = [
        ablation(name, seed, 0.4 + number / 10, name="convolutions", model=name.partition("-")[0])
        for number, name in enumerate(names)
        for seed in (0, 1)
    ]
    rows = difference_table(records)["rows"]
    assert [row[1:3] for row in rows] == [[names[1], names[0]], [names[2], names[0]], [names[2], names[1]]]
    assert [row[4].split(" ")[0] for row in rows] == ["10.0", "20.0", "10.0"]


def test_a_variant_that_combines_two_is_compared_with_both():
    names = (
        "vgg19",
        "adaptive_vgg19",
        "adaptive_vgg19-real",
        "adaptive_vgg19-plain_norm",
        "adaptive_vgg19-real-plain_norm",
    )
    records = [ablation(name, seed, 0.4, name="channels", model=name) for name in names for seed in (0, 1)]
    pairs = [tuple(row[1:3]) for row in difference_table(records)["rows"]]
    against = {name: tuple(other for variant, other in pairs if variant == name) for name in names}
    assert against["adaptive_vgg19-real-plain_norm"] == names[:4]
    assert against["adaptive_vgg19-real"] == against["adaptive_vgg19-plain_norm"] == names[:2]


def test_rivals_are_compared_too():
    names = ("vgg19", "vgg19-mixed", "adaptive_vgg19")
    records = [ablation(name, seed, 0.4, name="channels", model=name) for name in names for seed in (0, 1)]
    pairs = [row[1:3] for row in difference_table(records)["rows"]]
    assert pairs == [["vgg19-mixed", "vgg19"], ["adaptive_vgg19", "vgg19"], ["adaptive_vgg19", "vgg19-mixed"]]


def test_seeds_measured_in_part_are_not_mixed(ablations):
    older, younger = ablations[0], ablations[1] | {"val_accuracy_even": 0.3}
    assert "even weights" in ablation_table([younger], STUDY, "kernels")["columns"]
    assert "even weights" not in ablation_table([older, younger], STUDY, "kernels")["columns"]


def test_a_schedule_of_sizes_is_stated_as_it_is(ablations):
    scheduled = [record | {"settings": record["settings"] | {"image_size": "32:1,48:1"}} for record in ablations]
    assert "2 epochs (32:1,48:1 px)" in ablation_table(scheduled, STUDY, "kernels")["caption"]


def test_a_difference_is_over_the_seeds_that_both_have():
    records = [ablation("vgg19", seed, 0.3, name="channels") for seed in (0, 1, 2)]
    records += [ablation("adaptive_vgg19", seed, 0.3 + seed / 10, name="channels") for seed in (1, 2, 5)]
    (row,) = difference_table(records)["rows"]
    assert row[:5] == ["channels", "adaptive_vgg19", "vgg19", "2", "15.0 (-48.5 to 78.5)"]  # of 10 and 20 points


@pytest.fixture
def landsat() -> list[dict]:
    """Networks for random bands of both kinds with two seeds, one for all with one, and one for red alone with one."""
    subsets = subsets_of(BANDS)
    settings = {"image_size": "32", "init_from": None, "width": 0.25, "bands": BANDS}

    def record(variant: str, seed: int, accuracy: float) -> dict:
        on = dict.fromkeys(subsets, accuracy) | {"0.65": accuracy - 0.15}
        shared = {"name": "landsat", "model": "adaptive_vgg19", "settings": settings | {"channels": variant}}
        return ablation(variant, seed, accuracy, **shared, val_accuracy_by_channels=on)

    return [
        *[record("sample", seed, 0.8 + seed / 100) for seed in (0, 1)],
        *[record("sample-own_kernels", seed, 0.85 + seed / 50) for seed in (0, 1)],
        *[record("sample-long", seed, 0.82 + seed / 100) | {"epochs": 4} for seed in (0, 1)],
        record(subsets[0], 0, 0.9),
        record("0.65", 0, 0.95),
    ]


def test_networks_for_random_bands_stand_beside_one_for_all_and_experts(landsat):
    table = ablation_table(landsat, STUDY, "landsat")
    rows = {row[0]: row[1:] for row in table["rows"]}
    assert (
        len(rows) == 16 and list(rows)[:2] == ["all bands", "no 0.95"] and list(rows)[-2:] == ["0.95", "mean of the 15"]
    )
    difference = "5.5 (-0.9 to 11.9)"  # of 5 and 6 points
    longer = "2.0 (2.0 to 2.0)"
    assert rows["all bands"] == ["80.5 ± 0.7", "82.5 ± 0.7", "86.0 ± 1.4", "90.0", "90.0", longer, difference]
    assert rows["0.65"] == ["65.5 ± 0.7", "67.5 ± 0.7", "71.0 ± 1.4", "75.0", "80.0", longer, difference]
    assert rows["0.55+0.65"] == ["80.5 ± 0.7", "82.5 ± 0.7", "86.0 ± 1.4", "90.0", "–", longer, difference]
    assert rows["mean of the 15"] == ["79.5 ± 0.7", "81.5 ± 0.7", "85.0 ± 1.4", "89.0", "–", longer, difference]
    for words in (
        "adaptive_vgg19 of 0.25 times the width; pictures, val",
        "2 epochs at 32 px, from scratch",
        "longer: for 4 epochs at 32 px; expert: one for its row",
        "Seeds: random bands 2, longer 2, own kernels 2, all bands and experts 1.",
    ):
        assert words in table["caption"]


def test_a_sensors_variants_are_not_compared_across_inputs(landsat):
    assert difference_table(landsat)["rows"] == []
    assert ablation_table(landsat[2:], STUDY, "landsat")["rows"] == []  # nothing to compare with
