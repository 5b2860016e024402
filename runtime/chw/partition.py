"""Cuts a graph into the parts that the engine runs itself and those that go to LiteRT."""

from __future__ import annotations

from dataclasses import dataclass

from pocketgraph.models.graph import Graph, Op, Tensor
from pocketgraph.runtime.chw.rules import why_not


@dataclass(eq=False)
class Part:
    """Ops that one engine runs in one go. `graph` has their tensors as inputs and outputs."""

    own: bool
    graph: Graph


def partition(graph: Graph) -> list[Part]:
    """Parts in the order to run them; neighbours have different engines.

    Each part takes every op of its engine whose operands are there by then, so that a part is only closed where the
    data forces it. The engine that can start with more ops starts.
    """
    own = {op: not why_not(op) for op in graph.ops}
    orders = [order for first in (True, False) if (order := _schedule(graph, own, engine=first))]
    best = min(orders, key=len, default=[])
    return [Part(engine, _part(graph, ops, number)) for number, (engine, ops) in enumerate(best)]


def _schedule(graph: Graph, own: dict[Op, bool], *, engine: bool) -> list[tuple[bool, list[Op]]]:
    made: set[Tensor] = set(graph.inputs)
    left = list(graph.ops)
    parts: list[tuple[bool, list[Op]]] = []
    while left:
        taken: list[Op] = []
        waiting: list[Op] = []
        for op in left:  # in topological order, so one sweep finds all
            ready = all(t is None or t.is_constant or t.is_variable or t in made for t in op.inputs)
            if ready and own[op] is engine:
                taken.append(op)
                made.update(op.outputs)
            else:
                waiting.append(op)
        if taken:
            parts.append((engine, taken))
        left, engine = waiting, not engine
    return parts


def _part(graph: Graph, ops: list[Op], number: int) -> Graph:
    made = {tensor for op in ops for tensor in op.outputs}
    inputs = dict.fromkeys(
        t
        for op in ops
        for t in op.inputs
        if t is not None and not t.is_constant and not t.is_variable and t not in made
    )
    inside = set(ops)
    wanted = set(graph.outputs)
    wanted.update(t for op in graph.ops if op not in inside for t in op.inputs if t is not None)
    outputs = [tensor for op in ops for tensor in op.outputs if tensor in wanted]
    return Graph(f"{graph.name}_{number}", list(inputs), outputs, ops)
