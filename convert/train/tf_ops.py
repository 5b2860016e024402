"""What each TFLite operator computes, in TensorFlow: one table, `RULES`, from operator name to rule.

A rule gives the function (without its fused activation, which the caller applies), the operands that are weights, and
the axes along which the operator mixes values; an operator that leaves axis 0 alone may run on any batch size.
Semantics follow the LiteRT reference kernels; `tests/convert/test_trainable.py` compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketgraph.convert.train.backend import tf
from pocketgraph.models.errors import UnsupportedError
from pocketgraph.models.graph import Op, Tensor

Compute = Callable[[Op, Sequence[Any]], Any]
Axes = Callable[[Op], set[int]]


def _no_axes(_: Op) -> set[int]:
    return set()


@dataclass(frozen=True)
class Rule:
    """`compute(op, operands)` gives one value, or a list for several outputs; absent operands are None.

    `weights`: operands that training may change. `axes(op)`: axes whose values mix or move.
    """

    compute: Compute
    weights: tuple[int, ...] = ()
    axes: Axes = _no_axes


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "NONE": lambda x: x,
    "RELU": tf.nn.relu,
    "RELU6": tf.nn.relu6,
    "RELU_N1_TO_1": lambda x: tf.clip_by_value(x, -1.0, 1.0),
}


def activation(op: Op) -> Callable[[Any], Any]:
    """The activation fused into `op`."""
    name = op.attrs.get("fused_activation_function", "NONE")
    if name not in ACTIVATIONS:
        raise UnsupportedError(f"{op.kind} {op.name!r} has the activation {name!r}; known: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def constant(op: Op, index: int) -> Any:
    """Operand `index`, which has to be a constant, as an array."""
    tensor = op.input(index)
    if not tensor.is_constant:
        raise UnsupportedError(f"{op.kind} {op.name!r}: {tensor.name!r} has to be a constant to train this model")
    return tensor.dense()


def _strides(op: Op) -> list[int]:
    return [1, op.attrs.get("stride_h", 1), op.attrs.get("stride_w", 1), 1]


def _dilations(op: Op) -> list[int]:
    return [op.attrs.get("dilation_h_factor", 1), op.attrs.get("dilation_w_factor", 1)]


def _padding(op: Op) -> str:
    return str(op.attrs.get("padding", "SAME"))


def _with_bias(y: Any, args: Sequence[Any], index: int) -> Any:
    return y if len(args) <= index or args[index] is None else tf.nn.bias_add(y, args[index])


def _conv(op: Op, args: Sequence[Any]) -> Any:
    kernel = tf.transpose(args[1], [1, 2, 3, 0])
    y = tf.nn.conv2d(args[0], kernel, _strides(op), _padding(op), dilations=_dilations(op))
    return _with_bias(y, args, 2)


def _depthwise(op: Op, args: Sequence[Any]) -> Any:
    strides, dilations = _strides(op), _dilations(op)
    if strides[1] != strides[2] or (strides[1] > 1 and dilations != [1, 1]):
        raise UnsupportedError(
            f"{op.kind} {op.name!r} has strides {strides[1:3]} and dilations {dilations}; "
            "training needs equal strides, and no dilation beside them"
        )
    _, height, width, out = op.input(1).shape
    channels = op.input(0).shape[-1]
    kernel = tf.reshape(args[1], [height, width, channels, out // channels])
    y = tf.nn.depthwise_conv2d(args[0], kernel, strides, _padding(op), dilations=dilations)
    return _with_bias(y, args, 2)


def _transpose_conv(op: Op, args: Sequence[Any]) -> Any:
    kernel = tf.transpose(args[1], [1, 2, 0, 3])
    shape = [tf.shape(args[2])[0], *op.outputs[0].shape[1:]]
    return _with_bias(tf.nn.conv2d_transpose(args[2], kernel, shape, _strides(op), _padding(op)), args, 3)


def _mediapipe_transpose_conv(op: Op, args: Sequence[Any]) -> Any:
    """MediaPipe's Convolution2DTransposeBias of input, weights, bias; options: padding, stride_w, stride_h as int32."""
    if len(op.custom_options) != 12:
        raise UnsupportedError(
            f"{op.custom_code} {op.name!r} has {len(op.custom_options)} bytes of options, expected 12"
        )
    padding, stride_w, stride_h = (int(n) for n in np.frombuffer(op.custom_options, "<i4"))
    kernel = tf.transpose(args[1], [1, 2, 0, 3])
    shape = [tf.shape(args[0])[0], *op.outputs[0].shape[1:]]
    strides = [1, stride_h, stride_w, 1]
    return _with_bias(tf.nn.conv2d_transpose(args[0], kernel, shape, strides, _MEDIAPIPE_PADDING[padding]), args, 2)


_MEDIAPIPE_PADDING = {1: "SAME", 2: "VALID"}


