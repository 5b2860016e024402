"""Splits large pruned classifiers so that the indices of their sparse weights take one byte instead of two."""

from __future__ import annotations

from itertools import pairwise

from pocketgraph.convert.passes._edit import constant, insert_before, value
from pocketgraph.convert.passes.sparsify import ONE_BYTE, Sparsify
from pocketgraph.models.graph import Graph, Model, Op


class SplitFullyConnected:
    """FULLY_CONNECTED with more than 256 inputs and outputs: parts of at most 256 outputs, then CONCATENATION.

    A sparse weight is compressed along a dimension of at most 256, if it has one, with one-byte indices. Convolutions
    stay whole, as a CONCATENATION would break the engines' sparse clusters; a fully connected layer stands outside
    them. Only weights that `Sparsify` stores sparse are split. Outputs stay equal bit for bit.
    """

    def __call__(self, model: Model) -> list[str]:
        """Edit `model` in place; one line per layer."""
        notes = []
        for graph in model.graphs:
            for op in [op for op in graph.ops if op.kind == "FULLY_CONNECTED"]:
                weights = op.input(1)
                if min(weights.shape, default=0) > ONE_BYTE and _is_plain(op) and Sparsify().encodes(weights):
                    count = _split(graph, op)
                    notes.append(f"FULLY_CONNECTED {op.name!r}: split into {count}, for one-byte indices")
        return notes


def _split(graph: Graph, op: Op) -> int:
    result, weights = op.outputs[0], op.input(1).dense()
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    rows = len(weights)
    count = -(-rows // ONE_BYTE)
    bounds = [rows * part // count for part in range(count + 1)]
    parts = []
    for begin, end in pairwise(bounds):
        part = value(graph, f"{result.name}/{begin}", (*result.shape[:-1], end - begin), result)
        matrix = constant(graph, f"{op.input(1).name}/{begin}", weights[begin:end])
        offsets = None if bias is None else constant(graph, f"{bias.name}/{begin}", bias.dense()[begin:end])
        insert_before(graph, op, Op("FULLY_CONNECTED", [op.input(0), matrix, offsets], [part], dict(op.attrs)))
        parts.append(part)
    op.kind, op.inputs, op.version = "CONCATENATION", list(parts), 1
    op.attrs = {"axis": len(result.shape) - 1, "fused_activation_function": "NONE"}
    return count


def _is_plain(op: Op) -> bool:
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    return len(op.input(1).shape) == 2 and (bias is None or bias.is_constant)
