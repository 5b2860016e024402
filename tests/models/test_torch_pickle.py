"""State dicts come out as stored, strides included; whatever else a pickle asks for is refused."""

from __future__ import annotations

import pickle
import struct
import zipfile
from io import BytesIO

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pocketgraph.models.errors import FormatError, PocketgraphError, UnsupportedError
from pocketgraph.models.torch_pickle import read_state_dict

MAGIC = 0x1950A86A20F9469CFC6C


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    data = value.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key: str, kind: str, numel: int) -> bytes:
    """The persistent id of a storage, as torch.save writes it."""
    return b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number(numel) + b"NtQ"


def tensor(stored: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """`_rebuild_tensor_v2(storage, offset, shape, strides, False, OrderedDict())`."""
    arguments = stored + number(offset) + numbers(shape) + numbers(strides) + b"\x89" + b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def state(entries: dict[str, bytes]) -> bytes:
    items = b"".join(text(name) + value for name, value in entries.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."


def file(body: bytes, storages: dict[str, np.ndarray], *, little: bool = True) -> bytes:
    head = [MAGIC, 1001, {"protocol_version": 1001, "little_endian": little, "type_sizes": {"int": 4}}]
    parts = [pickle.dumps(value, protocol=2) for value in head]
    parts += [body, pickle.dumps(list(storages), protocol=2)]
    parts += [struct.pack("<q", array.size) + array.tobytes() for array in storages.values()]
    return b"".join(parts)


SIX = np.arange(6, dtype=np.float32)
SOUND = file(
    state({
        "rows": tensor(storage("1", "FloatStorage", 6), 0, (2, 3), (3, 1)),
        "columns": tensor(storage("1", "FloatStorage", 6), 0, (2, 3), (1, 2)),
        "tail": tensor(storage("1", "FloatStorage", 6), 4, (2,), (1,)),
        "count": tensor(storage("2", "LongStorage", 1), 0, (), ()),
        "none": tensor(storage("1", "FloatStorage", 6), 6, (0, 3), (3, 1)),
    }),
    {"1": SIX, "2": np.array([-7])},
)  # fmt: skip


def test_tensors_come_out_with_offset_shape_and_strides() -> None:
    tensors = read_state_dict(SOUND)
    np.testing.assert_array_equal(tensors["rows"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(tensors["columns"], [[0, 2, 4], [1, 3, 5]])
    np.testing.assert_array_equal(tensors["tail"], [4, 5])
    assert (tensors["count"].dtype, tensors["count"].shape, int(tensors["count"])) == (np.int64, (), -7)
    assert tensors["none"].shape == (0, 3)
    assert not tensors["rows"].flags.writeable


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (1, (2, 3), (3, 1)),  # one element beyond the end
        (0, (2, 3), (4, 1)),
        (7, (0,), (1,)),
        (0, (10**12,), (0,)),  # one element seen a trillion times
        (0, (2, 3), (-1, 1)),
        (-1, (2,), (1,)),
        (0, (2**62, 2**62), (0, 0)),
        (0, (6,), (1, 1)),
        (0, (1,) * 40, (1,) * 40),
    ],
)
def test_a_view_that_leaves_its_storage_is_refused(
    offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    body = state({"w": tensor(storage("1", "FloatStorage", 6), offset, shape, strides)})
    with pytest.raises(FormatError, match=r"leaves its storage|makes no tensor"):
        read_state_dict(file(body, {"1": SIX}))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\x80\x02cos\nsystem\n" + b"(" + text("false") + b"tR.", "'os system'"),
        (b"\x80\x02cbuiltins\neval\n(" + text("1") + b"tR.", "'builtins eval'"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(tR.", "makes no tensor"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "makes no tensor"),
        (b"\x80\x04" + b"\x8c\x02os\x8c\x06system\x93.", "SHORT_BINUNICODE"),
        (b"\x80\x02(i__main__\nX\n.", "INST"),
        (b"\x80\x02(" + text("storage") + b"tQ.", "unknown storage"),
        (b"\x80\x02}K\x01K\x02s.", "no names"),
        (b"\x80\x02]K\x01b.", "no dict"),
        (b"\x80\x02h\x05.", "never stored"),
        (b"\x80\x02.", "damaged pickle"),
        (b"\x80\x02a.", "damaged pickle"),
        (b"\x80\x02K\x01.", "expected a dict of tensors"),
        (state({"w": b"K\x01"}), "entry 'w' is a int"),
        (b"\x80\x02" + b"N0" * 10, "opcode POP"),
        (state({"w": tensor(storage("9", "QInt8Storage", 6), 0, (6,), (1,))}), "QInt8Storage"),
    ],
)
def test_anything_but_tensors_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_state_dict(file(body, {"1": SIX}))


def test_storages_must_be_there_once_and_as_long_as_declared() -> None:
    body = state({"w": tensor(storage("1", "FloatStorage", 6), 0, (6,), (1,))})
    with pytest.raises(FormatError, match="'1' of tensor 'w' is missing"):
        read_state_dict(file(body, {}))
    with pytest.raises(FormatError, match="holds 5 elements, expected 6"):
        read_state_dict(file(body, {"1": SIX[:5]}) + b"more")
    with pytest.raises(FormatError, match="unknown or doubled"):
        read_state_dict(file(body, {"1": SIX, "other": SIX}))
    huge = state({"w": tensor(storage("1", "FloatStorage", 2**40), 0, (6,), (1,))})
    with pytest.raises(FormatError, match="truncated"):
        read_state_dict(file(huge, {"1": SIX}))
    twice = {"a": storage("1", "FloatStorage", 6), "b": storage("1", "LongStorage", 3)}
    with pytest.raises(FormatError, match="declared twice"):
        read_state_dict(file(state({n: tensor(s, 0, (3,), (1,)) for n, s in twice.items()}), {"1": SIX}))


def test_a_memo_index_in_the_billions_costs_nothing() -> None:
    body = b"\x80\x02}r\xff\xff\xff\xff."
    assert read_state_dict(file(body, {})) == {}


def test_endless_and_deep_values_are_refused_in_a_line() -> None:
    endless = b"\x80\x02]q\x00h\x00ah\x00a."  # a list that holds itself twice
    deep = b"\x80\x02)" + b"\x85" * 100_000 + b"."
    for body in (endless, deep):
        with pytest.raises(FormatError, match="expected a dict of tensors"):
            read_state_dict(file(body, {}))
    with pytest.raises(FormatError, match="unknown storage a tuple"):
        read_state_dict(file(b"\x80\x02)" + b"\x85" * 100_000 + b"Q.", {}))


def test_other_formats_are_named() -> None:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("archive/data.pkl", b"")
    with pytest.raises(UnsupportedError, match="zip format"):
        read_state_dict(archive.getvalue())
    with pytest.raises(FormatError, match="magic number"):
        read_state_dict(pickle.dumps({"a": 1}, protocol=2))
    with pytest.raises(FormatError, match="little-endian"):
        read_state_dict(file(state({}), {}, little=False))


@pytest.mark.parametrize("length", range(0, len(SOUND), 7))
def test_a_truncated_file_is_a_format_error(length: int) -> None:
    with pytest.raises(FormatError):
        read_state_dict(SOUND[:length])


@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@example([(149, ord("\\"))])  # a name with an escape that there is not
def test_damaged_files_give_arrays_or_a_clear_error(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(SOUND)
    for place, value in changes:
        damaged[place] = value
    try:
        tensors = read_state_dict(bytes(damaged))
    except PocketgraphError:
        return
    for array in tensors.values():
        np.array(array)  # every element can be read
