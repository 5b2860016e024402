"""Names, tags and indexes, and the maps they form."""

from __future__ import annotations

import pytest

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.tags import TagMap, check_name, check_tag, parse_entry, parse_tag_index


@pytest.mark.parametrize("name", ["a", "_a", "a_1", "some_long_name", "__x"])
def test_good_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "aB", "1a", "a-b", "a b", "a:b", "ä", "a\n"])
def test_bad_names(name: str) -> None:
    with pytest.raises(GraphConfigError, match="does not match"):
        check_name(name)


@pytest.mark.parametrize("tag", ["A", "_A", "A_1", "VIDEO"])
def test_good_tags(tag: str) -> None:
    assert check_tag(tag) == tag


@pytest.mark.parametrize("tag", ["", "a", "Ab", "1A", "A-B", "A B"])
def test_bad_tags(tag: str) -> None:
    with pytest.raises(GraphConfigError, match="does not match"):
        check_tag(tag)


@pytest.mark.parametrize(
    ("text", "entry"),
    [("a", ("", -1, "a")), ("T:a", ("T", 0, "a")), ("T:0:a", ("T", 0, "a")), ("T:12:a", ("T", 12, "a"))],
)
def test_entries(text: str, entry: tuple[str, int, str]) -> None:
    assert parse_entry(text) == entry


@pytest.mark.parametrize(
    "text", ["", "A", "T:", ":a", "T:A", "t:a", "T:01:a", "T:-1:a", "T:x:a", "T:1:2:a", "T::a", "T:1:", "T:99999:a"]
)
def test_bad_entries(text: str) -> None:
    with pytest.raises(GraphConfigError):
        parse_entry(text)


@pytest.mark.parametrize(
    ("text", "place"), [("", ("", 0)), ("T", ("T", 0)), ("T:0", ("T", 0)), ("T:3", ("T", 3)), (":2", ("", 2))]
)
def test_tag_and_index(text: str, place: tuple[str, int]) -> None:
    assert parse_tag_index(text) == place


@pytest.mark.parametrize("text", ["t", "T:01", "T:x", "T:1:2"])
def test_bad_tag_and_index(text: str) -> None:
    with pytest.raises(GraphConfigError):
        parse_tag_index(text)


def test_a_map_sorts_by_tag_then_index() -> None:
    tags = TagMap(["B:1:b1", "x", "A:a", "B:0:b0", "y"])
    assert tags.names() == ["x", "y", "a", "b0", "b1"]
    assert tags.place("B", 1) == 4
    assert tags.place("C") is None
    assert tags.count("B") == 2
    assert tags.tags() == ["", "A", "B"]
    assert tags.texts() == ["x", "y", "A:a", "B:0:b0", "B:1:b1"]


def test_an_index_cannot_be_given_twice() -> None:
    with pytest.raises(GraphConfigError, match='tag "A" index 0 is given both to "a" and to "b"'):
        TagMap(["A:a", "A:b"])


def test_indexes_have_no_gaps() -> None:
    with pytest.raises(GraphConfigError, match=r"without \[0\]"):
        TagMap(["A:1:a"])


def test_the_same_stream_may_stand_twice() -> None:
    assert TagMap(["A:x", "B:x", "x", "x"]).names() == ["x", "x", "x", "x"]
