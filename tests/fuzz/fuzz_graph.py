"""Coverage-guided fuzzing of graph files: `python tests/fuzz/fuzz_graph.py -runs=100000 [CORPUS]`.

Bytes are a file in text or in binary form, by their first byte. Whatever they are, reading, checking, expanding and
drawing may raise `PocketgraphError` and nothing else; what is read comes back from either form; a graph that is said to
be able to run runs on a few packets, and may fail only as graphs do.
"""

from __future__ import annotations

import random
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import atheris
from plain_package import load_compiled, require_instrumented, use_plain_package

use_plain_package()
load_compiled("runtime.vision._warp")
with atheris.instrument_imports(include=["pocketgraph"]):
    from pocketgraph.models.errors import PocketgraphError
    from pocketgraph.runtime.graph import config as files
    from pocketgraph.runtime.graph import registry
    from pocketgraph.runtime.graph.graph import CalculatorGraph
    from pocketgraph.runtime.graph.show import draw
    from pocketgraph.runtime.graph.subgraphs import expand
    from pocketgraph.runtime.graph.validate import validate

TEXT, BINARY = b"t", b"b"
SEEDS = [
    """input_stream: "in" output_stream: "out" max_queue_size: 3 num_threads: 2 report_deadlock: true
    node { name: "gate" calculator: "GateCalculator" input_stream: ["in", "ALLOW:allow"] output_stream: "some"
      options { [mediapipe.GateCalculatorOptions.ext] { empty_packets_as_allow: true } } }
    node { calculator: "PacketClonerCalculator" input_stream: ["in", "TICK:in"] output_stream: "allow" }
    node { calculator: "PassThroughCalculator" input_stream: "some" output_stream: "out" max_in_flight: 2 }""",
    """input_stream: "IMAGE:in" output_stream: "out" type: "Whole" package: "a.b"
    node { calculator: "PreviousLoopbackCalculator" input_stream: ["MAIN:in", "LOOP:out"] output_stream: "PREV_LOOP:b"
      input_stream_info { tag_index: "LOOP" back_edge: true } }
    node { calculator: "MergeCalculator" input_stream: ["in", "b"] output_stream: "out"
      input_stream_handler { input_stream_handler: "ImmediateInputStreamHandler" }
      node_options { [type.googleapis.com/un.Known] { z: 1 } } }""",
    """input_stream: "in" input_side_packet: "ENABLE:on" output_stream: "out"
    executor { name: "slow" type: "ThreadPoolExecutor" }
    node { calculator: "FlowLimiterCalculator" input_stream: ["in", "FINISHED:out"] output_stream: "some"
      executor: "slow"
      input_stream_info { tag_index: "FINISHED" back_edge: true }
      node_options { [type.googleapis.com/mediapipe.FlowLimiterCalculatorOptions] { max_in_flight: 2 } } }
    node { calculator: "SwitchContainer" input_stream: "some" input_side_packet: "ENABLE:on" output_stream: "out"
      options { [mediapipe.SwitchContainerOptions.ext] { contained_node: { calculator: "PassThroughCalculator" }
        contained_node: { calculator: "PassThroughCalculator" } enable: true } } }""",
    """input_stream: "in" output_stream: "many" output_stream: "out"
    node { calculator: "ConcatenateIntVectorCalculator" input_stream: ["many", "in"] output_stream: "out" }
    node { calculator: "PacketResamplerCalculator" input_stream: "in" output_stream: "many"
      input_side_packet: "SEED:one"
      options { [mediapipe.PacketResamplerCalculatorOptions.ext] { frame_rate: 30 jitter: 0.1 } } }
    node { calculator: "ConstantSidePacketCalculator" output_side_packet: "PACKET:one"
      options { [mediapipe.ConstantSidePacketCalculatorOptions.ext] { packet { string_value: "7" } } } }
    node { calculator: "SidePacketToStreamCalculator" input_side_packet: "one" output_stream: "AT_TICK:t"
      input_stream: "TICK:in" }""",
]
PIECES = [
    b"node { ", b"} ", b"input_stream: ", b"output_stream: ", b'"in"', b'"TAG:0:name"', b"options { ", b"[mediapipe.",
    b".ext] { ", b"back_edge: true ", b"max_in_flight: ", b"999999999 ", b"-1 ", b"1e999 ", b"\xff", b"# ", b"\\x00",
]  # fmt: skip