def _fully_connected(op: Op, args: Sequence[Any]) -> Any:
    rows = tf.reshape(args[0], [-1, op.input(1).shape[1]])
    y = _with_bias(tf.matmul(rows, args[1], transpose_b=True), args, 2)
    return tf.reshape(y, [-1, *op.outputs[0].shape[1:]])


def _pool(function: Callable[..., Any]) -> Compute:
    def compute(op: Op, args: Sequence[Any]) -> Any:
        window = [1, op.attrs.get("filter_height", 1), op.attrs.get("filter_width", 1), 1]
        return function(args[0], window, _strides(op), _padding(op))

    return compute


def _resize(function: Callable[..., Any]) -> Compute:
    def compute(op: Op, args: Sequence[Any]) -> Any:
        return function(
            images=args[0],
            size=constant(op, 1),
            align_corners=bool(op.attrs.get("align_corners", False)),
            half_pixel_centers=bool(op.attrs.get("half_pixel_centers", False)),
        )

    return compute


def _reshape(op: Op, args: Sequence[Any]) -> Any:
    shape = op.outputs[0].shape
    return tf.reshape(args[0], [-1, *shape[1:]] if shape else [])


def _concatenation(op: Op, args: Sequence[Any]) -> Any:
    batch = next((tf.shape(a)[0] for a, t in zip(args, op.inputs, strict=True) if t and not t.is_constant), 1)
    parts = [
        tf.broadcast_to(a, [batch, *t.shape[1:]]) if t and t.is_constant and t.shape[:1] == (1,) else a
        for a, t in zip(args, op.inputs, strict=True)
    ]
    return tf.concat(parts, op.attrs.get("axis", 0))


