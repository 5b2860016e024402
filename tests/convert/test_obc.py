"""Optimal Brain Compression on matrices small enough to check against the textbook."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pocketgraph.convert.prune.masks import block_sum, mask_from_keys
from pocketgraph.convert.prune.obc import damped, eliminate, reconstruct, removal_keys


def correlated(inputs: int, samples: int, seed: int = 0) -> np.ndarray:
    """Inputs `[samples, inputs]` of unequal variance, each also present in another."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, inputs)) * np.exp(rng.normal(size=inputs))
    return x + 0.5 * x[:, rng.permutation(inputs)]


def textbook(weights: np.ndarray, hessian: np.ndarray) -> tuple[list[int], list[float]]:
    """ExactOBS as the paper writes it: one weight at a time, the whole inverse updated."""
    w, inverse = weights.copy(), np.linalg.inv(hessian)
    alive = list(range(len(w)))
    order, loss = [], []
    while alive:
        q = min(alive, key=lambda i: w[i] ** 2 / inverse[i, i])
        order.append(q)
        loss.append(w[q] ** 2 / inverse[q, q])
        w -= w[q] / inverse[q, q] * inverse[:, q]
        inverse -= np.outer(inverse[:, q], inverse[q]) / inverse[q, q]
        alive.remove(q)
    return order, loss


def loss_of(weights: np.ndarray, fitted: np.ndarray, hessian: np.ndarray) -> float:
    gap = fitted - weights
    return float(np.einsum("ij,jk,ik->", gap, hessian, gap))


@pytest.mark.parametrize("columns", [5, 48, 49, 130])
def test_elimination_agrees_with_the_textbook(columns: int) -> None:
    """Same order; losses within 1e-3 (float32 against float64). The sizes lie around the stride of the factors."""
    x = correlated(columns, 4 * columns)
    hessian = damped(x.T @ x / len(x), 0.01)
    weights = np.random.default_rng(1).normal(size=(3, columns))
    order, loss = eliminate(weights[:, None].astype(np.float32), np.linalg.inv(hessian).astype(np.float32), columns)
    for row, w in enumerate(weights):
        wanted, losses = textbook(w, hessian)
        assert list(order[row]) == wanted
        np.testing.assert_allclose(loss[row], losses, rtol=1e-3)


def test_the_losses_of_a_row_add_up_to_the_error_of_its_best_fit() -> None:
    x = correlated(40, 300)
    hessian = x.T @ x / len(x)
    full = damped(hessian, 0.01)
    weights = np.random.default_rng(2).normal(size=(1, 40))
    order, loss = eliminate(weights[:, None].astype(np.float32), np.linalg.inv(full).astype(np.float32), 25)
    mask = np.ones((1, 40), bool)
    mask[0, order[0]] = False
    fitted = reconstruct(weights, mask, hessian, damping=0.01)
    assert loss_of(weights, fitted, full) == pytest.approx(loss.sum(), rel=1e-3)


def test_the_fit_is_optimal() -> None:
    """No small step on the kept weights lowers the error: its gradient there is zero."""
    x = correlated(30, 500)
    hessian = x.T @ x / len(x)
    weights = np.random.default_rng(3).normal(size=(4, 30))
    mask = np.random.default_rng(4).random((4, 30)) < 0.5
    fitted = reconstruct(weights, mask, hessian, damping=0.01)
    gradient = (fitted - weights) @ damped(hessian, 0.01)
    assert not fitted[~mask].any()
    np.testing.assert_allclose(gradient[mask], 0, atol=1e-9)


def test_the_fit_follows_other_outputs_when_asked() -> None:
    """With the moments of outputs y = v x for other weights v, and nothing masked, it finds v."""
    x = correlated(20, 400)
    other = np.random.default_rng(5).normal(size=(3, 20))
    hessian = x.T @ x / len(x)
    fitted = reconstruct(np.zeros((3, 20)), np.ones((3, 20), bool), hessian, other @ hessian, damping=1e-9)
    np.testing.assert_allclose(fitted, other, rtol=1e-4)


def test_greedy_removal_is_close_to_the_best_of_all_masks() -> None:
    """Of the 252 ways to keep 5 of 10 weights its loss is among the best: within 1.3 of the minimum, on average."""
    ratios = []
    for seed in range(20):
        x = correlated(10, 100, seed)
        hessian = x.T @ x / len(x)
        weights = np.random.default_rng(seed).normal(size=(1, 10))
        losses = []
        for kept in itertools.combinations(range(10), 5):
            mask = np.zeros((1, 10), bool)
            mask[0, kept] = True
            losses.append(loss_of(weights, reconstruct(weights, mask, hessian, damping=0.01), damped(hessian, 0.01)))
        keys = removal_keys(weights, hessian)
        mask = mask_from_keys(keys, 1, 1, 5)
        ratios.append(
            loss_of(weights, reconstruct(weights, mask, hessian, damping=0.01), damped(hessian, 0.01)) / min(losses)
        )
    assert np.mean(ratios) < 1.3


def test_obc_beats_magnitude_on_correlated_inputs() -> None:
    x = correlated(64, 1000)
    hessian = x.T @ x / len(x)
    weights = np.random.default_rng(6).normal(size=(16, 64))
    by_size = mask_from_keys(np.abs(weights), 16, 1, 512)
    by_loss = mask_from_keys(removal_keys(weights, hessian), 16, 1, 512)
    best_by_size = loss_of(weights, reconstruct(weights, by_size, hessian), hessian)
    best_by_loss = loss_of(weights, reconstruct(weights, by_loss, hessian), hessian)
    assert best_by_loss < 0.6 * best_by_size < 0.6 * loss_of(weights, weights * by_size, hessian)


def test_rows_of_a_block_lose_the_same_weights_and_the_last_block_may_be_smaller() -> None:
    x = correlated(12, 200)
    weights = np.random.default_rng(7).normal(size=(10, 12))
    keys = removal_keys(weights, x.T @ x / len(x), block=4)
    assert keys.shape == (3, 12)
    mask = mask_from_keys(keys, 10, 4, 60)
    assert (block_sum(mask.astype(int), 4) % np.array([[4], [4], [2]]) == 0).all()
    assert abs(int((~mask).sum()) - 60) <= 2


def test_weights_on_dead_inputs_are_among_the_first_to_go() -> None:
    x = correlated(16, 200)
    x[:, [3, 7, 11]] = 0
    weights = np.random.default_rng(8).normal(size=(4, 16))
    hessian = x.T @ x / len(x)
    mask = mask_from_keys(removal_keys(weights, hessian, damping=1e-6), 4, 1, 16)
    assert not mask[:, [3, 7, 11]].any()
    assert not reconstruct(weights, mask, hessian)[:, [3, 7, 11]].any()


def test_a_layer_whose_inputs_are_all_dead_does_not_fail() -> None:
    weights = np.ones((2, 4))
    mask = mask_from_keys(removal_keys(weights, np.zeros((4, 4))), 2, 1, 4)
    assert np.isfinite(reconstruct(weights, mask, np.zeros((4, 4)))).all()


def test_a_limit_leaves_the_last_weights_of_a_row() -> None:
    x = correlated(20, 200)
    weights = np.random.default_rng(9).normal(size=(3, 20)) * np.array([[1e-3], [1], [1]])
    keys = removal_keys(weights, x.T @ x / len(x), limit=0.8)
    assert (np.isfinite(keys).sum(axis=1) == 16).all()
