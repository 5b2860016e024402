"""The gate: each of its controls, its state changes, its bounds."""

from __future__ import annotations

from typing import Any

import pytest

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph import CalculatorGraph, CalculatorRunner
from pocketgraph.runtime.graph.packet import NOTHING
from pocketgraph.runtime.graph.testing import run_graph

DATA = [(1, "a"), (2, "b"), (3, "c")]


def _gate(control: str = "", **options: Any) -> CalculatorRunner:
    return CalculatorRunner(
        f'calculator: "GateCalculator" input_stream: "in" output_stream: "out" output_stream: "STATE_CHANGE:change" '
        f"{control}",
        **options,
    )


@pytest.mark.parametrize(("tag", "values"), [("ALLOW", [True, False, True]), ("DISALLOW", [False, True, False])])
def test_a_stream_controls_each_packet(tag: str, values: list[bool]) -> None:
    control = list(enumerate(values, 1))
    found = _gate(f'input_stream: "{tag}:control"').run({"in": DATA, "control": control})
    assert found == {"out": [(1, "a"), (3, "c")], "change": [(2, False), (3, True)]}


@pytest.mark.parametrize(("tag", "value", "passes"), [
    ("ALLOW", True, True), ("ALLOW", False, False), ("DISALLOW", True, False), ("DISALLOW", False, True),
])  # fmt: skip
def test_a_side_packet_controls_the_run(tag: str, value: bool, passes: bool) -> None:
    found = _gate(f'input_side_packet: "{tag}:control"').run({"in": DATA}, {"control": value})
    assert found == {"out": DATA if passes else [], "change": []}


@pytest.mark.parametrize("allow", [True, False, None])
def test_the_option_controls_where_nothing_else_does(allow: bool | None) -> None:
    options = {} if allow is None else {"allow": allow}
    assert _gate(**options).run({"in": DATA})["out"] == (DATA if allow else [])


@pytest.mark.parametrize("tag", ["ALLOW", "DISALLOW"])
@pytest.mark.parametrize("empty_as_allow", [True, False])
def test_a_time_without_control(tag: str, empty_as_allow: bool) -> None:
    gate = _gate(f'input_stream: "{tag}:control"', empty_packets_as_allow=empty_as_allow)
    found = gate.run({"in": DATA, "control": [(2, tag == "ALLOW")]})
    assert found["out"] == (DATA if empty_as_allow else [(2, "b")])


@pytest.mark.parametrize(("initial", "changes"), [("GATE_ALLOW", [(1, False)]), ("GATE_DISALLOW", []), (None, [])])
def test_the_first_state_may_count_as_a_change(initial: str | None, changes: list[tuple[int, bool]]) -> None:
    options = {} if initial is None else {"initial_gate_state": initial}
    found = _gate('input_stream: "ALLOW:control"', **options).run({"in": DATA, "control": [(1, False)]})
    assert found["change"] == changes


def test_several_streams_are_controlled_together() -> None:
    gate = CalculatorRunner(
        'calculator: "GateCalculator" input_stream: ["a", "b", "ALLOW:c"] output_stream: ["x", "y"]'
    )
    found = gate.run({"a": DATA, "b": [(2, 2)], "c": [(1, False), (2, True), (3, False)]})
    assert found == {"x": [(2, "b")], "y": [(2, 2)]}


def test_a_closed_gate_settles_its_outputs() -> None:
    text = 'input_stream: "in" input_stream: "c" output_stream: "out" node { calculator: "GateCalculator" '
    text += 'input_stream: ["in", "ALLOW:c"] output_stream: "out" }'
    found = run_graph(text, {"in": DATA, "c": [(1, False), (2, True)]}, bounds=True)
    assert found["out"][:2] == [(1, NOTHING), (2, "b")]


def test_a_gate_that_never_opens_ends_its_outputs() -> None:
    text = 'input_stream: "in" node { calculator: "GateCalculator" input_stream: "in" output_stream: "out" '
    graph = CalculatorGraph(text + 'input_side_packet: "ALLOW:allow" }', threads=0)
    poller = graph.poller("out")
    graph.start({"allow": False})
    graph.add("in", "x", 1)
    assert poller.next() is None
    graph.close()


def test_headers_pass_the_gate() -> None:
    text = 'input_stream: "in" node { calculator: "GateCalculator" input_stream: "in" output_stream: "out" }'
    graph = CalculatorGraph(text, threads=0)
    poller = graph.poller("out")
    graph.start(headers={"in": "header"})
    assert poller.stream.header.value == "header"
    graph.close()


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ('input_stream: ["a", "ALLOW:b", "DISALLOW:c"] output_stream: "o"', "only one of ALLOW and DISALLOW"),
        ('input_stream: ["a", "ALLOW:b"] input_side_packet: "ALLOW:c" output_stream: "o"', "only one of ALLOW"),
        ('input_stream: "a" input_side_packet: ["ALLOW:b", "DISALLOW:c"] output_stream: "o"', "only one of ALLOW"),
        ('input_stream: ["a", "b"] output_stream: "o"', "2 data inputs, but 1 data outputs"),
    ],
)
def test_wrong_wirings(streams: str, message: str) -> None:
    with pytest.raises(GraphConfigError, match=message):
        CalculatorRunner(f'calculator: "GateCalculator" {streams}')
