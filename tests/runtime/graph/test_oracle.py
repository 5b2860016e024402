"""The same graphs and packets in MediaPipe and here give the same outputs, packet by packet.

Needs an interpreter with mediapipe 0.10.21 in POCKETGRAPH_MEDIAPIPE_PYTHON.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pocketgraph.models.errors import PocketgraphError
from pocketgraph.runtime.graph import CalculatorGraph, parse_binary, parse_text, read_graph, to_text, validate

PYTHON = os.environ.get("POCKETGRAPH_MEDIAPIPE_PYTHON", "")
PEER = Path(__file__).resolve().parents[2] / "oracles" / "mediapipe_graph.py"
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not PYTHON, reason="POCKETGRAPH_MEDIAPIPE_PYTHON does not name an interpreter with mediapipe"),
]
Job = dict[str, Any]
Ask = Callable[[Job], dict[str, Any]]


class _Peer:
    """MediaPipe in a process; where a job makes it abort, that is its answer, and the next one gets a new process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, job: Job) -> dict[str, Any]:
        if self._process is None:
            self._process = subprocess.Popen(
                [PYTHON, str(PEER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(job), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)  # type: ignore[no-any-return]
        self.close()
        return {"error": "aborted"}

    def close(self) -> None:
        if self._process is not None:
            with self._process:
                pass
            self._process = None


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    peer = _Peer()
    yield peer.ask
    peer.close()


def _ours(job: Job, threads: int) -> dict[str, Any]:
    outputs: dict[str, list[Any]] = {name: [] for name in job["outputs"]}
    try:
        with CalculatorGraph(job["graph"], threads=threads) as graph:
            for name, found in outputs.items():
                graph.observe(name, lambda packet, to=found: to.append([packet.timestamp, packet.value]))
            graph.start(job.get("sides"))
            for stream, timestamp, value in job["inputs"]:
                graph.add(stream, value, timestamp)
                graph.wait_until_idle(30)
            graph.finish(30)
    except PocketgraphError as error:
        return {"error": str(error)}
    return {"outputs": outputs}


def _job(graph: str, inputs: list[list[Any]], outputs: str = "out", **sides: Any) -> Job:
    return {"graph": graph, "inputs": inputs, "outputs": outputs.split(), "sides": sides}


def _numbers(stream: str = "in", count: int = 8) -> list[list[Any]]:
    return [[stream, 10 * place, place] for place in range(count)]


def _mixed(seed: int, **streams: Callable[[int], Any]) -> list[list[Any]]:
    """Packets of several streams at random shared timestamps, added in random interleaving."""
    generator = random.Random(seed)  # noqa: S311 - fixed samples
    queues = {
        name: [[name, time, make(time)] for time in sorted(generator.sample(range(30), 12))]
        for name, make in streams.items()
    }
    result: list[list[Any]] = []
    while any(queues.values()):
        result.append(queues[generator.choice([name for name, queue in queues.items() if queue])].pop(0))
    return result


THROUGH = 'node { calculator: "PassThroughCalculator" input_stream: "%s" output_stream: "%s" }'
GATE = 'input_stream: ["in", "control"] node { calculator: "GateCalculator" input_stream: ["in", "%s:control"] '
GATE += 'output_stream: ["out", "STATE_CHANGE:change"] options { [mediapipe.GateCalculatorOptions.ext] { %s } } }'
SIDE_GATE = 'input_stream: "in" node { calculator: "GateCalculator" input_stream: "in" input_side_packet: "%s:control" '
SIDE_GATE += 'output_stream: "out" }'
MERGE = 'input_stream: ["a", "b", "c"] node { calculator: "MergeCalculator" input_stream: ["a", "b", "c"] '
MERGE += 'output_stream: "out" }'
LOOP = """
input_stream: ["in", "allow"]
node {
  calculator: "PreviousLoopbackCalculator" input_stream: ["MAIN:in", "LOOP:gated"]
  input_stream_info { tag_index: "LOOP" back_edge: true } output_stream: "PREV_LOOP:out"
}
node { calculator: "GateCalculator" input_stream: ["in", "ALLOW:allow"] output_stream: "gated" }
"""
PRESENCE = LOOP + (
    'node { calculator: "PacketPresenceCalculator" input_stream: "PACKET:out" output_stream: "PRESENCE:there" }'
)
LIMITER = """
input_stream: ["in", "done"]
node {
  calculator: "FlowLimiterCalculator" input_stream: ["in", "FINISHED:done"] output_stream: ["out", "ALLOW:allow"]
  options { [mediapipe.FlowLimiterCalculatorOptions.ext] { %s } }
}
"""
CLOSED_LIMITER = (
    """
input_stream: "in"
node {
  calculator: "FlowLimiterCalculator" input_stream: ["in", "FINISHED:out"]
  input_stream_info { tag_index: "FINISHED" back_edge: true } output_stream: "some"
}
"""
    + THROUGH % ("some", "out")
)
CONSTANT = """
input_stream: "in"
node {
  calculator: "ConstantSidePacketCalculator" output_side_packet: "PACKET:c"
  options { [mediapipe.ConstantSidePacketCalculatorOptions.ext] { packet { int_value: 7 } } }
}
node {
  calculator: "SidePacketToStreamCalculator" input_stream: "TICK:in" input_side_packet: "c" output_stream: "AT_TICK:out"
}
"""
SWITCH = """
input_stream: ["in", "enable"]
node {
  calculator: "SwitchContainer" input_stream: ["IN:in", "ENABLE:enable"] output_stream: "IN:out"
  options { [mediapipe.SwitchContainerOptions.ext] {
    contained_node { calculator: "PassThroughCalculator" } contained_node { calculator: "PassThroughCalculator" } %s
  } }
}
"""
POLICY = 'input_stream: ["a", "b"] node { calculator: "MergeCalculator" input_stream: ["a", "b"] output_stream: "out" '
POLICY += 'input_stream_handler { input_stream_handler: "%s" %s } }'
SETS = "options { [mediapipe.SyncSetInputStreamHandlerOptions.ext] { sync_set { tag_index: ':0' } } }"
FIXED = "options { [mediapipe.FixedSizeInputStreamHandlerOptions.ext] { trigger_queue_size: 3 target_queue_size: 2 } }"
ALIGN = "options { [mediapipe.TimestampAlignInputStreamHandlerOptions.ext] { timestamp_base_tag_index: ':0' } }"


def _number(time: int) -> int:
    return time


def _odd(time: int) -> bool:
    return bool(time % 2)


def _jobs() -> dict[str, Job]:
    chain = 'input_stream: "s0"' + "".join(THROUGH % (f"s{i}", f"s{i + 1}") for i in range(5))
    jobs = {
        "chain": _job(chain, _numbers("s0"), "s5 s1"),
        "presence": _job(PRESENCE, _mixed(5, **{"in": _number, "allow": _odd}), "out there"),
        "limited loop": _job(CLOSED_LIMITER, _numbers()),
        "constant": _job(CONSTANT, _numbers()),
        "goes back": _job(chain, [["s0", 5, 1], ["s0", 5, 2]], "s5"),
        "cycle": _job(THROUGH % ("a", "b") + THROUGH % ("b", "a"), []),
        "no producer": _job(THROUGH % ("a", "b"), []),
        "written twice": _job('input_stream: "a"' + THROUGH % ("a", "b") + THROUGH % ("a", "b"), []),
        "false back edge": _job(LOOP.replace('"LOOP:gated"', '"LOOP:in"'), []),
        "reserved executor": _job('executor { name: "default" }', []),
        "bad name": _job('input_stream: "Bad"', []),
    }  # fmt: skip
    for tag in ("ALLOW", "DISALLOW"):
        for options in ("", "empty_packets_as_allow: true", "initial_gate_state: GATE_DISALLOW"):
            for seed in (1, 2):
                inputs = _mixed(seed, **{"in": _number, "control": _odd})
                jobs[f"gate {tag} {options} {seed}"] = _job(GATE % (tag, options), inputs, "out change")
        for value in (True, False):
            jobs[f"side gate {tag} {value}"] = _job(SIDE_GATE % tag, _numbers(), control=value)
    for seed in range(4):
        jobs[f"merge {seed}"] = _job(MERGE, _mixed(seed, a=_number, b=lambda time: time + 100, c=lambda t: t + 200))
        jobs[f"loop {seed}"] = _job(LOOP, _mixed(seed, **{"in": _number, "allow": _odd}))
        for options in ("", "max_in_flight: 2", "max_in_queue: 1", "max_in_queue: 2 max_in_flight: 2",
                        "in_flight_timeout: 5"):  # fmt: skip
            inputs = _mixed(seed, **{"in": _number, "done": _number})
            jobs[f"limiter {options} {seed}"] = _job(LIMITER % options, inputs, "out allow")
        # with async_selection the peer drops what came while it did not know the channel, and here nothing is dropped
        jobs[f"switch {seed}"] = _job(SWITCH % "", _mixed(seed, **{"in": _number, "enable": _odd}))
        for policy, options in (
            ("DefaultInputStreamHandler", ""), ("EarlyCloseInputStreamHandler", ""),
            ("BarrierInputStreamHandler", ""), ("FixedSizeInputStreamHandler", FIXED),
            ("TimestampAlignInputStreamHandler", ALIGN),
        ):  # fmt: skip
            inputs = _mixed(seed, a=_number, b=lambda time: time + 100)
            jobs[f"{policy} {seed}"] = _job(POLICY % (policy, options), inputs)
    for policy, options in (("ImmediateInputStreamHandler", ""), ("SyncSetInputStreamHandler", SETS)):
        inputs = [[stream, time, time] for time in range(0, 40, 10) for stream in ("a", "b")]
        for place, item in enumerate(inputs):
            item[1] += place % 2
        jobs[policy] = _job(POLICY % (policy, options), inputs)
    return jobs


JOBS = _jobs()


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("name", JOBS)
def test_mediapipe_does_the_same(name: str, threads: int, ask: Ask) -> None:
    theirs, ours = ask(JOBS[name]), _ours(JOBS[name], threads)
    missing = ("not a registered input stream handler", "Failed to parse")
    if any(text in theirs.get("error", "") for text in missing):
        pytest.skip("the peer was built without this policy")
    if "error" in theirs:
        assert "error" in ours, f"there: {theirs['error']}"
    else:
        assert ours == theirs


def _graph_files() -> list[str]:
    if not PYTHON:
        return []
    code = "import importlib.util as u, pathlib as p; print(p.Path(u.find_spec('mediapipe').origin).parent)"
    found = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    return sorted(str(file) for file in Path(found.stdout.strip()).rglob("*.binarypb"))


@pytest.mark.parametrize("file", _graph_files(), ids=lambda file: Path(file).stem)
def test_graphs_of_the_wheel_parse_and_their_wiring_is_good(file: str) -> None:
    config = read_graph(file)
    plan = validate(config, allow_unknown=True)
    assert plan.nodes
    assert not plan.unknown or Path(file).stem == "objectron_cpu"  # whose models the wheel does not have
    assert parse_text(to_text(config)).SerializeToString() == Path(file).read_bytes()
    assert parse_binary(config.SerializeToString()) == config
