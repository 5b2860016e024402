"""FlatBuffers, read with every offset checked and written in one pass, both driven by declared tables.

A table is a list of `Field`s in slot order. Decoded, it is a dict with every field present: scalars as Python numbers,
enumerations as their names, strings as str, scalar vectors as zero-copy NumPy views (None where absent), unions as
`(table name, dict)` or None. Source: the FlatBuffers internals document.
"""

from __future__ import annotations

import functools
import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import FormatError, UnsupportedError

_SCALARS = {
    "bool": "?",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
_STRUCTS = {code: struct.Struct("<" + code) for code in _SCALARS.values()}
_MOST_TABLES = 2**19
"""Ten times what the largest networks need; each costs a dict."""
_LIMIT = 2**31 - 1
"""A FlatBuffers file is addressed with 32-bit offsets of which one bit is the sign."""


@dataclass(frozen=True)
class Field:
    """One field: `kind` is a scalar type, `string`, a table's name, or either in brackets for a vector of them.

    `enum` names the enumeration that a scalar is decoded by; `union` the one whose names are the tables it may hold
    (the field then takes two slots: the type and the value).
    """

    name: str
    kind: str
    default: Any = 0
    enum: str | None = None
    union: str | None = None


@dataclass(frozen=True)
class Schema:
    """Tables by name, enumerations as name -> number, the file identifier and the alignment of big byte vectors."""

    tables: Mapping[str, Sequence[Field]]
    enums: Mapping[str, Mapping[str, int]]
    root: str
    identifier: bytes
    aligned: tuple[str, str]
    alignment: int = 16

    @functools.cached_property
    def names(self) -> dict[str, dict[int, str]]:
        """The enumerations as number -> name."""
        return {enum: {number: name for name, number in members.items()} for enum, members in self.enums.items()}

    @functools.cached_property
    def layouts(self) -> dict[str, tuple[dict[str, Any], list[Field | None]]]:
        """Of each table, what absent fields decode to and the field in each slot (None: the value of a union)."""
        layouts = {}
        for table, fields in self.tables.items():
            defaults = {field.name: self._absent(field) for field in fields}
            by_slot = [slot for field in fields for slot in ([field] if field.union is None else [field, None])]
            layouts[table] = (defaults, by_slot)
        return layouts

    def _absent(self, field: Field) -> Any:
        if field.union is not None or field.kind not in _SCALARS:
            return None
        return field.default if field.enum is None else self.names[field.enum][field.default]


class Reader:
    """Decodes one buffer. Work is bounded by the buffer's size: shared or overlapping objects cannot multiply it."""

    def __init__(self, data: bytes | memoryview, schema: Schema) -> None:
        self._data = memoryview(data)
        self._schema = schema
        self._tables_left = min(len(data) // 8 + 16, _MOST_TABLES)
        self._bytes_left = 4 * len(data) + 4096

    def root(self) -> dict[str, Any]:
        """The decoded root table. Raises `FormatError` at the first thing that does not hold."""
        if len(self._data) < 8:
            raise FormatError(f"the file has {len(self._data)} bytes, too few for a FlatBuffer: it is truncated")
        found = bytes(self._data[4:8])
        if found != self._schema.identifier:
            raise FormatError(f"the file identifier is {found!r}, expected {self._schema.identifier!r}")
        return self._table(self._schema.root, self._follow(0, self._schema.root), self._schema.root)

    def _scalar(self, code: str, at: int, where: str) -> Any:
        form = _STRUCTS[code]
        if not 0 <= at <= len(self._data) - form.size:
            raise FormatError(f"{where}: byte {at} is outside the file of {len(self._data)} bytes")
        return form.unpack_from(self._data, at)[0]

    def _follow(self, at: int, where: str) -> int:
        offset: int = self._scalar("I", at, where)
        if offset == 0 or at + offset > len(self._data) - 4:
            raise FormatError(f"{where}: the offset {offset} at byte {at} leads outside the file")
        return at + offset

    def _table(self, name: str, at: int, where: str) -> dict[str, Any]:
        self._tables_left -= 1
        if self._tables_left < 0:
            raise FormatError(f"{where}: the file claims more tables than its {len(self._data)} bytes can mean")
        vtable = at - self._scalar("i", at, where)
        vtable_size = self._scalar("H", vtable, where)
        table_size = self._scalar("H", vtable + 2, where)
        if vtable_size < 4 or vtable_size % 2 or vtable + vtable_size > len(self._data):
            raise FormatError(f"{where}: the field list at byte {vtable} has the impossible size {vtable_size}")
        if table_size < 4 or at + table_size > len(self._data):
            raise FormatError(f"{where}: the table at byte {at} has the impossible size {table_size}")
        defaults, by_slot = self._schema.layouts[name]
        slots = struct.unpack_from(f"<{min((vtable_size - 4) // 2, len(by_slot))}H", self._data, vtable + 4)
        if max(slots, default=0) >= table_size:
            raise FormatError(f"{where}: a field of the table at byte {at} lies outside of it")
        result = dict(defaults)
        for slot, place in enumerate(slots):
            field = by_slot[slot]
            if not place or field is None:
                continue
            label = f"{where}.{field.name}"
            if field.union is None:
                result[field.name] = self._field(name, field, at + place, label)
            else:
                value = slots[slot + 1] if slot + 1 < len(slots) else 0
                result[field.name] = self._union(field.union, at + place, at + value if value else 0, label)
        return result

    def _field(self, table: str, field: Field, at: int, where: str) -> Any:
        if field.kind in _SCALARS:
            number = self._scalar(_SCALARS[field.kind], at, where)
            return self._named(field.enum, number, where) if field.enum else number
        if field.kind == "string":
            return self._string(self._follow(at, where), where)
        if field.kind.startswith("["):
            free = (table, field.name) == self._schema.aligned
            return self._vector(field.kind[1:-1], self._follow(at, where), where, free=free)
        return self._table(field.kind, self._follow(at, where), where)

    def _named(self, enum: str, number: int, where: str) -> str:
        names = self._schema.names[enum]
        name = names.get(number)
        if name is None:
            raise FormatError(f"{where}: {number} is no {enum} (known are 0 to {max(names)})")
        return name

    def _union(self, enum: str, type_at: int, value_at: int, where: str) -> tuple[str, dict[str, Any]] | None:
        number = self._scalar("B", type_at, where)
        if number == 0:
            return None
        name = self._named(enum, number, where)
        if not value_at:
            raise FormatError(f"{where}: a {name} is announced and missing")
        return name, self._table(name, self._follow(value_at, where), where)

    def _string(self, at: int, where: str) -> str:
        length = self._scalar("I", at, where)
        if at + 4 + length > len(self._data):
            raise FormatError(f"{where}: a string of {length} bytes at byte {at} does not fit in the file")
        self._spend(length + 4, where)
        return bytes(self._data[at + 4 : at + 4 + length]).decode("utf-8", "surrogateescape")

    def _vector(self, kind: str, at: int, where: str, *, free: bool) -> Any:
        length = self._scalar("I", at, where)
        code = _SCALARS.get(kind, "I")
        size = struct.calcsize("<" + code)
        if length > (len(self._data) - at - 4) // size:
            raise FormatError(f"{where}: {length} elements at byte {at} do not fit in the file")
        self._spend(0 if free else length * size + 4, where)
        if kind in _SCALARS:
            return np.frombuffer(self._data, np.dtype(code).newbyteorder("<"), length, at + 4)
        places = [(self._follow(at + 4 + 4 * i, where), f"{where}[{i}]") for i in range(length)]
        if kind == "string":
            return [self._string(*place) for place in places]
        return [self._table(kind, *place) for place in places]

    def _spend(self, size: int, where: str) -> None:
        """Vectors and strings that many tables share are paid for each time, as whoever decodes them does."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise FormatError(f"{where}: the file claims more content than its {len(self._data)} bytes can hold")


class Writer:
    """Encodes a root table. Objects are laid out parents first, so every offset points forward."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._out = bytearray()
        self._vtables: dict[bytes, int] = {}
        self._later: deque[tuple[int, Callable[[], int]]] = deque()

    def root(self, value: Mapping[str, Any]) -> bytes:
        """The file. Fields that are absent or at their default are left out, None and missing mean absent."""
        self._out += b"\0\0\0\0" + self._schema.identifier
        self._refer(0, lambda: self._table(self._schema.root, value))
        while self._later:
            at, write = self._later.popleft()
            target = write()
            struct.pack_into("<I", self._out, at, target - at)
            if len(self._out) > _LIMIT:
                raise UnsupportedError(
                    f"the model needs more than {_LIMIT} bytes, the most a .tflite file can address;"
                    " store its weights as float16 or int8, or split it"
                )
        return bytes(self._out)

    def _refer(self, at: int, write: Callable[[], int]) -> None:
        self._later.append((at, write))

    def _align(self, size: int, ahead: int = 0) -> None:
        self._out += bytes(-(len(self._out) + ahead) % size)

    def _table(self, name: str, value: Mapping[str, Any]) -> int:
        unknown = set(value) - {field.name for field in self._schema.tables[name]}
        if unknown:
            raise UnsupportedError(f"{name} has no field {min(unknown)!r}")
        cells: list[tuple[int, str, Any, Callable[[], int] | None]] = []
        slot = 0
        for field in self._schema.tables[name]:
            item = value.get(field.name)
            if field.union is not None:
                if item is not None:
                    table, content = item
                    cells.append((slot, "B", self._schema.enums[field.union][table], None))
                    cells.append((slot + 1, "I", 0, self._writer(name, Field(field.name, table), content)))
                slot += 2
                continue
            if field.kind in _SCALARS:
                number = self._number(name, field, item)
                if number != field.default:
                    cells.append((slot, _SCALARS[field.kind], number, None))
            elif item is not None:
                cells.append((slot, "I", 0, self._writer(name, field, item)))
            slot += 1
        return self._lay_out(name, cells)

    def _lay_out(self, name: str, cells: list[tuple[int, str, Any, Callable[[], int] | None]]) -> int:
        body, offsets = 4, [0] * (max((cell[0] for cell in cells), default=-1) + 1)
        places: list[tuple[int, str, Any, Callable[[], int] | None]] = []
        for slot, code, number, write in sorted(cells, key=lambda cell: -struct.calcsize("<" + cell[1])):
            offsets[slot] = body
            places.append((body, code, number, write))
            body += struct.calcsize("<" + code)
        vtable = struct.pack(f"<HH{len(offsets)}H", 4 + 2 * len(offsets), body, *offsets)
        if vtable not in self._vtables:
            self._align(2)
            self._vtables[vtable] = len(self._out)
            self._out += vtable
        if any(code in "qQd" for _, code, _, _ in cells):
            self._align(8, ahead=4)  # the widest fields come first, behind the four bytes of the vtable's offset
        else:
            self._align(4)
        start = len(self._out)
        self._out += struct.pack("<i", start - self._vtables[vtable]) + bytes(body - 4)
        for offset, code, number, write in places:
            if write is not None:
                self._refer(start + offset, write)
                continue
            try:
                struct.pack_into("<" + code, self._out, start + offset, number)
            except (struct.error, OverflowError) as error:
                raise UnsupportedError(f"{name} cannot hold {number!r}: {error}") from error
        return start

    def _number(self, table: str, field: Field, item: Any) -> Any:
        if item is None:
            return field.default
        if field.enum is None:
            return item
        numbers = self._schema.enums[field.enum]
        if item not in numbers:
            raise UnsupportedError(f"{table}.{field.name} is {item!r}, expected one of {', '.join(numbers)}")
        return numbers[item]

    def _writer(self, table: str, field: Field, item: Any) -> Callable[[], int]:
        if field.kind == "string":
            return lambda: self._string(item)
        if not field.kind.startswith("["):
            return lambda: self._table(field.kind, item)
        kind = field.kind[1:-1]
        if kind in _SCALARS:
            alignment = self._schema.alignment if (table, field.name) == self._schema.aligned else 4
            return lambda: self._scalars(_values(item, kind, f"{table}.{field.name}"), alignment)
        if kind == "string":
            return lambda: self._references([functools.partial(self._string, text) for text in item])
        return lambda: self._references([functools.partial(self._table, kind, value) for value in item])

    def _string(self, text: str) -> int:
        try:
            encoded = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise UnsupportedError(f"the text {text!r} cannot be stored: {error}") from error
        self._align(4)
        at = len(self._out)
        self._out += struct.pack("<I", len(encoded)) + encoded + b"\0"
        return at

    def _scalars(self, values: npt.NDArray[Any], alignment: int) -> int:
        self._align(max(4, values.itemsize, alignment), ahead=4)
        at = len(self._out)
        self._out += struct.pack("<I", values.size)
        self._out += np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
        return at

    def _references(self, writers: list[Callable[[], int]]) -> int:
        self._align(4)
        at = len(self._out)
        self._out += struct.pack("<I", len(writers)) + bytes(4 * len(writers))
        for i, write in enumerate(writers):
            self._refer(at + 4 + 4 * i, write)
        return at


def _values(item: Any, kind: str, where: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(item, np.dtype(_SCALARS[kind]).newbyteorder("<"))
    except (OverflowError, TypeError, ValueError) as error:
        raise UnsupportedError(f"{where} cannot hold {item!r} as {kind}: {error}") from error
