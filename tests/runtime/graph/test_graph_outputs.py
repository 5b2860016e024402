"""What comes out of graphs: pollers and observers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pocketgraph.models.errors import GraphFullError, GraphRuntimeError
from pocketgraph.runtime.graph import CalculatorGraph, Packet
from pocketgraph.runtime.graph.testing import run_graph

sys.path.insert(0, str(Path(__file__).parent))
try:
    from graph_texts import THREADS, THROUGH, lambda_node
finally:
    sys.path.pop(0)


@THREADS
def test_a_poller_gives_all_packets_then_none(threads: int) -> None:
    graph = CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b"), threads=threads)
    poller = graph.poller("b")
    graph.start()
    for timestamp in range(5):
        graph.add("a", timestamp, timestamp)
        packet = poller.next(30)
        assert packet is not None
        assert packet.value == timestamp
    graph.close_inputs()
    assert poller.next(30) is None
    graph.wait_until_done(30)


def test_a_poller_with_bounds_tells_of_settled_times() -> None:
    graph = CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b"), threads=0)
    poller = graph.poller("b", bounds=True)
    graph.start()
    graph.set_bound("a", 10)
    first = poller.next()
    assert first is not None
    assert first.empty
    assert first.timestamp == 9
    graph.add("a", "x", 10)
    second = poller.next()
    assert second is not None
    assert second.value == "x"
    graph.finish()
    assert poller.next() is None


def test_a_poller_can_be_emptied() -> None:
    graph = CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b"), threads=0)
    poller = graph.poller("b")
    graph.start()
    graph.add("a", 1, 1)
    assert len(poller) == 1
    poller.reset()
    assert len(poller) == 0
    poller.set_max_queue_size(1)
    graph.add("a", 2, 2)
    with pytest.raises(GraphFullError):
        graph.add_packet("a", Packet(3, 3), wait=False)
    graph.close()


def test_a_poller_ends_after_an_error() -> None:
    graph = CalculatorGraph('input_stream: "a"' + lambda_node("a", "b", "fail"), threads=1)
    poller = graph.poller("b")
    graph.start({"fail": lambda _: 1 / 0})
    graph.add("a", 1, 1)
    assert poller.next(30) is None
    with pytest.raises(GraphRuntimeError, match="ZeroDivision"):
        graph.finish(30)


def test_observers_may_add_packets() -> None:
    graph = CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b"), threads=0)
    seen: list[int] = []

    def again(packet: Packet) -> None:
        seen.append(packet.timestamp)
        if packet.timestamp < 5:
            graph.add("a", 0, packet.timestamp + 1)

    graph.observe("b", again)
    graph.start()
    graph.add("a", 0, 1)
    graph.finish()
    assert seen == [1, 2, 3, 4, 5]


def test_graph_inputs_can_be_observed() -> None:
    assert run_graph('input_stream: "a" output_stream: "a"', {"a": [(1, "x")]}) == {"a": [(1, "x")]}
