"""PreviousLoopback, FlowLimiter, BeginLoop and EndLoop, alone and in graphs."""

from __future__ import annotations

from typing import Any

import pytest

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph import CalculatorGraph, CalculatorRunner, Context, Packet
from pocketgraph.runtime.graph.packet import NOTHING
from pocketgraph.runtime.graph.testing import run_graph
from pocketgraph.runtime.graph.timestamp import MAX

THREADS = pytest.mark.parametrize("threads", [0, 2])
LOOPBACK = """
node {
  calculator: "PreviousLoopbackCalculator"
  input_stream: ["MAIN:in", "LOOP:out"]
  input_stream_info { tag_index: "LOOP" back_edge: true }
  output_stream: "PREV_LOOP:previous"
}
"""


def _loop(process: str, ins: str = '"in", "previous"') -> str:
    return (
        f'input_stream: "in" output_stream: "previous" output_stream: "out" {LOOPBACK} node {{ '
        f'calculator: "LambdaCalculator" input_stream: [{ins}] output_stream: "out" '
        f'input_side_packet: "PROCESS:{process}" '
        "options { [mediapipe.LambdaCalculatorOptions.ext] { offset: 0 } } }"
    )


def _sum(context: Context) -> None:
    before = context.inputs[1].value if context.inputs[1] else 0
    context.outputs[0].send(context.inputs[0].value + before)


@THREADS
def test_each_packet_meets_the_result_before(threads: int) -> None:
    found = run_graph(_loop("sum"), {"in": [(t, t) for t in range(1, 6)]}, {"sum": _sum}, threads=threads)
    assert found["out"] == [(1, 1), (2, 3), (3, 6), (4, 10), (5, 15)]
    assert found["previous"] == [(2, 1), (3, 3), (4, 6), (5, 10)]


def _odd(context: Context) -> None:
    if context.inputs[0] and context.inputs[0].value % 2:
        context.outputs[0].send(context.inputs[0].value)


@THREADS
def test_a_result_that_is_missing_only_moves_the_bound(threads: int) -> None:
    found = run_graph(_loop("odd"), {"in": [(t, t) for t in range(1, 6)]}, {"odd": _odd}, threads=threads)
    assert found["previous"] == [(2, 1), (4, 3)]


def test_the_first_packet_gives_a_bound() -> None:
    found = run_graph(_loop("odd"), {"in": [(10, 1)]}, {"odd": _odd}, bounds=True)
    assert found["previous"][0] == (10, NOTHING)


def test_a_bound_of_main_gives_a_bound() -> None:
    graph = CalculatorGraph(_loop("odd"), threads=0)
    seen: list[tuple[int, bool]] = []
    graph.observe("previous", lambda packet: seen.append((packet.timestamp, packet.empty)), bounds=True)
    graph.start({"odd": _odd})
    graph.add("in", 1, 1)
    graph.set_bound("in", 5)
    graph.add("in", 3, 5)
    assert seen == [(1, True), (4, True), (5, False)]
    graph.finish()


def test_a_packet_at_the_last_time_closes_the_loop() -> None:
    found = run_graph(_loop("sum"), {"in": [(1, 1), (MAX, 2)]}, {"sum": _sum})
    assert found["previous"] == [(MAX, 1)]


def test_loopback_needs_its_back_edge_marked() -> None:
    with pytest.raises(GraphConfigError, match="cycle without a back edge"):
        CalculatorGraph(_loop("sum").replace("back_edge: true", "back_edge: false"))


LIMITER = """
input_stream: ["in", "done"] output_stream: ["out", "allow"]
node {
  calculator: "FlowLimiterCalculator"
  input_stream: ["in", "FINISHED:done"]
  output_stream: ["out", "ALLOW:allow"]
  %s
}
"""


