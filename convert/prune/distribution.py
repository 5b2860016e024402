"""How a model's sparsity is shared out among its layers: uniform, Erdos-Renyi kernel, or global.

Each function returns one sparsity (fraction removed) per layer; together they remove what was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pocketgraph.convert.prune.masks import Matrix


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
