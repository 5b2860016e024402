"""Options that nobody here has described, kept without loss between the text and the binary form of a graph.

In memory they lie in two fields that messages of options have for it (see `schema`): `unread_text`, as they stood in
a text file, and the protobuf library's own unknown fields, as they stood in a binary one. An unread Any in text keeps
its body under the type URL prefix `TEXT_URL`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf import text_encoding
from google.protobuf.message import Message

from pocketgraph.models.errors import FormatError
from pocketgraph.runtime.graph.schema import POOL

TEXT_URL = "pocketgraph.text/"
_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)|(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<name>[\w.+\-/]+)|(?P<mark>.)""",
    re.DOTALL,
)
_UNREAD_LINE = re.compile(r'^( *)unread_text: "((?:[^"\\]|\\.)*)"$', re.MULTILINE)
_UNREAD_ANY = re.compile(
    rf'^( *)type_url: "{re.escape(TEXT_URL)}((?:[^"\\]|\\.)*)"\n *value: "((?:[^"\\]|\\.)*)"$', re.MULTILINE
)
_CLOSING = {"{": "}", "<": ">", "[": "]"}


def set_aside(text: str) -> str:
    """`text` with every extension and Any that is not described replaced by a field that keeps it as it is."""
    tokens = list(_tokens(text))
    result: list[str] = []
    place = 0
    before = ""
    while place < len(tokens):
        kind, piece = tokens[place]
        if piece == "[" and kind == "mark" and before != ":":
            end = _skip_to(tokens, place, "]")
            if any(kind not in ("name", "space") for kind, _ in tokens[place + 1 : end]):
                raise FormatError("what stands between [ and ] is not the name of an extension")
            name = "".join(piece for kind, piece in tokens[place + 1 : end] if kind != "space")
            if not _is_known(name):
                stop, body_start = _value_after(tokens, end + 1)
                result.append(_kept(name, "".join(piece for _, piece in tokens[body_start:stop])))
                place, before = stop, "}"
                continue
        result.append(piece)
        if kind != "space":
            before = piece
        place += 1
    return "".join(result)


def put_back(text: str) -> str:
    """The opposite of `set_aside`, on what the protobuf library printed."""
    text = _UNREAD_LINE.sub(lambda found: _indented(found[1], _unescaped(found[2])), text)
    return _UNREAD_ANY.sub(
        lambda found: _indented(found[1], f"[type.googleapis.com/{found[2]}] {_unescaped(found[3])}"), text
    )


def unknown_to_field(message: Message) -> None:
    """Copy, all through `message`, unknown fields of options into `unread_bytes`, which text can hold."""
    for options in _options_in(message):
        rest = type(options)()
        rest.CopyFrom(options)
        for field, _ in options.ListFields():
            if field.is_extension:
                rest.ClearExtension(field)
            else:
                rest.ClearField(field.name)
        if unknown := rest.SerializeToString():
            options.unread_bytes.append(unknown)


def field_to_unknown(message: Message) -> None:
    """The opposite of `unknown_to_field`."""
    for options in _options_in(message):
        kept = b"".join(options.unread_bytes)
        options.ClearField("unread_bytes")
        options.MergeFromString(kept)


def unread_names(message: Message) -> list[str]:
    """What of `message` was not understood: the names of extensions in text, their numbers in a binary file."""
    names = []
    for options in _options_in(message):
        names += [text.decode(errors="replace").partition("]")[0].strip("[") for text in options.unread_text]
        copy = type(options)()
        copy.CopyFrom(options)
        unknown_to_field(copy)
        names += [f"{options.DESCRIPTOR.name} field" for _ in copy.unread_bytes]
    return names


def _options_in(message: Message) -> Iterator[Any]:
    if "unread_bytes" in message.DESCRIPTOR.fields_by_name:
        yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for item in [value] if isinstance(value, Message) else value:
                yield from _options_in(item)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(text):
        yield str(match.lastgroup), match.group()


def _skip_to(tokens: list[tuple[str, str]], start: int, closing: str) -> int:
    """The place of the mark that closes what opens at `start`."""
    open_marks: list[str] = []
    for place in range(start, len(tokens)):
        kind, piece = tokens[place]
        if kind != "mark":
            continue
        if piece in _CLOSING:
            open_marks.append(_CLOSING[piece])
        elif open_marks and piece == open_marks[-1]:
            open_marks.pop()
            if not open_marks:
                return place
    raise FormatError(f'"{tokens[start][1]}" is never closed with "{closing}"')


def _value_after(tokens: list[tuple[str, str]], place: int) -> tuple[int, int]:
    """Where the value of an extension ends, and where it begins: `{ … }`, with or without a colon, or a scalar."""
    seen_colon = False
    while place < len(tokens):
        kind, piece = tokens[place]
        if kind == "space" or (piece == ":" and not seen_colon):
            seen_colon |= piece == ":"
            place += 1
        elif piece in _CLOSING:
            end = _skip_to(tokens, place, _CLOSING[piece]) + 1
            if _after_strings(tokens, end) != end:  # it would be taken for more of the field that keeps the value
                raise FormatError("a string follows the value of an extension, where a field was expected")
            return end, place
        else:
            return _after_strings(tokens, place + 1) if kind == "string" else place + 1, place
    raise FormatError("the text ends where the value of an extension was expected")


def _after_strings(tokens: list[tuple[str, str]], place: int) -> int:
    """Behind all strings from `place` on: strings side by side are one."""
    end = place
    while place < len(tokens) and tokens[place][0] in ("space", "string"):
        place += 1
        if tokens[place - 1][0] == "string":
            end = place
    return end


def _is_known(name: str) -> bool:
    try:
        if "/" in name:
            POOL.FindMessageTypeByName(name.rpartition("/")[2])
        else:
            POOL.FindExtensionByName(name)
    except KeyError:
        return False
    return True


def _kept(name: str, body: str) -> str:
    if "/" in name:
        return f'type_url: "{TEXT_URL}{name.rpartition("/")[2]}" value: "{_escaped(body)}"'
    separator = " " if body.startswith(("{", "<")) else ": "
    return f'unread_text: "{_escaped(f"[{name}]{separator}{body}")}"'


def _escaped(text: str) -> str:
    return text_encoding.CEscape(text.encode(), as_utf8=False)


def _unescaped(text: str) -> str:
    return text_encoding.CUnescape(text).decode(errors="replace")


def _indented(indent: str, text: str) -> str:
    return indent + text
