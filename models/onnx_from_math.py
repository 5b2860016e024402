"""ONNX elementwise arithmetic, activations, normalisations and reductions as graph operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.graph import DType, Tensor
from pocketgraph.models.onnx_build import Builder, axes_of, axis_of, integer, number, text
from pocketgraph.models.onnx_layout import Layout, Shape, place, without_axes
from pocketgraph.models.onnx_proto import ELEMENT_TYPES, Node

_DTYPES = {number: dtype for dtype, number in ELEMENT_TYPES.items()}
_WIDE_FLOATS = (DType.FLOAT16, DType.FLOAT64)
Handler = Callable[[Builder, Node], None]


def broadcast_shape(node: Node, shapes: Sequence[Shape]) -> Shape:
    """The shape that `shapes` broadcast to."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise FormatError(f"{node.kind} {node.name!r} brings together shapes {[list(s) for s in shapes]}") from error


def together(b: Builder, node: Node, operands: Sequence[int]) -> tuple[list[Tensor], Shape, Layout]:
    """Operands in one layout, the physical shape they broadcast to, and that layout. Constants lose leading axes of 1."""
    shape = broadcast_shape(node, [b.shape(node, index) for index in operands])
    layout = b.best_layout([node.inputs[index] for index in operands], len(shape))
    tensors = []
    for index in operands:
        value = b.value(node, index)
        if isinstance(value, np.ndarray) and value.size == 1:
            tensors.append(b.arranged(node.inputs[index], value.reshape(()), ()))
            continue
        tensors.append(b.tensor(node, index, layout))
    return tensors, place(shape, layout), layout


def binary(kind: str, result: DType | None = None) -> Handler:
    """An operator of two operands; `result` is its element type where it is not the operands'."""

    def lower(b: Builder, node: Node) -> None:
        tensors, shape, layout = together(b, node, (0, 1))
        attrs = {"fused_activation_function": "NONE"} if kind in ("ADD", "SUB", "MUL", "DIV") else {}
        dtype = result or b.dtype(node)
        b.put(node, b.op(kind, tensors, shape, node.outputs[0], dtype, **attrs), layout)

    return lower


def variadic(kind: str) -> Handler:
    """An operator of one or more operands, taken two at a time."""

    def lower(b: Builder, node: Node) -> None:
        if len(node.inputs) == 1:
            b.alias(node, b.value(node, 0))
            return
        tensors, _, layout = together(b, node, range(len(node.inputs)))
        y = tensors[0]
        attrs = {"fused_activation_function": "NONE"} if kind == "ADD" else {}
        for tensor in tensors[1:]:
            shape = broadcast_shape(node, [y.shape, tensor.shape])
            y = b.op(kind, [y, tensor], shape, node.outputs[0], b.dtype(node), **attrs)
        if kind == "ADD" and node.kind == "Mean":
            y = _times(b, y, 1 / len(tensors), node.outputs[0])
        b.put(node, y, layout)

    return lower


def unary(kind: str, **attrs: object) -> Handler:
    """An operator of one operand that keeps its shape."""

    def lower(b: Builder, node: Node) -> None:
        layout = b.layout(node)
        x = b.tensor(node, 0, layout)
        b.put(node, b.op(kind, [x], x.shape, node.outputs[0], x.dtype, **attrs), layout)

    return lower


def composed(compose: Callable[[Builder, Node, Tensor], Tensor]) -> Handler:
    """An elementwise operator that takes several ops."""

    def lower(b: Builder, node: Node) -> None:
        layout = b.layout(node)
        b.put(node, compose(b, node, b.tensor(node, 0, layout)), layout)

    return lower


def alias(b: Builder, node: Node) -> None:
    """Identity, Dropout: the value itself."""
    b.alias(node, b.value(node, 0))


def _arithmetic(b: Builder, kind: str, x: Tensor, other: Tensor | float, hint: str, activation: str = "NONE") -> Tensor:
    if not isinstance(other, Tensor):
        other = b.constant(np.asarray(other, np.float32), f"{hint}/factor")
    return b.op(kind, [x, other], x.shape, hint, x.dtype, fused_activation_function=activation)


def _times(b: Builder, x: Tensor, factor: Tensor | float, hint: str) -> Tensor:
    return _arithmetic(b, "MUL", x, factor, hint)


