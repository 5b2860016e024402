"""Collects ONNX nodes while a graph is lowered, and knows in which layouts each tensor is at hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketgraph.models.errors import UnsupportedError
from pocketgraph.models.graph import Array, DType, Graph, Op, Quantization, Tensor
from pocketgraph.models.onnx_layout import Layout, cheapest, identity, permutation, place, same_order
from pocketgraph.models.onnx_proto import Node, element_type

_QUANTIZED = (DType.INT8, DType.UINT8)
_INTEGERS = (*_QUANTIZED, DType.INT4, DType.INT16, DType.INT32, DType.INT64, DType.UINT16)
_CLIPS = {"RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1), "RELU_0_TO_1": (0, 1)}
_UNARY_ACTIVATIONS = {"RELU": "Relu", "TANH": "Tanh"}


@dataclass(frozen=True)
class Stored:
    """A constant as it is kept in the file, and how it becomes real numbers."""

    array: Array
    quantization: Quantization | None
    dtype: DType


class Emitter:
    """Turns operands into ONNX names in a wanted layout, adding transposes only where nothing else helps.

    Quantised tensors are spoken of by their real values: `get` gives the dequantised name, `put` quantises.
    """

    def __init__(self, graph: Graph) -> None:
        self.nodes: list[Node] = []
        self.initializers: dict[str, Array] = {}
        self._names: set[str] = {t.name for t in (*graph.inputs, *graph.outputs)}
        self._constants: dict[Tensor, Stored] = {}
        self._homes: dict[Tensor, dict[Layout, str]] = {}
        self._raw: dict[Tensor, tuple[Layout, str]] = {}
        self._shared: dict[tuple[Any, ...], str] = {}

    def fresh(self, wanted: str) -> str:
        """A name nothing else has, `wanted` if possible."""
        name, count = wanted or "value", 0
        while name in self._names:
            count += 1
            name = f"{wanted}_{count}"
        self._names.add(name)
        return name

    def node(self, kind: str, inputs: Sequence[str], hint: str, **attrs: Any) -> str:
        """Add a node with one output; its name is made from `hint`."""
        return self.nodes_out(kind, inputs, [hint], **attrs)[0]

    def nodes_out(self, kind: str, inputs: Sequence[str], hints: Sequence[str], **attrs: Any) -> list[str]:
        """Add a node with an output for each hint."""
        outputs = [self.fresh(hint) for hint in hints]
        self.nodes.append(Node(kind, list(inputs), outputs, attrs, outputs[0]))
        return outputs

    def initializer(self, array: Array, hint: str) -> str:
        """A constant of the file; small equal ones are stored once."""
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size <= 64 else None
        if key is not None and key in self._shared:
            return self._shared[key]
        name = self.fresh(hint)
        self.initializers[name] = array
        if key is not None:
            self._shared[key] = name
        return name

    def int64s(self, values: Iterable[int], hint: str) -> str:
        """A one-dimensional int64 constant: a shape, axes, pads."""
        return self.initializer(np.asarray(list(values), np.int64), f"{hint}/values")

    def scalar(self, value: float, dtype: DType = DType.FLOAT32) -> str:
        """A constant of rank 0."""
        return self.initializer(np.asarray(value, dtype.numpy), "scalar")

    def cast(self, name: str, dtype: DType, hint: str) -> str:
        """`name` as elements of `dtype`."""
        return self.node("Cast", [name], f"{hint}/cast", to=element_type(dtype, hint))

    def reshape(self, name: str, shape: Sequence[int], hint: str) -> str:
        """`name` with another physical shape."""
        return self.node("Reshape", [name, self.int64s(shape, hint)], f"{hint}/reshaped")

    def hold(self, tensor: Tensor, stored: Stored) -> None:
        """Make `tensor` a constant, decided while lowering (unpacked or dequantised weights)."""
        self._constants[tensor] = stored

    def stored(self, tensor: Tensor) -> Stored | None:
        """The constant behind `tensor`, or None where it is computed."""
        if tensor not in self._constants and tensor.is_constant:
            if tensor.dtype.numpy is None:
                raise UnsupportedError(
                    f"constant {tensor.name!r} has element type {tensor.dtype.value}, which is not written to ONNX"
                )
            self._constants[tensor] = Stored(tensor.dense(), scales(tensor), tensor.dtype)
        return self._constants.get(tensor)

    def constant(self, op: Op, index: int) -> Array:
        """The values of an operand that must be constant (axes, shapes, pads)."""
        stored = self.stored(op.input(index))
        if stored is None:
            raise UnsupportedError(
                f"{op.kind} {op.name!r} computes its operand {index} ({op.input(index).name!r}) while running;"
                " ONNX export needs it constant"
            )
        return stored.array

    def layouts(self, tensor: Tensor) -> list[Layout]:
        """The layouts `tensor` is at hand in, the one it was made in first. A constant has none: it fits any."""
        return list(self._homes.get(tensor, ()))

    def layout(self, tensor: Tensor) -> Layout:
        """The layout `tensor` was made in; its own order for a constant."""
        return next(iter(self._homes.get(tensor, ())), identity(len(tensor.shape)))

    def best_layout(self, tensors: Iterable[Tensor]) -> Layout | None:
        """The layout that brings `tensors` (of one rank) together with least transposing; None if all are constant."""
        return cheapest([(t.shape, list(self._homes[t])) for t in dict.fromkeys(tensors) if t in self._homes])

    def get(self, tensor: Tensor, layout: Layout | None = None) -> str:
        """The ONNX name of `tensor`'s real values in `layout` (default: as the tensor's own shape says)."""
        layout = layout or identity(len(tensor.shape))
        homes = self._homes.get(tensor, {})
        if layout in homes:
            return homes[layout]
        stored = self.stored(tensor)
        if stored is not None:
            return self._realise(tensor, stored, len(tensor.shape), layout)
        if not homes:
            raise UnsupportedError(f"tensor {tensor.name!r} is read before anything produces it")
        source, name = next(
            ((have, name) for have, name in homes.items() if same_order(tensor.shape, have, layout)),
            next(iter(homes.items())),
        )
        if same_order(tensor.shape, source, layout):
            made = self.reshape(name, place(tensor.shape, layout), tensor.name)
        else:
            made = self.node("Transpose", [name], f"{tensor.name}/moved", perm=permutation(source, layout))
        homes[layout] = made
        return made

    def get_broadcast(self, tensor: Tensor, layout: Layout) -> str:
        """`tensor` ready to be broadcast with values of rank `len(layout)` in `layout`."""
        rank = len(layout)
        missing = rank - len(tensor.shape)
        if missing == 0:
            return self.get(tensor, layout)
        stored = self.stored(tensor)
        if stored is not None:
            return self._realise(tensor, stored, rank, layout)
        if tensor.size == 1:
            return self.get(tensor, self.layout(tensor))
        shape = (1,) * missing + tensor.shape
        have = identity(missing) + tuple(axis + missing for axis in self.layout(tensor))
        name = self._homes[tensor][self.layout(tensor)]
        if same_order(shape, have, layout):
            return self.reshape(name, place(shape, layout), tensor.name)
        widened = self.reshape(name, place(shape, have), tensor.name)
        return self.node("Transpose", [widened], f"{tensor.name}/moved", perm=permutation(have, layout))

    def put(self, tensor: Tensor, name: str, layout: Layout) -> None:
        """`name` holds the real values of `tensor` in `layout`; they are rounded to its scale where it is quantised."""
        quantization = scales(tensor)
        if quantization is None:
            self._homes[tensor] = {layout: name}
            return
        operands = self._scale_operands(quantization, tensor)
        axis = {"axis": layout.index(quantization.axis)} if quantization.scale.size > 1 else {}
        self.put_raw(tensor, self.node("QuantizeLinear", [name, *operands], f"{tensor.name}/quantized", **axis), layout)

    def put_raw(self, tensor: Tensor, name: str, layout: Layout) -> None:
        """`name` holds the elements of `tensor` as they are stored, quantised or not (a graph input does)."""
        quantization = scales(tensor)
        if quantization is None:
            self._homes[tensor] = {layout: name}
        else:
            self._raw[tensor] = (layout, name)
            self._homes[tensor] = {layout: self._dequantize(name, quantization, tensor, layout)}

    def raw(self, tensor: Tensor) -> str:
        """The name of `tensor`'s stored elements in its own order: what a graph output shows."""
        if tensor.is_constant:
            return self.initializer(tensor.dense(), tensor.name)
        if tensor not in self._raw:
            return self.get(tensor)
        layout, name = self._raw[tensor]
        own = identity(len(layout))
        if layout == own:
            return name
        if same_order(tensor.shape, layout, own):
            return self.reshape(name, tensor.shape, tensor.name)
        return self.node("Transpose", [name], f"{tensor.name}/moved", perm=permutation(layout, own))

    def finish(self, op: Op, name: str, layout: Layout) -> None:
        """`name` is what `op` computes in `layout`, before its fused activation."""
        kind = op.attrs.get("fused_activation_function", "NONE")
        self.put(op.outputs[0], self.activate(name, kind, op), layout)

    def activate(self, name: str, kind: str, op: Op) -> str:
        """`name` through the activation `kind` of the TFLite schema."""
        hint, dtype = f"{op.name}/{kind.lower()}", op.outputs[0].dtype
        dtype = DType.FLOAT32 if scales(op.outputs[0]) is not None else dtype
        if kind == "NONE":
            return name
        if kind in _CLIPS:
            low, high = _CLIPS[kind]
            return self.node("Clip", [name, self.scalar(low, dtype), self.scalar(high, dtype)], hint)
        if kind in _UNARY_ACTIVATIONS:
            return self.node(_UNARY_ACTIVATIONS[kind], [name], hint)
        raise UnsupportedError(f"{op.kind} {op.name!r} has the fused activation {kind}, which is not written to ONNX")

    def _realise(self, tensor: Tensor, stored: Stored, rank: int, layout: Layout) -> str:
        """A constant in `layout` (of `rank`, leading axes of 1 added), permuted now and not while running."""
        key = ("constant", tensor, rank, layout)
        if key in self._shared:
            return self._shared[key]
        missing = rank - stored.array.ndim
        shape = (1,) * missing + stored.array.shape
        name = self.initializer(stored.array.reshape(shape).transpose(layout).copy(order="C"), tensor.name)
        if stored.quantization is not None:
            shifted = Quantization(
                stored.quantization.scale, stored.quantization.zero_point, stored.quantization.axis + missing
            )
            name = self._dequantize(name, shifted, tensor, layout)
        elif stored.array.dtype == np.float16 and stored.dtype is DType.FLOAT32:
            name = self.cast(name, DType.FLOAT32, tensor.name)
        self._shared[key] = name
        return name

    def _dequantize(self, name: str, quantization: Quantization, tensor: Tensor, layout: Layout) -> str:
        operands = self._scale_operands(quantization, tensor)
        axis = {"axis": layout.index(quantization.axis)} if quantization.scale.size > 1 else {}
        return self.node("DequantizeLinear", [name, *operands], f"{tensor.name}/real", **axis)

    def _scale_operands(self, quantization: Quantization, tensor: Tensor) -> list[str]:
        stored = self.stored(tensor)
        dtype = tensor.dtype.numpy if stored is None else stored.array.dtype
        per_axis = quantization.scale.size > 1
        shape = quantization.scale.shape if per_axis else ()
        points = np.zeros(quantization.scale.shape, dtype)
        if quantization.zero_point.size:
            points[...] = quantization.zero_point
        return [
            self.initializer(quantization.scale.astype(np.float32).reshape(shape), f"{tensor.name}/scale"),
            self.initializer(points.reshape(shape), f"{tensor.name}/zero_point"),
        ]


def scales(tensor: Tensor) -> Quantization | None:
    """The quantisation by which `tensor`'s integers stand for real numbers, or None where they stand for themselves."""
    quantization = tensor.quantization
    if quantization is None or quantization.scale.size == 0 or tensor.dtype not in _INTEGERS:
        return None
    if tensor.dtype is DType.INT32:
        return quantization if tensor.is_constant else None
    if tensor.dtype not in _QUANTIZED:
        raise UnsupportedError(
            f"tensor {tensor.name!r} is quantised to {tensor.dtype.value}; ONNX export covers int8 and uint8"
        )
    return quantization
