"""Paired bootstrap of the ratio of two accuracies on the same pictures.

Each picture falls into one of four cells: both networks are right, only the first, only the second,
neither. Drawing pictures with replacement is drawing these four counts from a multinomial, so the
table is all that is needed and nothing is approximated but by the number of draws. The interval is
the percentile one (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13).
"""

from dataclasses import dataclass

import numpy as np

from models import CHANNELS
from train.findings import row_of


@dataclass(frozen=True)
class PairedCounts:
    """How many pictures both, only the first, only the second and neither of two networks get right."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def ratio(self) -> float:
        """The first's accuracy divided by the second's."""
        return (self.both + self.only_first) / (self.both + self.only_second)


def paired_counts(compared: dict) -> PairedCounts:
    """The table on RGB of a comparison that ``train.evaluate`` wrote; ``ValueError`` if its counts contradict each
    other."""
    first, second = (row_of(compared[side]["rows"], CHANNELS)["correct"] for side in ("first", "second"))
    paired = row_of(compared["paired"], CHANNELS)
    only_first, only_second = paired["only_first"], paired["only_second"]
    both = first - only_first
    counts = PairedCounts(both, only_first, only_second, compared["first"]["n"] - both - only_first - only_second)
    if both != second - only_second or min(both, counts.neither) < 0:
        raise ValueError(
            f"the comparison contradicts itself on {CHANNELS}: {first} and {second} correct, "
            f"{only_first} and {only_second} by one alone; run train.evaluate again"
        )
    return counts


def ratio_interval(counts: PairedCounts, *, draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of ``counts.ratio``. ``ValueError`` if the second network gets nothing right."""
    cells = np.array([counts.both, counts.only_first, counts.only_second, counts.neither])
    if not counts.both + counts.only_second:
        raise ValueError("the second network gets no picture right; there is no ratio to it")
    drawn = np.random.default_rng(seed).multinomial(cells.sum(), cells / cells.sum(), size=draws)  # (draws, 4)
    first, second = drawn[:, 0] + drawn[:, 1], drawn[:, 0] + drawn[:, 2]
    ratios = first / np.maximum(second, 1)  # a draw without any success of the second is all but impossible
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)