def _plus(b: Builder, x: Tensor, offset: Tensor | float, hint: str, activation: str = "NONE") -> Tensor:
    return _arithmetic(b, "ADD", x, offset, hint, activation)


def _one(b: Builder, kind: str, x: Tensor, hint: str) -> Tensor:
    return b.op(kind, [x], x.shape, hint, x.dtype)


def _leaky_relu(b: Builder, node: Node, x: Tensor) -> Tensor:
    return b.op("LEAKY_RELU", [x], x.shape, node.outputs[0], alpha=number(node, "alpha", 0.01))


def _hard_sigmoid(b: Builder, node: Node, x: Tensor) -> Tensor:
    """max(0, min(1, alpha x + beta)), as a sixth of a RELU6."""
    alpha, beta, hint = number(node, "alpha", 0.2), number(node, "beta", 0.5), node.outputs[0]
    if not math.isclose(alpha, 1 / 6, rel_tol=1e-5):
        x = _times(b, x, 6 * alpha, f"{hint}/scaled")
    return _times(b, _plus(b, x, 6 * beta, f"{hint}/shifted", "RELU6"), 1 / 6, hint)


def _softplus(b: Builder, node: Node, x: Tensor) -> Tensor:
    """log(1 + exp x), without overflow: relu x + log(1 + exp -|x|)."""
    hint = node.outputs[0]
    small = _one(b, "EXP", _one(b, "NEG", _one(b, "ABS", x, hint), hint), hint)
    return _plus(b, _one(b, "RELU", x, hint), _one(b, "LOG", _plus(b, small, 1.0, hint), hint), hint)


def _softsign(b: Builder, node: Node, x: Tensor) -> Tensor:
    return _arithmetic(b, "DIV", x, _plus(b, _one(b, "ABS", x, node.name), 1.0, node.name), node.outputs[0])


def _mish(b: Builder, node: Node, x: Tensor) -> Tensor:
    return _times(b, x, _one(b, "TANH", _softplus(b, node, x), node.name), node.outputs[0])


def _elu(b: Builder, node: Node, x: Tensor) -> Tensor:
    """Elu and Selu: gamma * (relu x + alpha * elu(min(x, 0)))."""
    selu = node.kind == "Selu"
    alpha = number(node, "alpha", 1.6732632 if selu else 1.0)
    gamma, hint = number(node, "gamma", 1.0507010) if selu else 1.0, node.outputs[0]
    if alpha == gamma == 1.0:
        return _one(b, "ELU", x, hint)
    below = _one(b, "ELU", _arithmetic(b, "SUB", x, _one(b, "RELU", x, hint), hint), hint)
    return _plus(b, _times(b, _one(b, "RELU", x, hint), gamma, hint), _times(b, below, alpha * gamma, hint), hint)


def _reciprocal(b: Builder, node: Node, x: Tensor) -> Tensor:
    one = b.constant(np.asarray(1.0, np.float32), f"{node.name}/one")
    return b.op("DIV", [one, x], x.shape, node.outputs[0], x.dtype, fused_activation_function="NONE")


def _gelu(b: Builder, node: Node, x: Tensor) -> Tensor:
    tanh = text(node, "approximate", "none") == "tanh"
    return b.op("GELU", [x], x.shape, node.outputs[0], x.dtype, approximate=tanh)


_CLIPS = {
    (0.0, math.inf): "RELU",
    (0.0, 6.0): "RELU6",
    (-1.0, 1.0): "RELU_N1_TO_1",
    (0.0, 1.0): "RELU_0_TO_1",
}


def clip(b: Builder, node: Node) -> None:
    """Clip, as one of the graph's activations where its bounds are theirs."""
    layout = b.layout(node)
    x = b.tensor(node, 0, layout)
    low, high = (_bound(b, node, index, name) for index, name in ((1, "min"), (2, "max")))
    kind = _CLIPS.get((low, math.inf if high >= np.finfo(np.float32).max else high))
    if kind is not None and x.dtype is DType.FLOAT32:
        b.put(node, b.op(kind, [x], x.shape, node.outputs[0]), layout)
        return
    for name, bound in (("MAXIMUM", low), ("MINIMUM", high)):
        if math.isfinite(bound) and abs(bound) < np.finfo(np.float32).max:
            limit = b.constant(np.asarray(bound), f"{node.outputs[0]}/bound", x.dtype.numpy)
            x = b.op(name, [x, limit], x.shape, node.outputs[0], x.dtype)
    b.put(node, x, layout)


