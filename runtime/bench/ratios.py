"""How fast one thing is next to another: ratios of medians with a bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]
_DRAWS = 2000


@dataclass(frozen=True)
class Spread:
    """Median and the 10th and 90th percentile of times, in milliseconds."""

    median: float
    p10: float
    p90: float


def spread(milliseconds: Sequence[float]) -> Spread:
    """The median and the band that holds the middle 80 % of `milliseconds` (at least one)."""
    p10, median, p90 = np.percentile(milliseconds, [10, 50, 90])
    return Spread(float(median), float(p10), float(p90))


def ratio(baseline: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """Median of `baseline` over median of `other`, and its 95 % interval (bootstrap over rounds, 2000 draws).

    The two took turns: entry i of both is from round i, and a draw takes the same rounds of both, so that what slowed
    down a whole round cancels. Over 1 means that `other` is faster.
    """
    first, second = np.array(baseline), np.array(other)
    draws = np.random.default_rng(0).integers(0, len(first), (_DRAWS, len(first)))
    return _interval(first, second, draws, draws)


def change(before: Sequence[float], after: Sequence[float]) -> tuple[float, float, float]:
    """`ratio` for times of two runs that knew nothing of each other: rounds are drawn from each on its own."""
    first, second = np.array(before), np.array(after)
    random = np.random.default_rng(0)
    return _interval(
        first,
        second,
        random.integers(0, len(first), (_DRAWS, len(first))),
        random.integers(0, len(second), (_DRAWS, len(second))),
    )


def _interval(first: _Array, second: _Array, left: _Array, right: _Array) -> tuple[float, float, float]:
    drawn = np.median(first[left], axis=1) / np.median(second[right], axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(np.median(first) / np.median(second)), float(low), float(high)
