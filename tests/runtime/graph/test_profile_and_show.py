"""The profiler, the drawing and the commands."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from pocketgraph.__main__ import main
from pocketgraph.runtime import graph as package
from pocketgraph.runtime.graph import CalculatorGraph, Profiler, parse_text
from pocketgraph.runtime.graph import testing as _  # noqa: F401 - registers the doubles
from pocketgraph.runtime.graph.profile import Histogram
from pocketgraph.runtime.graph.show import draw

TEXT = """
type: "Example"
input_stream: "IMAGE:in"
output_stream: "out"
input_side_packet: "allow"
node { calculator: "PassThroughCalculator" input_stream: "in" output_stream: "same" }
node {
  name: "the_gate" calculator: "GateCalculator" input_stream: "same" output_stream: "out"
  input_side_packet: "ALLOW:allow"
}
node {
  calculator: "PreviousLoopbackCalculator" input_stream: "MAIN:in" input_stream: "LOOP:late"
  input_stream_info { tag_index: "LOOP" back_edge: true } output_stream: "PREV_LOOP:before"
}
node { calculator: "PassThroughCalculator" input_stream: "before" output_stream: "late" }
"""


@pytest.mark.parametrize(("microseconds", "place"), [(0, 0), (99.9, 0), (100, 1), (1e9, 9)])
def test_histograms_count_in_intervals(microseconds: float, place: int) -> None:
    histogram = Histogram(100, [0] * 10)
    histogram.add(microseconds)
    assert histogram.counts.index(1) == place
    assert (histogram.count, histogram.total, histogram.mean, histogram.longest) == (1, *[microseconds] * 3)
    assert Histogram().mean == 0


@pytest.mark.parametrize("threads", [0, 2])
def test_every_call_is_counted(threads: int) -> None:
    graph = CalculatorGraph(TEXT, threads=threads, profile=True)
    graph.start({"allow": True})
    for timestamp in range(10):
        graph.add("in", 0, timestamp)
    graph.finish(30)
    assert graph.profiler is not None
    profiles = {profile.name: profile for profile in graph.profiler.profiles}
    assert {name: profiles[name].process.count for name in ("PassThroughCalculator_1", "the_gate")} == {
        "PassThroughCalculator_1": 10, "the_gate": 10,
    }  # fmt: skip
    gate = profiles["the_gate"]
    assert gate.calculator == "GateCalculator"
    assert gate.open_us > 0
    assert gate.close_us > 0
    assert gate.latency.total >= gate.process.total
    assert set(gate.most_waiting) == {"same"}
    assert json.loads(json.dumps(graph.profiler.as_dict()))["nodes"][0]["process"]["count"] == 10


def test_the_trace_opens_in_chromes_viewer(tmp_path: Path) -> None:
    graph = CalculatorGraph(TEXT, threads=0, profile=True)
    graph.start({"allow": True})
    graph.add("in", 0, 42)
    graph.finish()
    assert graph.profiler is not None
    graph.profiler.write_trace(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text())
    spans = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert {event["cat"] for event in spans} == {"open", "process", "close"}
    assert all(event["dur"] >= 0 and event["ts"] >= 0 for event in spans)
    assert {"timestamp": 42} in [event.get("args") for event in spans]
    assert any(event["ph"] == "M" and event["name"] == "thread_name" for event in trace["traceEvents"])


def test_the_profiler_pauses_and_forgets() -> None:
    graph = CalculatorGraph(TEXT + "profiler_config { enable_profiler: true }", threads=0)
    assert isinstance(graph.profiler, Profiler)
    graph.start({"allow": True})
    graph.profiler.pause()
    graph.add("in", 0, 1)
    graph.profiler.resume()
    graph.add("in", 0, 2)
    counts = {profile.name: profile.process.count for profile in graph.profiler.profiles}
    assert counts["the_gate"] == 1
    graph.profiler.reset()
    assert graph.profiler.profiles == []
    graph.close()


def test_the_drawing_has_every_node_and_stream() -> None:
    svg = draw(parse_text(TEXT + 'node { calculator: "Nowhere<&>" input_stream: "out" }'))
    root = ET.fromstring(svg)  # noqa: S314 - our own
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"IMAGE:in", "the_gate", "GateCalculator", "same", "allow", "Nowhere<&>"} <= texts
    assert 'class="back"' in svg
    assert 'class="unknown"' in svg
    assert 'class="side"' in svg


def test_a_stream_passes_beside_the_nodes_in_between() -> None:
    through = 'node { calculator: "PassThroughCalculator" input_stream: "%s" output_stream: "%s" }'
    chain = through % ("a", "b") + through % ("b", "c")
    join = 'node { calculator: "MergeCalculator" input_stream: ["a", "c"] output_stream: "d" }'
    svg = draw(parse_text('input_stream: "a" output_stream: "d"' + chain + join))
    root = ET.fromstring(svg)  # noqa: S314 - our own
    paths = [element.get("d") or "" for element in root.iter("{http://www.w3.org/2000/svg}path")]
    assert sorted(path.count("L") for path in paths if path.startswith("M") and "C" in path) == [0, 0, 0, 0, 2]
    assert "path { fill: none" in svg
    texts = list(root.iter("{http://www.w3.org/2000/svg}text"))
    assert sorted(text.text or "" for text in texts if text.get("class") == "stream") == ["a", "a", "b", "c", "d"]


def test_a_cycle_can_be_drawn_to_see_it() -> None:
    through = 'node { calculator: "PassThroughCalculator" input_stream: "%s" output_stream: "%s" }'
    assert draw(parse_text(through % ("a", "b") + through % ("b", "a"))).count("<rect") == 2


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "graph.pbtxt"
    file.write_text(TEXT)
    assert main(["graph", "show", str(file), "-o", str(tmp_path / "graph.svg")]) == 0
    assert "4 nodes" in capsys.readouterr().out
    ET.parse(tmp_path / "graph.svg")  # noqa: S314 - our own
    assert main(["graph", "show", str(file), "-o", str(tmp_path / "graph.png")]) == 2
    assert not (tmp_path / "graph.png").exists()
    assert main(["graph", "show", str(file), "--expand"]) == 0
    assert parse_text(capsys.readouterr().out) == parse_text(TEXT)
    assert main(["graph", "check", str(file)]) == 0
    out = capsys.readouterr().out
    assert "inputs: IMAGE:in" in out
    assert "4 nodes, the wiring is good" in out


def test_check_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "graph.pbtxt"
    file.write_text('input_stream: "a" node { calculator: "Nowhere" input_stream: "a" }')
    assert main(["graph", "check", str(file)]) == 2
    assert 'registered as "Nowhere"' in capsys.readouterr().err
    assert main(["graph", "check", str(file), "--allow-unknown"]) == 0
    assert "unknown: Nowhere" in capsys.readouterr().out
    file.write_text("node {")
    assert main(["graph", "check", str(file)]) == 2
    assert "cannot be read as a graph" in capsys.readouterr().err


def test_the_public_names_are_there_and_ours() -> None:
    for name in package.__all__:
        found = getattr(package, name)
        assert getattr(found, "__module__", "pocketgraph").startswith("pocketgraph") or isinstance(found, str)
