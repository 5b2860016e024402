"""Names in graph files: `name`, `TAG:name` and `TAG:index:name`, and the map from tag and index to name they form.

Tags are of `A-Z0-9_`, names of `a-z0-9_`; neither begins with a digit. An entry without a tag takes the next index of
the empty tag; one with a tag and no index takes index 0, so a tag may appear twice only with indexes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pocketgraph.models.errors import GraphConfigError

_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_TAG = re.compile(r"[A-Z_][A-Z0-9_]*")
_NUMBER = re.compile(r"0|[1-9][0-9]*")
MOST_INDEX = 10_000
"""The highest index of a tag: a graph file cannot make the runtime reserve room without bound."""


class Entry(NamedTuple):
    """One input or output of a node: its tag ("" for none), its index among those of the tag, the stream's name."""

    tag: str
    index: int  # type: ignore[assignment]  # of the tag; nobody searches in an entry
    name: str

    def __str__(self) -> str:
        return f"{self.tag}:{self.index}:{self.name}" if self.tag else self.name


def check_name(name: str) -> str:
    """`name`, or `GraphConfigError` where it cannot name a stream, a side packet or a node's port."""
    if not _NAME.fullmatch(name):
        raise GraphConfigError(f'name "{name}" does not match "{_NAME.pattern}"')
    return name


def check_tag(tag: str) -> str:
    """`tag`, or `GraphConfigError` where it is none."""
    if not _TAG.fullmatch(tag):
        raise GraphConfigError(f'tag "{tag}" does not match "{_TAG.pattern}"')
    return tag


def _index(text: str, whole: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > MOST_INDEX:
        raise GraphConfigError(f'"{whole}": index "{text}" is not a number from 0 to {MOST_INDEX}')
    return int(text)


def parse_entry(text: str) -> tuple[str, int, str]:
    """Tag, index and name of `TAG:index:name`, `TAG:name` (index 0) or `name` (index -1: the next free one)."""
    parts = text.split(":")
    if len(parts) > 3:
        raise GraphConfigError(f'"{text}" is none of "name", "TAG:name" and "TAG:index:name"')
    try:
        name = check_name(parts[-1])
        if len(parts) == 1:
            return "", -1, name
        return check_tag(parts[0]), _index(parts[1], text) if len(parts) == 3 else 0, name
    except GraphConfigError as error:
        raise GraphConfigError(f'"{text}" is none of "name", "TAG:name" and "TAG:index:name": {error}') from error


def parse_tag_index(text: str) -> tuple[str, int]:
    """Tag and index of `TAG`, `TAG:index`, `:index` or the empty string, as handlers and back edges name a port."""
    tag, colon, index = text.partition(":")
    if tag:
        check_tag(tag)
    return tag, _index(index, text) if colon else 0


class TagMap:
    """The entries of a node's inputs, outputs or side packets, sorted by tag, then by index."""

    def __init__(self, texts: Iterable[str]) -> None:
        by_tag: dict[str, dict[int, str]] = {}
        for text in texts:
            tag, index, name = parse_entry(text)
            names = by_tag.setdefault(tag, {})
            if index == -1:
                index = len(names)
            if index in names:
                raise GraphConfigError(
                    f'tag "{tag}" index {index} is given both to "{names[index]}" and to "{name}"; number them apart'
                )
            names[index] = name
        for tag, names in by_tag.items():
            missing = sorted(set(range(len(names))) - set(names))
            if missing:
                raise GraphConfigError(
                    f'tag "{tag}" has the indexes {sorted(names)}, without {missing}; indexes count from 0 without gaps'
                )
        self.entries = tuple(
            Entry(tag, index, name) for tag, names in sorted(by_tag.items()) for index, name in sorted(names.items())
        )
        self._places = {(entry.tag, entry.index): place for place, entry in enumerate(self.entries)}

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def place(self, tag: str, index: int = 0) -> int | None:
        """Where the entry stands among `entries`, or None."""
        return self._places.get((tag, index))

    def count(self, tag: str) -> int:
        """How many indexes `tag` has."""
        return sum(entry.tag == tag for entry in self.entries)

    def tags(self) -> list[str]:
        return sorted({entry.tag for entry in self.entries})

    def names(self) -> list[str]:
        return [entry.name for entry in self.entries]

    def texts(self) -> list[str]:
        """The entries as a graph file has them, index 0 of a tag with one entry left out."""
        return [
            entry.name
            if not entry.tag
            else f"{entry.tag}:{entry.name}"
            if self.count(entry.tag) == 1
            else f"{entry.tag}:{entry.index}:{entry.name}"
            for entry in self.entries
        ]