def seeds() -> list[bytes]:
    """Each seed in both forms; a seed that cannot be read is a defect of this file."""
    configs = [files.parse_text(text) for text in SEEDS]
    return [TEXT + text.encode() for text in SEEDS] + [BINARY + config.SerializeToString() for config in configs]


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change one thing in a configuration that still parses, half of the time; else any bytes, or a piece of text."""
    choose = random.Random(seed)  # noqa: S311
    form, body = data[:1], data[1:]
    config = _read(form, body) if seed % 2 else None
    if config is None or not config.node:
        if form == TEXT and seed % 4 == 0:
            at = choose.randrange(len(body) + 1)
            return form + (body[:at] + choose.choice(PIECES) + body[at:])[: max_size - 1]
        return (
            form + bytes(atheris.Mutate(body, max_size - 1)) if form in (TEXT, BINARY) else TEXT + body[: max_size - 1]
        )
    node = choose.choice(list(config.node))
    streams = [name for item in config.node for name in [*item.input_stream, *item.output_stream]] or ["in"]
    number = choose.choice([0, 1, 2, 7, 100, -1, 2**31 - 1, -(2**31)])
    change = choose.randrange(10)
    if change == 0:
        node.calculator = choose.choice(sorted(registry.known_names()))
    elif change == 1 and node.input_stream:
        node.input_stream[choose.randrange(len(node.input_stream))] = choose.choice(streams)
    elif change == 2:
        node.input_stream.append(
            choose.choice([*streams, "ALLOW:in", "TICK:in", "SELECT:in", "ITERABLE:in", ":", "a:1:b"])
        )
    elif change == 3 and node.output_stream:
        node.output_stream[choose.randrange(len(node.output_stream))] = choose.choice(
            [*streams, "PREV_LOOP:x", "OUT:1:y"]
        )
    elif change == 4:
        config.node.add().CopyFrom(node)
    elif change == 5 and len(config.node) > 1:
        config.node.remove(node)
    elif change == 6:
        node.max_in_flight = number
    elif change == 7:
        config.max_queue_size = number
    elif change == 8:
        node.input_stream_info.add(tag_index=choose.choice(["", "LOOP", "LOOP:0", "X:9999999999"]), back_edge=True)
    elif change == 9:
        node.input_side_packet.append(choose.choice(["on", "ENABLE:on", "SELECT:one", "one"]))
    if form == BINARY:
        return form + config.SerializeToString()[: max_size - 1]
    return form + files.to_text(config).encode()[: max_size - 1]


def _read(form: bytes, body: bytes) -> Any:
    try:
        return files.parse_binary(body) if form == BINARY else files.parse_text(body.decode(errors="replace"))
    except PocketgraphError:
        return None


def one_input(data: bytes) -> None:
    """Read, write and read again, check, draw, and run."""
    config = _read(data[:1], data[1:])
    if config is None:
        return
    # NaN is unlike itself, so bytes are compared
    packed = config.SerializeToString(deterministic=True)
    assert files.parse_binary(packed).SerializeToString(deterministic=True) == packed
    if data[:1] != BINARY:
        assert files.parse_text(files.to_text(config)).SerializeToString(deterministic=True) == packed
    for use in (draw, expand, lambda config: validate(config, allow_unknown=True)):
        with suppress(PocketgraphError):
            use(config)
    with suppress(PocketgraphError):
        run(config)


def run(config: Any) -> None:
    """A few packets through the graph, in the caller's thread."""
    graph = CalculatorGraph(config, threads=0)
    try:
        names = graph.input_names()
        graph.start(dict.fromkeys(graph.plan.side_inputs.names(), True))
        for timestamp in (0, 1, 5, 100_000):
            for number, name in enumerate(names):
                graph.add(name, [timestamp, [1, 2], True][number % 3], timestamp)
        graph.finish()
    finally:
        graph.close()


def main() -> None:
    """Fuzz from the seeds."""
    require_instrumented(files.parse_text)
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds()):
            (Path(folder) / f"seed{number}").write_bytes(seed)
        options = ["-rss_limit_mb=3072", "-timeout=20", "-max_len=4096"]
        atheris.Setup([sys.argv[0], *options, *sys.argv[1:], folder], one_input, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
