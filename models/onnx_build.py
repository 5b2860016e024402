"""Builds a graph from ONNX values: where each value lies, and the tensors and ops made so far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.graph import Array, DType, Op, Quantization, Tensor
from pocketgraph.models.onnx_layout import Layout, Shape, cheapest, identity, permutation, place, same_order
from pocketgraph.models.onnx_proto import Node

_MAX_ELEMENTS = 2**31 - 1
_MIN_BUDGET = 64 << 20
_VERSIONS = {"BROADCAST_TO": 2}
_NARROWED = {np.dtype(np.float16): np.float32, np.dtype(np.float64): np.float32}


@dataclass(frozen=True)
class Placed:
    """A computed value: the tensor that holds it, and the logical (ONNX) axis at each of the tensor's axes."""

    tensor: Tensor
    layout: Layout

    @property
    def shape(self) -> Shape:
        """The logical shape."""
        return tuple(self.tensor.shape[self.layout.index(axis)] for axis in range(len(self.layout)))


class Builder:
    """The graph under construction. A value is an array (constant) or `Placed`; floats of any width become float32.

    `budget` bounds the bytes of constants that are made rather than read.
    """

    def __init__(self, opset: int, reserved: Iterable[str], budget: int) -> None:
        self.opset = opset
        self.ops: list[Op] = []
        self.values: dict[str, Array | Placed] = {}
        self._names = set(reserved)
        self._made: dict[tuple[str, Shape, Layout], Tensor] = {}
        self._realised: set[str] = set()
        self._moved: dict[Tensor, dict[Layout, Tensor]] = {}
        self._budget = max(_MIN_BUDGET, budget)

    def spend(self, count: int, dtype: Any, node: Node) -> None:
        """Account for `count` new constant elements before they are made. Raises `FormatError` past the budget."""
        self._budget -= count * np.dtype(dtype).itemsize
        if self._budget < 0:
            raise FormatError(f"{node.kind} {node.name!r} makes constants out of proportion to the file")

    def fresh(self, wanted: str) -> str:
        """A tensor name nothing else has, `wanted` if possible."""
        name, count = wanted or "value", 0
        while name in self._names:
            count += 1
            name = f"{wanted}_{count}"
        self._names.add(name)
        return name

    def constant(self, array: Array, hint: str, dtype: Any = None) -> Tensor:
        """A constant tensor; `dtype` converts it."""
        array = np.asarray(array, dtype)
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)
        return Tensor(self.fresh(hint), array.shape, DType.of(array), array)

    def ints(self, values: Sequence[int] | Sequence[Sequence[int]] | Array, hint: str) -> Tensor:
        """An int32 constant: a shape, axes, pads."""
        wide = np.asarray(values, np.int64)
        return self.constant(np.clip(wide, -(2**31), 2**31 - 1).astype(np.int32), f"{hint}/values")

    def op(
        self, kind: str, inputs: Sequence[Tensor | None], shape: Sequence[int], hint: str, dtype: DType = DType.FLOAT32,
        **attrs: Any,
    ) -> Tensor:  # fmt: skip
        """Add an op with one result of the (physical) `shape`."""
        return self.op_many(kind, inputs, [shape], [hint], dtype, **attrs)[0]

    def op_many(
        self, kind: str, inputs: Sequence[Tensor | None], shapes: Sequence[Sequence[int]], hints: Sequence[str],
        dtype: DType = DType.FLOAT32, **attrs: Any,
    ) -> list[Tensor]:  # fmt: skip
        """Add an op with a result for each of `shapes`."""
        for shape in shapes:
            if any(size < 1 for size in shape) or math.prod(shape) > _MAX_ELEMENTS:
                raise FormatError(f"{kind} {hints[0]!r} would have the shape {list(shape)}")
        outputs = [Tensor(self.fresh(h), tuple(s), dtype) for s, h in zip(shapes, hints, strict=True)]
        self.ops.append(Op(kind, list(inputs), outputs, attrs, _version(kind, inputs, attrs)))
        return outputs

    def value(self, node: Node, index: int) -> Array | Placed:
        """Operand `index` of `node`. Raises `FormatError` where it is left out."""
        if not self.has(node, index):
            raise FormatError(f"{node.kind} {node.name!r} has no input {index}")
        return self.values[node.inputs[index]]

    @staticmethod
    def has(node: Node, index: int) -> bool:
        """Whether the optional operand `index` is given."""
        return index < len(node.inputs) and node.inputs[index] != ""

    def array(self, node: Node, index: int) -> Array:
        """An operand that must be constant."""
        value = self.value(node, index)
        if isinstance(value, Placed):
            raise UnsupportedError(
                f"{node.kind} {node.name!r} computes its input {index} ({node.inputs[index]!r}) while running;"
                " it has to be constant"
            )
        return value

    def shape(self, node: Node, index: int = 0) -> Shape:
        """The logical shape of an operand."""
        return tuple(self.value(node, index).shape)

    def dtype(self, node: Node, index: int = 0) -> DType:
        """The element type an operand has in the graph."""
        value = self.value(node, index)
        if isinstance(value, Placed):
            return value.tensor.dtype
        return DType.of(np.empty(0, _NARROWED.get(value.dtype, value.dtype)))

    def layout(self, node: Node, index: int = 0) -> Layout:
        """The layout an operand is in; its own order for a constant."""
        value = self.value(node, index)
        return value.layout if isinstance(value, Placed) else identity(value.ndim)

    def floats(self, node: Node) -> None:
        """Check that input 0 is of floats. Raises `UnsupportedError` where it is not."""
        if self.dtype(node) is not DType.FLOAT32:
            raise UnsupportedError(f"{node.kind} {node.name!r} works on {self.dtype(node).value}; floats are covered")

    def best_layout(self, names: Iterable[str], rank: int) -> Layout:
        """The layout that brings the computed values among `names` that have `rank` together with least transposing."""
        values = [v for v in (self.values[n] for n in dict.fromkeys(names)) if isinstance(v, Placed)]
        at_hand = [(value.shape, self._at_hand(value)) for value in values if len(value.layout) == rank]
        return cheapest(at_hand) or identity(rank)

    def _at_hand(self, value: Placed) -> list[Layout]:
        moved = self._moved.get(value.tensor, {})
        return [value.layout, *(place(value.layout, order) for order in moved)]

    def tensor(self, node: Node, index: int, layout: Layout | None = None) -> Tensor:
        """Operand `index` as a tensor in `layout` (default: the order ONNX gives it)."""
        return self.arranged(node.inputs[index], self.value(node, index), layout)

    def arranged(self, name: str, value: Array | Placed, layout: Layout | None = None) -> Tensor:
        """`value`, known as `name`, as a tensor in `layout` with axes of 1 added in front where that has more."""
        rank = len(value.shape) if layout is None else len(layout)
        layout = identity(rank) if layout is None else layout
        missing = rank - len(value.shape)
        if isinstance(value, Placed):
            if missing:
                value = self._widened(value, missing)
            return self._moved_to(value, layout)
        key = (name, (1,) * missing + value.shape, layout)
        if key not in self._made:
            if name in self._realised:
                self.spend(value.size, value.dtype, Node("constant", [], [name], name=name))
            self._realised.add(name)
            moved = value.reshape(key[1]).transpose(layout)
            self._made[key] = self.constant(moved, name, _NARROWED.get(value.dtype))
        return self._made[key]

    def _widened(self, value: Placed, missing: int) -> Placed:
        layout = identity(missing) + tuple(axis + missing for axis in value.layout)
        return Placed(self.reshaped(value.tensor, (1,) * missing + value.tensor.shape), layout)

    def _moved_to(self, value: Placed, layout: Layout) -> Tensor:
        if value.layout == layout:
            return value.tensor
        order = permutation(value.layout, layout)
        moved = self._moved.setdefault(value.tensor, {})
        if order not in moved:
            source, shape = value.tensor, place(value.tensor.shape, order)
            if same_order(source.shape, identity(len(order)), order):
                moved[order] = self.reshaped(source, shape)
            else:
                operands = [source, self.ints(order, source.name)]
                moved[order] = self.op("TRANSPOSE", operands, shape, f"{source.name}/moved", source.dtype)
            moved[order].quantization = source.quantization
        return moved[order]

    def reshaped(self, tensor: Tensor, shape: Sequence[int], hint: str = "") -> Tensor:
        """`tensor` with another shape of as many elements."""
        if tuple(shape) == tensor.shape:
            return tensor
        operands = [tensor, self.ints(shape, tensor.name)]
        made = self.op(
            "RESHAPE", operands, shape, hint or f"{tensor.name}/reshaped", tensor.dtype, new_shape=list(shape)
        )
        made.quantization = tensor.quantization
        return made

    def put(self, node: Node, tensor: Tensor, layout: Layout | None = None, output: int = 0) -> None:
        """`tensor` holds output `output` of `node` in `layout`."""
        layout = identity(len(tensor.shape)) if layout is None else layout
        if output < len(node.outputs) and node.outputs[output]:
            self.values[node.outputs[output]] = Placed(tensor, layout)

    def alias(self, node: Node, value: Array | Placed) -> None:
        """Output 0 of `node` is `value` itself."""
        self.values[node.outputs[0]] = value


