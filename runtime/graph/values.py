"""Packet values as bytes, and back: plain data only, so that reading a file from anywhere runs nothing in it.

A value is one letter and what belongs to it; integers are little-endian, `n` is a count as u32, text is `n` and UTF-8:

    N, T, F     None, True, False
    i           i64                                  I   n, bytes of a longer signed integer
    d           f64                                  s   text
    b           n, bytes
    l, t        n, values: list, tuple               m   n, pairs of values: dict
    g           text (dtype), bytes                  a NumPy scalar
    a           text (dtype), u8 rank, u32 sides, u8 packed, n, bytes: an array in C order, deflated where packed is 1
    p           u32 height, u32 width, n, bytes      a picture, uint8 [height, width, 3]: each row less the row above,
                                                     modulo 256, all deflated
    r           text (name), n, values               a record: one of `RECORDS`, by its fields in order
    P           text (full name), n, bytes           a protobuf message, whose type must be known to who reads it

Whatever bytes are read, the result is a value or `FormatError`; no length is believed that the data does not have.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import re
import struct
import types
import typing
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from pocketgraph.models.errors import FormatError, UsageError
from pocketgraph.runtime.graph.schema import POOL

RECORDS = {
    "Classification": "pocketgraph.runtime.vision.classification",
    "Detections": "pocketgraph.runtime.vision.detections",
    "Landmarks": "pocketgraph.runtime.vision.landmarks",
    "Rect": "pocketgraph.runtime.vision.rect",
}
"""The dataclasses that may be in a file, by the module they live in."""
LARGEST = 1 << 28
"""Bytes of all arrays and pictures of one value, unpacked."""

_DEEPEST = 32
_WORTH_PACKING = 4096
_DTYPE = re.compile(r"\|b1|\|[iu]1|[<>][iu][248]|[<>]f[248]|[<>]c(8|16)")


def encode(value: Any) -> bytes:
    """`value` as bytes. Raises `UsageError` for what is no plain data."""
    out = _Target()
    _put(out, value, 0)
    return bytes(out)


def decode(data: bytes) -> Any:
    """The value in `data`, which holds nothing else. Raises `FormatError`."""
    source = _Source(data)
    value = _get(source, 0)
    if source.at != len(data):
        raise FormatError(f"{len(data) - source.at} bytes follow the value")
    return value


class _Target(bytearray):
    """Bytes that grow at the end; `unpacked` are those of arrays and pictures before they are deflated."""

    unpacked = 0


def _put(out: _Target, value: Any, depth: int) -> None:
    if depth > _DEEPEST:
        raise UsageError(f"a value nested deeper than {_DEEPEST} cannot be recorded")
    if value is None or value is True or value is False:
        out += {None: b"N", True: b"T", False: b"F"}[value]
    elif isinstance(value, np.generic):
        _put_array(out, b"g", np.asarray(value))
    elif type(value) is int:
        if -(2**63) <= value < 2**63:
            out += b"i" + struct.pack("<q", value)
        else:
            _put_bytes(out, b"I", value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
    elif type(value) is float:
        out += b"d" + struct.pack("<d", value)
    elif type(value) is str:
        _put_bytes(out, b"s", value.encode(errors="surrogatepass"))
    elif type(value) is bytes:
        _put_bytes(out, b"b", value)
    elif type(value) in (list, tuple, dict):
        letter = b"l" if type(value) is list else b"t" if type(value) is tuple else b"m"
        out += letter + struct.pack("<I", len(value))
        for item in value if type(value) is not dict else (part for pair in value.items() for part in pair):
            _put(out, item, depth + 1)
    elif isinstance(value, np.ndarray):
        _put_array(out, b"a", value)
    elif dataclasses.is_dataclass(value) and RECORDS.get(type(value).__name__) == type(value).__module__:
        fields = dataclasses.fields(value)
        _put_bytes(out, b"r", type(value).__name__.encode())
        out += struct.pack("<I", len(fields))
        for field in fields:
            _put(out, getattr(value, field.name), depth + 1)
    elif isinstance(value, Message):
        _put_bytes(out, b"P", value.DESCRIPTOR.full_name.encode())
        _put_bytes(out, b"", value.SerializeToString(deterministic=True))
    else:
        raise UsageError(
            f"a {type(value).__name__} cannot be recorded; what can are numbers, text, arrays, pictures, lists, tuples,"
            f" dicts, protobuf messages, {', '.join(RECORDS)}"
        )


def _put_bytes(out: bytearray, letter: bytes, data: bytes) -> None:
    out += letter + struct.pack("<I", len(data)) + data


def _put_array(out: _Target, letter: bytes, array: npt.NDArray[Any]) -> None:
    kind = array.dtype.str
    if not _DTYPE.fullmatch(kind) or array.ndim > 32:
        raise UsageError(f"an array {array.dtype}{list(array.shape)} cannot be recorded")
    out.unpacked += array.nbytes
    if out.unpacked > LARGEST:
        raise UsageError(f"the arrays and pictures of a value have more than {LARGEST} bytes, which cannot be recorded")
    if letter == b"a" and array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3 and array.size:
        _put_picture(out, array)
        return
    _put_bytes(out, letter, kind.encode())
    data = array.tobytes()
    if letter == b"g":
        out += data
        return
    packed = zlib.compress(data, 1) if len(data) >= _WORTH_PACKING else data
    smaller = len(packed) < 0.9 * len(data)
    out += struct.pack(f"<B{array.ndim}IB", array.ndim, *array.shape, smaller)
    _put_bytes(out, b"", packed if smaller else data)


def _put_picture(out: bytearray, picture: npt.NDArray[Any]) -> None:
    rows = np.ascontiguousarray(picture)
    less = rows.copy()
    less[1:] -= rows[:-1]
    # runs and Huffman codes only: half as large as the picture, and quick enough to keep up with a camera
    packing = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    out += b"p" + struct.pack("<II", *picture.shape[:2])
    _put_bytes(out, b"", packing.compress(less.data) + packing.flush())


class _Source:
    """Bytes that are taken from the front; `room` is left for what arrays and pictures unpack to."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.room = data, 0, LARGEST

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise FormatError(f"{count} bytes were expected, {len(self.data) - self.at} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def numbers(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))

    def count(self, least: int = 1) -> int:
        """How many items follow, each of at least `least` bytes."""
        (count,) = self.numbers("I")
        if count * least > len(self.data) - self.at:
            raise FormatError(f"{count} items cannot follow in {len(self.data) - self.at} bytes")
        return int(count)

    def sized(self) -> bytes:
        return self.take(self.count())

    def claim(self, size: int) -> None:
        """Take room for an array or picture."""
        if size > self.room:
            raise FormatError(f"an array or picture of {size} bytes is larger than any that is written")
        self.room -= size

    def unpacked(self, size: int) -> bytes:
        """`size` bytes out of deflated ones, and never more in memory."""
        data = self.sized()
        unpack = zlib.decompressobj()
        try:
            whole = unpack.decompress(data, size + 1)
        except zlib.error as error:
            raise FormatError(f"an array or picture cannot be unpacked: {error}") from error
        if len(whole) != size:
            raise FormatError(f"an array or picture of {size} bytes unpacks to {len(whole)}")
        return whole

    def text(self) -> str:
        try:
            return self.sized().decode(errors="surrogatepass")
        except UnicodeDecodeError as error:
            raise FormatError(f"text that is not UTF-8: {error}") from error


def _get(source: _Source, depth: int) -> Any:
    if depth > _DEEPEST:
        raise FormatError(f"a value is nested deeper than {_DEEPEST}")
    letter = chr(source.take(1)[0])
    plain = {"N": None, "T": True, "F": False}
    if letter in plain:
        return plain[letter]
    if letter in _NESTED:
        return _NESTED[letter](source, depth + 1)
    if letter in _FLAT:
        return _FLAT[letter](source)
    raise FormatError(f"no value begins with {letter!r}")


def _get_dict(source: _Source, depth: int) -> dict[Any, Any]:
    result = {}
    for _ in range(source.count(2)):
        key = _get(source, depth)
        try:
            result[key] = _get(source, depth)
        except TypeError as error:
            raise FormatError(f"a {type(key).__name__} cannot be a key") from error
    return result


def _get_record(source: _Source, depth: int) -> Any:
    name = source.text()
    values = [_get(source, depth) for _ in range(source.count())]
    if name not in RECORDS:
        raise FormatError(f"there is no record {name!r}; there are {', '.join(RECORDS)}")
    kind = getattr(importlib.import_module(RECORDS[name]), name)
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    if len(values) != len(names) or not all(_fits(v, hints[n]) for v, n in zip(values, names, strict=False)):
        raise FormatError(f"the values of a {name} are of other types than {', '.join(names)}")
    return kind(*values)


def _fits(value: Any, hint: Any) -> bool:
    """Whether `value` is what the annotation of a field asks for."""
    origin = typing.get_origin(hint)
    if hasattr(origin, "__value__"):  # an alias, which NumPy's NDArray is since 2.5
        return _fits(value, origin.__value__[typing.get_args(hint)])
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, choice) for choice in typing.get_args(hint))
    if origin is np.ndarray:
        (wanted,) = typing.get_args(typing.get_args(hint)[1])
        return isinstance(value, np.ndarray) and value.dtype.kind == np.dtype(wanted).kind
    return isinstance(value, (int, float, np.floating) if hint is float else origin or hint)


