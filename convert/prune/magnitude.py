"""Magnitude pruning: the smallest weights go."""

from __future__ import annotations

import numpy as np

from pocketgraph.convert.prune.masks import Matrix, block_sizes, block_sum


def magnitude_keys(weights: Matrix, block: int = 1) -> Matrix:
    """The cost of removing each slot, `[blocks, columns]`: the root mean square of its block's weights."""
    squares = block_sum(np.square(weights, dtype=np.float64), block)
    keys: Matrix = np.sqrt(squares / block_sizes(len(weights), block)[:, None])
    return keys
