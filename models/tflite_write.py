"""Writes a `Model` as a .tflite file."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from pocketgraph.models.associated_files import pack_associated_files
from pocketgraph.models.errors import GraphError, UnsupportedError
from pocketgraph.models.flatbuffer import Writer
from pocketgraph.models.graph import Array, Graph, Model, Op, Quantization, Signature, Tensor
from pocketgraph.models.sparsity import Csr, Dense, Sparsity, check
from pocketgraph.models.tflite_schema import OPERATORS, SCHEMA, options_table

_VERSION = 3
_FIRST_OPERATOR_BEYOND_A_BYTE = 127
_LARGEST = 2**31 - 1


def write_tflite(model: Model) -> bytes:
    """The bytes of a .tflite file. Raises `UnsupportedError` where the format has no place for something, or for its
    2 GB limit, and `GraphError` for a graph that does not hold together.
    """
    model.validate()
    return _File(model).write()


class _File:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._buffers: list[dict[str, Any]] = [{}]
        self._places: dict[bytes, int] = {}
        self._codes: dict[tuple[str, str, int], int] = {}
        self._indices: list[dict[Tensor, int]] = []
        self._total = 0

    def write(self) -> bytes:
        model = self._model
        self._indices = [{tensor: i for i, tensor in enumerate(graph.tensors())} for graph in model.graphs]
        subgraphs = [self._subgraph(graph, index) for graph, index in zip(model.graphs, self._indices, strict=True)]
        signatures = [self._signature(signature) for signature in model.signatures]
        metadata = [
            {"name": name, "buffer": self._buffer(np.frombuffer(data, np.uint8))}
            for name, data in model.metadata.items()
        ]
        content = Writer(SCHEMA).root(
            {
                "version": _VERSION,
                "operator_codes": [_operator_code(*key) for key in self._codes],
                "subgraphs": subgraphs,
                "description": model.description or None,
                "buffers": self._buffers,
                "metadata": metadata or None,
                "signature_defs": signatures or None,
            }
        )
        return pack_associated_files(content, model.files)

    def _subgraph(self, graph: Graph, index: dict[Tensor, int]) -> dict[str, Any]:
        return {
            "tensors": [self._tensor(tensor) for tensor in index],
            "inputs": [index[tensor] for tensor in graph.inputs],
            "outputs": [index[tensor] for tensor in graph.outputs],
            "operators": [self._operator(op, index) for op in graph.ops],
            "name": graph.name or None,
        }

    def _tensor(self, tensor: Tensor) -> dict[str, Any]:
        return {
            "shape": list(tensor.shape),
            "type": tensor.dtype.value.upper(),
            "buffer": 0 if tensor.data is None else self._constant(tensor),
            "name": tensor.name,
            "quantization": None if tensor.quantization is None else _quantization(tensor.quantization),
            "is_variable": tensor.is_variable,
            "sparsity": None if tensor.sparsity is None else _sparsity(tensor.sparsity),
            "shape_signature": tensor.shape_signature,
            "has_rank": tensor.has_rank,
            "variant_tensors": [
                {"shape": list(shape), "type": dtype.value.upper(), "has_rank": has_rank}
                for shape, dtype, has_rank in tensor.variants
            ]
            or None,
        }

    def _constant(self, tensor: Tensor) -> int:
        if tensor.sparsity is not None:
            _check_stored(tensor)
        data = np.ascontiguousarray(tensor.data)
        data = data.astype(data.dtype.newbyteorder("<"), copy=False)
        return self._buffer(data.reshape(-1).view(np.uint8), tensor.name)

    def _buffer(self, data: Array, name: str = "metadata") -> int:
        """The number of a buffer with these bytes; equal bytes share one."""
        key = hashlib.sha256(data.data).digest()
        if key not in self._places:
            self._total += data.size
            if self._total > _LARGEST:
                raise UnsupportedError(
                    f"the constants up to {name!r} need {self._total} bytes; a .tflite file has at most {_LARGEST}:"
                    " store the weights as float16 or int8, or split the model"
                )
            self._places[key] = len(self._buffers)
            self._buffers.append({"data": data})
        return self._places[key]

    def _operator(self, op: Op, index: dict[Tensor, int]) -> dict[str, Any]:
        key = (op.kind, op.custom_code, op.version)
        table = options_table(op.kind)
        options = None
        if table is not None and (op.attrs or table in _ALWAYS_WRITTEN):
            options = (table, op.attrs)
        elif op.attrs:
            raise UnsupportedError(f"{op.kind} {op.name!r} takes no options, it has {', '.join(op.attrs)}")
        old = table in SCHEMA.enums["BuiltinOptions"]
        return {
            "opcode_index": self._codes.setdefault(key, len(self._codes)),
            "inputs": [-1 if tensor is None else index[tensor] for tensor in op.inputs],
            "outputs": [index[tensor] for tensor in op.outputs],
            "builtin_options": options if old else None,
            "builtin_options_2": None if old else options,
            "custom_options": np.frombuffer(op.custom_options, np.uint8) if op.custom_options else None,
            "intermediates": [index[tensor] for tensor in op.intermediates] or None,
        }

    def _signature(self, signature: Signature) -> dict[str, Any]:
        if not 0 <= signature.graph < len(self._indices):
            raise GraphError(f"signature {signature.key!r} is of graph {signature.graph}, which does not exist")
        index = self._indices[signature.graph]

        def entries(tensors: dict[str, Tensor]) -> list[dict[str, Any]]:
            lost = [name for name, tensor in tensors.items() if tensor not in index]
            if lost:
                raise GraphError(f"signature {signature.key!r} names {lost[0]!r}, whose tensor is not in the graph")
            return [{"name": name, "tensor_index": index[tensor]} for name, tensor in tensors.items()]

        return {
            "inputs": entries(signature.inputs),
            "outputs": entries(signature.outputs),
            "signature_key": signature.key,
            "subgraph_index": signature.graph,
        }


_ALWAYS_WRITTEN = {name for name, fields in SCHEMA.tables.items() if name.endswith("Options") and fields}
"""Engines read these options without looking whether they are there."""


def _operator_code(kind: str, custom_code: str, version: int) -> dict[str, Any]:
    code = OPERATORS[kind]
    return {
        "deprecated_builtin_code": min(code, _FIRST_OPERATOR_BEYOND_A_BYTE),
        "builtin_code": kind,
        "custom_code": custom_code or None,
        "version": version,
    }


def _quantization(quantization: Quantization) -> dict[str, Any]:
    arrays: dict[str, Array] = {
        "scale": quantization.scale,
        "zero_point": quantization.zero_point,
        "min": quantization.minimum,
        "max": quantization.maximum,
    }
    present: dict[str, Any] = {name: array for name, array in arrays.items() if array.size}
    return present | {"quantized_dimension": quantization.axis}


def _check_stored(tensor: Tensor) -> None:
    assert tensor.data is not None
    assert tensor.sparsity is not None
    stored = check(tensor.sparsity, tensor.shape, f"constant {tensor.name!r}")
    if tensor.data.size != stored or tensor.data.dtype != tensor.dtype.numpy:
        raise GraphError(
            f"constant {tensor.name!r} is to store {stored} values of {tensor.dtype.value}"
            f" and holds {tensor.data.size} of {tensor.data.dtype}"
        )


def _sparsity(sparsity: Sparsity) -> dict[str, Any]:
    return {
        "traversal_order": list(sparsity.traversal_order),
        "block_map": list(sparsity.block_map) or None,
        "dim_metadata": [_level(level) for level in sparsity.levels],
    }


def _level(level: Dense | Csr) -> dict[str, Any]:
    if isinstance(level, Dense):
        return {"format": "DENSE", "dense_size": level.size}
    return {
        "format": "SPARSE_CSR",
        "array_segments": _smallest(level.segments),
        "array_indices": _smallest(level.indices),
    }


def _smallest(values: Array) -> tuple[str, dict[str, Any]]:
    """The vector in the narrowest type that holds it."""
    largest = int(values.max(initial=0))
    for table, kind in (("Uint8Vector", np.uint8), ("Uint16Vector", np.uint16)):
        if largest <= np.iinfo(kind).max:
            return table, {"values": values.astype(kind)}
    return "Int32Vector", {"values": values.astype(np.int32)}
