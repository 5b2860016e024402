"""Puts constants first in additions and multiplications, in four dimensions, as XNNPACK's sparse path wants them."""

from __future__ import annotations

from pocketgraph.convert.passes._edit import constant
from pocketgraph.models.graph import Graph, Model, Op


class ConstantFirst:
    """ADD and MUL of a 4-D map and a constant per channel or a single one: the constant as [1, 1, 1, C], first.

    XNNPACK judges a constant second operand by the shape of the first and then rejects it. SUB of such a constant
    becomes ADD of its negative. Outputs stay equal bit for bit.
    """

    def __call__(self, model: Model) -> list[str]:
        """Edit `model` in place; one line per op."""
        return [
            f"{op.kind} {op.name!r}: constant [1, 1, 1, C] put first"
            for graph in model.graphs
            for op in graph.ops
            if op.kind in ("ADD", "MUL", "SUB") and _rewrite(graph, op)
        ]


def _rewrite(graph: Graph, op: Op) -> bool:
    first, second = op.input(0), op.input(1)
    swapped = first.is_constant and op.kind != "SUB"
    map_, number = (second, first) if swapped else (first, second)
    if map_.is_constant or not number.is_constant or len(map_.shape) != 4 or map_.shape != op.outputs[0].shape:
        return False
    if number.size not in (1, map_.shape[3]) or (number.size > 1 and number.shape[-1] != number.size):
        return False
    if swapped and len(number.shape) == 4:
        return False
    values = number.dense().reshape(1, 1, 1, -1)
    if op.kind == "SUB":
        op.kind, values = "ADD", -values
    op.inputs = [constant(graph, f"{number.name}/first", values), map_]
    return True
