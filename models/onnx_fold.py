"""Computes ONNX nodes whose inputs are all constant: shape arithmetic, unpacked and dequantised weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.graph import Array
from pocketgraph.models.onnx_build import Builder, axes_of, axis_of, integer, integers
from pocketgraph.models.onnx_from_math import broadcast_shape
from pocketgraph.models.onnx_proto import ELEMENT_TYPES, Node

_DTYPES = {number: dtype for dtype, number in ELEMENT_TYPES.items()}
_MAX_RANK = 8
Fold = Callable[[Builder, Node, list[Array]], Array]


def fold(b: Builder, node: Node) -> bool:
    """Compute `node` if it is constant and its operator is known here. Raises `FormatError` where NumPy cannot."""
    inputs = [b.values[name] for name in node.inputs if name]
    if node.kind not in FOLDS or not all(isinstance(value, np.ndarray) for value in inputs):
        return False
    arrays = [b.array(node, index) if b.has(node, index) else np.empty(0) for index in range(len(node.inputs))]
    try:
        result = np.asarray(FOLDS[node.kind](b, node, arrays))
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:
        raise FormatError(f"{node.kind} {node.name!r} cannot be computed from its constants: {error}") from error
    if result.ndim > _MAX_RANK or result.dtype.kind not in "fiub":
        raise FormatError(f"{node.kind} {node.name!r} gives a constant of {result.dtype} and rank {result.ndim}")
    b.values[node.outputs[0]] = result
    return True


def _elementwise(function: Callable[..., Any]) -> Fold:
    def compute(b: Builder, node: Node, arrays: list[Array]) -> Array:
        shape = broadcast_shape(node, [array.shape for array in arrays])
        b.spend(math.prod(shape), np.result_type(*arrays), node)
        return np.asarray(function(*arrays))

    return compute


def _divide(left: Array, right: Array) -> Array:
    """Integers are divided towards zero."""
    if left.dtype.kind == "f":
        return np.asarray(left / right)
    if np.any(right == 0):
        raise ZeroDivisionError("division by zero")
    return np.asarray(np.sign(left) * np.sign(right) * (np.abs(left) // np.abs(right))).astype(left.dtype)


def _same(_b: Builder, _node: Node, arrays: list[Array]) -> Array:
    return arrays[0]


def _constant(_b: Builder, node: Node, _arrays: list[Array]) -> Array:
    for name in ("value", "sparse_value"):
        if isinstance(node.attrs.get(name), np.ndarray):
            return np.asarray(node.attrs[name])
    for name, dtype in (("value_float", "f4"), ("value_floats", "f4"), ("value_int", "i8"), ("value_ints", "i8")):
        if name in node.attrs:
            return np.asarray(node.attrs[name], dtype)
    raise UnsupportedError(f"Constant {node.name!r} holds {sorted(node.attrs)}, which is not covered")


def _constant_of_shape(b: Builder, node: Node, arrays: list[Array]) -> Array:
    shape = [int(size) for size in arrays[0].reshape(-1)[: _MAX_RANK + 1]]
    value = node.attrs.get("value", np.zeros(1, np.float32))
    if not isinstance(value, np.ndarray) or value.size != 1 or any(size < 0 for size in shape):
        raise FormatError(f"ConstantOfShape {node.name!r} has the shape {shape}")
    b.spend(math.prod(shape), value.dtype, node)
    return np.full(shape, value.reshape(-1)[0])


def _range(b: Builder, node: Node, arrays: list[Array]) -> Array:
    start, limit, step = (array.reshape(-1)[0] for array in arrays)
    if step == 0 or not all(np.isfinite(value) for value in (start, limit, step)):
        raise FormatError(f"Range {node.name!r} goes from {start} to {limit} in steps of {step}")
    b.spend(max(0, math.ceil((float(limit) - float(start)) / float(step))), arrays[0].dtype, node)
    return np.asarray(np.arange(start, limit, step)).astype(arrays[0].dtype)


def _cast(b: Builder, node: Node, arrays: list[Array]) -> Array:
    target = _DTYPES.get(integer(node, "to", 0))
    if target is None:
        raise UnsupportedError(
            f"Cast {node.name!r} goes to ONNX element type {node.attrs.get('to')}, which is not covered"
        )
    b.spend(arrays[0].size, target.numpy, node)
    return arrays[0].astype(target.numpy)


def _gather(b: Builder, node: Node, arrays: list[Array]) -> Array:
    data, indices = arrays
    axis = axis_of(node, integer(node, "axis", 0), data.ndim)
    b.spend(data.size // max(1, data.shape[axis]) * indices.size, data.dtype, node)
    return np.take(data, indices, axis)


def _reshape(b: Builder, node: Node, arrays: list[Array]) -> Array:
    data = arrays[0]
    wanted = integers(node, "shape", []) if "shape" in node.attrs else arrays[1].reshape(-1).tolist()
    if len(wanted) > _MAX_RANK:
        raise FormatError(f"Reshape {node.name!r} has the shape {wanted}")
    if not integer(node, "allowzero", 0):
        wanted = [data.shape[i] if size == 0 and i < data.ndim else size for i, size in enumerate(wanted)]
    b.spend(data.size, data.dtype, node)
    return data.reshape([int(size) for size in wanted])


def _flatten(b: Builder, node: Node, arrays: list[Array]) -> Array:
    axis = integer(node, "axis", 1)
    b.spend(arrays[0].size, arrays[0].dtype, node)
    return arrays[0].reshape(math.prod(arrays[0].shape[:axis]), -1)


def _transpose(_b: Builder, node: Node, arrays: list[Array]) -> Array:
    return arrays[0].transpose(integers(node, "perm", list(range(arrays[0].ndim))[::-1]))


def _squeeze(b: Builder, node: Node, arrays: list[Array]) -> Array:
    data = arrays[0]
    default = [axis for axis, size in enumerate(data.shape) if size == 1]
    return data.squeeze(tuple(axes_of(b, node, 1, data.ndim, default=default)))


def _unsqueeze(b: Builder, node: Node, arrays: list[Array]) -> Array:
    count = len(integers(node, "axes", [])) if "axes" in node.attrs else arrays[1].size
    if count > _MAX_RANK:
        raise FormatError(f"Unsqueeze {node.name!r} adds {count} axes")
    return np.expand_dims(arrays[0], tuple(axes_of(b, node, 1, arrays[0].ndim + count)))


def _concat(b: Builder, node: Node, arrays: list[Array]) -> Array:
    b.spend(sum(array.size for array in arrays), arrays[0].dtype, node)
    return np.concatenate(arrays, integer(node, "axis", 0))


def _slice(b: Builder, node: Node, arrays: list[Array]) -> Array:
    data = arrays[0]
    if "starts" in node.attrs:
        starts, ends = integers(node, "starts", []), integers(node, "ends", [])
        axes, steps = integers(node, "axes", []) or list(range(len(starts))), [1] * len(starts)
    else:
        starts, ends = arrays[1].reshape(-1).tolist(), arrays[2].reshape(-1).tolist()
        axes = arrays[3].reshape(-1).tolist() if b.has(node, 3) else list(range(len(starts)))
        steps = arrays[4].reshape(-1).tolist() if b.has(node, 4) else [1] * len(starts)
    cuts = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cuts[axis_of(node, axis, data.ndim)] = slice(start, end, step)
    return data[tuple(cuts)]


def _expand(b: Builder, node: Node, arrays: list[Array]) -> Array:
    shape = broadcast_shape(node, [arrays[0].shape, tuple(arrays[1].reshape(-1).tolist())])
    b.spend(math.prod(shape), arrays[0].dtype, node)
    return np.broadcast_to(arrays[0], shape).copy()


def _tile(b: Builder, node: Node, arrays: list[Array]) -> Array:
    counts = arrays[1].reshape(-1).tolist()
    if len(counts) != arrays[0].ndim or any(count < 0 for count in counts):
        raise FormatError(f"Tile {node.name!r} repeats {counts} times a value of rank {arrays[0].ndim}")
    b.spend(arrays[0].size * math.prod(counts), arrays[0].dtype, node)
    return np.tile(arrays[0], counts)


def _reduce(function: Callable[..., Any]) -> Fold:
    def compute(b: Builder, node: Node, arrays: list[Array]) -> Array:
        axes = tuple(axes_of(b, node, 1, arrays[0].ndim))
        if arrays[0].size == 0:
            raise FormatError(f"{node.kind} {node.name!r} reduces a constant of shape {list(arrays[0].shape)}")
        keep = bool(integer(node, "keepdims", 1))
        return np.asarray(function(arrays[0], axis=axes, keepdims=keep)).astype(arrays[0].dtype)

    return compute


def _quantized(node: Node, arrays: list[Array]) -> tuple[Array, Array]:
    """Scale and zero point, shaped to broadcast with the data."""
    data, scale = arrays[0], arrays[1]
    point = arrays[2] if len(arrays) > 2 and arrays[2].size else np.zeros(scale.shape, np.int64)
    if integer(node, "block_size", 0):
        raise UnsupportedError(f"{node.kind} {node.name!r} is quantised in blocks, which is not covered")
    if scale.size == 1 and point.size == 1:
        return scale.reshape(()), point.reshape(())
    axis = axis_of(node, integer(node, "axis", 1), data.ndim)
    spread = [-1 if i == axis else 1 for i in range(data.ndim)]
    return scale.reshape(spread), point.reshape(spread)


def _dequantize(b: Builder, node: Node, arrays: list[Array]) -> Array:
    scale, point = _quantized(node, arrays)
    shape = broadcast_shape(node, [arrays[0].shape, scale.shape, point.shape])
    b.spend(2 * math.prod(shape), np.int64, node)
    return ((arrays[0].astype(np.int64) - point.astype(np.int64)) * scale.astype(np.float32)).astype(np.float32)


def _quantize(b: Builder, node: Node, arrays: list[Array]) -> Array:
    scale, point = _quantized(node, arrays)
    dtype = arrays[2].dtype if len(arrays) > 2 and arrays[2].size else np.dtype(np.uint8)
    if dtype.kind not in "iu":
        raise UnsupportedError(f"QuantizeLinear {node.name!r} goes to {dtype}, which is not covered")
    shape = broadcast_shape(node, [arrays[0].shape, scale.shape, point.shape])
    b.spend(2 * math.prod(shape), np.float64, node)
    real = np.nan_to_num(np.rint(arrays[0].astype(np.float64) / scale) + point)
    return np.clip(real, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


_NUMPY: dict[str, Callable[..., Any]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": _divide,
    "Pow": lambda x, y: np.power(x, y).astype(x.dtype),
    "Mod": np.mod, "Neg": np.negative, "Abs": np.abs, "Sqrt": np.sqrt, "Exp": np.exp, "Log": np.log, "Floor": np.floor,
    "Ceil": np.ceil, "Round": np.rint, "Sin": np.sin, "Cos": np.cos, "Reciprocal": np.reciprocal,
    "Relu": lambda x: np.maximum(x, 0), "Equal": np.equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal,
    "Less": np.less, "LessOrEqual": np.less_equal, "And": np.logical_and, "Or": np.logical_or, "Not": np.logical_not,
    "Where": np.where, "Max": lambda *xs: np.max(np.broadcast_arrays(*xs), axis=0),
    "Min": lambda *xs: np.min(np.broadcast_arrays(*xs), axis=0),
}  # fmt: skip
FOLDS: dict[str, Fold] = {
    **{kind: _elementwise(function) for kind, function in _NUMPY.items()},
    "Identity": _same,
    "Dropout": _same,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Cast": _cast,
    "Gather": _gather,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Slice": _slice,
    "Expand": _expand,
    "Tile": _tile,
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMin": _reduce(np.min),
    "ReduceMax": _reduce(np.max),
    "ReduceMean": _reduce(np.mean),
    "DequantizeLinear": _dequantize,
    "QuantizeLinear": _quantize,
}
"""Operator -> how its result follows from constant inputs."""
