"""The command `pocketgraph replay`: a recording run again, and whether the same comes out bit for bit."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pocketgraph.demos.graph_command import calculators_of

if TYPE_CHECKING:
    from pocketgraph.runtime.graph.packet import Packet
    from pocketgraph.runtime.graph.recording import Recording

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
Packets = dict[tuple[str, int], bytes]
"""What a stream had at a time, as a digest."""


@click.command(
    epilog="\b\nExamples:\n  pocketgraph replay run.pgrec\n  pocketgraph replay run.pgrec --graph hands.pbtxt"
)
@click.argument("file", type=_FILE, metavar="FILE.pgrec")
@click.option("--graph", type=_FILE, metavar="GRAPH", help="Run this graph on the streams that are its inputs.")
@calculators_of
@click.option("--list", "only_list", is_flag=True, help="Say what is in FILE, and run nothing.")
def replay(file: Path, graph: Path | None, only_list: bool) -> None:
    """Run again what FILE was recorded from, and compare. Exits with 2 where other results come out.

    Recordings come from `pocketgraph run --record` (the same pipeline runs on the same frames), from
    `pocketgraph graph run --record` and from Python (with --graph, as the graph is not in FILE).
    """
    from pocketgraph.models.errors import PocketgraphError
    from pocketgraph.runtime.graph.recording import Recording

    recording = Recording(file)
    counts = recording.streams()
    for name, count in counts.items():
        click.echo(f"{name}: {count} packets")
    if recording.cut:
        click.echo(f"{file} was cut short; what is whole is used")
    if only_list:
        return
    fresh, asked = _graph_again(graph, recording) if graph is not None else _pipeline_again(recording)
    recorded = {place: digest for place, digest in _recorded(recording).items() if place[0] in asked}
    if not recorded:
        click.echo(f"ran through, {len(fresh)} packets came out; none of them was recorded, so nothing is compared")
        return
    places = sorted(recorded.keys() | fresh.keys(), key=lambda place: place[1])
    other = [place for place in places if recorded.get(place) != fresh.get(place)]
    if recording.cut and places:  # of the last frame some results may be missing
        other = [place for place in other if place[1] != places[-1][1]]
    if other:
        name, timestamp = other[0]
        raise PocketgraphError(
            f"{len(other)} of {len(places)} packets differ, the first of stream {name!r} at {timestamp} µs:"
            " another version, engine or machine, or something that is not deterministic"
        )
    click.echo(f"{len(places)} packets came out again, bit for bit")


def _digest(value: Any) -> bytes:
    import hashlib

    from pocketgraph.runtime.graph.values import encode

    return hashlib.sha256(encode(value)).digest()


def _recorded(recording: Recording) -> Packets:
    return {(name, packet.timestamp): _digest(packet.value) for name, packet in recording}


def _note(packets: Packets, name: str, packet: Packet) -> None:
    packets[name, packet.timestamp] = _digest(packet.value)


def _graph_again(graph: Path, recording: Recording) -> tuple[Packets, set[str]]:
    from pocketgraph.runtime.graph.graph import CalculatorGraph
    from pocketgraph.runtime.graph.recording import replay as feed_graph

    fresh: Packets = {}
    with CalculatorGraph(graph) as running:
        outputs = running.output_names()
        for name in outputs:
            running.observe(name, partial(_note, fresh, name))
        feed_graph(running, recording.file)
    return fresh, set(outputs)


def _pipeline_again(recording: Recording) -> tuple[Packets, set[str]]:
    from dataclasses import asdict

    from pocketgraph.demos.pipelines import PIPELINES, Pipeline, Settings
    from pocketgraph.models.errors import UsageError

    about = dict(recording.about)
    name = about.pop("pipeline", None)
    kinds = {key: type(value) for key, value in asdict(Settings()).items()}
    fits = {key: type(value) for key, value in about.items()} == kinds
    if not isinstance(name, str) or name not in PIPELINES or not fits:
        raise UsageError(
            f"{recording.file} was not recorded by `pocketgraph run`; give the graph it is for with --graph"
        )
    fresh: Packets = {}
    pipeline = Pipeline(name, Settings(**about))
    try:
        for stream, packet in recording:
            if stream == "image":
                fresh["record", packet.timestamp] = _digest(pipeline(packet.value, packet.timestamp).to_json())
    finally:
        pipeline.close()
    return fresh, {"record"}
