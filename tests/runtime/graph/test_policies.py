"""Input policies, each through a node that notes which packets it is given together."""

from __future__ import annotations

from typing import Any

import pytest

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.graph import CalculatorGraph, Context, Packet
from pocketgraph.runtime.graph import testing as _  # noqa: F401 - registers the doubles
from pocketgraph.runtime.graph.policies import register_policy
from pocketgraph.runtime.graph.special_policies import Barrier
from pocketgraph.runtime.graph.timestamp import DONE, MAX, POST_STREAM, PRE_STREAM

Calls = list[tuple[int, tuple[Any, ...]]]


class Noted:
    """A graph of one node with inputs a, b, c; `calls` has the timestamp and the values of each call, None for none."""

    def __init__(self, policy: str = "", *, names: str = "abc", bounds: bool = False, threads: int = 0) -> None:
        self.calls: Calls = []
        inputs = "".join(f'input_stream: "{name}" ' for name in names)
        handler = f"input_stream_handler {{ {policy} }}" if policy else ""
        options = f"options {{ [mediapipe.LambdaCalculatorOptions.ext] {{ process_bounds: {str(bounds).lower()} }} }}"
        self.graph = CalculatorGraph(
            f'{inputs} node {{ calculator: "LambdaCalculator" {inputs} {handler} {options} '
            'input_side_packet: "PROCESS:process" input_side_packet: "CLOSE:close" }',
            threads=threads,
        )
        self.closed = False
        self.graph.start({"process": self._process, "close": self._close})

    def _process(self, context: Context) -> None:
        self.calls.append((context.timestamp, tuple(view.value if view else None for view in context.inputs)))

    def _close(self, context: Context) -> None:  # noqa: ARG002
        self.closed = True

    def add(self, stream: str, *timestamps: int) -> Noted:
        for timestamp in timestamps:
            self.graph.add(stream, f"{stream}{timestamp}", timestamp)
        self.graph.wait_until_idle()
        return self

    def bound(self, stream: str, timestamp: int) -> Noted:
        self.graph.set_bound(stream, timestamp)
        self.graph.wait_until_idle()
        return self

    def close(self, stream: str) -> Noted:
        self.graph.close_input(stream)
        if self.graph.state == "running":
            self.graph.wait_until_idle()
        return self

    def took(self) -> Calls:
        calls, self.calls = self.calls, []
        return calls


def _handler(name: str, options: str = "") -> str:
    return f'input_stream_handler: "{name}" {options and "options { " + options + " }"}'


IMMEDIATE = _handler("ImmediateInputStreamHandler")


def test_default_waits_until_a_time_is_settled_everywhere() -> None:
    node = Noted()
    assert node.add("a", 10).add("b", 10).took() == []
    assert node.add("c", 20).took() == [(10, ("a10", "b10", None))]
    assert node.bound("a", 20).took() == []
    assert node.bound("a", 21).bound("b", 21).took() == [(20, (None, None, "c20"))]


def test_default_takes_packets_in_ascending_order_and_drops_none() -> None:
    node = Noted(names="ab")
    node.add("a", 1, 3, 5, 7)
    assert node.add("b", 2, 5).took() == [(1, ("a1", None)), (2, (None, "b2")), (3, ("a3", None)), (5, ("a5", "b5"))]
    assert node.close("b").took() == [(7, ("a7", None))]


def test_default_closes_when_all_streams_are_done() -> None:
    node = Noted(names="ab")
    assert not node.close("a").closed
    assert node.close("b").closed


@pytest.mark.parametrize("special", [PRE_STREAM, POST_STREAM])
def test_default_takes_lone_special_packets(special: int) -> None:
    node = Noted(names="ab")
    node.graph.add("a", "x", special)
    assert node.took() == []
    first = [(special, ("x", None))] if special == PRE_STREAM else []
    assert node.add("b", 10).took() == [*first, (10, (None, "b10"))]


def test_default_with_bounds_is_called_once_for_each_settled_time() -> None:
    node = Noted(names="ab", bounds=True)
    assert node.bound("a", 5).took() == []
    assert node.bound("b", 8).took() == [(4, (None, None))]
    assert node.add("a", 6).took() == [(6, ("a6", None))]
    assert node.add("b", 8).took() == []
    assert node.bound("a", 9).took() == [(8, (None, "b8"))]
    assert node.bound("a", 9).bound("b", 9).took() == []


def test_immediate_takes_each_packet_as_it_comes() -> None:
    node = Noted(IMMEDIATE)
    assert node.add("a", 10).took() == [(10, ("a10", None, None))]
    assert node.add("c", 5).took() == [(5, (None, None, "c5"))]
    assert node.add("b", 10).took() == [(10, (None, "b10", None))]


def test_immediate_gives_what_lies_at_one_time_together() -> None:
    node = Noted(IMMEDIATE, names="ab")
    node.graph.pause()
    for stream, timestamp in (("a", 1), ("b", 1), ("b", 2), ("a", 3)):
        node.graph.add(stream, f"{stream}{timestamp}", timestamp)
    node.graph.resume()
    node.graph.wait_until_idle()
    # the first call was due before b came
    assert node.took() == [(1, ("a1", None)), (1, (None, "b1")), (2, (None, "b2")), (3, ("a3", None))]


