"""Constants stored sparse or in half precision become dense float32 constants."""

from __future__ import annotations

import numpy as np

from pocketgraph.convert.operands import check_operands
from pocketgraph.convert.passes.dequantize import real_values
from pocketgraph.models.graph import Array, DType, Graph, Model, Op, Tensor

_COMPRESSED = {DType.FLOAT16, DType.INT8, DType.UINT8, DType.INT16}


class Decompress:
    """Fold DENSIFY and DEQUANTIZE of constants; the graph then computes with plain float32 weights.

    DENSIFY of a constant and DEQUANTIZE of a float16 or quantised constant are evaluated now, and the constant takes
    the name of what the op produced. A sparse constant read directly by another op becomes dense as well. Values are
    those the runtime would have computed at load time, bit for bit.
    """

    def __call__(self, model: Model) -> list[str]:
        """Edit `model` in place; one line per kind of folding that happened in a graph."""
        check_operands(model)
        notes: list[str] = []
        for graph in model.graphs:
            densified = _fold(graph, "DENSIFY")
            widened = _fold(graph, "DEQUANTIZE")
            unpacked = _unpack_remaining(graph)
            if densified:
                notes.append(f"stored {densified} sparse constants densely")
            if widened:
                notes.append(f"stored {widened} half-precision or quantised constants as float32")
            if unpacked:
                notes.append(f"stored {unpacked} sparse constants without a DENSIFY op densely")
        return notes


def _fold(graph: Graph, kind: str) -> int:
    kept: list[Op] = []
    for op in graph.ops:
        source = op.inputs[0] if op.kind == kind and op.inputs else None
        if source is None or not source.is_constant or (kind == "DEQUANTIZE" and source.dtype not in _COMPRESSED):
            kept.append(op)
            continue
        _set_constant(op.outputs[0], source.dense() if kind == "DENSIFY" else _widen(source))
        if kind == "DENSIFY":
            op.outputs[0].quantization = source.quantization
    folded = len(graph.ops) - len(kept)
    graph.ops = kept
    return folded


def _widen(source: Tensor) -> Array:
    if source.dtype is DType.FLOAT16:
        return source.dense().astype(np.float32)
    return real_values(source)


def _set_constant(tensor: Tensor, array: Array) -> None:
    tensor.data = array
    tensor.shape = array.shape
    tensor.dtype = DType.of(array)
    tensor.shape_signature = None
    tensor.sparsity = None


def _unpack_remaining(graph: Graph) -> int:
    sparse = [tensor for tensor in graph.tensors() if tensor.is_constant and tensor.sparsity is not None]
    for tensor in sparse:
        _set_constant(tensor, tensor.dense())
    return len(sparse)
