"""Rules for ops that work value by value, and for those that sum up: arithmetic, activations, softmax, reductions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pocketgraph.models.graph import DType, Op
from pocketgraph.runtime.chw.builder import CLAMP, INFINITY, Builder, copy_views
from pocketgraph.runtime.chw.operands import integers, limits, why_not_fused
from pocketgraph.runtime.chw.values import Value, fast_order, view

# numbered as in core/kernels.h
_BINARY = {
    "ADD": 0,
    "SUB": 1,
    "MUL": 2,
    "DIV": 3,
    "MAXIMUM": 4,
    "MINIMUM": 5,
    "SQUARED_DIFFERENCE": 6,
    "PRELU": 7,
    "POW": 8,
    "FLOOR_DIV": 9,
}
_LIMITS = {
    "RELU": (0.0, INFINITY),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "RELU_0_TO_1": (0.0, 1.0),
}
_UNARY = {
    "LOGISTIC": 2,
    "TANH": 3,
    "HARD_SWISH": 4,
    "EXP": 5,
    "LOG": 6,
    "SQRT": 7,
    "RSQRT": 8,
    "NEG": 9,
    "ABS": 10,
    "SQUARE": 11,
    "ELU": 12,
    "LEAKY_RELU": 13,
    "GELU": 14,
    "FLOOR": 16,
    "CEIL": 17,
    "ROUND": 18,
    "SIN": 19,
    "COS": 20,
}
_GELU_TANH = 15
_REDUCE = {"SUM": 0, "MEAN": 1, "REDUCE_MAX": 2, "REDUCE_MIN": 3, "REDUCE_PROD": 4}
_MAX_RANK = 6


def _why_not_binary(op: Op) -> str:
    first, second, result = op.input(0), op.input(1), op.outputs[0]
    for tensor in (first, second):
        if tensor.dtype is not DType.FLOAT32:
            return f"its operand {tensor.name!r} is {tensor.dtype.value}, the engine computes in float32"
    try:
        shape = _broadcast(first.shape, second.shape)
    except ValueError:
        return f"its operands have shapes {list(first.shape)} and {list(second.shape)}"
    if shape != result.shape:
        return f"its result has shape {list(result.shape)} where {list(shape)} follows from its operands"
    return why_not_fused(op)


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    rank = max(len(a), len(b))
    pairs = zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True)
    sizes = []
    for x, y in pairs:
        if x != y and 1 not in (x, y):
            raise ValueError
        sizes.append(y if x == 1 else x)
    return tuple(sizes)


def _binary(builder: Builder, op: Op) -> None:
    operands = [builder.value(op.input(0)), builder.value(op.input(1))]
    made = builder.result(op.outputs[0])
    kind = _BINARY[op.kind]

    def emit(p: Any) -> None:
        (a0, a), (b0, b) = (operand.broadcast(made.shape) for operand in operands)
        order = fast_order(made.strides, made.shape)
        shape = tuple(made.shape[axis] for axis in order)
        first, second, to = (tuple(s[axis] for axis in order) for s in (a, b, made.strides))
        p.binary(kind, view(a0, shape, first), view(b0, shape, second), view(made.first, shape, to), *limits(op))

    builder.task(op, operands, [made], emit)


def _unary(kind: int, low: float, high: float, builder: Builder, op: Op) -> None:
    value, made = builder.value(op.input(0)), builder.result(op.outputs[0])
    builder.task(op, [value], [made], lambda p: copy_views(p, value.view_args(), made.view_args(), kind, low, high))


def _leaky(builder: Builder, op: Op) -> None:
    _unary(_UNARY["LEAKY_RELU"], float(op.attrs.get("alpha") or 0.0), 0.0, builder, op)


def _gelu(builder: Builder, op: Op) -> None:
    _unary(_GELU_TANH if op.attrs.get("approximate") else _UNARY["GELU"], 0.0, 0.0, builder, op)


def _why_not_unary(op: Op) -> str:
    if op.input(0).shape != op.outputs[0].shape:
        return f"its result has shape {list(op.outputs[0].shape)}, its operand {list(op.input(0).shape)}"
    return ""


def _why_not_softmax(op: Op) -> str:
    return "it has no axis" if not op.input(0).shape else _why_not_unary(op)


def _softmax(builder: Builder, op: Op) -> None:
    value, made = builder.value(op.input(0)), builder.result(op.outputs[0])
    beta = float(op.attrs.get("beta") or 0.0)
    builder.task(
        op,
        [value],
        [made],
        lambda p: p.softmax(
            view(value.first, value.shape, value.strides), view(made.first, made.shape, made.strides), beta
        ),
    )


def _axes(op: Op) -> list[int] | None:
    given, rank = integers(op, 1), len(op.input(0).shape)
    if given is None or any(not -rank <= axis < rank for axis in given):
        return None
    return sorted({axis % rank for axis in given})


def _why_not_reduce(op: Op) -> str:
    axes = _axes(op)
    if axes is None:
        return "its axes are not constant"
    if not axes:
        return "it has no axes"
    shape = op.input(0).shape
    kept = [size for axis, size in enumerate(shape) if axis not in axes]
    if math.prod(kept) != op.outputs[0].size:
        return f"its result has shape {list(op.outputs[0].shape)}, which does not follow from its axes"
    return ""


def _reduce(builder: Builder, op: Op) -> None:
    axes = _axes(op)
    assert axes is not None
    _reduced(builder, op, builder.value(op.input(0)), builder.result(op.outputs[0]), axes, _REDUCE[op.kind])


def mean(builder: Builder, op: Op, value: Value, made: Value, axes: list[int]) -> None:
    """The mean of `value` over `axes`."""
    _reduced(builder, op, value, made, axes, _REDUCE["MEAN"])


def _reduced(builder: Builder, op: Op, value: Value, made: Value, axes: list[int], kind: int) -> None:
    kept = [axis for axis in range(len(value.shape)) if axis not in axes]
    target = made if made.is_flat else Value(made.shape, planes=False)

    def emit(p: Any) -> None:
        order = kept + axes
        shape = tuple(value.shape[axis] for axis in order)
        strides = tuple(value.strides[axis] for axis in order)
        outer = shape[: len(kept)]
        rows = Value(outer, planes=False).strides
        p.reduce(kind, view(value.first, shape, strides), view(target.first, outer, rows), len(axes))

    builder.task(op, [value], [target], emit)
    if target is not made:
        builder.copy(op, target, made)


RULES: Mapping[str, tuple[Callable[[Op], str], Callable[[Builder, Op], None]]] = {
    **dict.fromkeys(_BINARY, (_why_not_binary, _binary)),
    **{kind: (_why_not_unary, partial(_unary, number, 0.0, 0.0)) for kind, number in _UNARY.items()},
    **{kind: (_why_not_unary, partial(_unary, CLAMP, *pair)) for kind, pair in _LIMITS.items()},
    "LEAKY_RELU": (_why_not_unary, _leaky),
    "GELU": (_why_not_unary, _gelu),
    "SOFTMAX": (_why_not_softmax, _softmax),
    **dict.fromkeys(_REDUCE, (_why_not_reduce, _reduce)),
}
