"""ONNX elementwise arithmetic, comparisons and activations as graph operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.graph import DType, Tensor
from pocketgraph.models.onnx_build import Builder, integer, number, text
from pocketgraph.models.onnx_layout import Layout, Shape, place
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
    """Operands in one layout, the physical shape they broadcast to, and that layout."""
    shape = broadcast_shape(node, [b.shape(node, index) for index in operands])
    dtypes = {b.dtype(node, index) for index in operands if (node.kind, index) != ("Where", 0)}
    if len(dtypes) > 1:
        raise FormatError(f"{node.kind} {node.name!r} brings together {sorted(dtype.value for dtype in dtypes)}")
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
            y = times(b, y, 1 / len(tensors), node.outputs[0])
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
        b.floats(node)
        layout = b.layout(node)
        b.put(node, compose(b, node, b.tensor(node, 0, layout)), layout)

    return lower


def alias(b: Builder, node: Node) -> None:
    """Identity, Dropout: the value itself."""
    b.alias(node, b.value(node, 0))


def arithmetic(b: Builder, kind: str, x: Tensor, other: Tensor | float, hint: str, activation: str = "NONE") -> Tensor:
    """`x` and a number, or a tensor that broadcasts to it."""
    if not isinstance(other, Tensor):
        other = b.constant(np.asarray(other, np.float32), f"{hint}/factor")
    return b.op(kind, [x, other], x.shape, hint, x.dtype, fused_activation_function=activation)


def times(b: Builder, x: Tensor, factor: Tensor | float, hint: str) -> Tensor:
    """`x` by a factor."""
    return arithmetic(b, "MUL", x, factor, hint)


def plus(b: Builder, x: Tensor, offset: Tensor | float, hint: str, activation: str = "NONE") -> Tensor:
    """`x` and an offset, perhaps activated."""
    return arithmetic(b, "ADD", x, offset, hint, activation)


def one(b: Builder, kind: str, x: Tensor, hint: str) -> Tensor:
    """An operator of one operand and no options."""
    return b.op(kind, [x], x.shape, hint, x.dtype)


def _leaky_relu(b: Builder, node: Node, x: Tensor) -> Tensor:
    return b.op("LEAKY_RELU", [x], x.shape, node.outputs[0], alpha=number(node, "alpha", 0.01))


def _hard_sigmoid(b: Builder, node: Node, x: Tensor) -> Tensor:
    """max(0, min(1, alpha x + beta)), as a sixth of a RELU6."""
    alpha, beta, hint = number(node, "alpha", 0.2), number(node, "beta", 0.5), node.outputs[0]
    if not math.isclose(alpha, 1 / 6, rel_tol=1e-5):
        x = times(b, x, 6 * alpha, f"{hint}/scaled")
    return times(b, plus(b, x, 6 * beta, f"{hint}/shifted", "RELU6"), 1 / 6, hint)


def _softplus(b: Builder, node: Node, x: Tensor) -> Tensor:
    """log(1 + exp x), without overflow: relu x + log(1 + exp -|x|)."""
    hint = node.outputs[0]
    small = one(b, "EXP", one(b, "NEG", one(b, "ABS", x, hint), hint), hint)
    return plus(b, one(b, "RELU", x, hint), one(b, "LOG", plus(b, small, 1.0, hint), hint), hint)


def _softsign(b: Builder, node: Node, x: Tensor) -> Tensor:
    return arithmetic(b, "DIV", x, plus(b, one(b, "ABS", x, node.name), 1.0, node.name), node.outputs[0])


def _mish(b: Builder, node: Node, x: Tensor) -> Tensor:
    return times(b, x, one(b, "TANH", _softplus(b, node, x), node.name), node.outputs[0])


def _elu(b: Builder, node: Node, x: Tensor) -> Tensor:
    """Elu and Selu: gamma * (relu x + alpha * elu(min(x, 0)))."""
    selu = node.kind == "Selu"
    alpha = number(node, "alpha", 1.6732632 if selu else 1.0)
    gamma, hint = number(node, "gamma", 1.0507010) if selu else 1.0, node.outputs[0]
    if alpha == gamma == 1.0:
        return one(b, "ELU", x, hint)
    below = one(b, "ELU", arithmetic(b, "SUB", x, one(b, "RELU", x, hint), hint), hint)
    return plus(b, times(b, one(b, "RELU", x, hint), gamma, hint), times(b, below, alpha * gamma, hint), hint)


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
    b.floats(node)
    layout = b.layout(node)
    x, shape = b.tensor(node, 0, layout), b.shape(node)
    slopes = b.array(node, 1)
    if slopes.ndim > len(shape) or broadcast_shape(node, [shape, slopes.shape]) != shape:
        raise FormatError(f"PRelu {node.name!r} has slopes {list(slopes.shape)} for input {list(shape)}")
    wide = slopes.reshape((1,) * (len(shape) - slopes.ndim) + slopes.shape).transpose(layout)
    alpha = b.constant(wide[0] if wide.shape[:1] == (1,) else wide, node.inputs[1], np.float32)
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
    "Identity": alias,
    "Dropout": alias,
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
}
