"""Constants stored sparse or in half precision become dense float32 constants."""

from __future__ import annotations

import numpy as np

from pocketgraph.models.errors import UnsupportedError
from pocketgraph.models.graph import Array, DType, FloatArray, Graph, Model, Op, Tensor
from pocketgraph.models.operands import check_operands

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


def real_values(tensor: Tensor) -> FloatArray:
    """The float32 values that a quantised constant stands for, in its dense shape."""
    stored = tensor.dense()
    quantization = tensor.quantization
    if quantization is None or quantization.scale.size == 0:
        raise UnsupportedError(
            f"constant {tensor.name!r} is {tensor.dtype.value} without a scale: it has no real value"
        )
    scale = quantization.scale.astype(np.float32)
    zero_point = quantization.zero_point.astype(np.float32) if quantization.zero_point.size else np.zeros(1, np.float32)
    if scale.size > 1:
        if quantization.axis >= stored.ndim or stored.shape[quantization.axis] != scale.size:
            raise UnsupportedError(
                f"constant {tensor.name!r} of shape {list(stored.shape)} has {scale.size} scales"
                f" along axis {quantization.axis}"
            )
        along = [1] * stored.ndim
        along[quantization.axis] = -1
        scale = scale.reshape(along)
        zero_point = zero_point.reshape(along) if zero_point.size > 1 else zero_point
    result: FloatArray = (stored.astype(np.float32) - zero_point) * scale
    return result.astype(np.float32, copy=False).reshape(stored.shape)


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