def _strided_slice(op: Op, args: Sequence[Any]) -> Any:
    masks = {name: op.attrs.get(name, 0) for name in ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask")}
    if not _slice_axes(op):
        masks["begin_mask"] |= 1
        masks["end_mask"] |= 1
    return tf.strided_slice(
        args[0],
        *(constant(op, i) for i in (1, 2, 3)),
        shrink_axis_mask=op.attrs.get("shrink_axis_mask", 0),
        **masks,
    )


def _slice_axes(op: Op) -> set[int]:
    """{0} where a STRIDED_SLICE does anything but keep the whole of axis 0."""
    begin, end, step = (int(constant(op, i).flat[0]) for i in (1, 2, 3))
    whole_begin = begin == 0 or op.attrs.get("begin_mask", 0) & 1
    whole_end = end >= op.input(0).shape[0] or op.attrs.get("end_mask", 0) & 1
    other = (op.attrs.get(name, 0) & 1 for name in ("shrink_axis_mask", "new_axis_mask", "ellipsis_mask"))
    return set() if whole_begin and whole_end and step == 1 and not any(other) else {0}


def _slice(op: Op, args: Sequence[Any]) -> Any:
    size = np.array(constant(op, 2))
    size[[i for i, n in enumerate(size) if constant(op, 1)[i] + n == op.input(0).shape[i]]] = -1
    return tf.slice(args[0], constant(op, 1), size)


def _axes_at(index: int) -> Axes:
    def axes(op: Op) -> set[int]:
        rank = len(op.input(0).shape)
        return {int(axis) % rank for axis in np.ravel(constant(op, index))}

    return axes


def _axis_attr(op: Op) -> set[int]:
    rank = len(op.outputs[0].shape)
    return {op.attrs.get("axis", 0) % max(rank, 1)}


def _reduce(function: Callable[..., Any]) -> Rule:
    def compute(op: Op, args: Sequence[Any]) -> Any:
        axes = [int(axis) for axis in np.ravel(constant(op, 1))]
        return function(args[0], axes, keepdims=bool(op.attrs.get("keep_dims", False)))

    return Rule(compute, axes=_axes_at(1))


def _unary(function: Callable[[Any], Any]) -> Rule:
    return Rule(lambda _, args: function(args[0]))


def _binary(function: Callable[[Any, Any], Any]) -> Rule:
    return Rule(lambda _, args: function(args[0], args[1]))


def _prelu(_: Op, args: Sequence[Any]) -> Any:
    return tf.nn.relu(args[0]) - args[1] * tf.nn.relu(-args[0])


def _split(op: Op, args: Sequence[Any]) -> Any:
    return tf.split(args[1], len(op.outputs), int(constant(op, 0)))


def _padded(op: Op) -> set[int]:
    return {axis for axis, (before, after) in enumerate(constant(op, 1)) if before or after}


def rule(op: Op) -> Rule:
    """The rule of `op`; `UnsupportedError` where there is none."""
    name = op.custom_code or op.kind
    if name not in RULES:
        raise UnsupportedError(f"no rule to train {name} ({op.name!r}); known: {', '.join(RULES)}")
    return RULES[name]


RULES: dict[str, Rule] = {
    "CONV_2D": Rule(_conv, weights=(1, 2)),
    "DEPTHWISE_CONV_2D": Rule(_depthwise, weights=(1, 2)),
    "TRANSPOSE_CONV": Rule(_transpose_conv, weights=(1, 3)),
    "Convolution2DTransposeBias": Rule(_mediapipe_transpose_conv, weights=(1, 2)),
    "FULLY_CONNECTED": Rule(_fully_connected, weights=(1, 2)),
    "PRELU": Rule(_prelu, weights=(1,)),
    "AVERAGE_POOL_2D": Rule(_pool(tf.nn.avg_pool2d)),
    "MAX_POOL_2D": Rule(_pool(tf.nn.max_pool2d)),
    "RESIZE_BILINEAR": Rule(_resize(tf.raw_ops.ResizeBilinear)),
    "RESIZE_NEAREST_NEIGHBOR": Rule(_resize(tf.raw_ops.ResizeNearestNeighbor)),
    "MEAN": _reduce(tf.reduce_mean),
    "SUM": _reduce(tf.reduce_sum),
    "REDUCE_MAX": _reduce(tf.reduce_max),
    "REDUCE_MIN": _reduce(tf.reduce_min),
    "ADD": _binary(tf.add),
    "SUB": _binary(tf.subtract),
    "MUL": _binary(tf.multiply),
    "DIV": _binary(tf.divide),
    "MAXIMUM": _binary(tf.maximum),
    "MINIMUM": _binary(tf.minimum),
    "POW": _binary(tf.pow),
    "SQUARED_DIFFERENCE": _binary(tf.math.squared_difference),
    "RELU": _unary(tf.nn.relu),
    "RELU6": _unary(tf.nn.relu6),
    "RELU_N1_TO_1": _unary(ACTIVATIONS["RELU_N1_TO_1"]),
    "LEAKY_RELU": Rule(lambda op, args: tf.nn.leaky_relu(args[0], op.attrs.get("alpha", 0.0))),
    "ELU": _unary(tf.nn.elu),
    "GELU": Rule(lambda op, args: tf.nn.gelu(args[0], op.attrs.get("approximate", False))),
    "HARD_SWISH": _unary(lambda x: x * tf.nn.relu6(x + 3.0) / 6.0),
    "LOGISTIC": _unary(tf.math.sigmoid),
    "TANH": _unary(tf.math.tanh),
    "SOFTMAX": Rule(lambda op, args: tf.nn.softmax(args[0] * op.attrs.get("beta", 0.0))),
    "LOG_SOFTMAX": _unary(tf.nn.log_softmax),
    "ABS": _unary(tf.abs),
    "NEG": _unary(tf.negative),
    "EXP": _unary(tf.exp),
    "SQRT": _unary(tf.sqrt),
    "RSQRT": _unary(tf.math.rsqrt),
    "SQUARE": _unary(tf.square),
    "PAD": Rule(lambda op, args: tf.pad(args[0], constant(op, 1)), axes=_padded),
    "PADV2": Rule(
        lambda op, args: tf.pad(args[0], constant(op, 1), constant_values=tf.reshape(args[2], [])), axes=_padded
    ),
    "MIRROR_PAD": Rule(
        lambda op, args: tf.pad(args[0], constant(op, 1), op.attrs.get("mode", "REFLECT")),
        axes=_padded,
    ),
    "RESHAPE": Rule(_reshape),
    "SQUEEZE": Rule(_reshape),
    "EXPAND_DIMS": Rule(_reshape),
    "TRANSPOSE": Rule(
        lambda op, args: tf.transpose(args[0], constant(op, 1)),
        axes=lambda op: set() if constant(op, 1)[0] == 0 else {0},
    ),
    "CONCATENATION": Rule(_concatenation, axes=_axis_attr),
    "PACK": Rule(lambda op, args: tf.stack(args, op.attrs.get("axis", 0)), axes=_axis_attr),
    "SPLIT": Rule(_split, axes=lambda op: {int(constant(op, 0)) % len(op.input(1).shape)}),
    "STRIDED_SLICE": Rule(_strided_slice, axes=_slice_axes),
    "SLICE": Rule(_slice, axes=lambda op: set() if op.outputs[0].shape[:1] == op.input(0).shape[:1] else {0}),
    "DEPTH_TO_SPACE": Rule(lambda op, args: tf.nn.depth_to_space(args[0], op.attrs.get("block_size", 1))),
    "SPACE_TO_DEPTH": Rule(lambda op, args: tf.nn.space_to_depth(args[0], op.attrs.get("block_size", 1))),
}


def keeps_batch(op: Op, computed: set[Tensor]) -> bool:
    """Whether `op`, written for batch 1, does the same to each picture of a larger batch.

    `computed`: the tensors that depend on the graph's inputs.
    """
    data = [t for t in op.inputs if t is not None and t in computed]
    if any(t.shape[:1] != (1,) for t in [*data, *op.outputs]):
        return False
    elementwise = len(data) > 1 and op.kind not in ("CONCATENATION", "PACK")
    if elementwise and any(len(t.shape) != len(op.outputs[0].shape) for t in data):
        return False
    return 0 not in rule(op).axes(op)
