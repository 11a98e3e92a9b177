"""The paired bootstrap covers what it should and counts pictures as the comparison did."""

import numpy as np
import pytest

from train.bootstrap import PairedCounts, paired_counts, ratio_interval


def comparison(correct: tuple[int, int], only: tuple[int, int], n: int = 100) -> dict:
    first, second = ({"n": n, "rows": [{"channels": "RGB", "correct": count}]} for count in correct)
    paired = [{"channels": "RGB", "only_first": only[0], "only_second": only[1]}]
    return {"first": first, "second": second, "paired": paired}


def test_the_table_is_rebuilt_from_the_comparison():
    counts = paired_counts(comparison((40, 50), (10, 20)))
    assert counts == PairedCounts(both=30, only_first=10, only_second=20, neither=40)
    assert counts.ratio == 0.8


@pytest.mark.parametrize(("correct", "only"), [((40, 50), (10, 10)), ((5, 10), (10, 15)), ((90, 90), (15, 15))])
def test_counts_that_contradict_each_other_are_refused(correct, only):
    with pytest.raises(ValueError, match="contradicts itself on RGB"):
        paired_counts(comparison(correct, only))


def test_95_of_100_intervals_hold_the_true_ratio():
    cells = np.array([0.3, 0.1, 0.2, 0.4])  # a true ratio of 0.8
    samples = np.random.default_rng(1).multinomial(500, cells, size=1000)
    intervals = [ratio_interval(PairedCounts(*sample), draws=1000, seed=seed) for seed, sample in enumerate(samples)]
    covered = np.mean([low <= 0.8 <= high for low, high in intervals])
    assert 0.93 < covered < 0.97  # ± 3 standard errors of 1,000 samples


def test_the_interval_agrees_with_the_delta_method():
    counts = PairedCounts(651, 139, 294, 916)
    first, second = 790, 945
    half = 1.96 * ((counts.only_first + counts.only_second) / (first * second)) ** 0.5  # of the logarithm
    low, high = ratio_interval(counts)
    assert low == pytest.approx(counts.ratio * np.exp(-half), abs=0.003)
    assert high == pytest.approx(counts.ratio * np.exp(half), abs=0.003)


def test_pairing_narrows_the_interval():
    low, high = ratio_interval(PairedCounts(40, 0, 10, 50))
    apart = ratio_interval(PairedCounts(20, 20, 30, 30))  # the same accuracies, independent pictures
    assert high - low < (apart[1] - apart[0]) / 2 and high <= 1


def test_equal_networks_have_ratio_one_for_sure():
    assert ratio_interval(PairedCounts(40, 0, 0, 60)) == (1, 1)


def test_the_interval_repeats():
    counts = PairedCounts(30, 10, 20, 40)
    assert ratio_interval(counts) == ratio_interval(counts) != ratio_interval(counts, seed=1)


def test_without_any_success_of_the_second_there_is_no_ratio():
    with pytest.raises(ValueError, match="the second network gets no picture right"):
        ratio_interval(PairedCounts(0, 5, 0, 95))
