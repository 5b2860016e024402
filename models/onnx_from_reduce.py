"""ONNX reductions, softmax and normalisations as graph operators."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.graph import Array, DType, Tensor
from pocketgraph.models.onnx_build import Builder, axes_of, axis_of, integer, number
from pocketgraph.models.onnx_from_math import Handler, arithmetic, one, plus, times
from pocketgraph.models.onnx_layout import place, without_axes
from pocketgraph.models.onnx_proto import Node


def softmax(kind: str) -> Handler:
    """Softmax and LogSoftmax. Before opset 13 all axes from `axis` on are one."""

    def lower(b: Builder, node: Node) -> None:
        b.floats(node)
        shape = b.shape(node)
        rank = len(shape)
        axis = axis_of(node, integer(node, "axis", -1 if b.opset >= 13 else 1), rank)
        attrs: dict[str, Any] = {"beta": 1.0} if kind == "SOFTMAX" else {}
        if b.opset < 13 and any(size != 1 for size in shape[axis + 1 :]):
            x = b.reshaped(b.tensor(node, 0), (math.prod(shape[:axis]), math.prod(shape[axis:])))
            y = b.op(kind, [x], x.shape, node.outputs[0], **attrs)
            b.put(node, b.reshaped(y, shape))
            return
        layout = b.layout(node)
        if layout[-1] != axis:
            layout = (*(a for a in layout if a != axis), axis)
        x = b.tensor(node, 0, layout)
        b.put(node, b.op(kind, [x], x.shape, node.outputs[0], **attrs), layout)

    return lower


def reduce(kind: str, before: str | None = None, after: str | None = None) -> Handler:
    """A reduction over axes, perhaps between two elementwise operators (ReduceL2: square, sum, square root)."""

    def lower(b: Builder, node: Node) -> None:
        rank = len(b.shape(node))
        axes = axes_of(b, node, 1, rank, default=[] if integer(node, "noop_with_empty_axes", 0) else None)
        if not axes:
            b.alias(node, b.value(node, 0))
            return
        layout, keep = b.layout(node), bool(integer(node, "keepdims", 1))
        x, hint = b.tensor(node, 0, layout), node.outputs[0]
        if before is not None:
            x = b.op(before, [x], x.shape, f"{hint}/{before.lower()}", x.dtype)
        places = sorted(layout.index(axis) for axis in axes)
        shape = [1 if i in places else size for i, size in enumerate(x.shape) if keep or i not in places]
        y = b.op(kind, [x, b.ints(places, hint)], shape, hint, x.dtype, keep_dims=keep)
        if after is not None:
            y = b.op(after, [y], y.shape, f"{hint}/{after.lower()}", y.dtype)
        b.put(node, y, layout if keep else without_axes(layout, axes))

    return lower


def argument(kind: str) -> Handler:
    """ArgMax and ArgMin."""

    def lower(b: Builder, node: Node) -> None:
        rank = len(b.shape(node))
        axis = axis_of(node, integer(node, "axis", 0), rank)
        if integer(node, "select_last_index", 0):
            raise UnsupportedError(
                f"{node.kind} {node.name!r} selects the last index among equals, which is not covered"
            )
        layout = b.layout(node)
        x, hint = b.tensor(node, 0, layout), node.outputs[0]
        at = layout.index(axis)
        shape = [size for i, size in enumerate(x.shape) if i != at]
        y = b.op(kind, [x, b.ints([at], hint)], shape, hint, DType.INT64, output_type="INT64")
        if integer(node, "keepdims", 1):
            b.put(node, b.reshaped(y, [1 if i == at else size for i, size in enumerate(x.shape)]), layout)
        else:
            b.put(node, y, without_axes(layout, [axis]))

    return lower


def batch_norm(b: Builder, node: Node) -> None:
    """BatchNormalization with the statistics of training: a factor and an offset for each channel (axis 1)."""
    if integer(node, "training_mode", 0):
        raise UnsupportedError(f"BatchNormalization {node.name!r} is in training mode; export the model for inference")
    b.floats(node)
    shape = b.shape(node)
    scale, offset, mean, variance = (b.array(node, index).astype(np.float32) for index in (1, 2, 3, 4))
    if len(shape) < 2 or any(a.shape != (shape[1],) for a in (scale, offset, mean, variance)):
        raise FormatError(f"BatchNormalization {node.name!r} has statistics that do not fit input {list(shape)}")
    deviation = np.sqrt(np.maximum(variance + np.float32(number(node, "epsilon", 1e-5)), np.float32(1e-30)))
    factor = scale / deviation
    _scale_channels(b, node, factor, offset - mean * factor)


def _scale_channels(b: Builder, node: Node, factor: Array, offset: Array) -> None:
    rank, hint = len(b.shape(node)), node.outputs[0]
    layout = b.layout(node)
    x = b.tensor(node, 0, layout)
    spread = place((1, -1, *([1] * (rank - 2))), layout)
    while len(spread) > 1 and spread[0] == 1:
        spread = spread[1:]
    y = times(b, x, b.constant(factor.reshape(spread), f"{hint}/factor"), f"{hint}/scaled")
    b.put(node, plus(b, y, b.constant(offset.reshape(spread), f"{hint}/offset"), hint), layout)


def normalize(b: Builder, node: Node) -> None:
    """InstanceNormalization (over space) and LayerNormalization (over the last axes), from mean and variance."""
    b.floats(node)
    shape = b.shape(node)
    rank = len(shape)
    layout, hint = b.layout(node), node.outputs[0]
    if node.kind == "InstanceNormalization":
        if rank < 3:
            raise FormatError(f"{node.kind} {node.name!r} works on shape {list(shape)}, expected rank 3 up")
        axes, parameter = list(range(2, rank)), (-1, *([1] * (rank - 2)))
    else:
        axes = list(range(axis_of(node, integer(node, "axis", -1), rank), rank))
        parameter = tuple(shape[axes[0] :])
    x = b.tensor(node, 0, layout)
    places = [layout.index(axis) for axis in axes]
    reduced = [1 if i in places else size for i, size in enumerate(x.shape)]

    def mean(value: Tensor, name: str) -> Tensor:
        return b.op("MEAN", [value, b.ints(sorted(places), hint)], reduced, f"{hint}/{name}", keep_dims=True)

    centred = arithmetic(b, "SUB", x, mean(x, "mean"), f"{hint}/centred")
    spread = plus(b, mean(times(b, centred, centred, hint), "variance"), number(node, "epsilon", 1e-5), hint)
    y = times(b, centred, one(b, "RSQRT", spread, hint), f"{hint}/normal")
    for index, kind in ((1, "MUL"), (2, "ADD")):
        if b.has(node, index):
            array = b.array(node, index)
            if array.size != (shape[1] if -1 in parameter else math.prod(parameter)):
                raise FormatError(f"{node.kind} {node.name!r} has parameters {list(array.shape)} for {list(shape)}")
            value = b.arranged(node.inputs[index], array.reshape(parameter), layout)
            y = arithmetic(b, kind, y, value, hint)
    b.put(node, y, layout)


LOWERINGS: dict[str, Handler] = {
    "Softmax": softmax("SOFTMAX"),
    "LogSoftmax": softmax("LOG_SOFTMAX"),
    "ReduceMean": reduce("MEAN"),
    "ReduceSum": reduce("SUM"),
    "ReduceMax": reduce("REDUCE_MAX"),
    "ReduceMin": reduce("REDUCE_MIN"),
    "ReduceProd": reduce("REDUCE_PROD"),
    "ReduceL1": reduce("SUM", before="ABS"),
    "ReduceL2": reduce("SUM", before="SQUARE", after="SQRT"),
    "ReduceSumSquare": reduce("SUM", before="SQUARE"),
    "ArgMax": argument("ARG_MAX"),
    "ArgMin": argument("ARG_MIN"),
    "BatchNormalization": batch_norm,
    "InstanceNormalization": normalize,
    "LayerNormalization": normalize,
}
