"""Expansion of subgraphs: a node whose name is a graph is replaced by the nodes of that graph.

Streams and nodes of the inner graph get the name of the node as a prefix (`outer__inner_stream`); those at its edge
take the names of the streams they are connected to. What the outer node leaves unconnected is taken away from the inner
nodes too, so an optional input of a subgraph is optional all the way down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.graph_options import hand_down
from pocketgraph.runtime.graph.registry import find_subgraph
from pocketgraph.runtime.graph.tags import TagMap, parse_entry

MOST_NODES = 100_000
"""Of an expanded graph; a subgraph that contains itself would grow without end."""

_STREAMS = ("input_stream", "output_stream")
_SIDES = ("input_side_packet", "output_side_packet")


def node_names(config: Any) -> list[str]:
    """The names of all nodes: as given, or the calculator's; those that would be equal are numbered from 1."""
    bases = [node.name or node.calculator for node in config.node]
    often = Counter(bases)
    seen: Counter[str] = Counter()
    names = []
    for base in bases:
        seen[base] += 1
        names.append(base if often[base] == 1 else f"{base}_{seen[base]}")
    return names


def expand(config: Any) -> Any:
    """A copy of `config` without subgraphs. Raises `GraphConfigError`."""
    result = type(config)()
    result.CopyFrom(config)
    hand_down(result)
    depth = 0
    while True:
        names = node_names(result)
        makers = [find_subgraph(node.calculator, result.package) for node in result.node]
        if not any(makers):
            return result
        kept = [node for node, maker in zip(result.node, makers, strict=True) if maker is None]
        inner: list[Any] = []
        for node, name, maker in zip(result.node, names, makers, strict=True):
            if maker is not None:
                inner += _inner_nodes(node, name, maker)
        if len(kept) + len(inner) > MOST_NODES or (depth := depth + 1) > 100:
            around = next(node.calculator for node, maker in zip(result.node, makers, strict=True) if maker)
            raise GraphConfigError(f'the subgraph "{around}" does not end: it contains itself, or too many nodes')
        copies = [_copied(node) for node in [*kept, *inner]]
        del result.node[:]
        result.node.extend(copies)


def _copied(node: Any) -> Any:
    copy = type(node)()
    copy.CopyFrom(node)
    return copy


def _inner_nodes(node: Any, name: str, maker: Callable[[Any], Any]) -> list[Any]:
    for field in ("source_layer", "buffer_size_hint", "output_stream_handler", "input_stream_info"):
        if any(described.name == field for described, _ in node.ListFields()):
            raise GraphConfigError(f'subgraph "{name}" has {field}, which only calculators can have')
    given = maker(node)
    graph = type(given)()
    graph.CopyFrom(given)
    for field in ("packet_generator", "packet_factory", "status_handler"):
        if len(getattr(graph, field)):
            raise GraphConfigError(f'subgraph "{node.calculator}" has a {field}, which this runtime does not have')
    hand_down(graph, node)
    _prefix(graph, name)
    for fields in (_STREAMS, _SIDES):
        _connect(graph, node, fields)
    return list(graph.node)


def _prefix(graph: Any, name: str) -> None:
    prefix = name.lower().replace(".", "_").replace(" ", "_").replace(":", "_") + "__"
    names = node_names(graph)
    for field in (*_STREAMS, *_SIDES):
        _rename(graph, field, lambda name: prefix + name)
    for node, own in zip(graph.node, names, strict=True):
        node.name = prefix + own
        for field in (*_STREAMS, *_SIDES):
            _rename(node, field, lambda name: prefix + name)


def _rename(holder: Any, field: str, change: Callable[[str], str]) -> None:
    texts = getattr(holder, field)
    for place, text in enumerate(texts):
        port, colon, name = text.rpartition(":")
        texts[place] = f"{port}{colon}{change(name)}"


def _connect(graph: Any, node: Any, fields: tuple[str, str]) -> None:
    """Give the streams at the edge of `graph` the names they have outside; drop inputs nobody connects."""
    new_names: dict[str, str] = {}
    unconnected: set[str] = set()
    for field in fields:
        what = f"{field.replace('_', ' ')}s of subgraph node {node.calculator}"
        try:
            inside, outside = TagMap(getattr(graph, field)), TagMap(getattr(node, field))
        except GraphConfigError as error:
            raise GraphConfigError(f"{what}: {error}") from error
        for tag in outside.tags():
            if not inside.count(tag):
                raise GraphConfigError(f'{what}: tag "{tag}" does not exist in the subgraph, which has {inside.tags()}')
            if outside.count(tag) > inside.count(tag):
                raise GraphConfigError(
                    f'{what}: tag "{tag}" has {outside.count(tag)} indexes in the node, {inside.count(tag)} inside'
                )
        for entry in inside:
            place = outside.place(entry.tag, entry.index)
            if place is not None:
                new_names[entry.name] = outside.entries[place].name
            elif field == fields[0]:
                unconnected.add(entry.name)
    for inner in graph.node:
        for field in fields:
            _rename(inner, field, lambda name: new_names.get(name, name))
        texts = getattr(inner, fields[0])
        for place in reversed(range(len(texts))):
            if parse_entry(texts[place])[2] in unconnected:
                del texts[place]
