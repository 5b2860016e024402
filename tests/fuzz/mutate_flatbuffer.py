"""Structure-aware mutation of FlatBuffers for the fuzzers: changes one field of the decoded tables and encodes them."""

from __future__ import annotations

import random
from typing import Any

from pocketgraph.models.errors import PocketgraphError
from pocketgraph.models.flatbuffer import Field, Reader, Schema, Writer

NUMBERS = [0, 1, 2, 3, 4, 8, 16, 127, 255, 2**15, 2**31 - 1, -1, -2, -(2**31)]


def mutate(data: bytes, schema: Schema, rng: random.Random) -> bytes | None:
    """`data` with one to three fields changed to values that need not make sense; None where it cannot be decoded."""
    try:
        root = Reader(data, schema).root()
        for _ in range(rng.randint(1, 3)):
            _change(rng, schema, schema.root, root)
        return Writer(schema).root(root)
    except PocketgraphError:
        return None


def _change(rng: random.Random, schema: Schema, table: str, content: dict[str, Any]) -> None:
    """Change a random field of this table, or nine times in ten of a table below it where there is one."""
    below = [
        (name, inner)
        for field in schema.tables[table]
        for name, inner in _tables(schema, field, content[field.name])
        if schema.tables[name]
    ]
    if below and rng.random() < 0.9:
        _change(rng, schema, *rng.choice(below))
    else:
        field = rng.choice(schema.tables[table])
        content[field.name] = _another(rng, schema, field, content[field.name])


def _tables(schema: Schema, field: Field, value: Any) -> list[tuple[str, dict[str, Any]]]:
    """The tables that a field holds, with their names."""
    kind = field.kind.strip("[]")
    if value is None or (field.union is None and kind not in schema.tables):
        return []
    if field.union is not None:
        return [value]
    return [(kind, inner) for inner in (value if field.kind.startswith("[") else [value])]


def _another(rng: random.Random, schema: Schema, field: Field, value: Any) -> Any:
    if field.union is not None:
        name = rng.choice(list(schema.enums[field.union]))
        return None if name == "NONE" else (name, dict(schema.layouts[name][0]))
    if field.enum is not None:
        return rng.choice(list(schema.enums[field.enum]))
    if not field.kind.startswith("["):
        return _one(rng, schema, field.kind)
    items = [] if value is None else list(value)
    for _ in range(rng.randint(1, 3)):
        at, what = rng.randint(0, len(items)), rng.random()
        if items and what < 0.3:
            del items[at - 1]
        elif items and what < 0.6:
            items[at - 1] = rng.choice(items)
        else:
            items.insert(at, _one(rng, schema, field.kind[1:-1]))
    return None if rng.random() < 0.1 else items


def _one(rng: random.Random, schema: Schema, kind: str) -> Any:
    if kind in schema.tables:
        return dict(schema.layouts[kind][0])
    if kind == "string":
        return rng.choice(["", "x", "\x00", "serve"])
    if kind == "bool":
        return rng.random() < 0.5
    number = rng.choice(NUMBERS) if rng.random() < 0.5 else rng.randint(0, 9)
    return number % 256 if kind == "uint8" else abs(number) if kind.startswith("uint") else number
