"""Graph files: CalculatorGraphConfig read from `.pbtxt` and `.binarypb`, and written back.

The configuration in memory is the protobuf message itself (`CalculatorGraphConfig`), as in every other tool that
handles these files. Options that are not described here survive reading and writing in either form.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError, EncodeError, Message

from pocketgraph.models.errors import FormatError
from pocketgraph.runtime.graph import unread
from pocketgraph.runtime.graph.schema import POOL, CalculatorGraphConfig, Node

__all__ = ["CalculatorGraphConfig", "Node", "parse_binary", "parse_text", "read_graph", "to_text", "write_graph"]

BINARY_SUFFIXES = (".binarypb", ".pb")
TEXT_SUFFIXES = (".pbtxt", ".textproto", ".prototxt", ".txt")
LARGEST = 64 << 20
"""Bytes of the largest graph file that is read; the real ones have some thousands."""


def _load_options() -> None:
    """Have the options of our calculators described, so that files with them are understood."""
    from pocketgraph.runtime.graph import policies, registry

    assert policies
    registry.known_names()


def parse_text(text: str, where: str = "the graph") -> Any:
    """The configuration written in protobuf text format. Raises `FormatError` with line and column."""
    _load_options()
    config = CalculatorGraphConfig()
    try:
        text_format.Parse(unread.set_aside(text), config, descriptor_pool=POOL)
    except (text_format.ParseError, UnicodeDecodeError, RecursionError, FormatError) as error:
        message = str(error) if not isinstance(error, RecursionError) else "messages are nested too deeply"
        raise FormatError(f"{where} cannot be read as a graph, a CalculatorGraphConfig as text: {message}") from error
    try:
        unread.field_to_unknown(config)
    except DecodeError as error:
        raise FormatError(f"{where} has a damaged unread_bytes field: {error}") from error
    return config


def parse_binary(data: bytes, where: str = "the graph") -> Any:
    """The configuration in protobuf's binary form. Raises `FormatError`."""
    _load_options()
    try:
        config = CalculatorGraphConfig.FromString(data)
    except DecodeError as error:
        raise FormatError(f"{where} is not a CalculatorGraphConfig in binary form: {error}") from error
    _refuse_bad_strings(config, where)
    return config


def _refuse_bad_strings(message: Any, where: str) -> None:
    """Strings that are not UTF-8 come out of the protobuf library as bytes, which nothing here expects."""
    for field, value in message.ListFields():
        for item in [value] if isinstance(value, str | bytes | Message) or not hasattr(value, "append") else value:
            if isinstance(item, Message):
                _refuse_bad_strings(item, where)
            elif field.type == field.TYPE_STRING and not isinstance(item, str):
                raise FormatError(
                    f"{where} is not a CalculatorGraphConfig in binary form: {field.full_name} {item!r} is not UTF-8"
                )


def read_graph(file: str | Path) -> Any:
    """Read a graph file: `.binarypb` and `.pb` are binary, everything else is text."""
    path = Path(file)
    if path.stat().st_size > LARGEST:
        raise FormatError(f"{path} has {path.stat().st_size} bytes, more than the {LARGEST} a graph file may have")
    data = path.read_bytes()
    if path.suffix in BINARY_SUFFIXES:
        return parse_binary(data, str(path))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path} is not text; a binary graph file is called .binarypb, this one {path.suffix or 'nothing'}"
        ) from error
    return parse_text(text, str(path))


def to_text(config: Any) -> str:
    """The configuration in text format; `parse_text` gives it back."""
    copy = type(config)()
    copy.CopyFrom(config)
    unread.unknown_to_field(copy)
    return unread.put_back(text_format.MessageToString(copy, descriptor_pool=POOL))


def write_graph(config: Any, file: str | Path) -> None:
    """Write a graph file in the form its suffix asks for."""
    path = Path(file)
    if path.suffix not in BINARY_SUFFIXES:
        path.write_text(to_text(config))
        return
    try:
        path.write_bytes(config.SerializeToString())
    except EncodeError as error:
        raise FormatError(f"{path} cannot be written: {error}") from error


def as_config(graph: Any) -> Any:
    """A configuration from what people have: the message, a builder, a `Path`, a file name with its suffix, or text."""
    if isinstance(graph, CalculatorGraphConfig):
        return graph
    if hasattr(graph, "build"):
        return graph.build()
    if isinstance(graph, Path) or str(graph).endswith((*BINARY_SUFFIXES, *TEXT_SUFFIXES)):
        return read_graph(graph)
    return parse_text(str(graph))