def test_immediate_calls_once_when_a_stream_ends() -> None:
    node = Noted(IMMEDIATE, names="ab")
    assert node.close("a").took() == [(PRE_STREAM, (None, None))]
    assert not node.closed
    assert node.close("b").closed


def test_immediate_with_bounds_sees_each_settled_time() -> None:
    node = Noted(IMMEDIATE, names="ab", bounds=True)
    assert node.bound("a", 5).took() == [(4, (None, None))]
    assert node.bound("b", 3).took() == [(2, (None, None))]
    assert node.add("a", 5).took() == [(5, ("a5", None))]
    assert node.close("a").took() == [(MAX, (None, None))]
    assert node.close("b").took() == [(MAX, (None, None))]
    assert node.closed


@pytest.mark.parametrize(("options", "groups"), [("sync_set { tag_index: ':0' tag_index: ':1' }", "ab|c"), ("", "abc")])
def test_sync_sets_are_read_apart(options: str, groups: str) -> None:
    extension = f"[mediapipe.SyncSetInputStreamHandlerOptions.ext] {{ {options} }}"
    node = Noted(_handler("SyncSetInputStreamHandler", extension))
    node.add("c", 5)
    assert node.took() == ([(5, (None, None, "c5"))] if groups == "ab|c" else [])
    node.add("a", 10)
    assert node.took() == []
    node.add("b", 10)
    assert node.took() == ([(10, ("a10", "b10", None))] if groups == "ab|c" else [(5, (None, None, "c5"))])


def test_sync_sets_close_when_all_are_done() -> None:
    extension = "[mediapipe.SyncSetInputStreamHandlerOptions.ext] { sync_set { tag_index: ':0' } }"
    node = Noted(_handler("SyncSetInputStreamHandler", extension), names="ab")
    assert not node.close("a").closed
    assert node.add("b", 1).took() == [(1, (None, "b1"))]
    assert node.close("b").closed


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ("sync_set { tag_index: ':7' }", "no input stream"),
        ("sync_set { }", "is empty"),
        ("sync_set { tag_index: ':0' } sync_set { tag_index: ':0' }", "more than one sync_set"),
    ],
)
def test_wrong_sync_sets(sets: str, message: str) -> None:
    with pytest.raises(GraphConfigError, match=message):
        Noted(_handler("SyncSetInputStreamHandler", f"[mediapipe.SyncSetInputStreamHandlerOptions.ext] {{ {sets} }}"))


def _fixed(trigger: int, target: int, *, fixed_min: bool = False) -> str:
    return _handler(
        "FixedSizeInputStreamHandler",
        "[mediapipe.FixedSizeInputStreamHandlerOptions.ext] { "
        f"trigger_queue_size: {trigger} target_queue_size: {target} fixed_min_size: {str(fixed_min).lower()} }}",
    )


def _paused(node: Noted, *added: tuple[str, int]) -> Calls:
    """What is taken when all of `added` comes while the node is busy with a packet at 0 on each stream."""
    node.graph.pause()
    for stream in node.graph.input_names():
        node.graph.add(stream, "first", 0)
    for stream, timestamp in added:
        node.graph.add(stream, f"{stream}{timestamp}", timestamp)
    node.graph.resume()
    node.graph.wait_until_idle()
    return node.took()[1:]


def test_fixed_size_keeps_the_newest() -> None:
    calls = _paused(Noted(_fixed(2, 1), names="a"), *(("a", timestamp) for timestamp in range(1, 10)))
    assert calls == [(9, ("a9",))]


def test_fixed_size_cuts_all_streams_at_one_time() -> None:
    added = [(stream, timestamp) for timestamp in range(1, 7) for stream in "ab"]
    assert _paused(Noted(_fixed(2, 1), names="ab"), *added) == [(6, ("a6", "b6"))]


def test_fixed_size_leaves_queues_below_the_trigger() -> None:
    added = [("a", timestamp) for timestamp in range(1, 4)]
    assert [call[0] for call in _paused(Noted(_fixed(5, 3), names="a"), *added)] == [1, 2, 3]
    assert [call[0] for call in _paused(Noted(_fixed(3, 2), names="a"), *added)] == [2, 3]


def test_fixed_min_size_waits_for_all_queues() -> None:
    node = Noted(_fixed(3, 1, fixed_min=True), names="ab")
    calls = _paused(node, *(("a", timestamp) for timestamp in range(1, 9)), ("b", 8))
    assert [call[0] for call in calls] == list(range(1, 9))


BARRIER = _handler("BarrierInputStreamHandler")


def test_barrier_waits_for_one_packet_each_whatever_its_time() -> None:
    node = Noted(BARRIER)
    node.add("a", 10, 20).add("b", 5)
    assert node.took() == []
    assert node.add("c", 99).took() == [(5, ("a10", "b5", "c99"))]
    assert node.add("b", 6).add("c", 100).took() == [(6, ("a20", "b6", "c100"))]


