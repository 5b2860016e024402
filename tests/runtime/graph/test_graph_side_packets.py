"""Side packets: given or made, passed on before readers open, and refused by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pocketgraph.models.errors import GraphRuntimeError, UsageError
from pocketgraph.runtime.graph import CalculatorGraph, Context, Packet
from pocketgraph.runtime.graph.testing import run_graph

sys.path.insert(0, str(Path(__file__).parent))
try:
    from graph_texts import SOURCE, THREADS
finally:
    sys.path.pop(0)


@THREADS
def test_side_packets_are_made_before_readers_open(threads: int) -> None:
    seen: list[Any] = []
    text = (
        'node { calculator: "LambdaCalculator" input_side_packet: "made" input_side_packet: "OPEN:read" }'
        'node { calculator: "LambdaCalculator" output_side_packet: "made" input_side_packet: "OPEN:make" }'
    )
    sides = {
        "make": lambda context: context[type_of("made_sides")][0].set(7),
        "read": lambda context: seen.append(context[type_of("sides")][0].value),
    }
    graph = CalculatorGraph(text, threads=threads)
    graph.run(sides)
    assert seen == [7]
    assert graph.side_packet("made") == 7


def type_of(name: str) -> Any:
    from pocketgraph.runtime.graph.testing import Lambda

    return getattr(Lambda, name)


def test_a_missing_side_packet_is_named() -> None:
    with pytest.raises(GraphRuntimeError, match=r'side packet "MAX_COUNT:0:n" of node "CountingSource.* was not given'):
        run_graph(SOURCE % ("n", "a", 0))


def test_a_wrong_side_packet_is_named() -> None:
    with pytest.raises(GraphRuntimeError, match="must hold int, a str was given"):
        run_graph(SOURCE % ("n", "a", 0), None, {"n": "many"})


def test_a_side_packet_cannot_be_given_and_made() -> None:
    text = 'node { calculator: "LambdaCalculator" output_side_packet: "made" }'
    with pytest.raises(GraphRuntimeError, match='"made" was given, but node "LambdaCalculator"'):
        run_graph(text, None, {"made": 1})


def test_a_side_packet_has_no_timestamp() -> None:
    with pytest.raises(GraphRuntimeError, match='side packet "n" has a timestamp, 5'):
        run_graph(SOURCE % ("n", "a", 0), None, {"n": Packet(1, 5)})


def test_a_side_packet_is_set_once() -> None:
    text = 'node { calculator: "LambdaCalculator" output_side_packet: "made" input_side_packet: "OPEN:make" }'

    def make(context: Context) -> None:
        for _ in range(2):
            context[type_of("made_sides")][0].set(7)

    with pytest.raises(GraphRuntimeError, match="already set"):
        run_graph(text, None, {"make": make})


@pytest.mark.parametrize("name", ["made", "nowhere"])
def test_a_side_packet_that_is_not_there(name: str) -> None:
    graph = CalculatorGraph('node { calculator: "LambdaCalculator" output_side_packet: "made" }', threads=0)
    graph.run()
    with pytest.raises((GraphRuntimeError, UsageError), match=f'"{name}"'):
        graph.side_packet(name)


@pytest.mark.parametrize("threads", [0, 2])
def test_a_side_packet_set_while_opening_is_passed_on_with_several_in_flight(threads: int) -> None:
    text = """input_stream: "a" output_stream: "b"
    node { calculator: "LambdaCalculator" input_stream: "a" output_stream: "c" max_in_flight: 3
           input_side_packet: "OPEN:opening" output_side_packet: "MADE:made" }
    node { calculator: "SidePacketToStreamCalculator" input_side_packet: "made" output_stream: "AT_TICK:b"
           input_stream: "TICK:a" }"""

    def opening(context: Context) -> None:
        side = next(port for port in context if port.kind == "output side packet")
        context[side][0].set(7)

    result = run_graph(text, {"a": [(1, 0), (2, 0)]}, {"opening": opening}, threads=threads)
    assert result == {"b": [(1, 7), (2, 7)]}