class Limited:
    def __init__(self, options: str = "", text: str = LIMITER, sides: dict[str, Any] | None = None) -> None:
        extension = f"options {{ [mediapipe.FlowLimiterCalculatorOptions.ext] {{ {options} }} }}" if options else ""
        self.graph = CalculatorGraph(text % extension, threads=0)
        self.out: list[Any] = []
        self.allow: list[tuple[int, bool]] = []
        self.graph.observe("out", lambda packet: self.out.append(packet.timestamp))
        self.graph.observe("allow", lambda packet: self.allow.append((packet.timestamp, packet.value)))
        self.graph.start(sides)

    def frames(self, *timestamps: int) -> Limited:
        for timestamp in timestamps:
            self.graph.add("in", f"frame {timestamp}", timestamp)
        return self

    def done(self, timestamp: int) -> Limited:
        self.graph.add("done", "done", timestamp)
        return self


def test_one_frame_is_in_flight_and_others_are_dropped() -> None:
    limited = Limited().frames(1, 2, 3).done(1).frames(4, 5)
    assert limited.out == [1, 4]
    assert limited.allow == [(1, True), (2, False), (3, False), (4, True), (5, False)]


def test_more_may_be_in_flight() -> None:
    assert Limited("max_in_flight: 2").frames(1, 2, 3).done(1).frames(4, 5).out == [1, 2, 4]


def test_a_side_packet_sets_the_number_in_flight() -> None:
    text = LIMITER.replace("%s", 'input_side_packet: "MAX_IN_FLIGHT:most" %s')
    assert Limited(text=text, sides={"most": 3}).frames(1, 2, 3, 4).out == [1, 2, 3]


def test_a_queue_keeps_the_newest() -> None:
    limited = Limited("max_in_queue: 1").frames(1, 2, 3)
    assert limited.out == [1]
    assert limited.allow == [(1, True), (2, False)]
    assert limited.done(1).out == [1, 3]
    assert limited.allow == [(1, True), (2, False), (3, True)]


def test_finishing_a_later_frame_finishes_earlier_ones() -> None:
    assert Limited("max_in_flight: 3").frames(1, 2, 3, 4).done(3).frames(5, 6, 7, 8).out == [1, 2, 3, 5, 6, 7]


def test_a_bound_of_finished_counts() -> None:
    limited = Limited().frames(1)
    limited.graph.set_bound("done", 2)
    assert limited.frames(3).out == [1, 3]


def test_a_lost_frame_times_out() -> None:
    limited = Limited("in_flight_timeout: 10").frames(1, 5, 11)
    assert limited.out == [1]
    assert limited.frames(12).out == [1, 12]


def test_further_inputs_follow_the_frames() -> None:
    text = """
    input_stream: ["in", "extra", "done"] output_stream: ["out", "extra_out"]
    node {
      calculator: "FlowLimiterCalculator"
      input_stream: ["in", "extra", "FINISHED:done"] output_stream: ["out", "extra_out"]
    }
    """
    found = run_graph(text, {"in": [(1, "a"), (2, "b")], "extra": [(1, "x"), (2, "y")]})
    assert found == {"out": [(1, "a")], "extra_out": [(1, "x")]}


def test_dropped_frames_settle_their_time() -> None:
    graph = CalculatorGraph(LIMITER % "", threads=0)
    seen: list[tuple[int, bool]] = []
    graph.observe("out", lambda packet: seen.append((packet.timestamp, packet.empty)), bounds=True)
    graph.start()
    for timestamp in (1, 2):
        graph.add("in", 0, timestamp)
    assert seen == [(1, False), (2, True)]
    graph.finish()


@THREADS
def test_a_limited_loop_ends(threads: int) -> None:
    text = """
    input_stream: "in" output_stream: "out"
    node {
      calculator: "FlowLimiterCalculator"
      input_stream: ["in", "FINISHED:out"]
      input_stream_info { tag_index: "FINISHED" back_edge: true }
      output_stream: "some"
    }
    node { calculator: "PassThroughCalculator" input_stream: "some" output_stream: "out" }
    """
    found = run_graph(text, {"in": [(t, t) for t in range(20)]}, threads=threads)["out"]
    assert found[0] == (0, 0)
    assert threads or found == [(t, t) for t in range(20)]


