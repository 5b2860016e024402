"""Graphs that run: order, determinism, bounds, sources, side packets, errors, throttling, pausing, pollers."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import pytest

from pocketgraph.models.errors import (
    GraphCancelledError,
    GraphConfigError,
    GraphFullError,
    GraphRuntimeError,
    UsageError,
)
from pocketgraph.runtime.graph import STOP, CalculatorGraph, Context, Packet, Timestamp
from pocketgraph.runtime.graph.packet import NOTHING
from pocketgraph.runtime.graph.testing import run_graph
from pocketgraph.runtime.graph.timestamp import DONE, MAX, POST_STREAM, PRE_STREAM, UNSTARTED

THREADS = pytest.mark.parametrize("threads", [0, 1, 4])
THROUGH = 'node { calculator: "PassThroughCalculator" input_stream: "%s" output_stream: "%s" }'
SOURCE = (
    'node { calculator: "CountingSourceCalculator" input_side_packet: "MAX_COUNT:%s" output_stream: "%s" '
    "source_layer: %d }"
)


def _lambda(ins: str, outs: str = "", process: str = "", more: str = "") -> str:
    streams = " ".join(f'input_stream: "{name}"' for name in ins.split())
    streams += " ".join(f' output_stream: "{name}"' for name in outs.split())
    side = f'input_side_packet: "PROCESS:{process}"' if process else ""
    return f'node {{ calculator: "LambdaCalculator" {streams} {side} {more} }}'


def _add(context: Context) -> None:
    context.outputs[0].send(sum(view.value for view in context.inputs if view))


# order and determinism


@THREADS
def test_a_diamond_joins_what_belongs_together(threads: int) -> None:
    text = (
        'input_stream: "a" output_stream: "d"'
        + THROUGH % ("a", "b")
        + THROUGH % ("a", "c")
        + _lambda("b c", "d", "add")
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
        _lambda(f"s{i}", f"s{i + 1}", "busy", more) for i in range(4)
    )
    found = run_graph(text, {"s0": [(t, t) for t in range(40)]}, {"busy": _busy}, threads=threads)
    assert found == {"s4": [(t, t + 4) for t in range(40)]}


def test_max_in_flight_runs_side_by_side() -> None:
    together = threading.Barrier(3, timeout=20)

    def process(context: Context) -> None:
        together.wait()
        context.outputs[0].send(context.inputs[0].value)

    text = 'input_stream: "a" output_stream: "b"' + _lambda("a", "b", "process", "max_in_flight: 3")
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

    text = 'input_stream: "a" output_stream: "b"' + _lambda("a", "b", "process")
    run_graph(text, {"a": [(t, t) for t in range(50)]}, {"process": process}, threads=4)
    assert max(most) == 1


def test_nodes_near_the_output_go_first() -> None:
    order: list[str] = []
    text = 'input_stream: "a"' + _lambda("a", "b", "first") + _lambda("b", "c", "second") + _lambda("c", "", "third")

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


# bounds and offsets


def _offset(value: int) -> str:
    return f"options {{ [mediapipe.LambdaCalculatorOptions.ext] {{ offset: {value} }} }}"


BOUNDS = "options { [mediapipe.LambdaCalculatorOptions.ext] { process_bounds: true } }"


@pytest.mark.parametrize(("offset", "bound"), [(None, None), (0, 10), (5, 15), (-3, 7)])
def test_an_offset_passes_bounds_without_a_call(offset: int | None, bound: int | None) -> None:
    calls: list[int] = []
    text = 'input_stream: "a"' + _lambda("a", "b", "process", "" if offset is None else _offset(offset))
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
    text = 'input_stream: "a"' + _lambda("a", "b", "", "" if offset is None else _offset(offset))
    graph = CalculatorGraph(text, threads=0)
    seen: list[int] = []
    graph.observe("b", lambda packet: seen.append(packet.timestamp), bounds=True)
    graph.start()
    graph.add("a", "x", 10)
    assert seen == settled
    graph.close()


def test_an_empty_packet_moves_the_bound() -> None:
    text = 'input_stream: "a" output_stream: "c"' + _lambda("a", "b", "process") + _lambda("a b", "c", "join")

    def join(context: Context) -> None:
        context.outputs[0].send([view.value if view else None for view in context.inputs])

    def process(context: Context) -> None:
        context.outputs[0].add(Packet().at(context.timestamp))

    found = run_graph(text, {"a": [(1, "x"), (2, "y")]}, {"process": process, "join": join})
    assert found == {"c": [(1, ["x", None]), (2, ["y", None])]}


def test_set_bound_in_process() -> None:
    text = 'input_stream: "a"' + _lambda("a", "b", "process")
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
            'input_stream: "a"' + _lambda("a", "b", "process"),
            {"a": [(1, 1)]},
            {"process": lambda context: context.outputs[0].set_bound(bound)},
        )


def test_bounds_that_go_back_are_an_error() -> None:
    with pytest.raises(GraphRuntimeError, match=r'"LambdaCalculator" .*bound of stream "b" went back from 5 to 3'):
        run_graph(
            'input_stream: "a"' + _lambda("a", "b", "process"),
            {"a": [(1, 5), (2, 3)]},
            {"process": lambda context: context.outputs[0].set_bound(context.inputs[0].value)},
        )


def test_process_bounds_calls_for_each_settled_time() -> None:
    calls: list[tuple[int, bool]] = []
    text = 'input_stream: "a"' + THROUGH % ("a", "b") + _lambda("b", "", "process", BOUNDS)
    graph = CalculatorGraph(text, threads=0)
    graph.start({"process": lambda context: calls.append((context.timestamp, bool(context.inputs[0])))})
    graph.set_bound("a", 10)
    graph.add("a", "x", 10)
    graph.set_bound("a", 11)
    graph.set_bound("a", 20)
    graph.finish()
    assert calls == [(9, False), (10, True), (19, False)]


def test_a_closed_output_lets_readers_go_on() -> None:
    text = 'input_stream: "a" output_stream: "c"' + _lambda("a", "b", "close") + _lambda("a b", "c", "add")
    found = run_graph(text, {"a": [(1, 1), (2, 2)]}, {"close": lambda context: context.outputs[0].close(), "add": _add})
    assert found == {"c": [(1, 1), (2, 2)]}


def test_packets_at_the_ends_of_the_range() -> None:
    text = 'input_stream: "a" output_stream: "b"' + THROUGH % ("a", "b")
    for timestamp in (PRE_STREAM, POST_STREAM, MAX):
        assert run_graph(text, {"a": [(timestamp, "x")]}) == {"b": [(timestamp, "x")]}


def test_timestamps_of_other_integer_types() -> None:
    text = 'input_stream: "a" output_stream: "b"' + THROUGH % ("a", "b")
    assert run_graph(text, {"a": [(Timestamp(3), "x"), (Timestamp(4), "y")]}) == {"b": [(3, "x"), (4, "y")]}


# open, close, headers


def _life(log: list[str]) -> dict[str, Any]:
    return {
        "open": lambda context: log.append(f"open {context.timestamp == UNSTARTED}"),
        "process": lambda context: log.append(f"process {context.timestamp}"),
        "close": lambda context: log.append(f"close {context.timestamp == DONE} {context.error}"),
    }


LIFE = 'input_side_packet: "OPEN:open" input_side_packet: "CLOSE:close"'


@THREADS
def test_open_process_close(threads: int) -> None:
    log: list[str] = []
    run_graph('input_stream: "a"' + _lambda("a", "", "process", LIFE), {"a": [(5, 0)]}, _life(log), threads=threads)
    assert log == ["open True", "process 5", "close True None"]


def test_packets_from_open_and_close() -> None:
    text = 'input_stream: "a" output_stream: "b"' + _lambda("a", "b", "", LIFE)
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
    text = 'input_stream: "a"' + THROUGH % ("a", "b") + _lambda("b", "", "", 'input_side_packet: "OPEN:open"')
    graph = CalculatorGraph(text, threads=0)
    graph.start({"open": lambda context: seen.append(context.inputs[0].header.value)}, {"a": "30 Hz"})
    graph.finish()
    assert seen == ["30 Hz"]


@pytest.mark.parametrize("when", ["process", "open twice"])
def test_headers_are_set_while_opening(when: str) -> None:
    def late(context: Context) -> None:
        context.outputs[0].set_header(Packet(1, 5) if when != "process" else 1)

    text = 'input_stream: "a"' + _lambda(
        "a", "b", "late" if when == "process" else "", "" if when == "process" else LIFE
    )
    with pytest.raises(GraphRuntimeError, match="header"):
        run_graph(text, {"a": [(1, 1)]}, {"late": late, "open": late, "close": lambda _: None})


def test_offsets_are_set_while_opening() -> None:
    with pytest.raises(GraphRuntimeError, match="offset can be set only while opening"):
        run_graph(
            'input_stream: "a"' + _lambda("a", "b", "process"),
            {"a": [(1, 1)]},
            {"process": lambda context: context.outputs[0].set_offset(0)},
        )


# sources


@THREADS
def test_sources_run_to_their_end(threads: int) -> None:
    text = 'input_side_packet: "n" output_stream: "b"' + SOURCE % ("n", "a", 0) + THROUGH % ("a", "b")
    assert run_graph(text, None, {"n": 20}, threads=threads) == {"b": [(i, i) for i in range(20)]}


def test_sources_take_turns_by_their_bounds() -> None:
    order: list[str] = []
    text = SOURCE % ("n", "a", 0) + SOURCE % ("n", "b", 0) + _lambda("a", "", "x") + _lambda("b", "", "y")
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
    text = SOURCE % ("n", "a", 1) + SOURCE % ("n", "b", 0) + _lambda("a", "", "x") + _lambda("b", "", "y")
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

    text = SOURCE % ("n", "a", 0) + _lambda("a", "", "process") + "max_queue_size: 1"
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


# side packets


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


# errors


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
    text = 'input_stream: "a"' + _lambda("a", "", "process", LIFE + ' name: "culprit"')
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
    text = 'input_stream: "a"' + _lambda("a", "b", "fail", LIFE) + _lambda("b", "", "", LIFE)
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
    graph = CalculatorGraph('input_stream: "a"' + _lambda("a", "", "fail"), threads=1)
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
        run_graph('input_stream: "a"' + _lambda("a", "b", "process"), {"a": [(1, 1)]}, {"process": process})


def test_reading_a_missing_packet_is_an_error() -> None:
    text = 'input_stream: "a" input_stream: "b"' + _lambda("a b", "", "process")
    with pytest.raises(GraphRuntimeError, match='stream "b" has no packet at this timestamp'):
        run_graph(text, {"a": [(1, 1)]}, {"process": lambda context: context.inputs[1].value})


@pytest.mark.parametrize("profile", [False, True])
def test_ctrl_c_in_a_synchronous_graph_goes_to_the_caller(profile: bool) -> None:
    def interrupt(context: Context) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    log: list[str] = []
    text = 'input_stream: "a"' + _lambda("a", "b", "process", LIFE) + THROUGH % ("b", "c")
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
    graph = CalculatorGraph(f'input_stream: ["a", "s"] {mux}' + _lambda("s", "t", "send"), threads=threads)
    graph.start({"send": lambda context: context.outputs[0].send(Odd())})
    with pytest.raises(GraphRuntimeError, match="ZeroDivisionError"):  # noqa: PT012 - either call tells
        graph.add("s", 0, 1)
        graph.wait_until_idle(30)
    graph.close()


# throttling


def _blocked(more: str = "", threads: int = 2) -> tuple[CalculatorGraph, threading.Event, list[int]]:
    free = threading.Event()
    seen: list[int] = []

    def process(context: Context) -> None:
        free.wait(20)
        seen.append(context.timestamp)

    graph = CalculatorGraph(
        f'input_stream: "a" max_queue_size: 2 {more}' + _lambda("a", "", "process"), threads=threads
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


TWO = 'input_stream: "a" input_stream: "b" max_queue_size: 3 %s ' + _lambda("a b", "", "process")


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


# pausing, cancelling, waiting


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
    before = threading.active_count()
    with CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b"), threads=3) as graph:
        graph.start()
        graph.add("a", 0, 1)
    assert graph.state == "terminated"
    assert threading.active_count() == before


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


# pollers and observers


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
    graph = CalculatorGraph('input_stream: "a"' + _lambda("a", "b", "fail"), threads=1)
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


# executors


def test_nodes_run_on_their_executor() -> None:
    names: dict[str, str] = {}

    def note(context: Context) -> None:
        names[context.node] = threading.current_thread().name
        for view in context.outputs:
            view.send(0)

    text = (
        'input_stream: "a" executor { name: "slow" options { [mediapipe.ThreadPoolExecutorOptions.ext] '
        "{ num_threads: 1 } } }" + _lambda("a", "b", "note") + _lambda("b", "", "note", 'executor: "slow"')
    )
    run_graph(text, {"a": [(1, 0)]}, {"note": note}, threads=1)
    assert names == {"LambdaCalculator_1": "pocketgraph-graph-0", "LambdaCalculator_2": "pocketgraph-slow-0"}


@pytest.mark.parametrize(
    ("text", "synchronous", "threads"),
    [
        ("", False, None),
        ("num_threads: 3", False, 3),
        ('executor { type: "ApplicationThreadExecutor" }', True, 0),
        ("executor { options { [mediapipe.ThreadPoolExecutorOptions.ext] { num_threads: 2 } } }", False, 2),
    ],
)
def test_the_number_of_threads(text: str, synchronous: bool, threads: int | None) -> None:
    graph = CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b") + text)
    assert graph.scheduler.synchronous == synchronous
    assert threads is None or graph.scheduler.executors[""].threads == threads


@pytest.mark.parametrize("text", ["num_threads: -1"])
def test_a_wrong_number_of_threads(text: str) -> None:
    with pytest.raises(GraphConfigError, match="-1 threads"):
        CalculatorGraph(text)
    with pytest.raises(UsageError, match="-2 threads"):
        CalculatorGraph("", threads=-2)


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


def test_a_graph_may_allow_any_number_in_flight() -> None:
    node = 'node { calculator: "PassThroughCalculator" input_stream: "a" output_stream: "b" max_in_flight: 2147483647 }'
    packets = [(time, time) for time in range(50)]
    for threads in (0, 4):
        result = run_graph('input_stream: "a" output_stream: "b" ' + node, {"a": packets}, threads=threads)
        assert result == {"b": packets}


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