def _bound(b: Builder, node: Node, index: int, name: str) -> float:
    missing = -math.inf if name == "min" else math.inf
    if b.has(node, index):
        value = b.array(node, index).reshape(-1)
        if value.size != 1 or not -math.inf <= float(value[0]) <= math.inf:
            raise FormatError(f"Clip {node.name!r} has the bound {value.tolist()}, expected one number")
        return float(value[0])
    return number(node, name, missing) if name in node.attrs else missing


def prelu(b: Builder, node: Node) -> None:
    """PRelu; slopes keep one axis less than the input, as the graph's operator has them."""
    layout = b.layout(node)
    x, shape = b.tensor(node, 0, layout), b.shape(node)
    slopes = b.array(node, 1)
    if slopes.ndim > len(shape) or broadcast_shape(node, [shape, slopes.shape]) != shape:
        raise FormatError(f"PRelu {node.name!r} has slopes {list(slopes.shape)} for input {list(shape)}")
    wide = slopes.reshape((1,) * (len(shape) - slopes.ndim) + slopes.shape).transpose(layout)
    alpha = b.constant(wide[0] if len(wide) == 1 else wide, node.inputs[1], np.float32)
    b.put(node, b.op("PRELU", [x, alpha], x.shape, node.outputs[0]), layout)


def cast(b: Builder, node: Node) -> None:
    """Cast; between floats of any width nothing happens."""
    target = _DTYPES.get(integer(node, "to", 0))
    if target is None:
        raise UnsupportedError(
            f"Cast {node.name!r} goes to ONNX element type {node.attrs.get('to')}, which is not covered"
        )
    target = DType.FLOAT32 if target in _WIDE_FLOATS else target
    layout = b.layout(node)
    x = b.tensor(node, 0, layout)
    if x.dtype is target:
        b.alias(node, b.value(node, 0))
        return
    attrs = {"in_data_type": x.dtype.name, "out_data_type": target.name}
    b.put(node, b.op("CAST", [x], x.shape, node.outputs[0], target, **attrs), layout)


def where(b: Builder, node: Node) -> None:
    """Where."""
    tensors, shape, layout = together(b, node, (0, 1, 2))
    b.put(node, b.op("SELECT_V2", tensors, shape, node.outputs[0], b.dtype(node, 1)), layout)


def softmax(kind: str) -> Handler:
    """Softmax and LogSoftmax. Before opset 13 all axes from `axis` on are one."""

    def lower(b: Builder, node: Node) -> None:
        shape = b.shape(node)
        rank = len(shape)
        axis = axis_of(node, integer(node, "axis", -1 if b.opset >= 13 else 1), rank)
        attrs = {"beta": 1.0} if kind == "SOFTMAX" else {}
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
    shape = b.shape(node)
    scale, offset, mean, variance = (b.array(node, index).astype(np.float32) for index in (1, 2, 3, 4))
    if len(shape) < 2 or any(a.shape != (shape[1],) for a in (scale, offset, mean, variance)):
        raise FormatError(f"BatchNormalization {node.name!r} has statistics that do not fit input {list(shape)}")
    deviation = np.sqrt(np.maximum(variance + np.float32(number(node, "epsilon", 1e-5)), np.float32(1e-30)))
    factor = scale / deviation
    _scale_channels(b, node, factor, offset - mean * factor)


def _scale_channels(b: Builder, node: Node, factor: np.ndarray, offset: np.ndarray) -> None:  # type: ignore[type-arg]
    rank, hint = len(b.shape(node)), node.outputs[0]
    layout = b.layout(node)
    x = b.tensor(node, 0, layout)
    spread = place((1, -1, *([1] * (rank - 2))), layout)
    while len(spread) > 1 and spread[0] == 1:
        spread = spread[1:]
    y = _times(b, x, b.constant(factor.reshape(spread), f"{hint}/factor"), f"{hint}/scaled")
    b.put(node, _plus(b, y, b.constant(offset.reshape(spread), f"{hint}/offset"), hint), layout)


