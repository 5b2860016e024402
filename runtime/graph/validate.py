"""Validation: from a configuration to a plan the runtime can run, or to a message that names stream and nodes."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.contract import Contract, Type
from pocketgraph.runtime.graph.policies import find_policy
from pocketgraph.runtime.graph.ports import (
    ANY,
    INPUT,
    OUTPUT,
    SIDE_INPUT,
    SIDE_OUTPUT,
    Inputs,
    Outputs,
    SideInputs,
    SideOutputs,
    type_name,
)
from pocketgraph.runtime.graph.registry import find_calculator, unknown
from pocketgraph.runtime.graph.subgraphs import expand, node_names
from pocketgraph.runtime.graph.tags import TagMap, parse_tag_index

RESERVED_EXECUTORS = ("default", "gpu")
GRAPH = "the graph's inputs"
EXECUTOR_TYPES = ("", "ThreadPoolExecutor", "ApplicationThreadExecutor")


@dataclass
class NodePlan:
    """One node, bound and checked. `number` is its place in topological order, which is also its priority."""

    name: str
    config: Any
    contract: Contract
    policy: str
    policy_config: Any
    back_edges: set[int]
    number: int = 0
    sources: set[str | int] = field(default_factory=set)
    """What feeds it in the end: numbers of source nodes, names of graph inputs."""

    @property
    def is_source(self) -> bool:
        return not len(self.contract.inputs) and len(self.contract.outputs) > 0

    def __str__(self) -> str:
        return f'node "{self.name}" ({self.config.calculator})'


@dataclass
class Plan:
    """A graph that can run: nodes in topological order, and who writes what."""

    config: Any
    nodes: list[NodePlan]
    producers: dict[str, NodePlan | None]
    """By stream; None for an input of the graph."""
    side_producers: dict[str, NodePlan]
    unknown: list[str]
    """Names of calculators nobody registered, where they were allowed."""
    inputs: TagMap
    outputs: TagMap
    side_inputs: TagMap
    side_outputs: TagMap


class Unknown(Calculator):
    """Stands for a calculator that is not here, in graphs that are looked at and not run."""

    inputs = Inputs[Any](ANY, optional=True)
    outputs = Outputs[Any](ANY, optional=True)
    side_inputs = SideInputs[Any](ANY, optional=True)
    side_outputs = SideOutputs[Any](ANY, optional=True)


def validate(config: Any, *, allow_unknown: bool = False) -> Plan:
    """Check `config`, expand its subgraphs and order its nodes. Raises `GraphConfigError`."""
    graph = expand(config)
    for kind in ("packet_generator", "packet_factory", "status_handler"):
        if len(getattr(graph, kind)):
            raise GraphConfigError(f"the graph has a {kind}, which this runtime does not have; use a calculator")
    _check_executors(graph)
    missing: list[str] = []
    nodes = [_node(graph, node, name, missing) for node, name in zip(graph.node, node_names(graph), strict=True)]
    if missing and not allow_unknown:
        name = next(node.name for node in nodes if node.config.calculator == missing[0])
        error = unknown(missing[0], name)
        others = [other for other in dict.fromkeys(missing) if other != missing[0]]
        raise GraphConfigError(f"{error}{'; nor are ' * bool(others)}{', '.join(others)}")
    edges = [_tags(graph, f"{way}_{what}") for what in ("stream", "side_packet") for way in ("input", "output")]
    producers = _producers(nodes, edges[0], OUTPUT)
    side_producers = {name: node for name, node in _producers(nodes, edges[2], SIDE_OUTPUT).items() if node is not None}
    _check_consumers(nodes, producers, edges[1])
    nodes = _sorted(nodes, producers, side_producers)
    _check_back_edges(nodes, producers)
    plan = Plan(graph, nodes, producers, side_producers, list(dict.fromkeys(missing)), *edges)
    _check_side_outputs(plan)
    _settle_types(plan)
    _find_sources(plan)
    return plan


def _tags(graph: Any, what: str) -> TagMap:
    try:
        return TagMap(getattr(graph, what))
    except GraphConfigError as error:
        raise GraphConfigError(f"{what.replace('_', ' ')}s of the graph: {error}") from error


def _node(graph: Any, node: Any, name: str, missing: list[str]) -> NodePlan:
    calculator = find_calculator(node.calculator, graph.package)
    if calculator is None:
        missing.append(node.calculator)
        calculator = Unknown
    contract = Contract(calculator, node, name)
    policy_config = None
    policy = contract.policy or "DefaultInputStreamHandler"
    for holder in (node,) if contract.policy else (node, graph):
        if holder.HasField("input_stream_handler"):
            policy_config = holder.input_stream_handler
            policy = policy_config.input_stream_handler
            break
    find_policy(policy, name)
    if node.executor in RESERVED_EXECUTORS:
        raise GraphConfigError(f'node "{name}": "{node.executor}" is a reserved executor name')
    if node.executor and node.executor not in {executor.name for executor in graph.executor}:
        raise GraphConfigError(
            f'node "{name}" runs on the executor "{node.executor}", which the graph does not declare'
        )
    if node.max_in_flight < 0 or (node.max_in_flight > 1 and not len(contract.inputs)):
        raise GraphConfigError(
            f'node "{name}" has max_in_flight {node.max_in_flight}; it is at least 1, and 1 for a source'
        )
    return NodePlan(name, node, contract, policy, policy_config, _back_edges(node, name, contract))


def _back_edges(node: Any, name: str, contract: Contract) -> set[int]:
    found: set[int] = set()
    seen: set[int] = set()
    for info in node.input_stream_info:
        try:
            place = contract.inputs.place(*parse_tag_index(info.tag_index))
        except GraphConfigError as error:
            raise GraphConfigError(f'node "{name}": input_stream_info: {error}') from error
        if place is None:
            raise GraphConfigError(
                f'node "{name}": input_stream_info names "{info.tag_index}", which is none of its input streams '
                f"{contract.inputs.texts()}"
            )
        if place in seen:
            raise GraphConfigError(f'node "{name}" has more than one input_stream_info for "{info.tag_index}"')
        seen.add(place)
        if info.back_edge:
            found.add(place)
    return found


def _check_executors(graph: Any) -> None:
    names: set[str] = set()
    for executor in graph.executor:
        if executor.name in RESERVED_EXECUTORS:
            raise GraphConfigError(f'"{executor.name}" is a reserved executor name')
        if executor.name in names:
            raise GraphConfigError(f'the executor "{executor.name}" is declared twice')
        if executor.type not in EXECUTOR_TYPES:
            raise GraphConfigError(f'executor "{executor.name}" has the unknown type "{executor.type}"')
        names.add(executor.name)
    if "" in names and graph.num_threads:
        raise GraphConfigError("the default executor is declared, so num_threads of the graph cannot be set too")


def _producers(nodes: list[NodePlan], given: TagMap, kind: str) -> dict[str, NodePlan | None]:
    what = "output stream" if kind == OUTPUT else "output side packet"
    found: dict[str, NodePlan | None] = {}
    for name in given.names():
        if name in found:
            raise GraphConfigError(f'{what} "{name}" is defined twice, both times by {GRAPH}')
        found[name] = None
    for node in nodes:
        for name in node.contract.maps[kind].names():
            if name in found:
                raise GraphConfigError(f'{what} "{name}" is defined twice, by {found[name] or GRAPH} and by {node}')
            found[name] = node
    return found


def _check_consumers(nodes: list[NodePlan], producers: dict[str, NodePlan | None], outputs: TagMap) -> None:
    for node in nodes:
        for entry in node.contract.inputs:
            if entry.name not in producers:
                raise GraphConfigError(
                    f'input stream "{entry}" of {node} has no producer: no node writes "{entry.name}", '
                    f"and it is not an input of the graph"
                )
    for name in outputs.names():
        if name not in producers:
            raise GraphConfigError(f'output stream "{name}" of the graph has no producer')


def _check_side_outputs(plan: Plan) -> None:
    for name in plan.side_outputs.names():
        if name not in plan.side_producers and name not in plan.side_inputs.names():
            raise GraphConfigError(f'output side packet "{name}" of the graph has no producer')


def _sorted(
    nodes: list[NodePlan], producers: dict[str, NodePlan | None], side_producers: dict[str, NodePlan]
) -> list[NodePlan]:
    """The nodes, each behind those it waits for; otherwise in the order of the file."""
    place_of = {id(node): place for place, node in enumerate(nodes)}
    behind: list[list[int]] = [[] for _ in nodes]
    waits = [0] * len(nodes)
    for place, node in enumerate(nodes):
        streams = [entry.name for at, entry in enumerate(node.contract.inputs) if at not in node.back_edges]
        feeders = [producers[name] for name in streams]
        feeders += [side_producers.get(name) for name in node.contract.side_inputs.names()]
        for feeder in feeders:
            if feeder is not None:
                behind[place_of[id(feeder)]].append(place)
                waits[place] += 1
    ready = [place for place, count in enumerate(waits) if not count]
    order: list[NodePlan] = []
    while ready:
        place = heapq.heappop(ready)
        nodes[place].number = len(order)
        order.append(nodes[place])
        for other in behind[place]:
            waits[other] -= 1
            if not waits[other]:
                heapq.heappush(ready, other)
    if len(order) < len(nodes):
        cycle = _cycle(behind, [place for place, count in enumerate(waits) if count])
        raise GraphConfigError(
            f"the graph has a cycle without a back edge: {' -> '.join(str(nodes[place]) for place in cycle)}; "
            "mark one stream of it with input_stream_info { tag_index: … back_edge: true }"
        )
    return order


def _cycle(behind: list[list[int]], left: list[int]) -> list[int]:
    """A cycle among the nodes that could not be ordered, its first node again at the end."""
    before = {other: place for place in left for other in behind[place] if other in left}
    path = [left[0]]
    while path[-1] not in path[:-1]:
        path.append(before[path[-1]])
    return path[path.index(path[-1]) :][::-1]


def _check_back_edges(nodes: list[NodePlan], producers: dict[str, NodePlan | None]) -> None:
    for node in nodes:
        for place in node.back_edges:
            entry = node.contract.inputs.entries[place]
            producer = producers[entry.name]
            if producer is not None and producer.number < node.number:
                raise GraphConfigError(
                    f'input stream "{entry}" of {node} is marked as a back edge, but its producer, '
                    f"{producer}, comes before the node anyway; remove the mark"
                )


def _settle_types(plan: Plan) -> None:
    """Carry types through ports that take anything, and refuse connections that cannot fit."""
    types: dict[str, Type] = {}
    for node in plan.nodes:
        contract = node.contract
        own = contract.types
        for place, entry in enumerate(contract.inputs):
            coming = types.get(entry.name, object)
            _check_fit(coming, own[INPUT][place], f'stream "{entry.name}"', plan.producers[entry.name], node)
            if own[INPUT][place] is object and place not in node.back_edges:
                own[INPUT][place] = coming
        for place, entry in enumerate(contract.outputs):
            if place in contract.same_as:
                own[OUTPUT][place] = own[INPUT][contract.same_as[place]]
            types[entry.name] = own[OUTPUT][place]
        for place, entry in enumerate(contract.side_inputs):
            producer = plan.side_producers.get(entry.name)
            if producer is not None:
                at = producer.contract.side_outputs.names().index(entry.name)
                gives = producer.contract.types[SIDE_OUTPUT][at]
                _check_fit(gives, own[SIDE_INPUT][place], f'side packet "{entry.name}"', producer, node)


def _check_fit(gives: Type, takes: Type, what: str, producer: NodePlan | None, node: NodePlan) -> None:
    pairs = [(one, other) for one in _kinds(gives) for other in _kinds(takes)]
    if not any(issubclass(one, other) or issubclass(other, one) for one, other in pairs):
        raise GraphConfigError(
            f"{what} holds {type_name(gives)} from {producer or GRAPH}, but {node} takes {type_name(takes)}"
        )


def _kinds(types: Type) -> Iterable[type]:
    return types if isinstance(types, tuple) else (types,)


def _find_sources(plan: Plan) -> None:
    for node in plan.nodes:
        if node.is_source:
            node.sources = {node.number}
        for place, entry in enumerate(node.contract.inputs):
            producer = plan.producers[entry.name]
            if producer is None:
                node.sources.add(entry.name)
            elif place not in node.back_edges:
                node.sources |= producer.sources
