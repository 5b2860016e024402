"""The FlatBuffers codec alone, on a schema of its own: what is written comes back, and no offset is trusted."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.flatbuffer import Field, Reader, Schema, Writer

SCHEMA = Schema(
    tables={
        "Shelf": (
            Field("name", "string"),
            Field("books", "[Book]"),
            Field("owner", "Person"),
            Field("tags", "[string]"),
        ),
        "Book": (
            Field("pages", "int32", 100),
            Field("weight", "float64"),
            Field("kind", "int8", enum="Kind"),
            Field("content", "uint8", union="Content"),
            Field("lent", "bool"),
            Field("years", "[int64]"),
        ),
        "Person": (Field("age", "uint8"),),
        "Text": (Field("bytes", "[uint8]"),),
        "Picture": (Field("width", "uint16"), Field("scale", "float32", 1.0)),
    },
    enums={"Kind": {"NOVEL": 0, "ATLAS": 5}, "Content": {"NONE": 0, "Text": 1, "Picture": 2}},
    root="Shelf",
    identifier=b"SHLF",
    aligned=("Text", "bytes"),
)
ATLAS = {"kind": "ATLAS", "content": ("Picture", {"width": 640})}


def write(value: dict[str, Any]) -> bytes:
    return Writer(SCHEMA).root(value)


def read(data: bytes) -> dict[str, Any]:
    return Reader(data, SCHEMA).root()


def test_absent_fields_read_as_their_defaults() -> None:
    shelf = read(write({"books": [ATLAS, {}]}))
    assert (shelf["name"], shelf["owner"], shelf["tags"]) == (None, None, None)
    atlas, plain = shelf["books"]
    assert atlas["content"] == ("Picture", {"width": 640, "scale": 1.0})
    nothing = {"pages": 100, "weight": 0, "kind": "NOVEL", "content": None, "lent": False, "years": None}
    assert plain == nothing


books = st.fixed_dictionaries(
    {
        "pages": st.integers(-(2**31), 2**31 - 1),
        "weight": st.floats(allow_nan=False),
        "kind": st.sampled_from(["NOVEL", "ATLAS"]),
        "content": st.none()
        | st.tuples(
            st.just("Picture"), st.fixed_dictionaries({"width": st.integers(0, 2**16 - 1), "scale": st.just(2.0)})
        ),
        "lent": st.booleans(),
        "years": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    }
)


@given(st.text(max_size=9), st.lists(books, max_size=4), st.integers(0, 255), st.lists(st.text(max_size=5), max_size=3))
def test_what_is_written_comes_back(name: str, shelf: list[dict[str, Any]], age: int, tags: list[str]) -> None:
    back = read(write({"name": name, "books": shelf, "owner": {"age": age}, "tags": tags}))
    assert (back["name"], back["owner"], back["tags"]) == (name, {"age": age}, tags)
    assert [book | {"years": book["years"].tolist()} for book in back["books"]] == shelf


def test_numbers_and_bytes_lie_where_their_width_asks() -> None:
    """Readers in C++ refuse a file whose 8-byte numbers are not at multiples of 8."""
    book = {"weight": 1.5, "lent": True, "years": [1], "content": ("Text", {"bytes": np.arange(5, dtype=np.uint8)})}
    data = write({"name": "x" * 5, "books": [book]})
    assert data.index(struct.pack("<d", 1.5)) % 8 == 0
    assert data.index(struct.pack("<q", 1)) % 8 == 0
    assert data.index(bytes(range(5))) % 16 == 0


def test_vectors_are_views_on_the_file() -> None:
    data = write({"books": [{"content": ("Text", {"bytes": np.arange(50, dtype=np.uint8)})}]})
    vector = read(data)["books"][0]["content"][1]["bytes"]
    assert vector.base is not None
    assert not vector.flags.writeable


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"color": 1}, "Shelf has no field 'color'"),
        ({"books": [{"kind": "POEM"}]}, "Book.kind is 'POEM', expected one of NOVEL, ATLAS"),
        ({"books": [{"pages": 2**31}]}, "Book cannot hold 2147483648"),
        ({"books": [{"content": ("Picture", {"scale": 1e300})}]}, r"Picture cannot hold 1e\+300"),
        ({"books": [{"years": ["x"]}]}, "Book.years cannot hold"),
        ({"name": "\ud800"}, "cannot be stored"),
    ],
)
def test_values_that_do_not_fit_are_named(value: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        write(value)


def changed(data: bytes, at: int, code: str, number: int) -> bytes:
    return data[:at] + struct.pack("<" + code, number) + data[at + struct.calcsize("<" + code) :]


def test_every_damaged_offset_is_refused_with_its_place() -> None:
    data = write({"name": "n"})
    root = int.from_bytes(data[:4], "little")
    vtable = root - int.from_bytes(data[root : root + 4], "little", signed=True)
    name = root + 4
    for at, code, number, message in [
        (0, "I", 2**31, "Shelf: the offset 2147483648 at byte 0 leads outside"),
        (root, "i", -(2**20), "Shelf: byte .* is outside the file"),
        (vtable, "H", 3, "impossible size 3"),
        (vtable, "H", 2**16 - 2, "impossible size 65534"),
        (vtable + 2, "H", 2**16 - 1, "impossible size 65535"),
        (vtable + 4, "H", 500, "lies outside of it"),
        (name, "I", 2**30, "Shelf.name: the offset"),
        (name, "I", 0, "Shelf.name: the offset 0"),
        (4, "I", 0, "identifier"),
    ]:
        with pytest.raises(FormatError, match=message):
            read(changed(data, at, code, number))
    text = data.rindex(struct.pack("<I", 1))
    with pytest.raises(FormatError, match=r"Shelf\.name: a string of 77 bytes"):
        read(changed(data, text, "I", 77))


def test_unknown_enumeration_and_union_numbers_are_refused() -> None:
    data = write({"books": [ATLAS]})
    at = data.index(b"\x05\x02")  # the kind ATLAS and, beside it, the content Picture
    for offset, enum in ((0, "Kind"), (1, "Content")):
        with pytest.raises(FormatError, match=f"77 is no {enum}"):
            read(changed(data, at + offset, "B", 77))


def test_tables_that_share_a_long_vector_cannot_multiply_it() -> None:
    """2,000 books that all point at the same 2,000 years would unfold 50 KB to four million numbers."""
    count = 2000
    data = bytearray(write({"books": [{"years": [0]} for _ in range(count)]}))
    shared = len(data) + -(len(data) + 4) % 8
    data += bytes(shared - len(data)) + struct.pack("<I", count) + bytes(8 * count)
    root = int.from_bytes(data[:4], "little")
    books = root + 4 + int.from_bytes(data[root + 4 : root + 8], "little")
    for i in range(count):
        book = books + 4 + 4 * i + int.from_bytes(data[books + 4 + 4 * i : books + 8 + 4 * i], "little")
        struct.pack_into("<I", data, book + 4, shared - book - 4)
    with pytest.raises(FormatError, match="more content than its"):
        read(bytes(data))


def test_tables_that_share_a_long_field_list_cost_no_more() -> None:
    """Fields that the schema does not know are not looked at: they may point anywhere."""
    data = bytearray(write({}))
    root = int.from_bytes(data[:4], "little")
    vtable = len(data)
    data += struct.pack("<HH", 4 + 2 * 1000, 4) + bytes(2 * 4) + b"\xff" * (2 * 996)
    struct.pack_into("<i", data, root, root - vtable)
    assert read(bytes(data))["books"] is None
