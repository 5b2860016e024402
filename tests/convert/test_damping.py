"""How strongly fitted weights are held to the dense ones: chosen on samples that the fit has not seen."""

from __future__ import annotations

import numpy as np
import pytest

from pocketgraph.convert.prune.damping import LADDER, MODERATE, choose_damping
from pocketgraph.convert.prune.moments import Moments
from pocketgraph.convert.prune.obc import reconstruct

ROWS, COLUMNS = 24, 60


def layer() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(ROWS, COLUMNS)), rng.random((ROWS, COLUMNS)) < 0.5


MIX = np.random.default_rng(5).normal(size=(20, COLUMNS)) / 4


def inputs(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Correlated, so that what stays can make up for what goes."""
    common, own = rng.normal(size=(samples, len(MIX))), rng.normal(size=(samples, COLUMNS))
    return (common @ MIX + 0.3 * own).astype(np.float32)


def halves(weights: np.ndarray, samples: int) -> list[Moments]:
    """Outputs of the dense weights with noise of their own size on top."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(2):
        x = inputs(samples, rng)
        y = x @ weights.T
        moments = Moments(COLUMNS, ROWS)
        moments.add(x, (y + rng.normal(size=y.shape) * y.std()).astype(np.float32))
        found.append(moments)
    return found


def test_many_samples_are_trusted_few_are_not() -> None:
    weights, mask = layer()
    assert choose_damping(weights, mask, halves(weights, 20_000)) <= 0.03
    assert choose_damping(weights, mask, halves(weights, 70)) >= 0.3
    chosen = [choose_damping(weights, mask, halves(weights, n)) for n in (70, 300, 2000, 20_000)]
    assert chosen == sorted(chosen, reverse=True)


def test_the_choice_is_close_to_the_best_on_fresh_samples() -> None:
    weights, mask = layer()
    both = halves(weights, 90)
    chosen = choose_damping(weights, mask, both)
    fresh = inputs(20_000, np.random.default_rng(2))
    errors = []
    for damping in LADDER:
        fitted = reconstruct(weights, mask, both[0].hessian, both[0].cross, damping)
        errors.append(np.square(fresh @ (fitted - weights).T).sum())
    assert errors[LADDER.index(chosen)] < 1.1 * min(errors)
    assert max(errors) > 1.3 * min(errors)


def test_without_samples_to_judge_by_it_is_moderate() -> None:
    weights, mask = layer()
    assert choose_damping(weights, mask, [halves(weights, 50)[0], Moments(COLUMNS, ROWS)]) == MODERATE
    assert pytest.approx(0.1) == MODERATE


def test_merged_moments_are_those_of_all_samples() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(50, 4)).astype(np.float32), rng.normal(size=(50, 3)).astype(np.float32)
    whole, first, second = (Moments(4, 3) for _ in range(3))
    whole.add(x, y)
    first.add(x[:20], y[:20])
    second.add(x[20:], y[20:])
    first.merge(second)
    for name in ("mean_x", "mean_y", "hessian", "cross", "variance_y"):
        np.testing.assert_allclose(getattr(first, name), getattr(whole, name), rtol=1e-5, atol=1e-6)
    assert first.count == whole.count


def test_the_covariance_of_what_hardly_varies_survives_a_large_mean() -> None:
    """Within 1 % at a deviation of a ten-thousandth of the mean; constant inputs give no variance at all."""
    rng = np.random.default_rng(4)
    x = (1000 + 0.1 * rng.normal(size=(4000, 3))).astype(np.float32)
    moments = Moments(3)
    for part in np.array_split(x, 7):
        moments.add(part)
    np.testing.assert_allclose(np.diagonal(moments.hessian), x.astype(np.float64).var(axis=0), rtol=1e-2)
    still = Moments(3)
    still.add(np.full((500, 3), 123.456, np.float32))
    assert np.abs(still.hessian).max() < 1e-9