def test_barrier_closes_with_the_first_stream_that_is_done() -> None:
    assert Noted(BARRIER).add("a", 10).close("b").closed


EARLY = _handler("EarlyCloseInputStreamHandler")


def test_early_close_is_default_until_a_stream_is_done() -> None:
    node = Noted(EARLY, names="ab")
    node.add("a", 1, 2)
    assert node.add("b", 1).took() == [(1, ("a1", "b1"))]
    node.close("b")
    assert node.closed
    assert node.took() == []


def test_early_close_works_off_what_waits_on_a_done_stream() -> None:
    node = Noted(EARLY, names="ab")
    node.add("b", 5).close("b")
    assert not node.closed
    assert node.add("a", 5).took() == [(5, ("a5", "b5"))]
    assert node.closed


MUX = _handler("MuxInputStreamHandler")


def _select(node: Noted, number: int, timestamp: int) -> Noted:
    node.graph.add("c", number, timestamp)
    return node


def test_mux_waits_for_the_selected_stream_alone() -> None:
    node = Noted(MUX)
    node.add("a", 10)
    assert _select(node, 0, 10).took() == [(10, ("a10", None, 0))]
    assert _select(node, 1, 20).took() == []
    assert node.add("b", 20).took() == [(20, (None, "b20", 1))]


def test_mux_drops_what_was_not_selected() -> None:
    node = Noted(MUX)
    node.add("a", 1, 2, 3).add("b", 3)
    assert _select(node, 1, 3).took() == [(3, (None, "b3", 1))]
    assert all(size == 0 for size in node.graph.queue_sizes().values())


@pytest.mark.parametrize("later", ["packet", "bound", "close"])
def test_mux_passes_a_time_without_a_packet(later: str) -> None:
    node = Noted(MUX)
    _select(node, 0, 10)
    assert node.took() == []
    if later == "packet":
        node.add("a", 11)
    elif later == "bound":
        node.bound("a", 11)
    else:
        node.close("a")
    assert node.took() == [(10, (None, None, 0))]


def test_mux_closes_with_its_control() -> None:
    assert Noted(MUX).add("a", 10).close("c").closed


@pytest.mark.parametrize("number", [2, -1, "x"])
def test_mux_refuses_a_selection_that_is_none(number: object) -> None:
    node = Noted(MUX)
    with pytest.raises(GraphRuntimeError, match="selects input"):
        node.graph.add("c", number, 10)


ALIGN = _handler(
    "TimestampAlignInputStreamHandler",
    "[mediapipe.TimestampAlignInputStreamHandlerOptions.ext] { timestamp_base_tag_index: ':0' }",
)


def test_align_shifts_streams_onto_the_base() -> None:
    node = Noted(ALIGN, names="ab")
    node.add("b", 1000)
    node.add("a", 5)
    assert node.took() == [(5, ("a5", "b1000"))]
    node.add("a", 6)
    assert node.add("b", 1001).took() == [(6, ("a6", "b1001"))]
    assert node.add("b", 1003).took() == []
    assert node.add("a", 9).took() == [(8, (None, "b1003"))]


def test_align_takes_the_base_alone_until_the_others_began() -> None:
    node = Noted(ALIGN, names="ab")
    assert node.add("a", 5, 6).took() == [(5, ("a5", None)), (6, ("a6", None))]
    node.add("b", 1000)
    assert node.add("a", 7).took() == [(7, ("a7", "b1000"))]


def test_align_needs_its_base() -> None:
    with pytest.raises(GraphConfigError, match='no input stream "X"'):
        Noted(ALIGN.replace(":0", "X"), names="ab")


def test_an_unknown_policy_is_named() -> None:
    with pytest.raises(GraphConfigError, match='unknown input policy "NoSuchHandler"; there are DefaultInput'):
        Noted(_handler("NoSuchHandler"))


def test_a_policy_name_cannot_be_taken_twice() -> None:
    with pytest.raises(GraphConfigError, match="registered twice"):
        register_policy("BarrierInputStreamHandler")(Barrier)


def test_the_graphs_policy_holds_for_nodes_without_one() -> None:
    calls: Calls = []

    def process(context: Context) -> None:
        calls.append((context.timestamp, ()))

    graph = CalculatorGraph(
        'input_stream: "a" input_stream: "b" input_stream_handler { input_stream_handler: '
        '"ImmediateInputStreamHandler" } node { calculator: "LambdaCalculator" input_stream: "a" input_stream: "b" '
        'input_side_packet: "PROCESS:process" }',
        threads=0,
    )
    graph.start({"process": process})
    graph.add("a", 1, 1)
    assert calls == [(1, ())]
    graph.close()


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("policy", ["", BARRIER, EARLY, IMMEDIATE])
def test_every_policy_closes_on_every_number_of_threads(policy: str, threads: int) -> None:
    node = Noted(policy, names="ab", threads=threads)
    node.graph.add("a", 1, 1)
    node.graph.add_packet("b", Packet(1, 1))
    node.graph.finish(timeout=30)
    assert node.closed
    assert (1, (1, 1)) in node.calls or policy == IMMEDIATE
    assert node.graph.scheduler.nodes[0].inputs[0].bound == DONE
