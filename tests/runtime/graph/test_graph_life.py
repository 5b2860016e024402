"""The life of a graph: opening, headers, processing, closing, running again, and nothing left behind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pocketgraph.models.errors import GraphRuntimeError
from pocketgraph.runtime.graph import CalculatorGraph, Context, Packet
from pocketgraph.runtime.graph.testing import run_graph
from pocketgraph.runtime.graph.timestamp import DONE, UNSTARTED

sys.path.insert(0, str(Path(__file__).parent))
try:
    from graph_texts import LIFE, THREADS, THROUGH, lambda_node
finally:
    sys.path.pop(0)


def _life(log: list[str]) -> dict[str, Any]:
    return {
        "open": lambda context: log.append(f"open {context.timestamp == UNSTARTED}"),
        "process": lambda context: log.append(f"process {context.timestamp}"),
        "close": lambda context: log.append(f"close {context.timestamp == DONE} {context.error}"),
    }


@THREADS
def test_open_process_close(threads: int) -> None:
    log: list[str] = []
    run_graph('input_stream: "a"' + lambda_node("a", "", "process", LIFE), {"a": [(5, 0)]}, _life(log), threads=threads)
    assert log == ["open True", "process 5", "close True None"]


def test_packets_from_open_and_close() -> None:
    text = 'input_stream: "a" output_stream: "b"' + lambda_node("a", "b", "", LIFE)
    sides = {
        "open": lambda context: context.outputs[0].send("first", 0),
        "close": lambda context: context.outputs[0].send("last", 99),
    }
    assert run_graph(text, {"a": [(5, 0)]}, sides) == {"b": [(0, "first"), (99, "last")]}


@THREADS
def test_a_graph_can_run_again(threads: int) -> None:
    graph = CalculatorGraph('input_stream: "a" output_stream: "b"' + THROUGH % ("a", "b"), threads=threads)
    seen: list[Any] = []
    graph.observe("b", lambda packet: seen.append(packet.value))
    for number in range(3):
        graph.start()
        graph.add("a", number, 0)
        graph.finish(30)
    assert seen == [0, 1, 2]


def test_headers_are_there_when_readers_open() -> None:
    seen: list[Any] = []
    text = 'input_stream: "a"' + THROUGH % ("a", "b") + lambda_node("b", "", "", 'input_side_packet: "OPEN:open"')
    graph = CalculatorGraph(text, threads=0)
    graph.start({"open": lambda context: seen.append(context.inputs[0].header.value)}, {"a": "30 Hz"})
    graph.finish()
    assert seen == ["30 Hz"]


@pytest.mark.parametrize("when", ["process", "open twice"])
def test_headers_are_set_while_opening(when: str) -> None:
    def late(context: Context) -> None:
        context.outputs[0].set_header(Packet(1, 5) if when != "process" else 1)

    text = 'input_stream: "a"' + lambda_node(
        "a", "b", "late" if when == "process" else "", "" if when == "process" else LIFE
    )
    with pytest.raises(GraphRuntimeError, match="header"):
        run_graph(text, {"a": [(1, 1)]}, {"late": late, "open": late, "close": lambda _: None})


def test_offsets_are_set_while_opening() -> None:
    with pytest.raises(GraphRuntimeError, match="offset can be set only while opening"):
        run_graph(
            'input_stream: "a"' + lambda_node("a", "b", "process"),
            {"a": [(1, 1)]},
            {"process": lambda context: context.outputs[0].set_offset(0)},
        )


def test_ten_thousand_packets_leave_nothing_behind() -> None:
    import gc

    graph = CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b"), threads=0)
    graph.start()
    graph.add("a", 0, 0)
    gc.collect()
    before = len(gc.get_objects())
    for timestamp in range(1, 10_000):
        graph.add("a", 0, timestamp)
    gc.collect()
    assert len(gc.get_objects()) - before < 50
    graph.finish()
