"""Subgraphs: names, edges, optional inputs, nesting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph import parse_text, register_subgraph
from pocketgraph.runtime.graph.registry import isolated
from pocketgraph.runtime.graph.subgraphs import expand
from pocketgraph.runtime.graph.testing import run_graph

DOUBLE = """
type: "TwoSteps"
input_stream: "INPUT:in"
output_stream: "OUTPUT:out"
node { calculator: "PassThroughCalculator" input_stream: "in" output_stream: "middle" }
node { calculator: "PassThroughCalculator" input_stream: "middle" output_stream: "out" }
"""


@pytest.fixture(autouse=True)
def _names() -> Iterator[None]:
    with isolated():
        register_subgraph("TwoSteps", parse_text(DOUBLE))
        yield


def _using(name: str, inputs: str = '"INPUT:a"', output: str = "OUTPUT:b", more: str = "") -> str:
    return f'node {{ calculator: "{name}" input_stream: [{inputs}] output_stream: "{output}" {more} }}'


def test_names_inside_get_the_nodes_name() -> None:
    config = expand(parse_text('input_stream: "a"' + _using("TwoSteps")))
    assert [node.name for node in config.node] == [
        "twosteps__PassThroughCalculator_1",
        "twosteps__PassThroughCalculator_2",
    ]
    assert [list(node.input_stream) for node in config.node] == [["a"], ["twosteps__middle"]]
    assert [list(node.output_stream) for node in config.node] == [["twosteps__middle"], ["b"]]


def test_two_uses_are_kept_apart() -> None:
    text = 'input_stream: "a" output_stream: "c"' + _using("TwoSteps") + _using("TwoSteps", '"INPUT:b"', "OUTPUT:c")
    config = expand(parse_text(text))
    assert len({node.name for node in config.node}) == 4
    assert run_graph(config, {"a": [(1, "x"), (2, "y")]}) == {"c": [(1, "x"), (2, "y")]}


def test_a_given_name_is_the_prefix() -> None:
    config = expand(parse_text('input_stream: "a"' + _using("TwoSteps", more='name: "My.Node 1"')))
    assert config.node[0].output_stream[0] == "my_node_1__middle"


def test_subgraphs_nest() -> None:
    outer = 'input_stream: "INPUT:a" output_stream: "OUTPUT:b"' + _using("TwoSteps")
    register_subgraph("Outer", parse_text(outer))
    config = expand(parse_text('input_stream: "a"' + _using("Outer")))
    assert config.node[0].output_stream[0] == "outer__twosteps__middle"
    assert not any(node.calculator == "TwoSteps" for node in config.node)


def test_inputs_nobody_connects_vanish_inside() -> None:
    register_subgraph(
        "Optional",
        parse_text("""
        input_stream: "A:a" input_stream: "B:b" output_stream: "OUTPUT:c" input_side_packet: "ALLOW:allow"
        node {
          calculator: "MergeCalculator"
          input_stream: "b" input_stream: "a" output_stream: "merged"
        }
        node {
          calculator: "GateCalculator" input_stream: "merged" output_stream: "c" input_side_packet: "ALLOW:allow"
          options { [mediapipe.GateCalculatorOptions.ext] { allow: true } }
        }
    """),
    )
    config = expand(parse_text('input_stream: "x" output_stream: "b"' + _using("Optional", '"A:x"')))
    assert list(config.node[0].input_stream) == ["x"]
    assert not config.node[1].input_side_packet
    assert run_graph(config, {"x": [(1, 1)]}) == {"b": [(1, 1)]}


def test_outputs_nobody_reads_keep_their_inner_name() -> None:
    register_subgraph(
        "Two",
        parse_text("""
        input_stream: "INPUT:a" output_stream: "OUTPUT:b" output_stream: "MORE:c"
        node { calculator: "PassThroughCalculator" input_stream: ["a", "a"] output_stream: ["b", "c"] }
    """),
    )
    config = expand(parse_text('input_stream: "a"' + _using("Two")))
    assert list(config.node[0].output_stream) == ["b", "two__c"]


def test_indexed_edges_are_matched() -> None:
    register_subgraph(
        "Indexed",
        parse_text("""
        input_stream: "INPUT:0:first" input_stream: "INPUT:1:second" output_stream: "OUTPUT:b"
        node { calculator: "MergeCalculator" input_stream: ["second", "first"] output_stream: "b" }
    """),
    )
    text = 'input_stream: "p" input_stream: "q" output_stream: "b"' + _using("Indexed", '"INPUT:0:p", "INPUT:1:q"')
    assert run_graph(parse_text(text), {"p": [(1, "p")], "q": [(1, "q")]}) == {"b": [(1, "q")]}


def test_a_function_may_make_the_graph_from_the_node() -> None:
    def make(node: object) -> object:
        steps = int(node.name.removeprefix("steps_"))  # type: ignore[attr-defined]
        nodes = "".join(
            f'node {{ calculator: "PassThroughCalculator" input_stream: "s{i}" output_stream: "s{i + 1}" }}'
            for i in range(steps)
        )
        return parse_text(f'input_stream: "INPUT:s0" output_stream: "OUTPUT:s{steps}" {nodes}')

    register_subgraph("Steps", make)
    assert len(expand(parse_text('input_stream: "a"' + _using("Steps", more='name: "steps_7"'))).node) == 7


def test_side_packets_cross_the_edge() -> None:
    register_subgraph(
        "Constant",
        parse_text("""
        output_side_packet: "VALUE:v"
        node {
          calculator: "ConstantSidePacketCalculator" output_side_packet: "PACKET:v"
          options { [mediapipe.ConstantSidePacketCalculatorOptions.ext] { packet { int_value: 3 } } }
        }
    """),
    )
    config = expand(parse_text('node { calculator: "Constant" output_side_packet: "VALUE:outside" }'))
    assert list(config.node[0].output_side_packet) == ["PACKET:outside"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_using("TwoSteps", '"WRONG:a"'), 'input streams of subgraph node TwoSteps: tag "WRONG" does not exist'),
        (_using("TwoSteps", output="WRONG:b"), 'output streams of subgraph node TwoSteps: tag "WRONG"'),
        (_using("TwoSteps", '"INPUT:0:a", "INPUT:1:a"'), "has 2 indexes in the node, 1 inside"),
        (_using("TwoSteps", more="source_layer: 1"), "source_layer, which only calculators"),
        (_using("TwoSteps", more="input_stream_info { tag_index: 'INPUT' }"), "input_stream_info, which only"),
    ],
)
def test_wrong_uses(text: str, message: str) -> None:
    with pytest.raises(GraphConfigError, match=message):
        expand(parse_text('input_stream: "a"' + text))


def test_a_graph_that_contains_itself_is_refused() -> None:
    register_subgraph("Endless", parse_text('input_stream: "INPUT:a" output_stream: "OUTPUT:b"' + _using("Endless")))
    with pytest.raises(GraphConfigError, match='"Endless" does not end'):
        expand(parse_text('input_stream: "a"' + _using("Endless")))


def test_the_given_configuration_stays_as_it_is() -> None:
    config = parse_text('input_stream: "a"' + _using("TwoSteps"))
    expand(config)
    assert len(config.node) == 1
