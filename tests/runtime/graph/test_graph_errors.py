"""Errors of graphs name node and timestamp, end the run and are told to whoever asks."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from pocketgraph.models.errors import GraphRuntimeError
from pocketgraph.runtime.graph import CalculatorGraph, Context
from pocketgraph.runtime.graph.testing import run_graph
from pocketgraph.runtime.graph.timestamp import DONE, UNSTARTED

sys.path.insert(0, str(Path(__file__).parent))
try:
    from graph_texts import LIFE, THREADS, THROUGH, lambda_node
finally:
    sys.path.pop(0)


@pytest.mark.parametrize(
    ("phase", "message", "timestamp"),
    [
        ("open", r'node "culprit" \(LambdaCalculator\) failed while opening: ValueError: no', UNSTARTED),
        ("process", r'node "culprit" \(LambdaCalculator\) failed while processing at timestamp 7: ValueError: no', 7),
        ("close", r'node "culprit" \(LambdaCalculator\) failed while closing: ValueError: no', DONE),
    ],
)
@THREADS
def test_errors_name_node_and_timestamp(phase: str, message: str, timestamp: int, threads: int) -> None:
    def fail(context: Context) -> None:  # noqa: ARG001
        raise ValueError("no")

    sides = dict.fromkeys(("open", "process", "close"), lambda _: None) | {phase: fail}
    text = 'input_stream: "a"' + lambda_node("a", "", "process", LIFE + ' name: "culprit"')
    with pytest.raises(GraphRuntimeError, match=message) as caught:
        run_graph(text, {"a": [(7, 1)]}, sides, threads=threads)
    assert (caught.value.node, caught.value.timestamp) == ("culprit", timestamp)
    assert isinstance(caught.value.__cause__, ValueError)


@THREADS
def test_after_an_error_everything_is_closed(threads: int) -> None:
    log: list[str] = []

    def fail(context: Context) -> None:  # noqa: ARG001
        raise ValueError("no")

    sides = {
        "open": lambda _: None,
        "fail": fail,
        "close": lambda context: log.append(f"{context.node} {type(context.error).__name__}"),
    }
    text = 'input_stream: "a"' + lambda_node("a", "b", "fail", LIFE) + lambda_node("b", "", "", LIFE)
    with pytest.raises(GraphRuntimeError, match="ValueError: no"):
        run_graph(text, {"a": [(7, 1)]}, sides, threads=threads)
    assert threads or log == []
    graph = CalculatorGraph(text, threads=threads)
    log.clear()
    graph.start(sides)
    with pytest.raises(GraphRuntimeError):  # noqa: PT012 - either call tells, by the number of threads
        graph.add("a", 1, 1)
        graph.wait_until_done(30)
    graph.close()
    assert log == ["LambdaCalculator_1 GraphRuntimeError", "LambdaCalculator_2 GraphRuntimeError"]
    assert threading.active_count() < 20


def test_the_error_callback_hears_of_it_at_once() -> None:
    heard: list[GraphRuntimeError] = []
    graph = CalculatorGraph('input_stream: "a"' + lambda_node("a", "", "fail"), threads=1)
    graph.on_error(heard.append)
    graph.start({"fail": lambda _: 1 / 0})
    graph.add("a", 1, 3)
    with pytest.raises(GraphRuntimeError, match="ZeroDivisionError"):
        graph.wait_until_idle(30)
    assert [error.timestamp for error in heard] == [3]
    graph.close()


def test_an_observer_that_raises_is_named() -> None:
    graph = CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b"), threads=0)
    graph.observe("b", lambda _: 1 / 0)
    graph.start()
    with pytest.raises(GraphRuntimeError, match=r"observer of b.*ZeroDivisionError"):
        graph.add("a", 1, 3)
    graph.close()


def test_timestamps_that_go_back_are_told_to_who_adds() -> None:
    graph = CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b"), threads=0)
    graph.start()
    graph.add("a", 1, 3)
    with pytest.raises(GraphRuntimeError, match='went back on stream "a": at least 4 was expected, 3 came'):
        graph.add("a", 1, 3)
    graph.close()


def test_wrong_types_are_told() -> None:
    gate = 'node { calculator: "GateCalculator" input_stream: "a" input_stream: "ALLOW:c" output_stream: "b" }'
    text = f'input_stream: "a" input_stream: "c" {gate}'
    with pytest.raises(GraphRuntimeError, match='stream "c" takes bool, but a int came'):
        run_graph(text, {"c": [(1, 1)]})


def test_a_packet_to_a_closed_output_is_an_error() -> None:
    def process(context: Context) -> None:
        context.outputs[0].close()
        context.outputs[0].send(1)

    with pytest.raises(GraphRuntimeError, match='closed stream "b"'):
        run_graph('input_stream: "a"' + lambda_node("a", "b", "process"), {"a": [(1, 1)]}, {"process": process})


def test_reading_a_missing_packet_is_an_error() -> None:
    text = 'input_stream: "a" input_stream: "b"' + lambda_node("a b", "", "process")
    with pytest.raises(GraphRuntimeError, match='stream "b" has no packet at this timestamp'):
        run_graph(text, {"a": [(1, 1)]}, {"process": lambda context: context.inputs[1].value})


@pytest.mark.parametrize("profile", [False, True])
def test_ctrl_c_in_a_synchronous_graph_goes_to_the_caller(profile: bool) -> None:
    def interrupt(context: Context) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    log: list[str] = []
    text = 'input_stream: "a"' + lambda_node("a", "b", "process", LIFE) + THROUGH % ("b", "c")
    with CalculatorGraph(text, threads=0, profile=profile) as graph:
        graph.start({"process": interrupt, "open": lambda _: None, "close": lambda context: log.append(context.node)})
        with pytest.raises(KeyboardInterrupt):
            graph.add("a", 0, 1)
    assert log == ["LambdaCalculator"]
    assert graph.state == "terminated"


@THREADS
def test_whatever_fails_in_the_runtime_ends_the_run(threads: int) -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

        __hash__ = None  # type: ignore[assignment]

        @property
        def __class__(self) -> type:  # type: ignore[override]
            raise ZeroDivisionError

    mux = 'node { calculator: "MuxCalculator" input_stream: ["INPUT:a", "SELECT:t"] output_stream: "OUTPUT:b" }'
    graph = CalculatorGraph(f'input_stream: ["a", "s"] {mux}' + lambda_node("s", "t", "send"), threads=threads)
    graph.start({"send": lambda context: context.outputs[0].send(Odd())})
    with pytest.raises(GraphRuntimeError, match="ZeroDivisionError"):  # noqa: PT012 - either call tells
        graph.add("s", 0, 1)
        graph.wait_until_idle(30)
    graph.close()
