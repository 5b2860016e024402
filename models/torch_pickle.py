"""Reads PyTorch state dicts (the legacy, non-zip format) without PyTorch and without ever running a pickle.

A legacy file is five pickles, magic number, protocol, system info, the object, the list of storage keys, then the raw
storages. Python's unpickler builds whatever the file names, so it is not used: the handful of opcodes and names that a
state dict needs are interpreted here over plain values, and everything else is refused. Tensors are views into storages
with offset, size and stride; the strides need not be contiguous, and each view is checked to lie in its storage.
"""

from __future__ import annotations

import io
import math
import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import FormatError, UnsupportedError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MAX_STEPS = 2_000_000  # opcodes in all: a file with ten thousand tensors needs a tenth
_MAX_RANK = 32
_STORAGES: dict[str, np.dtype[Any]] = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch DoubleStorage": np.dtype("<f8"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
    "torch ShortStorage": np.dtype("<i2"),
    "torch CharStorage": np.dtype("i1"),
    "torch ByteStorage": np.dtype("u1"),
    "torch BoolStorage": np.dtype("?"),
}
_ORDERED_DICT = "collections OrderedDict"
_REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class _Storage:
    dtype: np.dtype[Any]
    key: str
    numel: int


@dataclass(frozen=True)
class _View:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _brief(value: Any) -> str:
    """For messages; containers by type alone, as they may be endless."""
    if isinstance(value, _Global):
        return value.name
    return repr(value[:60]) if isinstance(value, str) else f"a {type(value).__name__}"


class _Mark:
    """The stack's MARK."""


