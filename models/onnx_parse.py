"""Reads the protobuf of an ONNX file into plain data, with every size, name and type checked before it is used."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.onnx_external import ExternalData
from pocketgraph.models.onnx_proto import ELEMENT_TYPES, Array, Net, Node, Value

_DTYPES = {number: dtype for dtype, number in ELEMENT_TYPES.items()}
_FIELDS = {1: "float_data", 7: "int64_data", 11: "double_data", 12: "uint64_data", 13: "uint64_data"}
_FLOAT16 = 10
_MAX_SIZE = 2**31 - 1
_MIN_OPSET, _MAX_OPSET = 7, 25
_DENSE_PER_STORED = 64
_EXTERNAL = 1


def parse(content: bytes, folder: Path | None = None) -> Net:
    """The graph in the bytes of an .onnx file. A dynamic batch (first dimension of an input) becomes 1.

    External data is read from `folder`, never from outside it; without one it is refused.

    Raises `FormatError` where the file is damaged, `UnsupportedError` where it is sound and not covered.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]
    from onnx import ModelProto

    try:
        model = ModelProto.FromString(content)
    except (DecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"not an ONNX file, or a damaged one: {error}") from error
    if not model.HasField("graph"):
        raise FormatError("the ONNX file holds no graph")
    return _Parser(ExternalData(folder), len(content)).net(model)


@dataclass
class _Parser:
    """`size` is what the file weighs, in bytes."""

    external: ExternalData
    size: int

    def net(self, model: Any) -> Net:
        graph = model.graph
        versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
        if not versions or not _MIN_OPSET <= max(versions) <= _MAX_OPSET:
            raise UnsupportedError(f"the ONNX file is of opset {versions}, expected {_MIN_OPSET} to {_MAX_OPSET}")
        initializers: dict[str, Array] = {}
        for proto in graph.initializer:
            initializers[_string(proto.name)] = self.tensor(proto, proto.name)
        for proto in graph.sparse_initializer:
            initializers[_string(proto.values.name)] = self.sparse(proto)
        inputs = [_input(value) for value in graph.input if value.name not in initializers]
        nodes = [self.node(proto, index) for index, proto in enumerate(graph.node)]
        known = [*(value.name for value in inputs), *initializers]
        if len(set(known)) != len(known):
            raise FormatError("two inputs of the ONNX graph have the same name")
        outputs = [Value(_string(value.name), (), _DTYPES[1]) for value in graph.output]
        text = model.doc_string or graph.doc_string
        ordered = _sorted(nodes, known)
        return Net(_string(graph.name), inputs, outputs, ordered, initializers, max(versions), _string(text))

    def node(self, proto: Any, index: int) -> Node:
        name = _string(proto.name) or f"#{index}"
        kind, domain = _string(proto.op_type), _string(proto.domain)
        attrs = {_string(entry.name): self.attribute(entry, f"{kind} {name!r}") for entry in proto.attribute}
        inputs, outputs = ([_string(value) for value in names] for names in (proto.input, proto.output))
        return Node(kind, inputs, outputs, attrs, name, "" if domain == "ai.onnx" else domain)

    def attribute(self, proto: Any, where: str) -> Any:
        """An attribute's value: int, float, str, a list of one of these, or an array; None for what is not covered."""
        kind = proto.type
        if kind == proto.FLOAT:
            return float(proto.f)
        if kind == proto.INT:
            return int(proto.i)
        if kind == proto.STRING:
            return _text(proto.s, where)
        if kind == proto.TENSOR:
            return self.tensor(proto.t, f"{where} attribute {proto.name!r}")
        if kind == proto.SPARSE_TENSOR:
            return self.sparse(proto.sparse_tensor)
        if kind == proto.FLOATS:
            return [float(value) for value in proto.floats]
        if kind == proto.INTS:
            return [int(value) for value in proto.ints]
        if kind == proto.STRINGS:
            return [_text(value, where) for value in proto.strings]
        return None

    def tensor(self, proto: Any, what: str) -> Array:
        """A stored array. Its dimensions must match the bytes that are there."""
        shape = _dimensions(proto.dims, what)
        if proto.data_type not in _DTYPES:
            raise UnsupportedError(f"constant {what!r} has ONNX element type {proto.data_type}, which is not covered")
        dtype = np.dtype(_DTYPES[proto.data_type].value)
        count = math.prod(shape)
        if proto.data_location == _EXTERNAL:
            entries = {_string(entry.key): _string(entry.value) for entry in proto.external_data}
            raw = self.external.read(entries, count * dtype.itemsize, what)
        elif proto.HasField("raw_data"):
            raw = proto.raw_data
        else:
            return _typed(proto, dtype, count, what).reshape(shape)
        if len(raw) != count * dtype.itemsize:
            raise FormatError(
                f"constant {what!r} of {dtype}{list(shape)} needs {count * dtype.itemsize} bytes, there are {len(raw)}"
            )
        return np.frombuffer(raw, dtype.newbyteorder("<")).reshape(shape)

    def sparse(self, proto: Any) -> Array:
        """A SparseTensorProto as a dense array; its size must be within reason for what is stored."""
        name = proto.values.name
        values, indices = self.tensor(proto.values, name), self.tensor(proto.indices, f"{name} indices")
        shape = _dimensions(proto.dims, name)
        count = math.prod(shape)
        if count * values.itemsize > _DENSE_PER_STORED * self.size:
            raise FormatError(f"sparse constant {name!r} claims {list(shape)} in a file of {self.size} bytes")
        if values.ndim != 1 or indices.dtype.kind != "i" or indices.ndim not in (1, 2):
            raise FormatError(f"sparse constant {name!r} has values of rank {values.ndim} and indices {indices.dtype}")
        if indices.shape not in ((values.size,), (values.size, len(shape))):
            raise FormatError(f"sparse constant {name!r} has {values.size} values and indices {list(indices.shape)}")
        flat = indices if indices.ndim == 1 else _linear(indices, shape, name)
        if flat.size and (flat.min() < 0 or flat.max() >= count):
            raise FormatError(f"sparse constant {name!r} has an index outside its shape {list(shape)}")
        dense = np.zeros(count, values.dtype.newbyteorder("="))
        dense[flat] = values
        return dense.reshape(shape)


