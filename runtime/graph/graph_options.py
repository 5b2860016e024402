"""Options of a whole graph, handed down to its nodes.

A graph file may hold one message of `graph_options`; a node that stands for the graph overrides its fields with options
of the same type. `option_value: "TO:FROM"` in a node inside takes a value from it:

    option_value: "min_score_thresh:options/min_score_thresh"   # one field of the node's options
    option_value: "OPTIONS:options"                             # all of it, for a node that takes the same message

FROM begins with `options`, fields follow after slashes. What nobody has set is not handed down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.registry import find_calculator


def hand_down(graph: Any, outer: Any = None) -> None:
    """Fill `option_value` of every node of `graph` in; `outer` is the node that stands for it, if there is one."""
    nodes = [node for node in graph.node if len(node.option_value)]
    if not nodes:
        return
    spec, values = _options_of(graph, outer)
    for node in nodes:
        for text in node.option_value:
            target, _, source = text.partition(":")
            try:
                _hand_one(graph, node, target.split("/"), source.split("/"), spec, values)
            except GraphConfigError as error:
                raise GraphConfigError(
                    f'node "{node.name or node.calculator}": option_value "{text}": {error}'
                ) from error
        del node.option_value[:]


def _options_of(graph: Any, outer: Any) -> tuple[OptionsSpec, Any]:
    if len(graph.graph_options) != 1:
        raise GraphConfigError(
            f'the graph "{graph.type}" has option_value in its nodes, so it needs graph_options with one message, '
            f"not {len(graph.graph_options)}"
        )
    spec = OptionsSpec.named(graph.graph_options[0].type_url)
    values = spec.unpack(graph.graph_options[0])
    if outer is not None:
        values.MergeFrom(spec.read(outer))
    return spec, values


def _hand_one(
    graph: Any, node: Any, target: Sequence[str], source: Sequence[str], spec: OptionsSpec, values: Any
) -> None:
    if source[0] != "options":
        raise GraphConfigError(f'values come from "options", not from "{source[0]}"')
    if list(target) == ["OPTIONS"]:
        if len(source) > 1:
            raise GraphConfigError("OPTIONS takes all the options, not one field")
        merged = spec.read(node)
        merged.MergeFrom(values)
        spec.replace(node, merged)
        return
    own = _spec_of(graph, node)
    options = own.read(node)
    giver, last = _walk(values, source[1:])
    taker, name = _walk(options, target)
    if not _is_set(giver, last):
        return
    if _kind(giver, last) != _kind(taker, name):
        raise GraphConfigError(f'"{last}" does not fit into "{name}"')
    value = getattr(giver, last)
    taker.ClearField(name)
    if hasattr(value, "extend"):
        getattr(taker, name).extend(value)
    elif hasattr(value, "CopyFrom"):
        getattr(taker, name).CopyFrom(value)
    else:
        setattr(taker, name, value)
    own.replace(node, options)


def _kind(message: Any, name: str) -> tuple[Any, ...]:
    """What a field holds: its type, that of its message or enumeration, and whether it is a list."""
    field = message.DESCRIPTOR.fields_by_name[name]
    inner = field.message_type or field.enum_type
    return field.type, inner and inner.full_name, hasattr(getattr(message, name), "extend")


def _spec_of(graph: Any, node: Any) -> OptionsSpec:
    calculator = find_calculator(node.calculator, graph.package)
    if calculator is not None and calculator.Options is not None:
        return calculator.Options
    if len(node.node_options) == 1:
        return OptionsSpec.named(node.node_options[0].type_url)
    raise GraphConfigError(f"nobody knows the options of {node.calculator}; give it node_options of its type")


def _walk(message: Any, path: Sequence[str]) -> tuple[Any, str]:
    """The message that holds the last field of `path`, and that field's name."""
    if not path:
        raise GraphConfigError("a field must be named")
    for place, name in enumerate(path):
        if name not in message.DESCRIPTOR.fields_by_name:
            known = ", ".join(field.name for field in message.DESCRIPTOR.fields)
            raise GraphConfigError(f'{message.DESCRIPTOR.name} has no field "{name}"; it has {known}')
        if place + 1 < len(path):
            message = getattr(message, name)
            if not hasattr(message, "DESCRIPTOR"):
                raise GraphConfigError(f'"{name}" has no fields')
    return message, path[-1]


def _is_set(message: Any, name: str) -> bool:
    return any(field.name == name for field, _ in message.ListFields())
