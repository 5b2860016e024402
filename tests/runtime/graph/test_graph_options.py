"""Options of a graph, handed down to its nodes by `option_value`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph import OptionsSpec, parse_text, register_subgraph, to_text
from pocketgraph.runtime.graph.registry import isolated
from pocketgraph.runtime.graph.subgraphs import expand
from pocketgraph.runtime.graph.testing import run_graph

Detector = OptionsSpec("""
message DetectorOptions extends CalculatorOptions at 500000077
  message Limits
    int32 most = 1
  int32 shown = 1
  bool allow = 2 default false
  Limits limits = 3
  repeated int32 sizes = 4
""")
INNER = """
type: "Shortened"
input_stream: "IN:items"
output_stream: "OUT:some"
graph_options { [type.googleapis.com/mediapipe.DetectorOptions] { shown: 3 } }
node {
  calculator: "ClipVectorSizeCalculator" input_stream: "items" output_stream: "clipped" option_value: "%s"
  options { [mediapipe.ClipVectorSizeCalculatorOptions.ext] { max_vec_size: 1 } }
}
node {
  calculator: "GateCalculator" input_stream: "clipped" output_stream: "some" option_value: "allow:options/allow"
  node_options { [type.googleapis.com/mediapipe.GateCalculatorOptions] { allow: true } }
}
"""
OUTER = """
input_stream: "in"
node { calculator: "Shortened" input_stream: "IN:in" output_stream: "OUT:out" %s }
"""
OPTIONS = "node_options { [type.googleapis.com/mediapipe.DetectorOptions] { %s } }"
ITEMS = [1, 2, 3, 4]


@pytest.fixture(autouse=True)
def _names() -> Iterator[None]:
    with isolated():
        register_subgraph("Shortened", parse_text(INNER % "max_vec_size:options/shown"))
        register_subgraph("Nested", parse_text(INNER % "max_vec_size:options/limits/most"))
        register_subgraph(
            "Around",
            parse_text(
                """
                type: "Around" input_stream: "IN:in" output_stream: "OUT:out"
                graph_options { [type.googleapis.com/mediapipe.DetectorOptions] {} }
                node {
                  calculator: "Shortened" input_stream: "IN:in" output_stream: "OUT:out" option_value: "OPTIONS:options"
                  node_options { [type.googleapis.com/mediapipe.DetectorOptions] { shown: 2 allow: true } }
                }
                """
            ),
        )
        yield


def _out(outer: str) -> list[list[int]]:
    found = run_graph(outer + 'output_stream: "out"', {"in": [(1, ITEMS)]})
    return [value for _, value in found["out"]]


def test_a_node_overrides_what_the_graph_says_and_the_node_inside_says() -> None:
    assert _out(OUTER % "") == [[1, 2, 3]]
    assert _out(OUTER % (OPTIONS % "shown: 2")) == [[1, 2]]
    assert _out(OUTER % "options { [mediapipe.DetectorOptions.ext] { shown: 2 } }") == [[1, 2]]
    assert _out(OUTER % (OPTIONS % "shown: 2 allow: false")) == []


def test_fields_of_fields_are_reached_and_what_is_not_set_is_left_alone() -> None:
    nested = OUTER.replace("Shortened", "Nested")
    assert _out(nested % "") == [[1]]
    assert _out(nested % (OPTIONS % "limits { most: 4 }")) == [ITEMS]


def test_all_options_are_handed_through_a_graph_in_between() -> None:
    around = OUTER.replace("Shortened", "Around")
    assert _out(around % "") == [[1, 2]]
    assert _out(around % (OPTIONS % "shown: 4")) == [ITEMS]
    assert _out(around % (OPTIONS % "shown: 4 allow: false")) == []


def test_a_graph_at_the_top_hands_down_too() -> None:
    top = INNER.replace('type: "Shortened"', "") % "max_vec_size:options/shown"
    assert run_graph(top, {"items": [(1, ITEMS)]}) == {"some": [(1, [1, 2, 3])]}
    assert "option_value" not in to_text(expand(parse_text(top)))
    assert "option_value" in to_text(parse_text(top))


@pytest.mark.parametrize(("value", "message"), [
    ("max_vec_size:options/none", 'DetectorOptions has no field "none"; it has shown, allow, limits, sizes'),
    ("none:options/shown", 'ClipVectorSizeCalculatorOptions has no field "none"'),
    ("max_vec_size:shown", 'values come from "options", not from "shown"'),
    ("max_vec_size:options", "a field must be named"),
    ("max_vec_size", "values come from"),
    ("max_vec_size:options/shown/deeper", '"shown" has no fields'),
    ("OPTIONS:options/shown", "takes all the options, not one field"),
    ("max_vec_size:options/sizes", "does not fit"),
])  # fmt: skip
def test_what_cannot_be_handed_down_names_the_node(value: str, message: str) -> None:
    with pytest.raises(GraphConfigError, match=f'node "ClipVectorSizeCalculator": option_value.*{message}'):
        expand(parse_text(INNER.replace("shown: 3", "shown: 3 sizes: 1") % value))


def test_option_values_need_graph_options() -> None:
    text = INNER.replace("graph_options { [type.googleapis.com/mediapipe.DetectorOptions] { shown: 3 } }", "")
    with pytest.raises(GraphConfigError, match="needs graph_options with one message, not 0"):
        expand(parse_text(text % "max_vec_size:options/shown"))
    unknown = INNER.replace("mediapipe.DetectorOptions", "mediapipe.NobodysOptions").replace("shown: 3", "")
    with pytest.raises(GraphConfigError, match="nobody has described"):
        expand(parse_text(unknown % "max_vec_size:options/shown"))