def test_the_limiter_needs_outputs_for_inputs() -> None:
    with pytest.raises(GraphConfigError, match="2 data inputs, but 1 data outputs"):
        CalculatorRunner(
            'calculator: "FlowLimiterCalculator" input_stream: ["a", "b", "FINISHED:c"] output_stream: "d"'
        )


ITEMS = """
input_stream: ["in", "clone"] output_stream: "out"
node {
  calculator: "BeginLoopCalculator" input_stream: ["ITERABLE:in", "CLONE:clone"]
  output_stream: ["ITEM:item", "CLONE:clone_item", "BATCH_END:end"]
}
node {
  calculator: "LambdaCalculator" input_stream: ["item", "clone_item"] output_stream: "result"
  input_side_packet: "PROCESS:process"
  options { [mediapipe.LambdaCalculatorOptions.ext] { offset: 0 } }
}
node { calculator: "EndLoopCalculator" input_stream: ["ITEM:result", "BATCH_END:end"] output_stream: "ITERABLE:out" }
"""


def _times(context: Context) -> None:
    item, clone = context.inputs
    if item and item.value is not None:
        context.outputs[0].send(item.value * (clone.value if clone else 1))


@pytest.mark.parametrize(
    ("lists", "clones", "results"),
    [
        ([(5, [1, 2])], [(5, 10)], [(5, [10, 20])]),
        ([(5, [1]), (6, [2, 3])], [(5, 10), (6, 100)], [(5, [10]), (6, [200, 300])]),
        ([(5, []), (6, [2])], [(5, 10), (6, 10)], [(6, [20])]),
        ([(6, [2])], [(5, 10), (6, 10)], [(6, [20])]),
        ([(5, [1, 2])], [], [(5, [1, 2])]),
        ([(5, [None, 2, None])], [(5, 10)], [(5, [20])]),
        ([(5, [None]), (7, [None, 4])], [(5, 10), (7, 1)], [(7, [4])]),
    ],
)
@THREADS
def test_lists_are_taken_apart_and_put_together(lists: Any, clones: Any, results: Any, threads: int) -> None:
    found = run_graph(ITEMS, {"in": lists, "clone": clones}, {"process": _times}, threads=threads)
    assert found["out"] == results


@pytest.mark.parametrize("items", [[], [1]])
def test_each_list_settles_its_time_at_once(items: list[int]) -> None:
    graph = CalculatorGraph(ITEMS, threads=0)
    seen: list[tuple[int, bool]] = []
    graph.observe("out", lambda packet: seen.append((packet.timestamp, packet.empty)), bounds=True)
    graph.start({"process": _times})
    graph.add("in", items, 5)
    graph.add("clone", 1, 5)
    assert seen == [(5, not items)]
    graph.set_bound("in", 9)
    graph.set_bound("clone", 9)
    assert seen[-1] == (8, True)
    graph.finish()


def test_loop_times_count_on() -> None:
    runner = CalculatorRunner(
        'calculator: "BeginLoopCalculator" input_stream: "ITERABLE:in" output_stream: ["ITEM:i", "BATCH_END:e"]'
    )
    found = runner.run({"in": [(10, "ab"), Packet([], 20), (30, "c")]})
    assert found["i"] == [(0, "a"), (1, "b"), (3, "c")]
    assert found["e"] == [(1, 10), (2, 20), (3, 30)]


def test_clones_in_and_out_are_as_many() -> None:
    with pytest.raises(GraphConfigError, match="as many CLONE"):
        CalculatorRunner(
            'calculator: "BeginLoopCalculator" input_stream: ["ITERABLE:a", "CLONE:b"] '
            'output_stream: ["ITEM:c", "BATCH_END:d"]'
        )


@pytest.mark.parametrize("kind", ["Detection", "NormalizedRect", "Matrix"])
def test_typed_names_are_the_same_calculator(kind: str) -> None:
    text = ITEMS.replace("BeginLoopC", f"BeginLoop{kind}C").replace("EndLoopC", f"EndLoop{kind}C")
    assert run_graph(text, {"in": [(1, [3])], "clone": [(1, 2)]}, {"process": _times})["out"] == [(1, [6])]
