"""Elementwise arithmetic, activations, comparisons and reductions as ONNX nodes, in their operands' layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pocketgraph.models.errors import FormatError
from pocketgraph.models.graph import DType, Op, Tensor
from pocketgraph.models.onnx_emit import Emitter, Stored, scales
from pocketgraph.models.onnx_layout import Layout, identity, without_axes

_FLOATS = (DType.FLOAT32, DType.FLOAT16, DType.FLOAT64)
Compose = Callable[[Emitter, Op, list[str]], str]


def _together(emit: Emitter, op: Op, tensors: Sequence[Tensor]) -> tuple[list[str], Layout]:
    """Operands in one layout of the output's rank, leading axes added where one has fewer."""
    rank = len(op.outputs[0].shape)
    layout = emit.best_layout(t for t in tensors if len(t.shape) == rank) or identity(rank)
    return [emit.get_broadcast(t, layout) for t in tensors], layout


def elementwise(kind: str) -> Callable[[Emitter, Op], None]:
    """The lowering of an operator that ONNX has under the name `kind`."""

    def lower(emit: Emitter, op: Op) -> None:
        names, layout = _together(emit, op, [t for t in op.inputs if t is not None])
        emit.finish(op, emit.node(kind, names, op.name), layout)

    return lower


def composed(compose: Compose) -> Callable[[Emitter, Op], None]:
    """The lowering of an elementwise operator that takes several ONNX nodes."""

    def lower(emit: Emitter, op: Op) -> None:
        names, layout = _together(emit, op, [t for t in op.inputs if t is not None])
        emit.finish(op, compose(emit, op, names), layout)

    return lower


def fused(kind: str) -> Callable[[Emitter, Op], None]:
    """The lowering of an operator that other operators also carry as their fused activation."""
    return composed(lambda emit, op, names: emit.activate(names[0], kind, op))


def _leaky_relu(emit: Emitter, op: Op, names: list[str]) -> str:
    return emit.node("LeakyRelu", names, op.name, alpha=float(op.attrs.get("alpha", 0.0)))


def _hard_swish(emit: Emitter, op: Op, names: list[str]) -> str:
    return emit.node("HardSwish", names, op.name)


def _rsqrt(emit: Emitter, op: Op, names: list[str]) -> str:
    return emit.node("Reciprocal", [emit.node("Sqrt", names, f"{op.name}/sqrt")], op.name)


def _square(emit: Emitter, op: Op, names: list[str]) -> str:
    return emit.node("Mul", [names[0], names[0]], op.name)


def _squared_difference(emit: Emitter, op: Op, names: list[str]) -> str:
    difference = emit.node("Sub", names, f"{op.name}/difference")
    return emit.node("Mul", [difference, difference], op.name)


def _floor_div(emit: Emitter, op: Op, names: list[str]) -> str:
    """Rounds down; ONNX's integer Div rounds towards zero, so the remainder goes first."""
    if op.outputs[0].dtype in _FLOATS:
        return emit.node("Floor", [emit.node("Div", names, f"{op.name}/ratio")], op.name)
    whole = emit.node("Sub", [names[0], emit.node("Mod", names, f"{op.name}/rest")], f"{op.name}/whole")
    return emit.node("Div", [whole, names[1]], op.name)


def _floor_mod(emit: Emitter, op: Op, names: list[str]) -> str:
    """The remainder with the divisor's sign."""
    if op.outputs[0].dtype not in _FLOATS:
        return emit.node("Mod", names, op.name)
    ratio = emit.node("Floor", [emit.node("Div", names, f"{op.name}/ratio")], f"{op.name}/floor")
    return emit.node("Sub", [names[0], emit.node("Mul", [ratio, names[1]], f"{op.name}/whole")], op.name)


def _not_equal(emit: Emitter, op: Op, names: list[str]) -> str:
    return emit.node("Not", [emit.node("Equal", names, f"{op.name}/equal")], op.name)


