"""Sources: their turns, their layers, and how they and endless graphs come to an end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pocketgraph.models.errors import GraphRuntimeError
from pocketgraph.runtime.graph import STOP, CalculatorGraph, Context
from pocketgraph.runtime.graph.testing import run_graph

sys.path.insert(0, str(Path(__file__).parent))
try:
    from graph_texts import SOURCE, THREADS, THROUGH, lambda_node
finally:
    sys.path.pop(0)


@THREADS
def test_sources_run_to_their_end(threads: int) -> None:
    text = 'input_side_packet: "n" output_stream: "b"' + SOURCE % ("n", "a", 0) + THROUGH % ("a", "b")
    assert run_graph(text, None, {"n": 20}, threads=threads) == {"b": [(i, i) for i in range(20)]}


def test_sources_take_turns_by_their_bounds() -> None:
    order: list[str] = []
    text = SOURCE % ("n", "a", 0) + SOURCE % ("n", "b", 0) + lambda_node("a", "", "x") + lambda_node("b", "", "y")
    sides = {
        "n": 3,
        "x": lambda context: order.append(f"a{context.timestamp}"),
        "y": lambda context: order.append(f"b{context.timestamp}"),
    }
    run_graph(text, None, sides)
    assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]


@THREADS
def test_the_next_layer_waits_for_the_one_before(threads: int) -> None:
    order: list[str] = []
    text = SOURCE % ("n", "a", 1) + SOURCE % ("n", "b", 0) + lambda_node("a", "", "x") + lambda_node("b", "", "y")
    sides = {"n": 3, "x": lambda _: order.append("a"), "y": lambda _: order.append("b")}
    run_graph(text, None, sides, threads=threads)
    assert order == ["b"] * 3 + ["a"] * 3


def test_layers_that_wait_for_each_other_are_a_deadlock() -> None:
    text = (
        'node { calculator: "LambdaSourceCalculator" output_stream: "a" input_side_packet: "late" '
        'input_side_packet: "PROCESS:stop" }'
        'node { calculator: "LambdaSourceCalculator" output_stream: "b" source_layer: 1 '
        'input_side_packet: "PROCESS:stop" }'
        'node { calculator: "LambdaCalculator" input_stream: "b" output_side_packet: "late" }'
    )
    with pytest.raises(GraphRuntimeError, match="sources of layer 1 wait for"):
        run_graph(text, None, {"stop": lambda _: STOP})


@THREADS
def test_stop_of_a_node_ends_all_sources(threads: int) -> None:
    seen: list[int] = []

    def process(context: Context) -> Any:
        seen.append(context.timestamp)
        return STOP if context.timestamp == 5 else None

    text = SOURCE % ("n", "a", 0) + lambda_node("a", "", "process") + "max_queue_size: 1"
    run_graph(text, None, {"n": 10**9, "process": process}, threads=threads)
    assert seen[:6] == list(range(6))
    assert len(seen) < 20


@THREADS
def test_closing_sources_ends_an_endless_graph(threads: int) -> None:
    graph = CalculatorGraph('output_stream: "a"' + SOURCE % ("n", "a", 0), threads=threads)
    poller = graph.poller("a", queue_size=1)
    graph.start({"n": 10**9})
    assert poller.next() is not None
    graph.close_sources()
    while poller.next() is not None:
        pass
    graph.wait_until_done(30)