def _linear(indices: Array, shape: tuple[int, ...], name: str) -> Array:
    flat = np.zeros(len(indices), np.int64)
    for axis, size in enumerate(shape):
        column = indices[:, axis]
        if column.size and (column.min() < 0 or column.max() >= size):
            raise FormatError(f"sparse constant {name!r} has an index outside its shape {list(shape)}")
        flat = flat * size + column
    return flat


def _typed(proto: Any, dtype: np.dtype[Any], count: int, what: str) -> Array:
    """The elements of a TensorProto that keeps them in a field of their own type."""
    values = getattr(proto, _FIELDS.get(proto.data_type, "int32_data"))
    if len(values) != count:
        raise FormatError(f"constant {what!r} needs {count} elements, the file has {len(values)}")
    wide = np.array(values, np.uint64 if dtype.kind == "u" and dtype.itemsize > 2 else None if count else dtype)
    if proto.data_type == _FLOAT16:
        return wide.astype(np.uint16).view(np.float16)
    narrow = wide.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(narrow, wide):
        raise FormatError(f"constant {what!r} has elements that do not fit {dtype}")
    return narrow


def _dimensions(dims: Iterable[int], what: str) -> tuple[int, ...]:
    shape = tuple(int(size) for size in dims)
    if len(shape) > 8 or any(not 0 <= size <= _MAX_SIZE for size in shape) or math.prod(shape) > _MAX_SIZE:
        raise FormatError(f"constant {what!r} has the shape {list(shape)}")
    return shape


def _input(value: Any) -> Value:
    """A graph input; the first dimension may be open and is then 1."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape") or kind.elem_type not in _DTYPES:
        raise UnsupportedError(f"input {value.name!r} is no tensor of known rank and a supported element type")
    shape = []
    for axis, dim in enumerate(kind.shape.dim):
        if dim.HasField("dim_value"):
            if not 0 < dim.dim_value <= _MAX_SIZE:
                raise FormatError(f"input {value.name!r} has size {dim.dim_value} along axis {axis}")
            shape.append(int(dim.dim_value))
        elif axis == 0:
            shape.append(1)
        else:
            raise UnsupportedError(
                f"input {value.name!r} leaves axis {axis} ({dim.dim_param!r}) open; export the model with a fixed size"
            )
    return Value(_string(value.name), tuple(shape), _DTYPES[kind.elem_type])


def _string(value: str | bytes) -> str:
    """A string of the file; protobuf hands out the bytes of one that is no UTF-8."""
    if not isinstance(value, str):
        raise FormatError(f"the ONNX file has a name that is no UTF-8 text: {value[:40]!r}")
    return value


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"{where} has an attribute that is no UTF-8 text") from error


def _sorted(nodes: list[Node], known: Iterable[str]) -> list[Node]:
    """The nodes, each after those it reads. Raises `FormatError` on a cycle, a missing or a doubly made value."""
    makers: dict[str, int] = {}
    taken = set(known)
    for index, node in enumerate(nodes):
        for name in filter(None, node.outputs):
            if name in makers or name in taken:
                raise FormatError(f"value {name!r} of the ONNX graph is produced twice")
            makers[name] = index
    waiting = [{makers[name] for name in node.inputs if name in makers} for node in nodes]
    readers: dict[int, list[int]] = {}
    for index, before in enumerate(waiting):
        for maker in before:
            readers.setdefault(maker, []).append(index)
        missing = [name for name in nodes[index].inputs if name and name not in makers and name not in taken]
        if missing:
            raise FormatError(f"{nodes[index].kind} {nodes[index].name!r} reads {missing[0]!r}, which nothing produces")
    missing_count = [len(before) for before in waiting]
    ready = [index for index, count in enumerate(missing_count) if count == 0]
    order: list[Node] = []
    for index in ready:
        order.append(nodes[index])
        for reader in readers.get(index, ()):
            missing_count[reader] -= 1
            if missing_count[reader] == 0:
                ready.append(reader)
    if len(order) < len(nodes):
        stuck = next(node for node, count in zip(nodes, missing_count, strict=True) if count)
        raise FormatError(f"the ONNX graph has a cycle through {stuck.kind} {stuck.name!r}")
    return order
