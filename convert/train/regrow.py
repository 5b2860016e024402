"""RigL's move of connections: the weakest are dropped, and as many grow where the dense gradient is largest."""

from __future__ import annotations

import numpy as np

from pocketgraph.convert.prune.masks import Mask, Matrix, block_sizes, block_sum, expand


def move_connections(weights: Matrix, mask: Mask, gradient: Matrix, fraction: float, block: int = 1) -> Mask:
    """The mask after one update step, all arguments `[rows, columns]`; as many connections stay as there were.

    Of the connected slots, `fraction` (0..1, rounded down) with the smallest magnitude are dropped; then as many
    unconnected slots, the just dropped among them, are connected, largest gradient magnitude first (Evci et al., arXiv
    1911.11134, section 3, "drop criterion" and "grow criterion"). A slot is one weight, or `block` rows of a column
    that share one mask. Ties go by position. A slot that was connected before and after keeps its weight; what is newly
    connected starts at zero: the caller sets it so.
    """
    rows = len(weights)
    sizes = block_sizes(rows, block)[:, None]
    connected = block_sum(mask.astype(np.int64), block) > 0
    magnitude = np.sqrt(block_sum(np.square(weights, dtype=np.float64), block) / sizes)
    slope = np.sqrt(block_sum(np.square(gradient, dtype=np.float64), block) / sizes)
    alive = int(connected.sum())
    moved = min(int(alive * fraction), connected.size - alive)
    strongest = np.argsort(np.where(connected, -magnitude, np.inf), axis=None, kind="stable")
    after = np.zeros(connected.size, bool)
    after[strongest[: alive - moved]] = True
    steepest = np.argsort(np.where(after, np.inf, -slope.reshape(-1)), kind="stable")
    after[steepest[:moved]] = True
    return expand(after.reshape(connected.shape), rows, block)
