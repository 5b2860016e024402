"""Stores pruned weights sparse, behind a DENSIFY op."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pocketgraph.models.graph import Array, DType, Graph, Model, Op, Tensor
from pocketgraph.models.sparsity import Sparsity, encode

_WEIGHTS = {"CONV_2D": 1, "FULLY_CONNECTED": 1}
ONE_BYTE = 256  # indices below it are stored in one byte


class Sparsify:
    """Encode constant weights with at least `threshold` zeros: non-zero values, with one dimension compressed.

    That is the input channel, as other converters do it, or the output channel where only its indices fit one byte.

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

    def would_encode(self, model: Model) -> bool:
        """Whether any weight of `model` would be stored sparse."""
        return any(self._encoding(tensor) is not None for graph in model.graphs for tensor in _weights(graph))

    def encodes(self, tensor: Tensor) -> bool:
        """Whether the constant `tensor` would be stored sparse as a weight."""
        return tensor.is_constant and self._encoding(tensor) is not None

    def _encode(self, graph: Graph, tensor: Tensor) -> bool:
        encoding = self._encoding(tensor)
        if encoding is None:
            return False
        values, sparsity = encoding
        stored = Tensor(graph.unique_name(f"{tensor.name}/sparse"), tensor.shape, tensor.dtype, values)
        stored.sparsity = sparsity
        unpack_before_use(graph, tensor, Op("DENSIFY", [stored], [tensor]))
        return True

    def _encoding(self, tensor: Tensor) -> tuple[Array, Sparsity] | None:
        dense = tensor.dense()
        stored = np.count_nonzero(dense)
        # an empty buffer means "computed" in a file, so a weight of nothing but zeros stays dense
        if not stored or 1 - stored / dense.size < self.threshold:
            return None
        order = tuple(range(dense.ndim))
        if dense.shape[0] <= ONE_BYTE < dense.shape[-1]:
            order = (*order[1:][::-1], 0)
        # a value, its index, and about one segment per row
        size = (
            stored * (dense.itemsize + _index_bytes(dense.shape[order[-1]])) + 4 * dense.size // dense.shape[order[-1]]
        )
        if size >= dense.nbytes:
            return None
        values, sparsity = encode(np.ascontiguousarray(dense.transpose(order)))
        return values, replace(sparsity, traversal_order=order)


def _index_bytes(size: int) -> int:
    return 1 if size <= ONE_BYTE else 2 if size <= 1 << 16 else 4


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
