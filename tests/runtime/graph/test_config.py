"""Graph files: text and binary, known and unknown options, damage, and the builder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pocketgraph.models.errors import FormatError, GraphConfigError
from pocketgraph.runtime.calculators.core.gate import Gate
from pocketgraph.runtime.graph import (
    GraphBuilder,
    OptionsSpec,
    parse_binary,
    parse_text,
    read_graph,
    to_text,
    validate,
    write_graph,
)
from pocketgraph.runtime.graph.testing import run_graph
from pocketgraph.runtime.graph.unread import unread_names

KNOWN = """
input_stream: "a"
node {
  calculator: "GateCalculator"
  input_stream: "a"
  output_stream: "b"
  options { [mediapipe.GateCalculatorOptions.ext] { allow: true } }
}
"""
UNKNOWN = """
input_stream: "IMAGE:a"  # a comment with [brackets] { and "quotes
node {
  calculator: "Elsewhere"
  input_stream: "a"
  output_stream: "b"
  options: {
    [some.where.Options.ext]: {
      text: "a \\"quoted\\" } brace"  # and [another.ext] { here
      list: [1, 2, 3]
      [some.inner.ext] { deep: < x: 1.5e3 > }
    }
    [some.scalar.ext]: 17
  }
  node_options: {
    [type.googleapis.com/some.where.AnyOptions] { name: 'x' value: -1 }
  }
}
"""


def test_known_options_are_read_from_an_extension() -> None:
    config = parse_text(KNOWN)
    assert Gate.Options is not None
    assert Gate.Options.read(config.node[0]).allow
    assert not Gate.Options.read(config.node[0]).empty_packets_as_allow


def test_known_options_are_read_from_an_any() -> None:
    text = KNOWN.replace(
        "options { [mediapipe.GateCalculatorOptions.ext]",
        "node_options { [type.googleapis.com/mediapipe.GateCalculatorOptions]",
    )
    config = parse_text(text)
    assert Gate.Options is not None
    assert Gate.Options.read(config.node[0]).allow
    assert parse_text(to_text(config)) == config


@pytest.mark.parametrize("text", [KNOWN, UNKNOWN])
def test_text_survives_text_and_binary(text: str) -> None:
    config = parse_text(text)
    assert parse_text(to_text(config)) == config
    assert parse_binary(config.SerializeToString()) == config
    assert parse_text(to_text(parse_binary(config.SerializeToString()))) == config


def test_unknown_options_stay_as_they_were_written() -> None:
    text = to_text(parse_text(UNKNOWN))
    for part in ('text: "a \\"quoted\\" } brace"', "[some.inner.ext] { deep: < x: 1.5e3 > }", "list: [1, 2, 3]"):
        assert part in text
    assert "[some.scalar.ext]: 17" in text
    assert "[type.googleapis.com/some.where.AnyOptions] { name: 'x' value: -1 }" in text
    assert unread_names(parse_text(UNKNOWN)) == ["some.where.Options.ext", "some.scalar.ext"]


def test_unknown_options_of_a_binary_file_survive_text() -> None:
    config = parse_text(KNOWN.replace("GateCalculator", "Elsewhere").replace("mediapipe.ElsewhereOptions", "x.y"))
    config.node[0].options.Clear()
    # field 12345678 of wire type 2, which nobody describes
    unknown = bytes([0xF2, 0xB2, 0xB3, 0x2F, 0x02, 0x08, 0x01])
    config.node[0].options.MergeFromString(unknown)
    binary = config.SerializeToString()
    assert unknown in binary
    text = to_text(parse_binary(binary))
    assert "unread_bytes" in text
    assert parse_text(text).SerializeToString() == binary


def test_options_described_after_reading_are_understood() -> None:
    config = parse_text('node { calculator: "X" }')
    # extension 400000001, field 1 = 7
    config.node[0].options.MergeFromString(bytes([0x8A, 0xC0, 0xF0, 0xF5, 0x0B, 0x02, 0x08, 0x07]))
    late = OptionsSpec("message LateOptions extends CalculatorOptions at 400000001\n  int32 number = 1")
    assert late.read(config.node[0]).number == 7


@pytest.mark.parametrize("suffix", [".pbtxt", ".binarypb", ".pb", ".textproto"])
def test_files_by_suffix(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"graph{suffix}"
    config = parse_text(KNOWN)
    write_graph(config, file)
    assert read_graph(file) == config
    assert file.read_bytes().startswith(b"node" if suffix not in (".binarypb", ".pb") else b"\n")


@pytest.mark.parametrize(
    "text",
    [
        "node {",
        "nod { }",
        "node { calculator: 3 }",
        'node { calculator: "x }',
        "node { options { [a.b] { } }",
        "node { options { [a.b }",
        "node { options { [a.b",
        "max_queue_size: 99999999999",
        "}",
        "\x00",
        "node { " * 3000,
    ],
)
def test_damaged_text(text: str) -> None:
    with pytest.raises(FormatError, match=r"the graph cannot be read as a graph"):
        parse_text(text)


@pytest.mark.parametrize("data", [b"\xff" * 20, b"\x0a\x7f", b"node {", b"\x52\x01\xff", b"\x0a\x03\x0a\x01\x9c"])
def test_damaged_binary(data: bytes) -> None:
    with pytest.raises(FormatError, match="in binary form"):
        parse_binary(data)


def test_a_binary_file_called_text_says_so(tmp_path: Path) -> None:
    file = tmp_path / "graph.pbtxt"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match=r"a binary graph file is called \.binarypb"):
        read_graph(file)


def test_options_twice_are_refused() -> None:
    packed = 'node_options { type_url: "type.googleapis.com/a.B" }'
    with pytest.raises(GraphConfigError, match=r"a\.B\" twice"):
        validate(parse_text(f'node {{ calculator: "PassThroughCalculator" {packed} {packed} }}'))


@pytest.mark.parametrize("values", [{"alow": True}, {"allow": "yes"}])
def test_wrong_options_name_the_right_ones(values: dict[str, Any]) -> None:
    assert Gate.Options is not None
    with pytest.raises(GraphConfigError, match="take empty_packets_as_allow, allow, initial_gate_state"):
        Gate.Options.make(values)


def test_the_builder_builds_what_a_file_would_say() -> None:
    graph = GraphBuilder(max_queue_size=5)
    frames = graph.input("frames", "IMAGE")
    allow = graph.side_input("allow")
    gate = graph.node("GateCalculator", empty_packets_as_allow=True)
    gate.input(frames).input(allow, "ALLOW")
    merge = graph.node("MergeCalculator", "merging").policy("ImmediateInputStreamHandler")
    merge.input(gate.output()).input(frames)
    graph.output(merge.output(), "out")
    config = graph.build()
    assert config == graph.build()
    assert config == parse_text("""
        max_queue_size: 5
        input_stream: "IMAGE:frames"
        output_stream: "out"
        input_side_packet: "allow"
        node {
          calculator: "GateCalculator"
          input_stream: "frames"
          output_stream: "stream_0"
          input_side_packet: "ALLOW:allow"
          options { [mediapipe.GateCalculatorOptions.ext] { empty_packets_as_allow: true } }
        }
        node {
          name: "merging"
          calculator: "MergeCalculator"
          input_stream: "stream_0"
          input_stream: "frames"
          output_stream: "out"
          input_stream_handler { input_stream_handler: "ImmediateInputStreamHandler" }
        }
    """)
    assert run_graph(config, {"frames": [(1, "x")]}, {"allow": False}) == {"out": [(1, "x")]}


def test_the_builder_closes_loops() -> None:
    graph = GraphBuilder()
    frames = graph.input("frames")
    seen = graph.later("seen")
    before = graph.node("PreviousLoopbackCalculator").input(frames, "MAIN").input(seen, "LOOP", back_edge=True)
    previous = before.output("PREV_LOOP", "before")
    graph.node("PassThroughCalculator").input(frames).writes(seen)
    graph.output(previous)
    assert run_graph(graph, {"frames": [(1, "a"), (2, "b")]}) == {"before": [(2, "a")]}


def test_the_builder_numbers_tags() -> None:
    graph = GraphBuilder()
    mux = graph.node("MuxCalculator")
    mux.input(graph.input("a"), "INPUT").input(graph.input("b"), "INPUT").input(graph.input("s"), "SELECT")
    graph.output(mux.output("OUTPUT"), "o", "OUT")
    assert list(graph.build().node[0].input_stream) == ["INPUT:0:a", "INPUT:1:b", "SELECT:s"]
    assert list(graph.build().output_stream) == ["OUT:o"]


@pytest.mark.parametrize("calculator", ["NoSuchCalculator", "PassThroughCalculator"])
def test_the_builder_refuses_options_nobody_takes(calculator: str) -> None:
    with pytest.raises(GraphConfigError, match=r"registered|takes no options"):
        GraphBuilder().node(calculator, speed=3)


def test_the_builder_refuses_bad_names() -> None:
    graph = GraphBuilder()
    graph.input("Bad Name")
    with pytest.raises(GraphConfigError, match="does not match"):
        graph.build()
    stream = graph.input("good")
    with pytest.raises(GraphConfigError, match="has one name"):
        graph.output(stream, "other")


def test_strings_side_by_side_are_one_value_of_an_unknown_extension() -> None:
    config = parse_text('node { calculator: "X" options { [un.known.ext]: "a" # more\n "b" } }')
    assert parse_text(to_text(config)) == config
    assert '[un.known.ext]: "a" # more\n "b"\n' in to_text(config)


def test_a_string_behind_an_unknown_extension_is_refused() -> None:
    with pytest.raises(FormatError, match="a string follows"):
        parse_text('node { calculator: "X" options { [un.known.ext] { x: 1 } "in" } }')


def test_what_is_no_name_of_an_extension_is_refused() -> None:
    with pytest.raises(FormatError, match="not the name of an extension"):
        parse_text('node { calculator: "X" options { [un.known "a b"] { x: 1 } } }')