def _version(kind: str, inputs: Sequence[Tensor | None], attrs: dict[str, Any]) -> int:
    """The version of the builtin that has what `attrs` and `inputs` use."""
    if kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        return 3 if attrs["half_pixel_centers"] else 1
    if kind == "DEPTHWISE_CONV_2D":
        return 2 if attrs["dilation_h_factor"] > 1 or attrs["dilation_w_factor"] > 1 else 1
    if kind == "TRANSPOSE_CONV":
        return 3 if len(inputs) > 3 else 1
    return _VERSIONS.get(kind, 1)


def integer(node: Node, name: str, default: int) -> int:
    """An int attribute."""
    value = node.attrs.get(name, default)
    if not isinstance(value, int):
        raise FormatError(f"{node.kind} {node.name!r} has {name}={value!r}, expected an integer")
    return value


def number(node: Node, name: str, default: float) -> float:
    """A float attribute."""
    value = node.attrs.get(name, default)
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise FormatError(f"{node.kind} {node.name!r} has {name}={value!r}, expected a finite number")
    return float(value)


def text(node: Node, name: str, default: str) -> str:
    """A string attribute."""
    value = node.attrs.get(name, default)
    if not isinstance(value, str):
        raise FormatError(f"{node.kind} {node.name!r} has {name}={value!r}, expected text")
    return value


