"""Reads a .tflite file into a `Model`: every offset, index and length is checked, constants stay views on the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pocketgraph.models.associated_files import read_associated_files
from pocketgraph.models.errors import FormatError
from pocketgraph.models.flatbuffer import Reader
from pocketgraph.models.graph import Array, DType, Graph, Model, Op, Quantization, Signature, Tensor
from pocketgraph.models.sparsity import Csr, Dense, Sparsity, check
from pocketgraph.models.tflite_schema import SCHEMA

_UNTYPED = {DType.STRING, DType.RESOURCE, DType.VARIANT}
_BITS = {DType.BFLOAT16: 16, DType.INT2: 2, DType.INT4: 4, DType.UINT4: 4, DType.FLOAT8_E4M3FN: 8, DType.FLOAT8_E5M2: 8}


def read_tflite(source: Path | str | bytes) -> Model:
    """The model in a .tflite file or its bytes. Raises `FormatError` saying what does not hold, and where."""
    if isinstance(source, bytes):
        return _Model(source).read()
    try:
        data = Path(source).read_bytes()
    except OSError as error:
        raise FormatError(f"cannot read {source}: {error.strerror}") from error
    try:
        return _Model(data).read()
    except FormatError as error:
        raise FormatError(f"{source}: {error}") from error


class _Model:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._file = Reader(data, SCHEMA).root()
        self._buffers: list[Array] = [
            self._buffer(number, buffer) for number, buffer in enumerate(self._file["buffers"] or [])
        ]
        self._codes = [self._code(number, code) for number, code in enumerate(self._file["operator_codes"] or [])]

    def read(self) -> Model:
        if self._file["external_buffers"]:
            raise FormatError(
                "the model keeps its weights in another file (external buffers): merge them into one file"
            )
        subgraphs = self._file["subgraphs"] or []
        if not subgraphs:
            raise FormatError("the file holds no subgraph: there is nothing to run")
        tensors = [
            [
                self._tensor(tensor, f"subgraph {number}, tensor {i}")
                for i, tensor in enumerate(subgraph["tensors"] or [])
            ]
            for number, subgraph in enumerate(subgraphs)
        ]
        graphs = [self._graph(number, subgraph, tensors[number]) for number, subgraph in enumerate(subgraphs)]
        return Model(
            graphs,
            [self._signature(signature, tensors) for signature in self._file["signature_defs"] or []],
            self._file["description"] or "",
            {m["name"] or "": self._bytes(m["buffer"], "metadata") for m in self._file["metadata"] or []},
            read_associated_files(self._data),
        )

    def _buffer(self, number: int, buffer: dict[str, Any]) -> Array:
        if buffer["offset"] > 1:
            start, size = buffer["offset"], buffer["size"]
            if start + size > len(self._data):
                raise FormatError(f"buffer {number} lies at bytes {start} to {start + size}, outside the file")
            return np.frombuffer(self._data, np.uint8, size, start)
        data: Array = np.zeros(0, np.uint8) if buffer["data"] is None else buffer["data"]
        return data

    def _code(self, number: int, code: dict[str, Any]) -> tuple[str, str, int]:
        name: str = code["builtin_code"]
        old = code["deprecated_builtin_code"]
        if name == "ADD" and old:
            names = {value: key for key, value in SCHEMA.enums["BuiltinOperator"].items()}
            if old not in names:
                raise FormatError(f"operator code {number} is {old}, which is no TFLite operator")
            name = names[old]
        return name, code["custom_code"] or "", code["version"]

    def _bytes(self, buffer: int, where: str) -> bytes:
        return _at(self._buffers, buffer, where, "buffer").tobytes()

    def _tensor(self, tensor: dict[str, Any], where: str) -> Tensor:
        name = tensor["name"] or ""
        where = f"{where} {name!r}"
        shape = tuple(_ints(tensor["shape"]))
        if any(size < 0 for size in shape):
            raise FormatError(f"{where} has the negative dimensions {list(shape)}")
        signature = tensor["shape_signature"]
        result = Tensor(
            name,
            shape,
            DType(tensor["type"].lower()),
            shape_signature=None if signature is None else tuple(_ints(signature)),
            quantization=_quantization(tensor["quantization"], len(shape), where),
            is_variable=tensor["is_variable"],
            has_rank=tensor["has_rank"],
        )
        stored = _at(self._buffers, tensor["buffer"], where, "buffer")
        if tensor["sparsity"] is not None:
            result.sparsity = _sparsity(tensor["sparsity"], where)
        if tensor["buffer"] and (stored.size or 0 in shape):
            result.data = _constant(stored, result, where)
        return result

    def _graph(self, number: int, subgraph: dict[str, Any], tensors: list[Tensor]) -> Graph:
        where = f"subgraph {number}"

        def pick(indices: Any, what: str) -> list[Tensor]:
            return [_at(tensors, i, f"{where}, {what}", "tensor") for i in _ints(indices)]

        ops = []
        for i, operator in enumerate(subgraph["operators"] or []):
            kind, custom_code, version = _at(self._codes, operator["opcode_index"], f"{where}, operator {i}", "code")
            label = f"operator {i} ({custom_code or kind})"
            inputs = _ints(operator["inputs"])
            ops.append(
                Op(
                    kind,
                    [None if t == -1 else _at(tensors, t, f"{where}, {label}", "tensor") for t in inputs],
                    pick(operator["outputs"], label),
                    _attributes(operator),
                    version,
                    custom_code,
                    self._custom_options(operator, f"{where}, {label}"),
                    pick(operator["intermediates"], label),
                )
            )
        return Graph(
            subgraph["name"] or "", pick(subgraph["inputs"], "inputs"), pick(subgraph["outputs"], "outputs"), ops
        )

    def _custom_options(self, operator: dict[str, Any], where: str) -> bytes:
        start, size = operator["large_custom_options_offset"], operator["large_custom_options_size"]
        if start > 1:
            if start + size > len(self._data):
                raise FormatError(f"{where}: the options at bytes {start} to {start + size} lie outside the file")
            return self._data[start : start + size]
        options = operator["custom_options"]
        return b"" if options is None else options.tobytes()

    def _signature(self, signature: dict[str, Any], tensors: list[list[Tensor]]) -> Signature:
        key = signature["signature_key"] or ""
        where = f"signature {key!r}"
        own = _at(tensors, signature["subgraph_index"], where, "subgraph")

        def pick(entries: Any) -> dict[str, Tensor]:
            return {e["name"] or "": _at(own, e["tensor_index"], where, "tensor") for e in entries or []}

        return Signature(key, pick(signature["inputs"]), pick(signature["outputs"]), signature["subgraph_index"])


def _attributes(operator: dict[str, Any]) -> dict[str, Any]:
    for options in (operator["builtin_options"], operator["builtin_options_2"]):
        if options is not None:
            return {name: _plain(value) for name, value in options[1].items()}
    return {}


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _quantization(table: dict[str, Any] | None, rank: int, where: str) -> Quantization | None:
    if table is None:
        return None
    if table["details"] is not None:
        raise FormatError(f"{where} is quantised with {table['details'][0]}, which is not covered")
    arrays = {name: table[name] for name in ("scale", "zero_point", "min", "max")}
    if all(array is None or not array.size for array in arrays.values()):
        return None
    scale, zero_point = (_array(arrays[n], t) for n, t in (("scale", np.float32), ("zero_point", np.int64)))
    axis = table["quantized_dimension"]
    if zero_point.size not in (scale.size, 1, 0):
        raise FormatError(f"{where} has {scale.size} scales and {zero_point.size} zero points")
    if scale.size > 1 and not 0 <= axis < rank:
        raise FormatError(f"{where} is quantised along dimension {axis} and has {rank} dimensions")
    return Quantization(scale, zero_point, axis, _array(arrays["min"], np.float32), _array(arrays["max"], np.float32))


def _sparsity(table: dict[str, Any], where: str) -> Sparsity:
    levels: list[Dense | Csr] = []
    for level in table["dim_metadata"] or []:
        if level["format"] == "DENSE":
            levels.append(Dense(level["dense_size"]))
            continue
        parts = [level[name] for name in ("array_segments", "array_indices")]
        if any(part is None for part in parts):
            raise FormatError(f"{where}: a compressed dimension lacks its segments or indices")
        levels.append(Csr(*(_array(part[1]["values"], np.int64) for part in parts)))
    return Sparsity(tuple(_ints(table["traversal_order"])), tuple(_ints(table["block_map"])), tuple(levels))


def _constant(stored: Array, tensor: Tensor, where: str) -> Array:
    if tensor.dtype in _UNTYPED:
        return stored
    kind = tensor.dtype.numpy
    bits = _BITS[tensor.dtype] if kind is None else kind.itemsize * 8
    count = tensor.size if tensor.sparsity is None else check(tensor.sparsity, tensor.shape, where)
    if stored.size != (count * bits + 7) // 8:
        raise FormatError(
            f"{where} is {tensor.dtype.value}{list(tensor.shape)}, so {count} stored values need"
            f" {(count * bits + 7) // 8} bytes; its buffer has {stored.size}"
        )
    if kind is None:
        return stored
    values = stored.view(kind.newbyteorder("<"))
    return values if tensor.sparsity is not None else values.reshape(tensor.shape)


def _array(values: Any, kind: Any) -> Array:
    return np.zeros(0, kind) if values is None else values.astype(kind)


def _ints(values: Any) -> list[int]:
    return [] if values is None else values.tolist()


def _at(items: list[Any], index: int, where: str, what: str) -> Any:
    if not 0 <= index < len(items):
        raise FormatError(f"{where} refers to {what} {index} of {len(items)}")
    return items[index]
