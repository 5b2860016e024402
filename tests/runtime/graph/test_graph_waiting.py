"""Graphs that wait: for room in queues, while paused, until they are idle or done, and no longer when cancelled."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from pocketgraph.models.errors import GraphCancelledError, GraphFullError, GraphRuntimeError, UsageError
from pocketgraph.runtime.graph import CalculatorGraph, Context, Packet

sys.path.insert(0, str(Path(__file__).parent))
try:
    from graph_texts import SOURCE, THREADS, THROUGH, lambda_node
finally:
    sys.path.pop(0)


def _blocked(more: str = "", threads: int = 2) -> tuple[CalculatorGraph, threading.Event, list[int]]:
    free = threading.Event()
    seen: list[int] = []

    def process(context: Context) -> None:
        free.wait(20)
        seen.append(context.timestamp)

    graph = CalculatorGraph(
        f'input_stream: "a" max_queue_size: 2 {more}' + lambda_node("a", "", "process"), threads=threads
    )
    graph.start({"process": process})
    return graph, free, seen


def test_adding_without_waiting_says_when_a_queue_is_full() -> None:
    graph, free, seen = _blocked()
    with pytest.raises(GraphFullError, match='stream "a" is held back'):  # noqa: PT012 - the third, or the fourth
        for timestamp in range(10):
            graph.add_packet("a", Packet(0, timestamp), wait=False)
    free.set()
    graph.finish(30)
    assert seen == list(range(len(seen)))
    assert 2 <= len(seen) <= 4


def test_adding_waits_for_room() -> None:
    graph, free, seen = _blocked()
    threading.Timer(0.05, free.set).start()
    for timestamp in range(50):
        graph.add("a", 0, timestamp)
        assert max(graph.queue_sizes().values()) <= 2
    graph.finish(30)
    assert seen == list(range(50))


def test_a_stream_may_have_a_size_of_its_own() -> None:
    graph, free, seen = _blocked()
    free.set()
    graph.finish(30)
    graph.set_max_queue_size("a", -1)
    free.clear()
    graph.start({"process": lambda _: free.wait(20)})
    for timestamp in range(50):
        graph.add_packet("a", Packet(0, timestamp), wait=False)
    free.set()
    graph.finish(30)
    with pytest.raises(UsageError, match="not an input stream"):
        graph.set_max_queue_size("zzz", 1)
    assert seen == []


TWO = 'input_stream: "a" input_stream: "b" max_queue_size: 3 %s ' + lambda_node("a b", "", "process")


@THREADS
def test_a_deadlock_grows_the_queue(threads: int) -> None:
    seen: list[int] = []
    graph = CalculatorGraph(TWO % "", threads=threads)
    graph.start({"process": lambda context: seen.append(context.timestamp)})
    for timestamp in range(20):
        graph.add("a", 0, timestamp)
    for timestamp in range(20):
        graph.add("b", 0, timestamp)
    graph.finish(30)
    assert seen == list(range(20))
    assert [stream.name for stream in graph.scheduler.throttle.grown] == ["a"]


@THREADS
def test_a_deadlock_is_reported_where_asked(threads: int) -> None:
    graph = CalculatorGraph(TWO % "report_deadlock: true", threads=threads)
    graph.start({"process": lambda _: None})
    with pytest.raises(GraphRuntimeError, match='deadlock: the queue of stream "a" at node "LambdaCalculator"'):  # noqa: PT012
        for timestamp in range(20):
            graph.add("a", 0, timestamp)
        graph.wait_until_idle(30)
    graph.close()


def test_sources_are_held_back_by_a_poller() -> None:
    graph = CalculatorGraph('output_stream: "b"' + SOURCE % ("n", "a", 0) + THROUGH % ("a", "b"), threads=2)
    poller = graph.poller("b", queue_size=3)
    graph.start({"n": 1000})
    graph.wait_until_idle(30)
    assert 3 <= len(poller) < 10
    assert [packet.value for packet in poller] == list(range(1000))
    graph.wait_until_done(30)


@THREADS
def test_a_paused_graph_takes_packets_and_does_nothing(threads: int) -> None:
    seen: list[int] = []
    graph = CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b"), threads=threads)
    graph.observe("b", lambda packet: seen.append(packet.timestamp))
    graph.start()
    graph.add("a", 0, 1)
    graph.wait_until_idle(30)
    graph.pause()
    graph.add("a", 0, 2)
    time.sleep(0.02)
    assert seen == [1]
    graph.resume()
    graph.finish(30)
    assert seen == [1, 2]


@THREADS
def test_a_cancelled_graph_ends(threads: int) -> None:
    graph = CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b"), threads=threads)
    graph.start()
    graph.add("a", 0, 1)
    graph.cancel()
    with pytest.raises(GraphCancelledError, match="cancelled"):
        graph.wait_until_done(30)
    assert graph.state == "terminated"


@THREADS
def test_a_paused_graph_can_be_cancelled(threads: int) -> None:
    graph = CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b"), threads=threads)
    graph.start()
    graph.pause()
    graph.add("a", 0, 1)
    graph.cancel()
    with pytest.raises(GraphCancelledError):
        graph.wait_until_done(30)


def test_leaving_the_block_closes_the_graph() -> None:
    before = set(threading.enumerate())
    with CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b"), threads=3) as graph:
        graph.start()
        graph.add("a", 0, 1)
    assert graph.state == "terminated"
    assert set(threading.enumerate()) <= before


def test_waiting_has_a_limit() -> None:
    graph, free, _ = _blocked()
    graph.add("a", 0, 1)
    with pytest.raises(GraphRuntimeError, match=r"waiting until idle: not after 0\.01 seconds"):
        graph.wait_until_idle(0.01)
    free.set()
    graph.finish(30)


def test_a_synchronous_graph_does_not_wait_forever() -> None:
    graph = CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b"), threads=0)
    poller = graph.poller("b")
    graph.start()
    with pytest.raises(GraphRuntimeError, match="would wait forever"):
        graph.wait_until_done()
    with pytest.raises(GraphRuntimeError, match="add one"):
        poller.next()
    graph.close()


@pytest.mark.parametrize("threads", [1, 4])
def test_waiting_for_observed_output(threads: int) -> None:
    graph = CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b"), threads=threads)
    graph.observe("b", lambda _: None)
    graph.start()
    graph.add("a", 0, 1)
    assert graph.wait_for_observed_output(30)
    graph.close_inputs()
    assert not graph.wait_for_observed_output(30)
    graph.wait_until_done(30)


def test_calls_in_the_wrong_state() -> None:
    graph = CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b"), threads=0)
    for call in (graph.wait_until_idle, graph.wait_until_done, graph.finish, lambda: graph.add("a", 0, 1)):
        with pytest.raises(UsageError, match="started"):
            call()
    with pytest.raises(UsageError, match='no stream "z" in the graph; there are a, b'):
        graph.observe("z", print)
    with pytest.raises(UsageError, match="`run` is for one without"):
        graph.run()
    graph.start()
    for call in (lambda: graph.observe("b", print), lambda: graph.poller("b"), graph.start):
        with pytest.raises(UsageError):
            call()
    for stream in ("b", "z"):
        for wrong in (graph.close_input, lambda name: graph.add(name, 0, 1), lambda name: graph.set_bound(name, 1)):
            with pytest.raises(UsageError, match="not an input stream of the graph"):
                wrong(stream)
    graph.finish()
    with pytest.raises(UsageError, match="closed stream"):
        graph.add("a", 0, 9)
