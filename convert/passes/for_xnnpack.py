"""The passes that let XNNPACK find sparse clusters, applied only where they are worth it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pocketgraph.convert.passes.close_clusters import CloseClusters
from pocketgraph.convert.passes.constant_first import ConstantFirst
from pocketgraph.convert.passes.detach_head import DetachHead
from pocketgraph.convert.passes.head_to_fully_connected import HeadToFullyConnected
from pocketgraph.convert.passes.mirror import Mirror
from pocketgraph.convert.passes.pad_stride2 import PadStride2
from pocketgraph.convert.passes.pool_to_mean import PoolToMean
from pocketgraph.convert.passes.transpose_conv_to_depth_to_space import TransposeConvToDepthToSpace
from pocketgraph.convert.xnnpack_clusters import sparse_zeros
from pocketgraph.models.graph import Model

Pass = Callable[[Model], list[str]]
_SHAPES: tuple[Pass, ...] = (
    PoolToMean(),
    HeadToFullyConnected(),
    DetachHead(),
    TransposeConvToDepthToSpace(),
    ConstantFirst(),
)
_ROUTES: tuple[tuple[Pass, ...], ...] = (
    (),
    (*_SHAPES, PadStride2(), CloseClusters()),
    (*_SHAPES, Mirror(), PadStride2(), CloseClusters()),
)


class ForXnnpack:
    """Try each route on a copy, take the one by which most zeros are skipped; do nothing where none helps.

    The routes: as it is; pooling, heads, transposed convolutions, padding and ends put right; the same with the net
    mirrored for stems with TensorFlow's one-sided padding. Outputs stay equal but for the order of sums. The last line
    says so where no route lets anything run sparse.
    """

    def __call__(self, model: Model) -> list[str]:
        """Edit `model` in place; the lines of the passes taken."""
        counts = [_skipped(model, route) for route in _ROUTES]
        best = max(range(len(counts)), key=counts.__getitem__)
        if counts[best] <= 0:
            return ["XNNPACK will run this model densely: no rewrite makes a sparse cluster (see explain)"]
        return [note for step in _ROUTES[best] for note in step(model)]


def _skipped(model: Model, route: Sequence[Pass]) -> int:
    """How many zeros XNNPACK would skip after `route`; -1 where it would compute nonsense."""
    tried = model.copy()
    for step in route:
        step(tried)
    return sparse_zeros(tried.main)
