"""Masks: which weights of a layer stay, alone or in blocks of output channels.

A layer's weights are seen as a matrix `[rows, columns]`: rows are output channels, columns the inputs (and kernel
positions) that feed them. A mask is a boolean matrix of that shape, True where a weight stays. Scores are seen per
block: `[blocks, columns]`, where a block is `block` rows that share one mask, the last one smaller where the rows do
not divide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Matrix = npt.NDArray[Any]


def block_starts(rows: int, block: int) -> npt.NDArray[np.int64]:
    """The first row of each block."""
    return np.arange(0, rows, block)


def block_sizes(rows: int, block: int) -> npt.NDArray[np.int64]:
    """How many rows each block has: `block`, and what remains in the last."""
    return np.diff(np.append(block_starts(rows, block), rows))


def block_sum(values: Matrix, block: int) -> Matrix:
    """`[rows, columns]` summed over the rows of each block: `[blocks, columns]`."""
    if block == 1:
        return values
    summed: Matrix = np.add.reduceat(values, block_starts(len(values), block), axis=0)
    return summed


def expand(kept: Mask, rows: int, block: int) -> Mask:
    """A mask per block, `[blocks, columns]`, as a mask per weight, `[rows, columns]`."""
    return np.repeat(kept, block_sizes(rows, block), axis=0)


def mask_from_keys(keys: Matrix, rows: int, block: int, zeros: int) -> Mask:
    """The mask `[rows, columns]` with about `zeros` removed weights, smallest keys first.

    `keys` is `[blocks, columns]`: the cost per weight of removing a block's slot. A slot removes as many weights as
    its block has rows, so the count is met within half a block. Ties go by position: the result is deterministic.
    """
    weights = np.broadcast_to(block_sizes(rows, block)[:, None], keys.shape)
    order = np.argsort(keys, axis=None, kind="stable")
    removed = np.cumsum(weights.reshape(-1)[order])
    slots = int(np.searchsorted(removed, zeros + block / 2, side="left"))
    if block == 1:
        slots = zeros
    kept = np.ones(keys.size, bool)
    kept[order[:slots]] = False
    return expand(kept.reshape(keys.shape), rows, block)


def block_fill(mask: Mask, block: int) -> float:
    """How full the blocks are: kept weights / slots of the blocks that keep any (1.0 = every block all or nothing)."""
    stays = np.add.reduceat(mask.astype(np.int64), block_starts(len(mask), block), axis=0)
    slots = block_sizes(len(mask), block)[:, None] * (stays > 0)
    return float(stays.sum() / slots.sum()) if slots.any() else 1.0
