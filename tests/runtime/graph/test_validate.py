"""Validation: what is refused before a graph runs, and what the message names."""

from __future__ import annotations

import pytest

from pocketgraph.models.errors import GraphConfigError, UsageError
from pocketgraph.runtime.graph import (
    Calculator,
    Context,
    Input,
    Output,
    SideInput,
    SideOutput,
    parse_text,
    register,
    validate,
)
from pocketgraph.runtime.graph import testing as _  # noqa: F401 - registers the doubles
from pocketgraph.runtime.graph.registry import isolated, known_names
from pocketgraph.runtime.graph.subgraphs import node_names


def _pass(source: str, target: str, more: str = "") -> str:
    return f'node {{ calculator: "PassThroughCalculator" input_stream: "{source}" output_stream: "{target}" {more} }}'


MERGE = 'node { calculator: "MergeCalculator" input_stream: "%s" input_stream: "%s" output_stream: "%s" %s }'
BACK = "input_stream_info { tag_index: ':%d' back_edge: true }"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_pass("a", "b"), 'input stream "a" of node "PassThroughCalculator" .* has no producer'),
        (
            'input_stream: "a"' + _pass("a", "b") + _pass("a", "b"),
            'output stream "b" is defined twice, by node "PassThroughCalculator_1" .* and by node "PassThroughCalcu',
        ),
        ('input_stream: "a"' + _pass("a", "a"), 'output stream "a" is defined twice, by the graph\'s inputs and by'),
        ('input_stream: "a" input_stream: "a"', "defined twice, both times by the graph's inputs"),
        ('input_stream: "a" output_stream: "z"', 'output stream "z" of the graph has no producer'),
        ('output_side_packet: "z"', 'output side packet "z" of the graph has no producer'),
        (_pass("a", "b") + _pass("b", "a"), "cycle without a back edge: .*PassThroughCalculator_1.* -> .*_2"),
        (_pass("a", "a"), r"cycle without a back edge: .*PassThroughCalculator.* -> .*; mark one stream"),
        (
            'input_stream: "a"' + _pass("a", "b") + _pass("b", "c", BACK % 0),
            'marked as a back edge, but its producer, node "PassThroughCalculator_1"',
        ),
        ('input_stream: "a"' + _pass("a", "b", "input_stream_info { tag_index: 'X' }"), 'names "X", which is none of'),
        (
            'input_stream: "a"' + _pass("a", "b", "input_stream_info { tag_index: ':0' } " * 2),
            "more than one input_stream_info",
        ),
        ('input_stream: "a"' + _pass("a", "b", "input_stream_info { tag_index: 'x:y' }"), "input_stream_info: "),
        ('node { calculator: "NoSuch" } node { calculator: "NorThis" }', 'registered as "NoSuch".*nor are NorThis'),
        ('node { calculator: "GateCalculater" }', "near it: GateCalculator"),
        ('input_stream: "a" executor { name: "default" }', '"default" is a reserved executor name'),
        ('executor { name: "gpu" }', '"gpu" is a reserved executor name'),
        ('executor { name: "x" } executor { name: "x" }', 'executor "x" is declared twice'),
        ('executor { name: "x" type: "Quick" }', 'unknown type "Quick"'),
        ('executor { type: "ThreadPoolExecutor" } num_threads: 2', "num_threads of the graph cannot be set too"),
        ('input_stream: "a"' + _pass("a", "b", "executor: 'x'"), 'runs on (the )?executor "x", which the graph'),
        ('input_stream: "a"' + _pass("a", "b", "executor: 'gpu'"), "reserved executor name"),
        ('input_stream: "A"', "input streams of the graph"),
        ('input_stream: "a"' + _pass("a", "T:b"), "inputs .* and outputs .* must have the same tags"),
        ('input_stream: "a"' + _pass("a", "B"), 'output streams of node "PassThroughCalculator"'),
        ('input_stream: "a"' + _pass("a", "b", "max_in_flight: -1"), "max_in_flight -1"),
        ('packet_generator { packet_generator: "X" }', "has a packet_generator"),
        ('status_handler { status_handler: "X" }', "has a status_handler"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(GraphConfigError, match=message):
        validate(parse_text(text))


def test_nodes_are_put_in_the_order_of_their_streams() -> None:
    plan = validate(parse_text('input_stream: "a"' + _pass("c", "d") + _pass("a", "b") + _pass("b", "c")))
    assert [node.contract.inputs.names() for node in plan.nodes] == [["a"], ["b"], ["c"]]


def test_nodes_that_do_not_wait_keep_the_order_of_the_file() -> None:
    plan = validate(parse_text('input_stream: "a"' + "".join(_pass("a", f"b{i}") for i in range(20))))
    assert [node.contract.outputs.names() for node in plan.nodes] == [[f"b{i}"] for i in range(20)]


def test_side_packets_order_nodes_too() -> None:
    text = """
        node { calculator: "LambdaCalculator" input_side_packet: "late" }
        node { calculator: "LambdaCalculator" output_side_packet: "late" }
    """
    assert [node.name for node in validate(parse_text(text)).nodes] == ["LambdaCalculator_2", "LambdaCalculator_1"]


def test_a_marked_cycle_is_good() -> None:
    plan = validate(parse_text('input_stream: "a"' + MERGE % ("a", "c", "b", BACK % 1) + _pass("b", "c")))
    assert plan.nodes[0].back_edges == {1}


def test_node_names() -> None:
    config = parse_text('node { calculator: "A" } node { calculator: "B" name: "x" } node { calculator: "A" }')
    assert node_names(config) == ["A_1", "x", "A_2"]


def test_names_in_packages() -> None:
    for name in ("mediapipe.PassThroughCalculator", "::mediapipe::PassThroughCalculator"):
        text = _pass("a", "b").replace("PassThroughCalculator", name)
        assert validate(parse_text(f'package: "some.where" input_stream: "a" {text}')).nodes


def test_unknown_calculators_can_be_allowed() -> None:
    text = 'input_stream: "a" node { calculator: "NoSuch" input_stream: "a" output_stream: "X:b" }' + _pass("b", "c")
    assert validate(parse_text(text), allow_unknown=True).unknown == ["NoSuch"]


def test_types_must_fit() -> None:
    with isolated():

        @register("GivesText")
        class GivesText(Calculator):
            given = Input("", int)
            text = Output("", str)
            side = SideOutput("SIDE", str, optional=True)

            def process(self, context: Context) -> None:
                context[self.text].send("x")

        @register("TakesNumber")
        class TakesNumber(Calculator):
            number = Input("", (int, float))
            side = SideInput("SIDE", int, optional=True)

        gives = 'input_stream: "a" node { calculator: "GivesText" input_stream: "a" output_stream: "b" %s }'
        takes = 'node { calculator: "TakesNumber" input_stream: "%s" %s }'
        with pytest.raises(
            GraphConfigError,
            match=r'stream "b" holds str from node "GivesText" .*"TakesNumber" .* takes int or float',
        ):
            validate(parse_text(gives % "" + takes % ("b", "")))
        with pytest.raises(GraphConfigError, match='stream "c" holds str'):
            validate(parse_text(gives % "" + _pass("b", "c") + takes % ("c", "")))
        side = 'output_side_packet: "SIDE:s"', 'input_side_packet: "SIDE:s"'
        with pytest.raises(GraphConfigError, match='side packet "s" holds str'):
            validate(parse_text(gives % side[0] + takes % ("a", side[1])))


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ('input_stream: "A:a"', 'needs output stream "B"'),
        ('output_stream: "B:b"', 'needs input stream "A"'),
        ('input_stream: "A:a" output_stream: "B:b" input_stream: "C:a"', "has no input stream C:0:a; it has input st"),
        ('input_stream: "A:a" output_stream: "B:b" input_stream: "A:1:a"', "has no input stream A:1:a"),
    ],
)
def test_ports_are_held_to(streams: str, message: str) -> None:
    with isolated():

        @register("Two")
        class Two(Calculator):
            a = Input("A", int)
            b = Output("B", int)

        with pytest.raises(GraphConfigError, match=message):
            validate(parse_text(f'input_stream: "a" node {{ calculator: "Two" {streams} }}'))


def test_a_registered_name_cannot_be_taken() -> None:
    with pytest.raises(UsageError, match=r'the name "GateCalculator" is taken by .*Gate'):
        register("GateCalculator")(type("Other", (Calculator,), {}))
    with pytest.raises(UsageError, match="needs the name"):
        register()
    assert "GateCalculator" in known_names()
    assert "SwitchContainer" in known_names()


def test_ports_are_inherited_and_replaced() -> None:
    class Base(Calculator):
        a = Input("A", int)
        b = Output("B", int)

    class Derived(Base):
        a = Input("OTHER", int)

    assert {port.tag for port in Derived.ports} == {"OTHER", "B"}
    assert {port.tag for port in Base.ports} == {"A", "B"}
