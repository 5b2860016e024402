"""Reads the options of custom operators: a FlexBuffers map of numbers and lists of numbers.

The format is described at flatbuffers.dev ("FlexBuffers"): values first, the root at the end; a map holds its keys,
sorted, its values, and a byte a value that says type and width. Only what options of operators use is read.
"""

from __future__ import annotations

import struct

from pocketgraph.models.errors import FormatError

Value = float | int | list[float | int]

_INT, _UINT, _FLOAT, _BOOL = 1, 2, 3, 26
_MAP, _VECTOR_INT, _VECTOR_UINT, _VECTOR_FLOAT = 9, 11, 12, 13
_LIST_OF = {_VECTOR_INT: _INT, _VECTOR_UINT: _UINT, _VECTOR_FLOAT: _FLOAT}
_CODES = {_INT: "bhiq", _UINT: "BHIQ", _BOOL: "BHIQ", _FLOAT: " efd"}


def read_map(data: bytes) -> dict[str, Value]:
    """The map in `data`; empty data is an empty map. Raises `FormatError` on anything else."""
    if not data:
        return {}
    try:
        return _map(data)
    except (struct.error, IndexError, KeyError, UnicodeDecodeError, ValueError) as error:
        raise FormatError(f"the options of a custom operator are damaged or of an unknown kind: {error}") from error


def _map(data: bytes) -> dict[str, Value]:
    packed, root_width = data[-2], data[-1]
    if packed >> 2 != _MAP:
        raise ValueError(f"type {packed >> 2} at the root, not a map")
    width = 1 << (packed & 3)
    values = _follow(data, len(data) - 2 - root_width, root_width)
    count = _uint(data, values - width, width)
    keys = _follow(data, values - 3 * width, width)
    key_width = _uint(data, values - 2 * width, width)
    types = values + count * width
    if types + count > len(data):
        raise ValueError(f"{count} entries in {len(data)} bytes")
    found: dict[str, Value] = {}
    for i in range(count):
        start = _follow(data, keys + i * key_width, key_width)
        name = data[start : data.index(b"\0", start)].decode()
        found[name] = _value(data, values + i * width, width, data[types + i])
    return found


def _value(data: bytes, at: int, width: int, packed: int) -> Value:
    kind = packed >> 2
    if kind not in _LIST_OF:
        return _number(data, at, width, kind)
    at = _follow(data, at, width)
    width = 1 << (packed & 3)
    count = _uint(data, at - width, width)
    if at + count * width > len(data):
        raise ValueError(f"a list of {count} in {len(data)} bytes")
    return [_number(data, at + i * width, width, _LIST_OF[kind]) for i in range(count)]


def _number(data: bytes, at: int, width: int, kind: int) -> float | int:
    if at < 0:
        raise ValueError("an offset points before the start")
    code = _CODES[kind][width.bit_length() - 1]
    number: float | int = struct.unpack_from("<" + code, data, at)[0]
    return number


def _uint(data: bytes, at: int, width: int) -> int:
    return int(_number(data, at, width, _UINT))


def _follow(data: bytes, at: int, width: int) -> int:
    """Where the offset stored at `at` points: offsets count backwards."""
    target = at - _uint(data, at, width)
    if target < 0:
        raise ValueError("an offset points before the start")
    return target