def _gelu(emit: Emitter, op: Op, names: list[str]) -> str:
    """x times the normal distribution function, or its tanh approximation."""
    x = names[0]
    if op.attrs.get("approximate", False):
        cube = emit.node("Mul", [emit.node("Mul", [x, x], op.name), x], op.name)
        bent = emit.node("Add", [x, emit.node("Mul", [cube, emit.scalar(0.044715)], op.name)], op.name)
        inner = emit.node("Tanh", [emit.node("Mul", [bent, emit.scalar(np.sqrt(2 / np.pi))], op.name)], op.name)
    else:
        inner = emit.node("Erf", [emit.node("Mul", [x, emit.scalar(np.sqrt(0.5))], op.name)], op.name)
    half = emit.node("Mul", [x, emit.scalar(0.5)], op.name)
    return emit.node("Mul", [half, emit.node("Add", [inner, emit.scalar(1.0)], op.name)], op.name)


def cast(emit: Emitter, op: Op) -> None:
    """CAST to the output's type."""
    x, out = op.input(0), op.outputs[0]
    layout = emit.layout(x)
    emit.put_raw(out, emit.cast(emit.get(x, layout), out.dtype, out.name), layout)


def prelu(emit: Emitter, op: Op) -> None:
    """PRELU: the slopes are broadcast to the input."""
    x, slopes = op.input(0), op.input(1)
    layout = emit.best_layout([x]) or identity(len(x.shape))
    emit.finish(op, emit.node("PRelu", [emit.get(x, layout), emit.get_broadcast(slopes, layout)], op.name), layout)


def softmax(kind: str) -> Callable[[Emitter, Op], None]:
    """SOFTMAX or LOG_SOFTMAX over the last axis."""

    def lower(emit: Emitter, op: Op) -> None:
        x = op.input(0)
        layout = emit.layout(x)
        name = emit.get(x, layout)
        beta = float(op.attrs.get("beta", 1.0)) if op.kind == "SOFTMAX" else 1.0
        if beta != 1.0:
            name = emit.node("Mul", [name, emit.scalar(beta)], f"{op.name}/scaled")
        emit.finish(op, emit.node(kind, [name], op.name, axis=layout.index(len(layout) - 1)), layout)

    return lower


def reduce(kind: str) -> Callable[[Emitter, Op], None]:
    """MEAN, SUM and the like over constant axes."""

    def lower(emit: Emitter, op: Op) -> None:
        x = op.input(0)
        axes = normal_axes(op, emit.constant(op, 1).reshape(-1).tolist(), len(x.shape))
        layout, keep = emit.layout(x), bool(op.attrs.get("keep_dims", False))
        name, places = emit.get(x, layout), sorted(layout.index(axis) for axis in axes)
        if kind == "ReduceMean" and keep and len(layout) == 4 and places == [2, 3]:
            name = emit.node("GlobalAveragePool", [name], op.name)
        elif kind == "ReduceSum":
            name = emit.node(kind, [name, emit.int64s(places, op.name)], op.name, keepdims=int(keep))
        elif places:
            name = emit.node(kind, [name], op.name, axes=places, keepdims=int(keep))
        emit.finish(op, name, layout if keep else without_axes(layout, axes))

    return lower


def argument(kind: str) -> Callable[[Emitter, Op], None]:
    """ARG_MAX or ARG_MIN along a constant axis."""

    def lower(emit: Emitter, op: Op) -> None:
        x, out = op.input(0), op.outputs[0]
        (axis,) = normal_axes(op, emit.constant(op, 1).reshape(-1)[:1].tolist(), len(x.shape)) or (0,)
        layout = emit.layout(x)
        name = emit.node(kind, [emit.get(x, layout)], op.name, axis=layout.index(axis), keepdims=0)
        if out.dtype is not DType.INT64:
            name = emit.cast(name, out.dtype, out.name)
        emit.finish(op, name, without_axes(layout, [axis]))

    return lower


