"""Files as the inputs of a graph: what they hold goes in by timestamp, whichever stream it is for."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.graph.graph import CalculatorGraph
from pocketgraph.runtime.graph.packet import Packet
from pocketgraph.runtime.graph.recording import MAGIC, Recording


def source_of(graph: CalculatorGraph, stream: str, file: str) -> Iterator[Packet]:
    """The packets of graph input `stream` out of `file`: a recording, or frames of a video, picture, URL or folder."""
    if stream not in graph.input_names():
        raise UsageError(f'"{stream}" is not an input stream of the graph; those are {graph.input_names()}')
    if Path(file).is_file() and _is_recording(Path(file)):
        return _recorded(Recording(file), stream)
    from pocketgraph.runtime.vision.folder import Folder
    from pocketgraph.runtime.vision.frames import read_frames

    frames = Folder(Path(file)) if Path(file).is_dir() else read_frames(file)
    return (Packet(frame, timestamp) for timestamp, frame in frames)


def _recorded(recording: Recording, stream: str) -> Iterator[Packet]:
    found = False
    for name, packet in recording:
        if name == stream:
            found = True
            yield packet
    if not found:
        names = ", ".join(recording.streams()) or "none"
        raise UsageError(f'{recording.file} has no packet of a stream "{stream}"; its streams are {names}')


def _is_recording(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def feed(graph: CalculatorGraph, sources: Mapping[str, Iterable[Packet]]) -> None:
    """Add what `sources` give for each input of a started graph, earliest first, and finish it."""
    named = [_named(name, packets) for name, packets in sources.items()]
    for name, packet in heapq.merge(*named, key=lambda item: item[1].timestamp):
        graph.add_packet(name, packet)
    graph.finish()


def _named(name: str, packets: Iterable[Packet]) -> Iterator[tuple[str, Packet]]:
    return ((name, packet) for packet in packets)
