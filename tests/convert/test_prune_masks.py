"""Masks, patterns, distributions and the pruning configuration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketgraph.convert.prune.config import PruneConfig
from pocketgraph.convert.prune.distribution import cheapest, erk, global_counts, uniform
from pocketgraph.convert.prune.magnitude import magnitude_keys
from pocketgraph.convert.prune.masks import block_fill, block_sizes, block_sum, expand, mask_from_keys
from pocketgraph.models.errors import UsageError


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), float("inf"), "0.5"])
def test_a_sparsity_outside_its_range_is_refused_with_the_value(value: float) -> None:
    with pytest.raises(UsageError, match=str(value)):
        PruneConfig(value)
    with pytest.raises(UsageError, match=r"'head'.*0 .*1"):
        PruneConfig(0.5, {"head": value})


@pytest.mark.parametrize("option", [{"distribution": "even"}, {"pattern": "3x1"}, {"method": "random"}])
def test_an_unknown_choice_names_the_choices(option: dict) -> None:
    with pytest.raises(UsageError, match=r"choose one of \w+, "):
        PruneConfig(0.5, **option)
    with pytest.raises(UsageError, match="1x1, 2x1, 4x1, 8x1"):
        PruneConfig(0.5, pattern="1x8")


def test_only_magnitude_without_reestimation_needs_no_calibration() -> None:
    assert PruneConfig().needs_calibration
    assert PruneConfig(method="magnitude").needs_calibration
    assert not PruneConfig(method="magnitude", reestimate=False).needs_calibration


def test_the_pattern_says_how_many_rows_share_a_mask() -> None:
    assert [PruneConfig(pattern=p).block for p in ("1x1", "2x1", "4x1", "8x1")] == [1, 2, 4, 8]


def test_magnitude_removes_the_smallest_weights() -> None:
    weights = np.array([[0.5, -0.1, 2.0], [-3.0, 0.2, 0.05]])
    mask = mask_from_keys(magnitude_keys(weights), 2, 1, 3)
    assert mask.tolist() == [[True, False, True], [True, False, False]]


def test_equal_weights_go_in_order_of_position() -> None:
    mask = mask_from_keys(np.ones((2, 3)), 2, 1, 4)
    assert mask.tolist() == [[False, False, False], [False, True, True]]


def test_blocks_share_a_mask_and_the_last_may_be_smaller() -> None:
    assert block_sizes(10, 4).tolist() == [4, 4, 2]
    assert block_sum(np.ones((10, 1)), 4).ravel().tolist() == [4, 4, 2]
    kept = np.array([[True], [False], [True]])
    assert expand(kept, 10, 4).ravel().tolist() == [True] * 4 + [False] * 4 + [True] * 2


@pytest.mark.parametrize("block", [1, 2, 4, 8])
@pytest.mark.parametrize("rows", [1, 7, 16, 30])
def test_the_number_of_zeros_is_met_within_half_a_block(rows: int, block: int) -> None:
    keys = np.random.default_rng(rows).random((len(block_sizes(rows, block)), 50))
    for zeros in (0, rows * 25, rows * 50):
        assert abs(int((~mask_from_keys(keys, rows, block, zeros)).sum()) - zeros) <= block / 2


def test_block_fill_counts_kept_weights_in_blocks_that_keep_any() -> None:
    mask = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 1], [1, 0, 0]], bool)
    assert block_fill(mask, 1) == 1.0
    assert block_fill(mask, 2) == pytest.approx(5 / 8)
    assert block_fill(np.zeros((4, 3), bool), 2) == 1.0


SHAPES = [(16, 1, 1, 8), (64, 1, 1, 64), (128, 1, 1, 64), (10, 256), (512, 512)]


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("share", [uniform, erk])
def test_the_layers_together_lose_what_was_asked_for(share, sparsity: float) -> None:
    sizes = np.array([np.prod(s) for s in SHAPES])
    found = np.array(share(SHAPES, sparsity))
    assert ((found >= 0) & (found <= 1)).all()
    assert (found * sizes).sum() / sizes.sum() == pytest.approx(sparsity, abs=1e-9)


def test_erk_leaves_small_layers_dense_and_solves_again() -> None:
    """By hand: eps gives the 2x2 layer a density above 1; the 100x100 layer then takes all of the sparsity."""
    small, large = erk([(2, 2), (100, 100)], 0.5)
    assert small == 0
    assert large == pytest.approx(1 - (0.5 * 10004 - 4) / 10000)


def test_erk_density_goes_with_the_sum_of_the_dimensions_over_their_product() -> None:
    a, b = erk([(64, 64), (256, 1, 1, 256)], 0.9)
    assert (1 - a) / (1 - b) == pytest.approx((128 / 64**2) / (512 / 256**2))


def test_global_removal_takes_the_cheapest_anywhere() -> None:
    keys = [np.array([[1.0, 9.0]]), np.array([[2.0, 3.0], [8.0, 7.0]])]
    ones = [np.ones_like(k) for k in keys]
    assert global_counts(keys, ones, 3) == [1, 2]
    assert global_counts(keys, [ones[0] * 4, ones[1]], 5) == [4, 1]
    assert global_counts(keys, ones, 0) == [0, 0]
    assert global_counts(keys, ones, 6) == [2, 4]


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.95))  # beyond, steps of half a point are coarse
def test_the_cheapest_shares_meet_the_budget_and_none_of_equal_budget_is_cheaper(seed: int, sparsity: float) -> None:
    """Errors that are powers of the odds, as assumed between levels; random transfers between two layers cost more."""
    rng = np.random.default_rng(seed)
    levels = np.array([0.35, 0.55, 0.75, 0.9])
    scale, power, sizes = rng.uniform(1e-3, 1, 4), rng.uniform(1.1, 2, 4), rng.integers(100, 10_000, 4)

    def error(shares):
        return float((scale * (shares / (1 - shares)) ** power).sum())

    errors = [s * (levels / (1 - levels)) ** p for s, p in zip(scale, power, strict=True)]
    found = np.array(cheapest(levels, errors, [int(n) for n in sizes], sparsity))
    assert (found @ sizes) / sizes.sum() == pytest.approx(sparsity, abs=1e-6)
    assert ((found >= 0) & (found <= 0.99)).all()
    for _ in range(20):
        a, b = rng.choice(4, 2, replace=False)
        moved = found.copy()
        amount = min(0.02, 0.99 - moved[a], moved[b] * sizes[b] / sizes[a])
        moved[a] += amount
        moved[b] -= amount * sizes[a] / sizes[b]
        assert error(np.maximum(moved, 0)) >= 0.995 * error(found) - 1e-3 * scale.max()


def test_equal_layers_share_alike_and_a_layer_that_costs_nothing_goes_first() -> None:
    curve = np.array([0.01, 0.04, 0.2, 0.8])
    assert cheapest((0.35, 0.55, 0.75, 0.9), [curve, curve], [50, 50], 0.6) == pytest.approx([0.6, 0.6], abs=0.01)
    shares = cheapest((0.35, 0.55, 0.75, 0.9), [curve, 1e-6 * curve], [50, 50], 0.4)
    assert shares[1] > 0.75
    assert sum(shares) == pytest.approx(0.8)
