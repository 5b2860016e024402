"""The other core calculators: merging, selecting, vectors, side packets, resampling, switching."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.calculators import core
from pocketgraph.runtime.graph import Calculator, CalculatorGraph, CalculatorRunner, parse_text, register_subgraph
from pocketgraph.runtime.graph.packet import NOTHING
from pocketgraph.runtime.graph.registry import isolated
from pocketgraph.runtime.graph.testing import run_graph
from pocketgraph.runtime.graph.timestamp import MAX, POST_STREAM, PRE_STREAM

CALCULATORS = [getattr(core, name) for name in core.__all__ if isinstance(getattr(core, name), type)]


@pytest.mark.parametrize("calculator", CALCULATORS, ids=lambda calculator: calculator.__name__)
def test_the_example_of_each_page_is_a_node_of_it(calculator: type[Calculator]) -> None:
    page = calculator.__doc__ or ""
    head, _, example = page.partition("Example:")
    assert len(head.strip()) > 60
    (node,) = parse_text(example).node
    assert node.calculator == calculator.registered_name
    runner = CalculatorRunner(node) if not node.input_stream_info else None
    assert runner is None or runner.graph.plan.nodes[0].contract.calculator is calculator


def _run(node: str, inputs: Any = None, sides: Any = None, **options: Any) -> dict[str, list[tuple[int, Any]]]:
    return CalculatorRunner(node, **options).run(inputs, sides)


# pass through, merge, mux


def test_pass_through_keeps_tags() -> None:
    node = 'calculator: "PassThroughCalculator" input_stream: ["A:a", "B:0:b", "B:1:c"] '
    node += 'output_stream: ["A:x", "B:0:y", "B:1:z"]'
    found = _run(node, {"a": [(1, 1)], "b": [(1, 2)], "c": [(2, 3)]})
    assert found == {"x": [(1, 1)], "y": [(1, 2)], "z": [(2, 3)]}


def test_pass_through_passes_side_packets() -> None:
    runner = CalculatorRunner(
        'calculator: "PassThroughCalculator" input_side_packet: ["a", "B:b"] output_side_packet: ["x", "B:y"]'
    )
    runner.run(None, {"a": 1, "b": 2})
    assert runner.side_outputs == {"x": 1, "y": 2}


MERGE = 'calculator: "MergeCalculator" input_stream: ["a", "b", "c"] output_stream: "o"'


@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        ({"a": [(1, "a")], "b": [(1, "b")], "c": [(1, "c")]}, [(1, "a")]),
        ({"c": [(1, "c")], "b": [(1, "b")]}, [(1, "b")]),
        ({"a": [(3, "a")], "b": [(2, "b")], "c": [(1, "c")]}, [(1, "c"), (2, "b"), (3, "a")]),
        ({}, []),
    ],
)
def test_merge_takes_the_first(inputs: Any, output: Any) -> None:
    assert _run(MERGE, inputs) == {"o": output}


MUX = 'calculator: "MuxCalculator" input_stream: ["INPUT:0:a", "INPUT:1:b"%s] output_stream: "OUTPUT:o" %s'


@pytest.mark.parametrize("policy", ["MuxInputStreamHandler", "DefaultInputStreamHandler", ""])
def test_mux_selects_by_stream(policy: str) -> None:
    handler = f'input_stream_handler {{ input_stream_handler: "{policy}" }}' if policy else ""
    found = _run(
        MUX % (', "SELECT:s"', handler),
        {"a": [(1, "a1"), (2, "a2"), (3, "a3")], "b": [(1, "b1"), (3, "b3")], "s": [(1, 0), (2, 1), (3, 1)]},
    )
    assert found == {"o": [(1, "a1"), (3, "b3")]}


@pytest.mark.parametrize(("select", "output"), [(0, [(1, "a")]), (1, [(2, "b")])])
def test_mux_selects_by_side_packet(select: int, output: Any) -> None:
    node = MUX % ("", 'input_side_packet: "SELECT:s"')
    assert _run(node, {"a": [(1, "a")], "b": [(2, "b")]}, {"s": select}) == {"o": output}


def test_mux_refuses_what_it_cannot_select() -> None:
    with pytest.raises(GraphRuntimeError, match="SELECT is 5, but there are 2 inputs"):
        _run(MUX % ("", 'input_side_packet: "SELECT:s"'), {"a": [(1, 1)]}, {"s": 5})
    for both in ("", 'input_side_packet: "SELECT:s"'):
        with pytest.raises(GraphConfigError, match="SELECT as a stream or as a side packet"):
            CalculatorRunner(MUX % (', "SELECT:t"' if both else "", both))


def test_immediate_mux_drops_what_is_late() -> None:
    text = """
    input_stream: ["a", "b"] output_stream: ["o", "seen"]
    node {
      calculator: "ImmediateMuxCalculator" input_stream: ["a", "b"] output_stream: ["o", "seen"]
      input_stream_handler { input_stream_handler: "ImmediateInputStreamHandler" }
    }
    """
    graph = CalculatorGraph(text, threads=0)
    seen: list[Any] = []
    graph.observe("o", lambda packet: seen.append(packet.value))
    graph.start()
    for stream, timestamp in (("a", 5), ("b", 3), ("b", 6), ("a", 6), ("a", 7)):
        graph.add(stream, f"{stream}{timestamp}", timestamp)
    graph.finish()
    assert seen == ["a5", "b6", "a7"]


# vectors


@pytest.mark.parametrize(
    ("ranges", "options", "outputs"),
    [
        ([(0, 1), (1, 3)], {}, {"x": [(1, [0])], "y": [(1, [1, 2])]}),
        ([(0, 1), (3, 4)], {"element_only": True}, {"x": [(1, 0)], "y": [(1, 3)]}),
        ([(0, 2), (1, 3)], {}, {"x": [(1, [0, 1])], "y": [(1, [1, 2])]}),
    ],
)
def test_split(ranges: Any, options: Any, outputs: Any) -> None:
    node = 'calculator: "SplitVectorCalculator" input_stream: "a" output_stream: ["x", "y"]'
    options["ranges"] = [{"begin": begin, "end": end} for begin, end in ranges]
    assert _run(node, {"a": [(1, [0, 1, 2, 3])]}, **options) == outputs


def test_split_can_combine() -> None:
    node = 'calculator: "SplitFloatVectorCalculator" input_stream: "a" output_stream: "x"'
    ranges = [{"begin": 3, "end": 4}, {"begin": 0, "end": 2}]
    assert _run(node, {"a": [(1, [0, 1, 2, 3])]}, ranges=ranges, combine_outputs=True) == {"x": [(1, [3, 0, 1])]}


@pytest.mark.parametrize(
    ("ranges", "options", "message"),
    [
        ([], {}, "ranges says nothing"),
        ([(1, 1)], {}, "ends after it begins"),
        ([(-1, 1)], {}, "begins at 0"),
        ([(0, 2)], {"element_only": True}, "each range has one element"),
        ([(0, 2), (1, 3)], {"combine_outputs": True}, "must not overlap"),
        ([(0, 2), (2, 3)], {}, "1 outputs for 2 ranges"),
    ],
)
def test_wrong_ranges(ranges: Any, options: Any, message: str) -> None:
    options["ranges"] = [{"begin": begin, "end": end} for begin, end in ranges]
    with pytest.raises(GraphConfigError, match=message):
        CalculatorRunner('calculator: "SplitVectorCalculator" input_stream: "a" output_stream: "x"', **options)


def test_split_refuses_a_short_list() -> None:
    with pytest.raises(GraphRuntimeError, match="a list of 1 came, ranges reach to 3"):
        _run(
            'calculator: "SplitVectorCalculator" input_stream: "a" output_stream: "x"',
            {"a": [(1, [0])]},
            ranges=[{"begin": 0, "end": 3}],
        )


@pytest.mark.parametrize(
    ("inputs", "all_needed", "output"),
    [
        ({"a": [(1, [1, 2])], "b": [(1, [3])]}, False, [(1, [1, 2, 3])]),
        ({"a": [(1, [1, 2])], "b": [(1, 3)]}, False, [(1, [1, 2, 3])]),
        ({"a": [(1, [1])], "b": [(2, [3])]}, False, [(1, [1]), (2, [3])]),
        ({"a": [(1, [1])], "b": [(2, [3])]}, True, []),
        ({"a": [(1, [])], "b": [(1, [])]}, True, [(1, [])]),
    ],
)
def test_concatenate(inputs: Any, all_needed: bool, output: Any) -> None:
    node = 'calculator: "ConcatenateVectorCalculator" input_stream: ["a", "b"] output_stream: "o"'
    assert _run(node, inputs, only_emit_if_all_present=all_needed) == {"o": output}


@pytest.mark.parametrize(("most", "kept"), [(1, [0]), (2, [0, 1]), (9, [0, 1, 2])])
@pytest.mark.parametrize("by_side", [True, False])
def test_clip(most: int, kept: list[int], by_side: bool) -> None:
    node = 'calculator: "ClipDetectionVectorSizeCalculator" input_stream: "a" output_stream: "o"'
    if by_side:
        found = _run(node + ' input_side_packet: "n"', {"a": [(1, [0, 1, 2])]}, {"n": most})
    else:
        found = _run(node, {"a": [(1, [0, 1, 2])]}, max_vec_size=most)
    assert found == {"o": [(1, kept)]}


def test_clip_keeps_at_least_one() -> None:
    node = 'calculator: "ClipVectorSizeCalculator" input_stream: "a" output_stream: "o"'
    with pytest.raises(GraphConfigError, match="at least 1, not 0"):
        CalculatorRunner(node, max_vec_size=0)


@pytest.mark.parametrize(("index", "lenient", "output"), [(1, False, [(1, "b")]), (5, True, [])])
def test_get_item(index: int, lenient: bool, output: Any) -> None:
    node = 'calculator: "GetVectorItemCalculator" input_stream: "VECTOR:v" output_stream: "ITEM:i"'
    assert _run(node, {"v": [(1, ["a", "b"])]}, item_index=index, output_empty_on_oob=lenient) == {"i": output}
    by_stream = node.replace('"VECTOR:v"', '["VECTOR:v", "INDEX:n"]')
    assert _run(by_stream, {"v": [(1, ["a", "b"])], "n": [(1, index)]}, output_empty_on_oob=lenient) == {"i": output}


def test_get_item_refuses_an_index_outside() -> None:
    node = 'calculator: "GetVectorItemCalculator" input_stream: "VECTOR:v" output_stream: "ITEM:i"'
    with pytest.raises(GraphRuntimeError, match="item 7 of a list of 1"):
        _run(node, {"v": [(1, [0])]}, item_index=7)
    with pytest.raises(GraphConfigError, match="INDEX or the option item_index"):
        CalculatorRunner(node)


# side packets


@pytest.mark.parametrize(
    ("tag", "time"), [("AT_PRESTREAM", PRE_STREAM), ("AT_ZERO", 0), ("AT_POSTSTREAM", POST_STREAM)]
)
def test_side_packets_into_streams_once(tag: str, time: int) -> None:
    node = (
        f'calculator: "SidePacketToStreamCalculator" input_side_packet: ["a", "b"] '
        f'output_stream: ["{tag}:0:x", "{tag}:1:y"]'
    )
    assert _run(node, None, {"a": 1, "b": 2}) == {"x": [(time, 1)], "y": [(time, 2)]}


def test_side_packets_into_streams_at_ticks_and_times() -> None:
    node = 'calculator: "SidePacketToStreamCalculator" input_stream: "TICK:t" input_side_packet: "a" '
    assert _run(node + 'output_stream: "AT_TICK:x"', {"t": [(3, 0), (5, 0)]}, {"a": 1}) == {"x": [(3, 1), (5, 1)]}
    node = 'calculator: "SidePacketToStreamCalculator" input_side_packet: ["a", "TIMESTAMP:t"] '
    assert _run(node + 'output_stream: "AT_TIMESTAMP:x"', None, {"a": 1, "t": 42}) == {"x": [(42, 1)]}


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ('input_side_packet: "a" output_stream: ["AT_ZERO:x", "AT_PRESTREAM:y"]', "one tag of AT_"),
        ('input_side_packet: "a" output_stream: "AT_TICK:x"', "AT_TICK and TICK"),
        ('input_side_packet: "a" output_stream: "AT_TIMESTAMP:x"', "TIMESTAMP belong together"),
        ('input_side_packet: ["a", "b"] output_stream: "AT_ZERO:x"', "1 outputs for 2 side packets"),
    ],
)
def test_wrong_side_packets_into_streams(streams: str, message: str) -> None:
    with pytest.raises(GraphConfigError, match=message):
        CalculatorRunner(f'calculator: "SidePacketToStreamCalculator" {streams}')


def test_a_stream_becomes_a_side_packet() -> None:
    runner = CalculatorRunner('calculator: "StreamToSidePacketCalculator" input_stream: "a" output_side_packet: "s"')
    runner.run({"a": [(5, "x")]})
    assert runner.side_outputs == {"s": "x"}
    with pytest.raises(GraphRuntimeError, match="a second packet came"):
        runner.run({"a": [(5, "x"), (6, "y")]})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("int_value", 3),
        ("int64_value", 2**40),
        ("uint64_value", 2**63),
        ("float_value", 0.5),
        ("double_value", 0.1),
        ("bool_value", False),
        ("string_value", "x"),
    ],
)
def test_constant_side_packets(field: str, value: Any) -> None:
    runner = CalculatorRunner(
        'calculator: "ConstantSidePacketCalculator" output_side_packet: "PACKET:p"', packet=[{field: value}]
    )
    runner.run()
    assert runner.side_outputs == {"p": value}


def test_constant_lists_and_several_packets() -> None:
    node = 'calculator: "ConstantSidePacketCalculator" output_side_packet: ["PACKET:0:p", "PACKET:1:q"]'
    runner = CalculatorRunner(
        node, packet=[{"int_vector_value": {"int_value": [1, 2]}}, {"string_vector_value": {"string_value": ["a"]}}]
    )
    runner.run()
    assert runner.side_outputs == {"p": [1, 2], "q": ["a"]}
    with pytest.raises(GraphConfigError, match="2 output side packets for 1 values"):
        CalculatorRunner(node, packet=[{"int_value": 1}])
    with pytest.raises(GraphConfigError, match="has 0 values, not one"):
        CalculatorRunner(node, packet=[{"int_value": 1}, {}])


@pytest.mark.parametrize("text_mode", [True, False])
def test_file_contents(tmp_path: Path, text_mode: bool) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("cat\n")
    runner = CalculatorRunner(
        'calculator: "LocalFileContentsCalculator" input_side_packet: "FILE_PATH:f" output_side_packet: "CONTENTS:c"',
        text_mode=text_mode,
    )
    runner.run(None, {"f": str(file)})
    assert runner.side_outputs == {"c": "cat\n" if text_mode else b"cat\n"}
    with pytest.raises(GraphRuntimeError, match=r"nowhere\.txt cannot be read"):
        runner.run(None, {"f": tmp_path / "nowhere.txt"})


# presence, cloning, resampling


def test_presence() -> None:
    text = """
    input_stream: ["a", "b"] output_stream: "p"
    node {
      calculator: "GateCalculator" input_stream: ["a", "ALLOW:b"] output_stream: "c"
    }
    node { calculator: "PacketPresenceCalculator" input_stream: "PACKET:c" output_stream: "PRESENCE:p" }
    """
    found = run_graph(text, {"a": [(1, 1), (2, 2)], "b": [(1, True), (2, False)]})
    assert found["p"] == [(1, True), (2, False)]


@pytest.mark.parametrize(
    ("options", "output"),
    [
        ({}, [(1, NOTHING), (4, "x2"), (5, "x2"), (7, "x6")]),
        ({"output_only_when_all_inputs_received": True}, [(4, "x2"), (5, "x2"), (7, "x6")]),
    ],
)
def test_cloning(options: dict[str, bool], output: Any) -> None:
    runner = CalculatorRunner(
        'calculator: "PacketClonerCalculator" input_stream: ["a", "TICK:t"] output_stream: "o"', **options
    )
    found = runner.run({"a": [(2, "x2"), (6, "x6")], "t": [(1, 0), (4, 0), (5, 0), (7, 0)]})
    assert found == {"o": [item for item in output if item[1] is not NOTHING]}


RESAMPLER = 'calculator: "PacketResamplerCalculator" input_stream: "DATA:a" output_stream: "DATA:o"'


def _resampled(times: list[int], side: str | None = None, **options: Any) -> list[tuple[int, int]]:
    node = RESAMPLER + (' input_side_packet: "SEED:seed"' if side else "")
    return _run(node, {"a": [(t, t) for t in times]}, {"seed": side} if side else None, **options)["o"]


@pytest.mark.parametrize(
    ("times", "options", "output"),
    [
        ([], {"frame_rate": 30}, []),
        ([0], {"frame_rate": 30}, [(0, 0)]),
        ([12345], {"frame_rate": 30}, [(12345, 12345)]),
        ([0, 16000], {"frame_rate": 30}, [(0, 0)]),
        ([0, 17000], {"frame_rate": 30}, [(0, 0), (33333, 17000)]),
        ([0, 16000, 32000, 48000, 64000], {"frame_rate": 30}, [(0, 0), (33333, 32000), (66667, 64000)]),
        ([0, 100000], {"frame_rate": 30}, [(0, 0), (33333, 0), (66667, 0), (100000, 100000)]),
        ([0, 10, 20], {"frame_rate": 30}, [(0, 0)]),
        ([0, 17000], {"frame_rate": 30, "flush_last_packet": False}, [(0, 0)]),
        ([0, 500000, 1000000], {"frame_rate": 1}, [(0, 0), (1000000, 1000000)]),
        ([7, 20], {"frame_rate": 100000, "base_timestamp": 0}, [(10, 7), (20, 20)]),
        ([-7, 3], {"frame_rate": 100000, "base_timestamp": 0}, [(-10, -7), (0, 3)]),
        ([0, 40, 80, 120], {"frame_rate": 25000, "start_time": 40, "end_time": 120}, [(40, 40), (80, 80)]),
        ([0, 40, 80, 120], {"frame_rate": 25000, "start_time": 50, "end_time": 90}, [(80, 80)]),
        (
            [0, 40, 80, 120],
            {"frame_rate": 25000, "start_time": 50, "end_time": 90, "round_limits": True},
            [(40, 40), (80, 80)],
        ),
        ([0, 50, 100], {"frame_rate": 100000, "max_frame_rate": 20000}, [(0, 0), (50, 50), (100, 100)]),
    ],
)
def test_resampling(times: list[int], options: Any, output: Any) -> None:
    assert _resampled(times, **options) == output


@pytest.mark.parametrize("options", [{}, {"jitter_with_reflection": True}, {"reproducible_sampling": True}])
def test_jitter(options: dict[str, bool]) -> None:
    generator = random.Random(3)  # noqa: S311 - a fixed sample
    times = sorted(generator.sample(range(1_000_000), 400))
    found = _resampled(times, "seed", frame_rate=50, jitter=0.4, **options)
    assert found == _resampled(times, "seed", frame_rate=50, jitter=0.4, **options)
    assert found != _resampled(times, "other", frame_rate=50, jitter=0.4, **options)
    assert 45 <= len(found) <= 52
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(found)]
    assert min(gaps) > 0
    assert all(abs(value - time) < 25_000 for time, value in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "frame_rate is above 0"),
        ({"frame_rate": 0}, "frame_rate is above 0"),
        ({"frame_rate": 2e6}, "at most 1000000"),
        ({"frame_rate": 1, "jitter": 1.5}, "jitter lies between 0 and 1"),
        ({"frame_rate": 1, "jitter": 0.5}, "jitter needs the side packet SEED"),
        ({"frame_rate": 1, "use_input_frame_rate": True}, "video headers"),
    ],
)
def test_wrong_resampling(options: Any, message: str) -> None:
    with pytest.raises(GraphConfigError, match=message):
        CalculatorRunner(RESAMPLER, **options)


# switching


@pytest.fixture
def _halves() -> Iterator[None]:
    with isolated():
        for name, process in (("Double", "double"), ("Negate", "negate")):
            register_subgraph(
                name,
                parse_text(f"""
                input_stream: "IN:in" output_stream: "OUT:out" input_side_packet: "FUNCTION:function_{process}"
                node {{
                  calculator: "LambdaCalculator" input_stream: "in" output_stream: "out"
                  input_side_packet: "PROCESS:function_{process}"
                  options {{ [mediapipe.LambdaCalculatorOptions.ext] {{ offset: 0 }} }}
                }}
            """),
            )
        yield


def _switch(control: str, options: str = "") -> str:
    return f"""
    input_stream: "in" output_stream: "out"
    node {{
      calculator: "SwitchContainer" input_stream: "IN:in" output_stream: "OUT:out" {control}
      options {{ [mediapipe.SwitchContainerOptions.ext] {{
        {options} contained_node {{ calculator: "PassThroughCalculator" }} contained_node {{ calculator: "Shift" }}
      }} }}
    }}
    """


@pytest.fixture
def _shift() -> Iterator[None]:
    from pocketgraph.runtime.graph import Context, Input, Output, register

    with isolated():

        @register("Shift")
        class Shift(Calculator):
            given = Input[Any]("IN")
            made = Output[Any]("OUT")
            offset = 0

            def process(self, context: Context) -> None:
                context[self.made].send(context[self.given].value + 100)

        register_subgraph(
            "PassThroughCalculatorIn",
            parse_text("""
            input_stream: "IN:in" output_stream: "OUT:out"
            node { calculator: "PassThroughCalculator" input_stream: "in" output_stream: "out" }
        """),
        )
        yield


def _switching(control: str, options: str = "") -> str:
    return _switch(control, options).replace('"PassThroughCalculator"', '"PassThroughCalculatorIn"')


FOUR = [(t, t) for t in range(1, 5)]


@pytest.mark.usefixtures("_shift")
@pytest.mark.parametrize(
    ("control", "options", "sides", "shifted"),
    [
        ("", "", {}, False),
        ("", "select: 1", {}, True),
        ("", "enable: true", {}, True),
        ('input_side_packet: "SELECT:s"', "", {"s": 1}, True),
        ('input_side_packet: "ENABLE:s"', "", {"s": False}, False),
        ('input_side_packet: "ENABLE:s"', "", {"s": True}, True),
    ],
)
@pytest.mark.parametrize("threads", [0, 2])
def test_a_switch_that_stays(control: str, options: str, sides: Any, shifted: bool, threads: int) -> None:
    found = run_graph(_switching(control, options), {"in": FOUR}, sides, threads=threads)
    assert found == {"out": [(t, t + 100 * shifted) for t, _ in FOUR]}


@pytest.mark.usefixtures("_shift")
@pytest.mark.parametrize(("tag", "values"), [("SELECT", [0, 1, 1, 0]), ("ENABLE", [False, True, True, False])])
@pytest.mark.parametrize("threads", [0, 2])
def test_a_switch_that_is_switched(tag: str, values: list[Any], threads: int) -> None:
    text = 'input_stream: "control"' + _switching(f'input_stream: "{tag}:control"')
    control = [(t, value) for (t, _), value in zip(FOUR, values, strict=True)]
    found = run_graph(text, {"control": control, "in": FOUR}, threads=threads)
    assert found["out"] == [(1, 1), (2, 102), (3, 103), (4, 4)]


@pytest.mark.usefixtures("_shift")
@pytest.mark.parametrize(
    ("control", "options", "message"),
    [
        ("", "select: 1 enable: true", "only one of the options"),
        ('input_side_packet: ["SELECT:s", "ENABLE:t"]', "", "only one of SELECT and ENABLE"),
    ],
)
def test_wrong_switches(control: str, options: str, message: str) -> None:
    with pytest.raises(GraphConfigError, match=message):
        CalculatorGraph(_switching(control, options))


def test_the_last_time_is_no_presence() -> None:
    node = 'calculator: "PacketPresenceCalculator" input_stream: "PACKET:a" output_stream: "PRESENCE:p"'
    assert _run(node, {"a": [(1, 1)]})["p"][0] == (1, True)
    assert all(timestamp < MAX for timestamp, _ in _run(node, {"a": [(1, 1)]})["p"])


def test_a_switch_without_anything_to_switch_is_refused() -> None:
    text = 'output_stream: "out" node { calculator: "SwitchContainer" output_stream: "out" }'
    with pytest.raises(GraphConfigError, match="no contained_node"):
        CalculatorGraph(text)


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("half", ["SwitchMuxCalculator", "SwitchDemuxCalculator"])
def test_half_a_switch_without_input_streams_comes_to_its_end(half: str, threads: int) -> None:
    assert run_graph(f'node {{ calculator: "{half}" output_stream: "x" }}', threads=threads) == {}
