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
from pocketgraph.convert.xnnpack_clusters import skipped_products
from pocketgraph.models.graph import Model
from pocketgraph.models.operands import check_operands

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


# Moving one number between layouts takes about as long as this many multiplications that sparsity spares.
_MOVE = 16
_MOVING = ("REVERSE_V2", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "SLICE")


class ForXnnpack:
    """Try each route on a copy, take the one that spares most multiplications; do nothing where none pays.

    The routes: as it is; pooling, heads, transposed convolutions, padding and ends put right; the same with the net
    mirrored for stems with TensorFlow's one-sided padding. Outputs stay equal but for the order of sums. The last line
    says so where no route lets anything run sparse.
    """

    def __call__(self, model: Model) -> list[str]:
        """Edit `model` in place; the lines of the passes taken."""
        check_operands(model)
        gains = [_gain(model, route) for route in _ROUTES]
        best = max(range(len(gains)), key=gains.__getitem__)
        if gains[best] <= 0:
            return ["XNNPACK will run this model densely: no rewrite makes a sparse cluster that pays (see explain)"]
        return [note for step in _ROUTES[best] for note in step(model)]


def _gain(model: Model, route: Sequence[Pass]) -> int:
    """Multiplications spared by `route`, less what its moving of data costs; -1 where XNNPACK computes nonsense."""
    tried = model.copy()
    for step in route:
        step(tried)
    spared = skipped_products(tried.main)
    return spared if spared < 0 else spared - _MOVE * (_moved(tried) - _moved(model))


def _moved(model: Model) -> int:
    return sum(op.outputs[0].size for op in model.main.ops if op.kind in _MOVING)
