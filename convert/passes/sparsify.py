"""Stores pruned weights sparse, behind a DENSIFY op."""

from __future__ import annotations

import numpy as np
from pocketgraph.models.graph import DType, Graph, Model, Op, Tensor
from pocketgraph.models.sparsity import encode

_WEIGHTS = {"CONV_2D": 1, "FULLY_CONNECTED": 1}


class Sparsify:
    """Encode constant weights with at least `threshold` zeros: non-zero values, with the input channel compressed.

    Applies to weights of 1x1 convolutions and fully connected layers (and of larger convolutions where the encoding is
    smaller). A DENSIFY op restores the dense weight when the model is loaded; it is also what tells XNNPACK to look for
    sparsity. A weight whose encoding would be larger than the dense array stays dense.
    """

    def __init__(self, threshold: float = 0.3) -> None:
        self.threshold = threshold

    def __call__(self, model: Model) -> list[str]:
        """Edit `model` in place; one line a graph with encoded weights."""
        notes = []
        for graph in model.graphs:
            done = [self._encode(graph, tensor) for tensor in _weights(graph)]
            count = sum(done)
            if count:
                notes.append(f"stored {count} weights sparse")
        return notes

    def _encode(self, graph: Graph, tensor: Tensor) -> bool:
        dense = tensor.dense()
        if 1 - np.count_nonzero(dense) / max(1, dense.size) < self.threshold:
            return False
        values, sparsity = encode(dense)
        size = values.nbytes + sum(
            level.segments.nbytes + level.indices.nbytes for level in sparsity.levels if hasattr(level, "segments")
        )
        if size >= dense.nbytes:
            return False
        stored = Tensor(graph.unique_name(f"{tensor.name}/sparse"), tensor.shape, tensor.dtype, values)
        stored.sparsity = sparsity
        unpack_before_use(graph, tensor, Op("DENSIFY", [stored], [tensor]))
        return True


def _weights(graph: Graph) -> list[Tensor]:
    found: dict[Tensor, None] = {}
    for op in graph.ops:
        place = _WEIGHTS.get(op.kind)
        tensor = op.inputs[place] if place is not None and place < len(op.inputs) else None
        if tensor is not None and tensor.is_constant and tensor.sparsity is None and tensor.dtype is DType.FLOAT32:
            found[tensor] = None
    return list(found)


def unpack_before_use(graph: Graph, tensor: Tensor, unpack: Op) -> None:
    """`tensor` stops being a constant: `unpack`, put at the start of the graph, computes it."""
    tensor.data, tensor.sparsity = None, None
    graph.ops.insert(0, unpack)
