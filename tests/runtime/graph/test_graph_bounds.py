"""Bounds of timestamps in graphs: offsets, settled times, empty packets, and what may not go back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pocketgraph.models.errors import GraphRuntimeError
from pocketgraph.runtime.graph import CalculatorGraph, Context, Packet, Timestamp
from pocketgraph.runtime.graph.packet import NOTHING
from pocketgraph.runtime.graph.testing import run_graph
from pocketgraph.runtime.graph.timestamp import DONE, MAX, POST_STREAM, PRE_STREAM, UNSTARTED

sys.path.insert(0, str(Path(__file__).parent))
try:
    from graph_texts import THROUGH, lambda_node
finally:
    sys.path.pop(0)


def _add(context: Context) -> None:
    context.outputs[0].send(sum(view.value for view in context.inputs if view))


def _offset(value: int) -> str:
    return f"options {{ [mediapipe.LambdaCalculatorOptions.ext] {{ offset: {value} }} }}"


BOUNDS = "options { [mediapipe.LambdaCalculatorOptions.ext] { process_bounds: true } }"


@pytest.mark.parametrize(("offset", "bound"), [(None, None), (0, 10), (5, 15), (-3, 7)])
def test_an_offset_passes_bounds_without_a_call(offset: int | None, bound: int | None) -> None:
    calls: list[int] = []
    text = 'input_stream: "a"' + lambda_node("a", "b", "process", "" if offset is None else _offset(offset))
    graph = CalculatorGraph(text, threads=0)
    seen: list[int] = []
    graph.observe("b", lambda packet: seen.append(packet.timestamp), bounds=True)
    graph.start({"process": lambda context: calls.append(context.timestamp)})
    graph.set_bound("a", 10)
    assert calls == []
    assert seen == ([] if bound is None else [bound - 1])
    graph.close()


@pytest.mark.parametrize(("offset", "settled"), [(None, []), (0, [10]), (3, [13])])
def test_an_offset_settles_the_time_of_each_input(offset: int | None, settled: list[int]) -> None:
    text = 'input_stream: "a"' + lambda_node("a", "b", "", "" if offset is None else _offset(offset))
    graph = CalculatorGraph(text, threads=0)
    seen: list[int] = []
    graph.observe("b", lambda packet: seen.append(packet.timestamp), bounds=True)
    graph.start()
    graph.add("a", "x", 10)
    assert seen == settled
    graph.close()


def test_an_empty_packet_moves_the_bound() -> None:
    text = 'input_stream: "a" output_stream: "c"' + lambda_node("a", "b", "process") + lambda_node("a b", "c", "join")

    def join(context: Context) -> None:
        context.outputs[0].send([view.value if view else None for view in context.inputs])

    def process(context: Context) -> None:
        context.outputs[0].add(Packet().at(context.timestamp))

    found = run_graph(text, {"a": [(1, "x"), (2, "y")]}, {"process": process, "join": join})
    assert found == {"c": [(1, ["x", None]), (2, ["y", None])]}


def test_set_bound_in_process() -> None:
    text = 'input_stream: "a"' + lambda_node("a", "b", "process")
    graph = CalculatorGraph(text, threads=0)
    seen: list[tuple[int, Any]] = []
    graph.observe("b", lambda packet: seen.append((packet.timestamp, packet.value)), bounds=True)
    graph.start({"process": lambda context: context.outputs[0].set_bound(context.timestamp + 100)})
    graph.add("a", 1, 1)
    graph.add("a", 1, 2)
    assert seen == [(100, NOTHING), (101, NOTHING)]
    graph.close()


@pytest.mark.parametrize("bound", [UNSTARTED, DONE])
def test_illegal_bounds(bound: int) -> None:
    with pytest.raises(GraphRuntimeError, match="cannot be a bound"):
        run_graph(
            'input_stream: "a"' + lambda_node("a", "b", "process"),
            {"a": [(1, 1)]},
            {"process": lambda context: context.outputs[0].set_bound(bound)},
        )


def test_bounds_that_go_back_are_an_error() -> None:
    with pytest.raises(GraphRuntimeError, match=r'"LambdaCalculator" .*bound of stream "b" went back from 5 to 3'):
        run_graph(
            'input_stream: "a"' + lambda_node("a", "b", "process"),
            {"a": [(1, 5), (2, 3)]},
            {"process": lambda context: context.outputs[0].set_bound(context.inputs[0].value)},
        )


def test_process_bounds_calls_for_each_settled_time() -> None:
    calls: list[tuple[int, bool]] = []
    text = 'input_stream: "a"' + THROUGH % ("a", "b") + lambda_node("b", "", "process", BOUNDS)
    graph = CalculatorGraph(text, threads=0)
    graph.start({"process": lambda context: calls.append((context.timestamp, bool(context.inputs[0])))})
    graph.set_bound("a", 10)
    graph.add("a", "x", 10)
    graph.set_bound("a", 11)
    graph.set_bound("a", 20)
    graph.finish()
    assert calls == [(9, False), (10, True), (19, False)]


def test_a_closed_output_lets_readers_go_on() -> None:
    text = 'input_stream: "a" output_stream: "c"' + lambda_node("a", "b", "close") + lambda_node("a b", "c", "add")
    found = run_graph(text, {"a": [(1, 1), (2, 2)]}, {"close": lambda context: context.outputs[0].close(), "add": _add})
    assert found == {"c": [(1, 1), (2, 2)]}


def test_packets_at_the_ends_of_the_range() -> None:
    text = 'input_stream: "a" output_stream: "b"' + THROUGH % ("a", "b")
    for timestamp in (PRE_STREAM, POST_STREAM, MAX):
        assert run_graph(text, {"a": [(timestamp, "x")]}) == {"b": [(timestamp, "x")]}


def test_timestamps_of_other_integer_types() -> None:
    text = 'input_stream: "a" output_stream: "b"' + THROUGH % ("a", "b")
    assert run_graph(text, {"a": [(Timestamp(3), "x"), (Timestamp(4), "y")]}) == {"b": [(3, "x"), (4, "y")]}
