"""An ONNX file as plain data, and its encoding: nodes and arrays in, protobuf bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import UnsupportedError
from pocketgraph.models.graph import DType

Array = npt.NDArray[Any]

OPSET = 17
IR_VERSION = 8
MAX_BYTES = 2**31 - 1
"""What one protobuf message may hold."""
_SPARSE_OVERHEAD = 64

ELEMENT_TYPES = {
    DType.FLOAT32: 1,
    DType.UINT8: 2,
    DType.INT8: 3,
    DType.UINT16: 4,
    DType.INT16: 5,
    DType.INT32: 6,
    DType.INT64: 7,
    DType.BOOL: 9,
    DType.FLOAT16: 10,
    DType.FLOAT64: 11,
    DType.UINT32: 12,
    DType.UINT64: 13,
}
"""`TensorProto.DataType` of every element type both formats have."""


@dataclass
class Node:
    """One ONNX operator; an input that is left out is `""`."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    domain: str = ""


@dataclass(frozen=True)
class Value:
    """A graph input or output: name, static shape, element type."""

    name: str
    shape: tuple[int, ...]
    dtype: DType


@dataclass
class Net:
    """An ONNX graph. `inputs` leaves out what `initializers` gives."""

    name: str
    inputs: list[Value]
    outputs: list[Value]
    nodes: list[Node]
    initializers: dict[str, Array]
    opset: int = OPSET
    description: str = ""


def element_type(dtype: DType, what: str) -> int:
    """The ONNX number of `dtype`. Raises `UnsupportedError` naming `what` where ONNX has no such type here."""
    if dtype not in ELEMENT_TYPES:
        raise UnsupportedError(f"{what} has element type {dtype.value}, which is not written to ONNX")
    return ELEMENT_TYPES[dtype]


def encode(net: Net, *, sparse: bool = False) -> bytes:
    """The bytes of an .onnx file; with `sparse`, constants are stored without their zeros where that is smaller.

    Raises `UnsupportedError` where the constants exceed the 2 GB one file may hold.
    """
    from onnx import helper

    size = sum(array.nbytes for array in net.initializers.values())
    if size > MAX_BYTES:
        raise UnsupportedError(f"the constants are {size} bytes and an ONNX file holds at most {MAX_BYTES}")
    thin = {name for name, array in net.initializers.items() if sparse and _is_smaller_sparse(array)}
    nodes = [helper.make_node(n.kind, n.inputs, n.outputs, name=n.name, **n.attrs) for n in net.nodes]
    graph = helper.make_graph(
        nodes,
        net.name,
        _value_infos(net.inputs),
        _value_infos(net.outputs),
        [_tensor(array, name) for name, array in net.initializers.items() if name not in thin],
        sparse_initializer=[_sparse_tensor(net.initializers[name], name) for name in net.initializers if name in thin],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", net.opset)],
        ir_version=IR_VERSION,
        producer_name="pocketgraph",
        doc_string=net.description,
    )
    return bytes(model.SerializeToString())


def _value_infos(values: Sequence[Value]) -> list[Any]:
    from onnx import helper

    return [helper.make_tensor_value_info(v.name, element_type(v.dtype, v.name), v.shape) for v in values]


def _tensor(array: Array, name: str) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)


def _is_smaller_sparse(array: Array) -> bool:
    """A stored value costs itself and an int64 index, a sparse tensor some names."""
    stored = int(np.count_nonzero(array))
    return array.ndim > 0 and stored * (array.itemsize + 8) + _SPARSE_OVERHEAD < array.nbytes


def _sparse_tensor(array: Array, name: str) -> Any:
    from onnx import helper

    flat = array.reshape(-1)
    indices = np.flatnonzero(flat).astype(np.int64)
    return helper.make_sparse_tensor(_tensor(flat[indices], name), _tensor(indices, ""), array.shape)