def _get_scalar(source: _Source) -> Any:
    kind = _dtype(source)
    source.claim(kind.itemsize)
    return np.frombuffer(source.take(kind.itemsize), kind)[0]


def _get_array(source: _Source) -> npt.NDArray[Any]:
    kind = _dtype(source)
    (rank,) = source.numbers("B")
    shape = source.numbers(f"{min(rank, 33)}I")
    (packed,) = source.numbers("B")
    size = kind.itemsize * math.prod(shape)
    # NumPy multiplies the sides of empty arrays as well
    if rank > 32 or packed > 1 or kind.itemsize * math.prod(max(side, 1) for side in shape) > LARGEST:
        raise FormatError(f"no array is {kind}{list(shape)}")
    source.claim(size)
    data = source.unpacked(size) if packed else source.sized()
    if len(data) != size:
        raise FormatError(f"an array {kind}{list(shape)} has {size} bytes, not {len(data)}")
    return np.frombuffer(data, kind).reshape(shape).copy()


def _dtype(source: _Source) -> np.dtype[Any]:
    name = source.text()
    if not _DTYPE.fullmatch(name):
        raise FormatError(f"no array has the dtype {name[:20]!r}")
    return np.dtype(name)


def _get_picture(source: _Source) -> npt.NDArray[np.uint8]:
    height, width = source.numbers("II")
    if not height * width:
        raise FormatError("a picture has no pixels")
    source.claim(3 * height * width)
    rows = np.frombuffer(source.unpacked(3 * height * width), np.uint8).reshape(height, width, 3)
    return np.add.accumulate(rows, axis=0, dtype=np.uint8)


def _get_message(source: _Source) -> Message:
    name, data = source.text(), source.sized()
    for pool in (POOL, descriptor_pool.Default()):
        try:
            kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        except KeyError:
            continue
        try:
            return kind.FromString(data)
        except DecodeError as error:
            raise FormatError(f"a message {name} cannot be decoded: {error}") from error
    raise FormatError(f"the type of a message, {name[:80]!r}, is not known here; import what defines it first")


_NESTED: dict[str, Callable[[_Source, int], Any]] = {
    "l": lambda source, depth: [_get(source, depth) for _ in range(source.count())],
    "t": lambda source, depth: tuple(_get(source, depth) for _ in range(source.count())),
    "m": _get_dict,
    "r": _get_record,
}
_FLAT: dict[str, Callable[[_Source], Any]] = {
    "i": lambda source: source.numbers("q")[0],
    "I": lambda source: int.from_bytes(source.sized(), "little", signed=True),
    "d": lambda source: source.numbers("d")[0],
    "s": _Source.text,
    "b": _Source.sized,
    "g": _get_scalar,
    "a": _get_array,
    "p": _get_picture,
    "P": _get_message,
}