def normalize(b: Builder, node: Node) -> None:
    """InstanceNormalization (over space) and LayerNormalization (over the last axes), from mean and variance."""
    shape = b.shape(node)
    rank = len(shape)
    layout, hint = b.layout(node), node.outputs[0]
    if node.kind == "InstanceNormalization":
        axes, parameter = list(range(2, rank)), (-1, *([1] * (rank - 2)))
    else:
        axes = list(range(axis_of(node, integer(node, "axis", -1), rank), rank))
        parameter = tuple(shape[axes[0] :])
    x = b.tensor(node, 0, layout)
    places = [layout.index(axis) for axis in axes]
    reduced = [1 if i in places else size for i, size in enumerate(x.shape)]

    def mean(value: Tensor, name: str) -> Tensor:
        return b.op("MEAN", [value, b.ints(sorted(places), hint)], reduced, f"{hint}/{name}", keep_dims=True)

    centred = _arithmetic(b, "SUB", x, mean(x, "mean"), f"{hint}/centred")
    spread = _plus(b, mean(_times(b, centred, centred, hint), "variance"), number(node, "epsilon", 1e-5), hint)
    y = _times(b, centred, _one(b, "RSQRT", spread, hint), f"{hint}/normal")
    for index, kind in ((1, "MUL"), (2, "ADD")):
        if b.has(node, index):
            array = b.array(node, index)
            if array.size != abs(math.prod(parameter)) and -1 not in parameter:
                raise FormatError(f"{node.kind} {node.name!r} has parameters {list(array.shape)} for {list(shape)}")
            value = b.arranged(node.inputs[index], array.reshape(parameter), layout)
            if broadcast_shape(node, [y.shape, value.shape]) != y.shape:
                raise FormatError(f"{node.kind} {node.name!r} has parameters {list(array.shape)} for {list(shape)}")
            y = _arithmetic(b, kind, y, value, hint)
    b.put(node, y, layout)


def modulo(b: Builder, node: Node) -> None:
    """Mod with the divisor's sign (integers)."""
    if integer(node, "fmod", 0):
        raise UnsupportedError(f"Mod {node.name!r} follows C's fmod, which is not covered")
    binary("FLOOR_MOD")(b, node)


_UNARY = {
    "Relu": "RELU", "Sigmoid": "LOGISTIC", "Tanh": "TANH", "Exp": "EXP", "Log": "LOG", "Sqrt": "SQRT", "Neg": "NEG",
    "Abs": "ABS", "Floor": "FLOOR", "Ceil": "CEIL", "Round": "ROUND", "Sin": "SIN", "Cos": "COS", "Sign": "SIGN",
    "Not": "LOGICAL_NOT", "HardSwish": "HARD_SWISH",
}  # fmt: skip
_BINARY = {"Add": "ADD", "Sub": "SUB", "Mul": "MUL", "Div": "DIV", "Pow": "POW"}
_COMPARE = {
    "Equal": "EQUAL", "Greater": "GREATER", "GreaterOrEqual": "GREATER_EQUAL", "Less": "LESS",
    "LessOrEqual": "LESS_EQUAL", "And": "LOGICAL_AND", "Or": "LOGICAL_OR",
}  # fmt: skip
LOWERINGS: dict[str, Handler] = {
    **{name: unary(kind) for name, kind in _UNARY.items()},
    **{name: binary(kind) for name, kind in _BINARY.items()},
    **{name: binary(kind, DType.BOOL) for name, kind in _COMPARE.items()},
    **{
        name: variadic(kind) for name, kind in (("Max", "MAXIMUM"), ("Min", "MINIMUM"), ("Sum", "ADD"), ("Mean", "ADD"))
    },
    **{name: alias for name in ("Identity", "Dropout")},
    "LeakyRelu": composed(_leaky_relu),
    "HardSigmoid": composed(_hard_sigmoid),
    "Softplus": composed(_softplus),
    "Softsign": composed(_softsign),
    "Mish": composed(_mish),
    "Elu": composed(_elu),
    "Selu": composed(_elu),
    "Reciprocal": composed(_reciprocal),
    "Gelu": composed(_gelu),
    "Clip": clip,
    "PRelu": prelu,
    "Cast": cast,
    "Where": where,
    "Mod": modulo,
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
