"""Channel reordering: output channels that keep the same weights become neighbours, so that blocks fill up.

An engine that works in blocks of 2, 4 or 8 output channels stores and multiplies a whole block wherever one of its
channels keeps a weight. Which channels are neighbours is free: permuting a layer's rows together with everything that
reads them changes no output.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pocketgraph.convert.prune.channels import channel_groups
from pocketgraph.convert.prune.masks import Mask, block_fill
from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import Graph, Model, Op


class ReorderChannels:
    """Permute channels so that the blocks of `block` output channels are fuller; outputs stay the same.

    Reads the zeros that the weights hold now. Layers whose channels reach a graph output, or an op that mixes channels,
    keep their order; so do those whose fill would not rise. Floating-point sums run in another order afterwards:
    outputs agree to rounding.
    """

    def __init__(self, block: int) -> None:
        if block not in (2, 4, 8):
            raise UsageError(f"channels cannot be reordered for blocks of {block}: choose 2, 4 or 8")
        self._block = block

    def __call__(self, model: Model) -> list[str]:
        """Edit `model` in place; one line per group of channels that moved."""
        lines: list[str] = []
        for graph in model.graphs:
            masks = {
                op: op.input(1).dense().reshape(op.input(1).shape[0], -1) != 0
                for group in channel_groups(graph)
                for op in group.producers
            }
            for moved, (before, after) in reorder(graph, masks, self._block).items():
                lines.append(f"{moved.name}: {self._block}x1 block fill {before:.3f} -> {after:.3f}")
        return lines


def reorder(graph: Graph, masks: Mapping[Op, Mask], block: int) -> dict[Op, tuple[float, float]]:
    """Permute the channels of `graph` in place for the masks `[rows, columns]` of some of its layers.

    Returns the block fill before and after of every layer whose rows moved, measured by its given mask. The columns of
    a mask may move too, when the layer above is permuted; that changes no fill.
    """
    found: dict[Op, tuple[float, float]] = {}
    for group in channel_groups(graph):
        producers = [op for op in group.producers if op in masks and not masks[op].all()]
        if not producers:
            continue
        rows = np.concatenate([masks[op] for op in producers], axis=1)
        order = similar_order(rows, block)
        if block_fill(rows[order], block) <= block_fill(rows, block):
            continue
        group.permute(order)
        for op in producers:
            found[op] = block_fill(masks[op], block), block_fill(masks[op][order], block)
    return found


def similar_order(rows: Mask, block: int) -> npt.NDArray[np.int64]:
    """An order of `rows` `[channels, columns]` in which every `block` consecutive ones keep much the same columns.

    Greedy: each block starts with the fullest channel left and takes, one at a time, the channel that adds the fewest
    columns to the block for those it shares. A last block that is smaller gets what remains.
    """
    kept = rows.astype(np.float32)
    sizes = kept.sum(axis=1)
    left = np.ones(len(rows), bool)
    order: list[int] = []
    while left.any():
        start = int(np.where(left, sizes, -1).argmax())
        left[start] = False
        order.append(start)
        union = kept[start].copy()
        for _ in range(block - 1):
            if not left.any():
                break
            shared = kept @ union
            gain = np.where(left, shared - (sizes - shared), -np.inf)
            chosen = int(gain.argmax())
            left[chosen] = False
            order.append(chosen)
            np.maximum(union, kept[chosen], out=union)
    return np.array(order, np.int64)
