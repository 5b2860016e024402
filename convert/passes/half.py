"""Stores float32 constants in half precision, behind a DEQUANTIZE op."""

from __future__ import annotations

import numpy as np

from pocketgraph.convert.passes._edit import consumers_of
from pocketgraph.convert.passes.sparsify import unpack_before_use
from pocketgraph.models.graph import DType, Graph, Model, Op, Tensor

_LARGEST = float(np.finfo(np.float16).max)


class Half:
    """float32 constants of at least `smallest` elements become float16 with a DEQUANTIZE op back to float32.

    The net still computes in float32; weights lose bits beyond the eleventh. Behind a sparse constant the order is
    DENSIFY, then DEQUANTIZE. Constants beyond float16's range (65504) stay float32.
    """

    def __init__(self, smallest: int = 16) -> None:
        self.smallest = smallest

    def __call__(self, model: Model) -> list[str]:
        """Edit `model` in place; one line a graph with rewritten constants."""
        notes = []
        for graph in model.graphs:
            kept = {id(t) for t in graph.outputs}
            count = 0
            for tensor in graph.tensors():
                if not tensor.is_constant or tensor.dtype is not DType.FLOAT32 or id(tensor) in kept:
                    continue
                if tensor.size < self.smallest or not _fits(tensor):
                    continue
                _store(graph, tensor)
                count += 1
            if count:
                notes.append(f"stored {count} constants as float16")
        return notes


def _fits(tensor: Tensor) -> bool:
    data = tensor.data
    return data is not None and data.size > 0 and bool(np.abs(data).max() <= _LARGEST)


def _store(graph: Graph, tensor: Tensor) -> None:
    if tensor.data is None:
        return
    half = tensor.data.astype(np.float16)
    readers = consumers_of(graph, tensor)
    if tensor.sparsity is not None and [op.kind for op in readers] == ["DENSIFY"]:
        densify = readers[0]
        wide = densify.outputs[0]
        narrow = Tensor(graph.unique_name(f"{wide.name}/f16"), wide.shape, DType.FLOAT16)
        tensor.data, tensor.dtype = half, DType.FLOAT16
        densify.outputs = [narrow]
        graph.ops.insert(graph.ops.index(densify) + 1, Op("DEQUANTIZE", [narrow], [wide]))
        return
    stored = Tensor(graph.unique_name(f"{tensor.name}/f16"), tensor.shape, DType.FLOAT16, half)
    stored.sparsity = tensor.sparsity
    unpack_before_use(graph, tensor, Op("DEQUANTIZE", [stored], [tensor]))
