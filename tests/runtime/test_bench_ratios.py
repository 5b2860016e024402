"""Ratios and their intervals, by numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pocketgraph.runtime.bench.ratios import change, ratio, spread


def test_the_spread_is_median_and_middle_80_percent() -> None:
    found = spread([*range(1, 12)])
    assert (found.median, found.p10, found.p90) == (6.0, 2.0, 10.0)


def test_the_ratio_is_of_medians_and_lies_in_its_interval() -> None:
    times, low, high = ratio([20, 21, 20, 100, 19], [10, 10, 11, 10, 9])
    assert times == 2
    assert low <= times <= high


def test_the_same_times_have_the_ratio_one_and_no_width() -> None:
    assert ratio([3, 9, 4, 7], [3, 9, 4, 7]) == (1, 1, 1)


def test_what_slows_whole_rounds_cancels_where_rounds_are_paired() -> None:
    slow = np.array([1, 1, 5, 1, 5, 1, 1, 5, 5, 1, 5])
    assert ratio(2.0 * slow, slow) == (2, 2, 2)
    _, low, high = change(2.0 * slow, slow)
    assert low < 1
    assert high > 2


def test_the_interval_covers_the_truth_about_95_times_in_100() -> None:
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        _, low, high = change(random.normal(30, 3, 40), random.normal(20, 2, 40))
        hits += low <= 1.5 <= high
    assert 180 <= hits <= 200


def test_change_takes_results_of_different_lengths() -> None:
    times, low, high = change([10.0] * 5, [5.0] * 9)
    assert (times, low, high) == (2, 2, 2)


@pytest.mark.parametrize("function", [ratio, change])
def test_it_is_the_same_every_time(function) -> None:
    random = np.random.default_rng(2)
    first, second = random.random(30) + 1, random.random(30) + 1
    assert function(first, second) == function(first, second)