def read_state_dict(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Name -> array of a legacy PyTorch state dict file. The arrays are read-only views into `data`, strided as stored.

    Raises `FormatError` where the file is truncated, names anything but tensors, or a tensor leaves its storage;
    `UnsupportedError` for PyTorch's zip format and element types NumPy lacks.
    """
    if data.startswith(b"PK\x03\x04"):
        raise UnsupportedError(
            "PyTorch weights in the zip format; expected the legacy format (one pickle after another)"
        )
    reader = _Reader(data)
    if reader.unpickle() != _MAGIC:
        raise FormatError("PyTorch weights: the magic number is missing; expected a legacy .pth file")
    if (protocol := reader.unpickle()) != _PROTOCOL:
        raise FormatError(f"PyTorch weights: protocol {_brief(protocol)}, expected {_PROTOCOL}")
    system = reader.unpickle()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise FormatError("PyTorch weights: the system info is not that of a little-endian machine")
    state = reader.unpickle()
    if not isinstance(state, dict):
        raise FormatError(f"PyTorch weights: a {type(state).__name__}, expected a dict of tensors")
    for name, value in state.items():
        if not isinstance(value, _View):
            raise FormatError(f"PyTorch weights: entry {_brief(name)} is a {type(value).__name__}, expected a tensor")
    storages = reader.read_storages()
    return {name: _strided(name, view, storages) for name, view in state.items()}


def _strided(name: str, view: _View, storages: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    if view.storage.key not in storages:
        raise FormatError(f"PyTorch weights: the storage {view.storage.key!r} of tensor {name!r} is missing")
    whole = storages[view.storage.key]
    last = view.offset + sum((n - 1) * step for n, step in zip(view.shape, view.strides, strict=True))
    size = math.prod(view.shape)
    if size > whole.size or (size and last >= whole.size) or view.offset > whole.size:
        raise FormatError(
            f"PyTorch weights: tensor {name!r} with shape {view.shape}, strides {view.strides} and offset"
            f" {view.offset} leaves its storage of {whole.size} elements"
        )
    steps = [step * whole.itemsize for step in view.strides]
    return np.lib.stride_tricks.as_strided(whole[view.offset :], view.shape, steps, writeable=False)


class _Reader:
    """The pickles of one file, one after another, then its storages."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._file = io.BytesIO(data)
        self._storages: dict[str, _Storage] = {}
        self._steps = 0

    def unpickle(self) -> Any:
        """The next pickle as plain values, `_View`s for tensors."""
        machine = _Machine(self._storage)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", DeprecationWarning)  # an escape that no writer makes
                for opcode, argument, _ in pickletools.genops(self._file):
                    self._steps += 1
                    if self._steps > _MAX_STEPS:
                        raise FormatError(f"PyTorch weights: over {_MAX_STEPS} pickle opcodes, expected a state dict")
                    machine.step(opcode.name, argument)
            return machine.stack.pop()
        except (ValueError, IndexError, OverflowError, DeprecationWarning) as error:
            raise FormatError(f"PyTorch weights: damaged pickle before byte {self._file.tell()}: {error}") from error

    def _storage(self, identity: Any) -> _Storage:
        match identity:
            case ("storage", _Global(kind), str(key), str(), int(numel), None) if kind in _STORAGES and numel >= 0:
                storage = _Storage(_STORAGES[kind], key, numel)
                if self._storages.setdefault(key, storage) != storage:
                    raise FormatError(f"PyTorch weights: storage {key!r} is declared twice, differently")
                return storage
        raise FormatError(f"PyTorch weights: unknown storage {_brief(identity)}")

    def read_storages(self) -> dict[str, npt.NDArray[Any]]:
        """The raw arrays behind the pickles, by key; each as long as the pickle said and no longer than the file."""
        keys = self.unpickle()
        if not isinstance(keys, list):
            raise FormatError(f"PyTorch weights: a {type(keys).__name__}, expected the list of storage keys")
        found: dict[str, npt.NDArray[Any]] = {}
        at = self._file.tell()
        for key in keys:
            if not isinstance(key, str) or key not in self._storages or key in found:
                raise FormatError(f"PyTorch weights: storage key {_brief(key)} is unknown or doubled")
            storage = self._storages[key]
            end = at + 8 + storage.numel * storage.dtype.itemsize
            if end > len(self._data):
                raise FormatError(
                    f"PyTorch weights: storage {key!r} ends at byte {end} of {len(self._data)}: truncated"
                )
            stored = int.from_bytes(self._data[at : at + 8], "little", signed=True)
            if stored != storage.numel:
                raise FormatError(f"PyTorch weights: storage {key!r} holds {stored} elements, expected {storage.numel}")
            found[key] = np.frombuffer(self._data, storage.dtype, storage.numel, at + 8)
            at = end
        return found


class _Machine:
    """The stack machine for the opcodes that state dicts use; values are plain data, nothing is ever called."""

    def __init__(self, storage: Callable[[Any], _Storage]) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._find_storage = storage

    def step(self, opcode: str, argument: Any) -> None:
        stack = self.stack
        match opcode:
            case "PROTO" | "STOP":
                pass
            case "BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode])
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[opcode]())
            case "MARK":
                stack.append(_Mark)
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                if argument not in self._memo:
                    raise FormatError(f"PyTorch weights: the pickle recalls value {argument}, which it never stored")
                stack.append(self._memo[argument])
            case "TUPLE":
                stack.append(tuple(self._pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [stack.pop() for _ in range(int(opcode[-1]))]
                stack.append(tuple(reversed(items)))
            case "APPEND":
                self._extend([stack.pop()])
            case "APPENDS":
                self._extend(self._pop_to_mark())
            case "SETITEM":
                value = stack.pop()
                self._update([stack.pop(), value])
            case "SETITEMS":
                self._update(self._pop_to_mark())
            case "GLOBAL":
                if argument not in (_ORDERED_DICT, _REBUILD_TENSOR, *_STORAGES):
                    raise FormatError(f"PyTorch weights: the pickle asks for {argument!r}; only tensors are read")
                stack.append(_Global(argument))
            case "REDUCE":
                arguments = stack.pop()
                stack.append(_build(stack.pop(), arguments))
            case "BUILD":  # the attributes of the OrderedDict, which carries a `_metadata`
                stack.pop()
                if not isinstance(stack[-1], dict):
                    raise FormatError("PyTorch weights: the pickle sets attributes of something that is no dict")
            case "BINPERSID":
                stack.append(self._find_storage(stack.pop()))
            case _:
                raise FormatError(f"PyTorch weights: pickle opcode {opcode}, which no state dict needs")

    def _pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self.stack.pop()) is not _Mark:
            items.append(item)
        return items[::-1]

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise FormatError("PyTorch weights: the pickle appends to something that is no list")
        self.stack[-1].extend(items)

    def _update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2 or not all(isinstance(key, str) for key in items[::2]):
            raise FormatError("PyTorch weights: the pickle sets items with keys that are no names")
        target.update(zip(items[::2], items[1::2], strict=True))


def _build(function: Any, arguments: Any) -> Any:
    match function, arguments:
        case _Global(name=name), () if name == _ORDERED_DICT:
            return {}
        case _Global(name=name), (_Storage() as storage, int(offset), tuple(shape), tuple(strides), bool(), dict()) if (
            name == _REBUILD_TENSOR
        ):
            numbers = (offset, *shape, *strides)
            if (
                len(shape) == len(strides) <= _MAX_RANK
                and all(type(n) is int for n in numbers)
                and 0 <= min(numbers) <= max(numbers) < 2**48
            ):
                return _View(storage, offset, shape, strides)
    raise FormatError(f"PyTorch weights: the pickle calls {_brief(function)} in a way that makes no tensor")