def rescale(emit: Emitter, op: Op) -> None:
    """QUANTIZE and DEQUANTIZE: the same real values. A constant stays as small as it is stored."""
    x, out = op.input(0), op.outputs[0]
    stored = emit.stored(x)
    if stored is not None and scales(out) is None:
        emit.hold(out, Stored(stored.array, stored.quantization, out.dtype))
        return
    layout = emit.layout(x)
    name = emit.get(x, layout)
    if x.dtype is DType.FLOAT16 and out.dtype is DType.FLOAT32:
        name = emit.cast(name, DType.FLOAT32, out.name)
    emit.put(out, name, layout)


def densify(emit: Emitter, op: Op) -> None:
    """DENSIFY of a constant: the constant itself."""
    stored = emit.stored(op.input(0))
    if stored is None:
        raise FormatError(f"DENSIFY {op.name!r} reads {op.input(0).name!r}, which is not constant")
    emit.hold(op.outputs[0], stored)


def normal_axes(op: Op, axes: Sequence[int], rank: int) -> list[int]:
    """`axes` counted from 0, each once. Raises `FormatError` where one lies outside the rank."""
    for axis in axes:
        if not -rank <= axis < rank:
            raise FormatError(f"{op.kind} {op.name!r} names axis {axis} of a tensor of rank {rank}")
    return list(dict.fromkeys(axis % rank for axis in axes))


_SAME_NAME = {
    "ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "MAXIMUM": "Max", "MINIMUM": "Min", "POW": "Pow",
    "ABS": "Abs", "NEG": "Neg", "EXP": "Exp", "LOG": "Log", "SQRT": "Sqrt", "FLOOR": "Floor", "CEIL": "Ceil",
    "ROUND": "Round", "SIN": "Sin", "COS": "Cos", "SIGN": "Sign", "LOGISTIC": "Sigmoid", "TANH": "Tanh",
    "ELU": "Elu", "EQUAL": "Equal", "GREATER": "Greater", "GREATER_EQUAL": "GreaterOrEqual", "LESS": "Less",
    "LESS_EQUAL": "LessOrEqual", "LOGICAL_AND": "And", "LOGICAL_OR": "Or", "LOGICAL_NOT": "Not",
    "SELECT": "Where", "SELECT_V2": "Where", "ADD_N": "Sum",
}  # fmt: skip
_COMPOSED: dict[str, Compose] = {
    "LEAKY_RELU": _leaky_relu,
    "HARD_SWISH": _hard_swish,
    "RSQRT": _rsqrt,
    "SQUARE": _square,
    "SQUARED_DIFFERENCE": _squared_difference,
    "FLOOR_DIV": _floor_div,
    "FLOOR_MOD": _floor_mod,
    "NOT_EQUAL": _not_equal,
    "GELU": _gelu,
}
LOWERINGS: dict[str, Callable[[Emitter, Op], None]] = {
    **{kind: elementwise(name) for kind, name in _SAME_NAME.items()},
    **{kind: composed(compose) for kind, compose in _COMPOSED.items()},
    **{kind: fused(kind) for kind in ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1")},
    "CAST": cast,
    "PRELU": prelu,
    "SOFTMAX": softmax("Softmax"),
    "LOG_SOFTMAX": softmax("LogSoftmax"),
    "MEAN": reduce("ReduceMean"),
    "SUM": reduce("ReduceSum"),
    "REDUCE_MAX": reduce("ReduceMax"),
    "REDUCE_MIN": reduce("ReduceMin"),
    "REDUCE_PROD": reduce("ReduceProd"),
    "ARG_MAX": argument("ArgMax"),
    "ARG_MIN": argument("ArgMin"),
    "QUANTIZE": rescale,
    "DEQUANTIZE": rescale,
    "DENSIFY": densify,
}
