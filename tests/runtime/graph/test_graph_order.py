"""Graphs keep order: what belongs together meets, and outputs are the same whatever the threads."""

from __future__ import annotations

import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pocketgraph.runtime.graph import CalculatorGraph, Context, Packet
from pocketgraph.runtime.graph.testing import run_graph

sys.path.insert(0, str(Path(__file__).parent))
try:
    from graph_texts import THREADS, THROUGH, lambda_node
finally:
    sys.path.pop(0)


def _add(context: Context) -> None:
    context.outputs[0].send(sum(view.value for view in context.inputs if view))


@THREADS
def test_a_diamond_joins_what_belongs_together(threads: int) -> None:
    text = (
        'input_stream: "a" output_stream: "d"'
        + THROUGH % ("a", "b")
        + THROUGH % ("a", "c")
        + lambda_node("b c", "d", "add")
    )
    found = run_graph(text, {"a": [(t, t) for t in range(100)]}, {"add": _add}, threads=threads)
    assert found == {"d": [(t, 2 * t) for t in range(100)]}


def _busy(context: Context) -> None:
    time.sleep(random.random() / 2000)  # noqa: S311 - jitter
    context.outputs[0].send(context.inputs[0].value + 1)


@pytest.mark.parametrize("in_flight", [1, 3])
@THREADS
def test_outputs_are_the_same_whatever_the_threads(threads: int, in_flight: int) -> None:
    more = f"max_in_flight: {in_flight}"
    text = 'input_stream: "s0" output_stream: "s4"' + "".join(
        lambda_node(f"s{i}", f"s{i + 1}", "busy", more) for i in range(4)
    )
    found = run_graph(text, {"s0": [(t, t) for t in range(40)]}, {"busy": _busy}, threads=threads)
    assert found == {"s4": [(t, t + 4) for t in range(40)]}


def test_max_in_flight_runs_side_by_side() -> None:
    together = threading.Barrier(3, timeout=20)

    def process(context: Context) -> None:
        together.wait()
        context.outputs[0].send(context.inputs[0].value)

    text = 'input_stream: "a" output_stream: "b"' + lambda_node("a", "b", "process", "max_in_flight: 3")
    found = run_graph(text, {"a": [(t, t) for t in range(9)]}, {"process": process}, threads=3)
    assert found == {"b": [(t, t) for t in range(9)]}


def test_one_in_flight_never_overlaps() -> None:
    inside: list[int] = []
    most = []

    def process(context: Context) -> None:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.0005)
        inside.pop()
        context.outputs[0].send(context.inputs[0].value)

    text = 'input_stream: "a" output_stream: "b"' + lambda_node("a", "b", "process")
    run_graph(text, {"a": [(t, t) for t in range(50)]}, {"process": process}, threads=4)
    assert max(most) == 1


def test_nodes_near_the_output_go_first() -> None:
    order: list[str] = []
    text = (
        'input_stream: "a"'
        + lambda_node("a", "b", "first")
        + lambda_node("b", "c", "second")
        + lambda_node("c", "", "third")
    )

    def note(name: str) -> Any:
        def process(context: Context) -> None:
            order.append(f"{name}{context.timestamp}")
            for view in context.outputs:
                view.send(0)

        return process

    graph = CalculatorGraph(text, threads=0)
    graph.start({name: note(name) for name in ("first", "second", "third")})
    graph.pause()
    for timestamp in (1, 2):
        graph.add("a", 0, timestamp)
    graph.resume()
    graph.finish()
    assert order == ["first1", "second1", "third1", "first2", "second2", "third2"]


@THREADS
def test_a_long_chain_of_bounds_needs_no_deep_stack(threads: int) -> None:
    text = 'input_stream: "s0" output_stream: "s1500"' + "".join(THROUGH % (f"s{i}", f"s{i + 1}") for i in range(1500))
    graph = CalculatorGraph(text, threads=threads)
    seen: list[Packet] = []
    graph.observe("s1500", seen.append, bounds=True)
    graph.start()
    graph.set_bound("s0", 10)
    graph.wait_until_idle(60)
    assert [(packet.empty, packet.timestamp) for packet in seen] == [(True, 9)]
    graph.add("s0", "x", 10)
    graph.finish(60)
    assert seen[1].value == "x"