def integers(node: Node, name: str, default: Sequence[int]) -> list[int]:
    """An attribute that is a list of ints, as long as `default` where that is not empty."""
    value = node.attrs.get(name, list(default))
    wrong = not isinstance(value, list) or not all(isinstance(entry, int) for entry in value)
    if wrong or (default and len(value) != len(default)):
        raise FormatError(f"{node.kind} {node.name!r} has {name}={value!r}, expected {len(default) or 'some'} integers")
    return list(value)


def axis_of(node: Node, axis: int, rank: int) -> int:
    """`axis` counted from 0. Raises `FormatError` outside the rank."""
    if not -rank <= axis < rank:
        raise FormatError(f"{node.kind} {node.name!r} names axis {axis} of a value of rank {rank}")
    return axis % rank


def axes_of(b: Builder, node: Node, operand: int, rank: int, *, default: Sequence[int] | None = None) -> list[int]:
    """Axes given by the attribute `axes` or, in later opsets, by an operand; each once, counted from 0."""
    if "axes" in node.attrs:
        axes = integers(node, "axes", [])
    elif b.has(node, operand):
        given = b.array(node, operand)
        if given.dtype.kind not in "iu":
            raise FormatError(f"{node.kind} {node.name!r} has axes of type {given.dtype}")
        axes = given.reshape(-1).tolist()
    else:
        return list(range(rank) if default is None else default)
    return list(dict.fromkeys(axis_of(node, axis, rank) for axis in axes))


def quantization(scale: Array, zero_point: Array, axis: int) -> Quantization:
    """A tensor's quantisation from ONNX's scale and zero point."""
    return Quantization(scale.astype(np.float32).reshape(-1), zero_point.astype(np.int64).reshape(-1), axis)
