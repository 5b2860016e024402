"""Options changed from Python, by the names of nodes.

    set_options(config, {"palmdetectioncpu__TensorsToDetectionsCalculator.min_score_thresh": 0.7})

The names are those of the expanded graph, as `pocketgraph graph show GRAPH --expand` prints them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.registry import find_calculator
from pocketgraph.runtime.graph.subgraphs import expand, node_names


def set_options(config: Any, values: Mapping[str, Any]) -> Any:
    """A copy of `config`, expanded, with these options set; a key is `NODE.FIELD`, fields of fields follow after dots.

    Raises `GraphConfigError` for a node, a field or a value that does not fit.
    """
    graph = expand(config)
    nodes = dict(zip(node_names(graph), graph.node, strict=True))
    for key, value in values.items():
        name, path = _split(key, nodes)
        node = nodes[name]
        calculator = find_calculator(node.calculator, graph.package)
        if calculator is None or calculator.Options is None:
            raise GraphConfigError(f'node "{name}": {node.calculator} takes no options, "{key}" sets one')
        options = calculator.Options.read(node)
        holder = options
        for field in path[:-1]:
            holder = getattr(_with_field(holder, field, name), field)
        try:
            setattr(_with_field(holder, path[-1], name), path[-1], value)
        except (TypeError, ValueError, AttributeError) as error:
            raise GraphConfigError(f'node "{name}": {".".join(path)} cannot be {value!r}: {error}') from error
        calculator.Options.replace(node, options)
    return graph


def _split(key: str, nodes: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The node that `key` begins with (its name may have dots), and the fields that follow."""
    parts = key.split(".")
    for end in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:end])
        if name in nodes:
            return name, parts[end:]
    near = difflib.get_close_matches(key.rpartition(".")[0], nodes, 3, 0.6)
    hint = f"; near it: {', '.join(near)}" if near else ""
    raise GraphConfigError(f'"{key}" begins with the name of no node{hint}')


def _with_field(message: Any, field: str, node: str) -> Any:
    known = getattr(message, "DESCRIPTOR", None)
    if known is None or field not in known.fields_by_name:
        names = ", ".join(item.name for item in known.fields) if known is not None else "none"
        raise GraphConfigError(f'node "{node}": there is no option "{field}"; there are {names}')
    return message
