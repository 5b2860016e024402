"""Reads a .tflite file into a `Model`: every offset, index and length is checked, constants stay views on the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pocketgraph.models.associated_files import read_associated_files
from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.flatbuffer import Reader
from pocketgraph.models.graph import Array, Graph, Model, Op, Signature, Tensor
from pocketgraph.models.tflite_schema import OPERATORS, SCHEMA, options_table
from pocketgraph.models.tflite_tensors import ints, read_tensor

_VERSION = 3
_ALWAYS_UNPACKED = 2**24
_EMPTIEST = 4096
_OPERATOR_NAMES = {number: name for name, number in OPERATORS.items()}
_SUBGRAPH_OPTIONS = ("subgraph", "subgraph_index", "subgraph_indices", "called_computations")


def read_tflite(source: Path | str | bytes) -> Model:
    """The model in a .tflite file or its bytes.

    Tensors that no op, input, output or signature mentions and the numbers that tie ops to a converter's debug records
    are left out. Raises `FormatError` saying what does not hold, and where; `UnsupportedError` for block-wise
    quantisation and for weights kept in other files.
    """
    if isinstance(source, bytes):
        return _Model(source).read()
    path = Path(source)
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise FormatError(f"cannot read {source}: it is a device or pipe, not a file")
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"cannot read {source}: {error.strerror}") from error
    try:
        return _Model(data).read()
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{source}: {error}") from error


class _Model:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._file = Reader(data, SCHEMA).root()
        self._unpacked = 0
        self._copied = 0
        if self._file["version"] != _VERSION:
            raise FormatError(f"the file is of schema version {self._file['version']}, expected {_VERSION}")
        self._buffers: list[Array] = [
            self._buffer(number, buffer) for number, buffer in enumerate(self._file["buffers"] or [])
        ]
        self._codes = [self._code(number, code) for number, code in enumerate(self._file["operator_codes"] or [])]

    def read(self) -> Model:
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
            {m["name"] or "": self._metadata(m) for m in self._file["metadata"] or []},
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
        builtin = max(OPERATORS[code["builtin_code"]], code["deprecated_builtin_code"])
        if _OPERATOR_NAMES[builtin] == "PLACEHOLDER_FOR_GREATER_OP_CODES":
            raise FormatError(f"operator code {number} is {builtin}, which only announces a greater code")
        return _OPERATOR_NAMES[builtin], code["custom_code"] or "", code["version"]

    def _metadata(self, entry: dict[str, Any]) -> bytes:
        where = f"metadata {entry['name'] or ''!r}"
        return self._copy(_at(self._buffers, entry["buffer"], where, "buffer"), where)

    def _copy(self, stored: Array, where: str) -> bytes:
        """Bytes out of the file; in all no more than it has, or many entries would share them to unfold."""
        self._copied += stored.size
        if self._copied > len(self._data):
            raise FormatError(f"{where}: the metadata and options are larger than the file")
        return stored.tobytes()

    def _tensor(self, table: dict[str, Any], where: str) -> Tensor:
        where = f"{where} {table['name'] or ''!r}"
        if table["external_buffer"]:
            raise UnsupportedError(f"{where} keeps its data in another file: merge them into one file first")
        tensor = read_tensor(table, _at(self._buffers, table["buffer"], where, "buffer"), where)
        if tensor.sparsity is not None:
            self._unpacked += tensor.size
            if self._unpacked > _ALWAYS_UNPACKED + _EMPTIEST * len(self._data):
                raise FormatError(f"{where}: the sparse constants unpack to more than a file of this size can mean")
        return tensor

    def _graph(self, number: int, subgraph: dict[str, Any], tensors: list[Tensor]) -> Graph:
        where = f"subgraph {number}"

        def pick(indices: Any, by: str) -> list[Tensor]:
            return [_at(tensors, i, by, "tensor") for i in ints(indices)]

        ops = []
        for i, operator in enumerate(subgraph["operators"] or []):
            kind, custom_code, version = _at(self._codes, operator["opcode_index"], f"{where}, operator {i}", "code")
            label = f"{where}, operator {i} ({custom_code or kind})"
            attributes = _attributes(kind, operator, label)
            self._check_subgraphs(attributes, label)
            ops.append(
                Op(
                    kind,
                    [None if t == -1 else _at(tensors, t, label, "tensor") for t in ints(operator["inputs"])],
                    pick(operator["outputs"], label),
                    attributes,
                    version,
                    custom_code,
                    self._custom_options(operator, label),
                    pick(operator["intermediates"], label),
                )
            )
        inputs, outputs = (pick(subgraph[name], f"{where}, {name}") for name in ("inputs", "outputs"))
        for tensor in [*inputs, *(tensor for op in ops for tensor in op.outputs)]:
            if tensor.size == 0:
                tensor.data = None  # computed and, for now, empty: not an empty constant
        return Graph(subgraph["name"] or "", inputs, outputs, ops)

    def _check_subgraphs(self, attributes: dict[str, Any], where: str) -> None:
        for name, value in attributes.items():
            if name.endswith(_SUBGRAPH_OPTIONS):
                for index in [value] if isinstance(value, int) else value or []:
                    _at(self._file["subgraphs"], index, f"{where}.{name}", "subgraph")

    def _custom_options(self, operator: dict[str, Any], where: str) -> bytes:
        start, size = operator["large_custom_options_offset"], operator["large_custom_options_size"]
        if start > 1:
            if start + size > len(self._data):
                raise FormatError(f"{where}: the options at bytes {start} to {start + size} lie outside the file")
            return self._copy(np.frombuffer(self._data, np.uint8, size, start), where)
        options = operator["custom_options"]
        return b"" if options is None else self._copy(options, where)

    def _signature(self, signature: dict[str, Any], tensors: list[list[Tensor]]) -> Signature:
        key = signature["signature_key"] or ""
        where = f"signature {key!r}"
        own = _at(tensors, signature["subgraph_index"], where, "subgraph")

        def pick(entries: Any) -> dict[str, Tensor]:
            return {e["name"] or "": _at(own, e["tensor_index"], where, "tensor") for e in entries or []}

        return Signature(key, pick(signature["inputs"]), pick(signature["outputs"]), signature["subgraph_index"])


def _attributes(kind: str, operator: dict[str, Any], where: str) -> dict[str, Any]:
    for options in (operator["builtin_options"], operator["builtin_options_2"]):
        if options is not None:
            table, content = options
            if table != options_table(kind):
                raise FormatError(f"{where} carries {table}, expected {options_table(kind) or 'no options'}")
            return {name: _plain(value) for name, value in content.items()}
    return {}


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _at(items: list[Any], index: int, where: str, what: str) -> Any:
    if not 0 <= index < len(items):
        raise FormatError(f"{where} refers to {what} {index} of {len(items)}")
    return items[index]
