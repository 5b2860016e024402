"""How a model's sparsity is shared out among its layers: uniform, Erdos-Renyi kernel, global, or as measured.

Each function returns one sparsity (fraction removed) per layer; together they remove what was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pocketgraph.convert.prune.masks import Matrix

_STEP, _MOST = 0.005, 0.99


def uniform(shapes: Sequence[tuple[int, ...]], sparsity: float) -> list[float]:
    """The same sparsity everywhere: what gives the most speed for a given number of weights."""
    return [sparsity] * len(shapes)


def erk(shapes: Sequence[tuple[int, ...]], sparsity: float) -> list[float]:
    """Erdos-Renyi kernel: density = eps * sum(dims) / prod(dims), so that small layers stay denser.

    Layers that this would make denser than dense stay dense and eps is solved again for the rest, until none is left
    over (RigL, arXiv 1911.11134, section 3). Weight shapes without their dimensions of one, which change nothing but
    the sum of a 1x1 kernel: `[out, in]` and `[out, 1, 1, in]` get the same.
    """
    sizes = np.array([math.prod(shape) for shape in shapes], np.float64)
    raw = np.array([sum(d for d in shape if d > 1) / max(1, math.prod(shape)) for shape in shapes])
    wanted = (1 - sparsity) * sizes.sum()
    dense = np.zeros(len(shapes), bool)
    density = np.ones(len(shapes))
    while not dense.all():
        rest = wanted - sizes[dense].sum()
        eps = rest / (raw[~dense] * sizes[~dense]).sum()
        density = np.where(dense, 1.0, np.maximum(eps * raw, 0))
        if not (over := ~dense & (density > 1)).any():
            break
        dense |= over
    return [float(1 - d) for d in np.minimum(density, 1.0)]


def cheapest(levels: Sequence[float], errors: Sequence[Matrix], sizes: Sequence[int], sparsity: float) -> list[float]:
    """The sparsities whose errors add up to least, where `errors[i]` says what layer i costs alone at `levels`.

    In between an error is taken to be a power of the odds of a weight to go, s / (1 - s), which is close to what
    layers show. The minimum for the given sparsity is found by its Lagrange multiplier, the same price of a weight in
    every layer (as in SPDY, Frantar & Alistarh, arXiv 2201.13096, whose budget is time).
    """
    grid = np.linspace(0, _MOST, round(_MOST / _STEP) + 1)
    weights = np.asarray(sizes, np.float64)
    share = weights / max(weights.sum(), 1)
    if sparsity >= _MOST or not sizes:
        return uniform([(n,) for n in sizes], sparsity)
    costs = [curve(levels, error, grid) for error in errors]

    def at(price: float) -> Matrix:
        result: Matrix = grid[
            [int(np.argmin(cost - price * grid * part)) for cost, part in zip(costs, share, strict=True)]
        ]
        return result

    low, high = -60.0, 120.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if at(math.exp(middle)) @ share < sparsity else (low, middle)
    below, above = at(math.exp(low)), at(math.exp(high))
    gap = (above - below) @ share
    # at one price several layers may jump at once: between the two the budget is met exactly
    part = min(max((sparsity - below @ share) / gap, 0.0), 1.0) if gap > 0 else 0.0
    return [float(s) for s in below + part * (above - below)]


def curve(at: Sequence[float], measured: Matrix, grid: Matrix) -> Matrix:
    """The errors at the sparsities of `grid`, which starts at 0, from those `measured` at `at`: straight lines of log
    error over log odds."""
    levels = np.asarray(at)
    known = np.log(np.maximum(np.maximum.accumulate(np.asarray(measured)), 1e-12))
    x, odds = np.log(levels / (1 - levels)), np.log(grid[1:] / (1 - grid[1:]))
    first = max((known[1] - known[0]) / (x[1] - x[0]), 1.0)
    last = max((known[-1] - known[-2]) / (x[-1] - x[-2]), 1.0)
    log = np.interp(odds, x, known) + first * np.minimum(odds - x[0], 0) + last * np.maximum(odds - x[-1], 0)
    return np.concatenate([[0.0], np.exp(log)])


def global_counts(keys: Sequence[Matrix], weights: Sequence[Matrix], zeros: int) -> list[int]:
    """How many weights each layer loses when the `zeros` cheapest of all layers go.

    `keys[i]` are the costs of layer i's slots in a unit that all layers share, `weights[i]` (same shape) how many
    weights each slot holds.
    """
    flat = np.concatenate([k.reshape(-1) for k in keys])
    size = np.concatenate([w.reshape(-1) for w in weights])
    layer = np.repeat(np.arange(len(keys)), [k.size for k in keys])
    order = np.argsort(flat, kind="stable")
    removed = np.cumsum(size[order])
    gone = order[: int(np.searchsorted(removed, zeros, side="right"))]
    return [int(n) for n in np.bincount(layer[gone], weights=size[gone], minlength=len(keys))]
