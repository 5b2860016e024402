"""Recordings: the packets of streams in a file, and a graph fed from them again, with the same bits.

    with CalculatorGraph("faces.pbtxt") as graph, Recorder("run.pgrec") as recorder:
        recorder.watch(graph, ["image", "faces"])
        graph.start()
        ...

    replay("faces.pbtxt", "run.pgrec")  # feeds the graph's input `image`

The file is the line `pocketgraph recording 1`, then blocks. A block is u32 length, u32 CRC-32 and that many bytes:

    A           a value (`values`): a dict about the recording, once, first
    S           u16 number, UTF-8: the name of a stream, before its first packet
    P           u16 number, i64 timestamp, a value: a packet

Integers are little-endian. A file that was cut short, by a crash or a full disk, is read up to the last whole block.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from typing_extensions import Self

from pocketgraph.models.errors import FormatError, UsageError
from pocketgraph.runtime.graph.graph import CalculatorGraph
from pocketgraph.runtime.graph.packet import Packet
from pocketgraph.runtime.graph.timestamp import is_allowed_in_stream, text_of
from pocketgraph.runtime.graph.values import LARGEST, decode, encode

MAGIC = b"pocketgraph recording 1\n"
_MOST_STREAMS = 1 << 16


class Recorder:
    """Writes a recording; `about` is a dict of plain data that says what it is of.

    Packets may come from any thread. Each is handed to the operating system before `write` returns; `packets` is how
    many were.
    """

    def __init__(self, file: str | Path, about: Mapping[str, Any] | None = None) -> None:
        self._stream: BinaryIO = Path(file).open("wb")  # noqa: SIM115 - closed by `close`
        self.packets = 0
        self._numbers: dict[str, int] = {}
        self._lock = threading.Lock()
        self._stream.write(MAGIC)
        self._block(b"A" + encode(dict(about or {})))

    def write(self, stream: str, packet: Packet) -> None:
        """Append a packet; an empty one is left out. Raises `UsageError` for a value that is no plain data."""
        if packet.empty:
            return
        value = encode(packet.value)
        if len(value) > LARGEST:
            raise UsageError(f'a packet of stream "{stream}" has {len(value)} bytes, more than a recording takes')
        with self._lock:
            if stream not in self._numbers:
                if len(self._numbers) == _MOST_STREAMS:
                    raise UsageError(f"a recording has at most {_MOST_STREAMS} streams")
                self._numbers[stream] = len(self._numbers)
                self._block(b"S" + struct.pack("<H", self._numbers[stream]) + stream.encode())
            self._block(b"P" + struct.pack("<Hq", self._numbers[stream], int(packet.timestamp)) + value)
            self._stream.flush()
            self.packets += 1

    def watch(self, graph: CalculatorGraph, streams: Collection[str] | None = None) -> None:
        """Record `streams` of `graph`, by default its inputs and outputs. Before it is started."""
        for name in dict.fromkeys([*graph.input_names(), *graph.output_names()] if streams is None else streams):
            graph.observe(name, lambda packet, to=name: self.write(to, packet))  # type: ignore[misc]

    def _block(self, body: bytes) -> None:
        self._stream.write(struct.pack("<II", len(body), zlib.crc32(body)) + body)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Recording:
    """Reads a recording; iterating gives `(stream, packet)` in the order they were written, one in memory at a time.

    `about` is what the recorder was told. `cut` says, after iterating, whether the file ends in the middle of a block.
    Raises `FormatError` for a file that is none, or is damaged.
    """

    def __init__(self, file: str | Path) -> None:
        self.file = Path(file)
        self.cut = False
        first = next(self._blocks(), b"")
        self.about: dict[str, Any] = self._decode(first[1:]) if first[:1] == b"A" else {}
        if not isinstance(self.about, dict):
            raise FormatError(f"{self.file} is damaged: what it is about is no dict")

    def __iter__(self) -> Iterator[tuple[str, Packet]]:
        names: dict[int, str] = {}
        for body in self._blocks():
            if body[:1] == b"S" and len(body) >= 3:
                (number,) = struct.unpack_from("<H", body, 1)
                names[number] = self._name(body[3:])
            elif body[:1] == b"P" and len(body) >= 11:
                number, timestamp = struct.unpack_from("<Hq", body, 1)
                if number not in names or not is_allowed_in_stream(timestamp):
                    raise FormatError(f"{self.file} has a packet of stream {number} at {text_of(timestamp)}")
                yield names[number], Packet(self._decode(body[11:]), timestamp)
            elif body[:1] != b"A":
                raise FormatError(f"{self.file} has a block {body[:1]!r} of {len(body)} bytes, which nobody writes")

    def streams(self) -> dict[str, int]:
        """The streams and how many packets each has; reads the file through."""
        counts: dict[str, int] = {}
        for name, _ in self:
            counts[name] = counts.get(name, 0) + 1
        return counts

    def _blocks(self) -> Iterator[bytes]:
        with self.file.open("rb") as stream:
            if stream.read(len(MAGIC)) != MAGIC:
                raise FormatError(f"{self.file} is no recording of pocketgraph")
            left = self.file.stat().st_size - len(MAGIC)
            self.cut = False
            while left:
                head = stream.read(8)
                length, checksum = struct.unpack("<II", head) if len(head) == 8 else (left, 0)
                if length > left - len(head) or len(head) < 8:
                    self.cut = True
                    return
                body = stream.read(length)
                if zlib.crc32(body) != checksum:
                    raise FormatError(f"{self.file} is damaged: a block of {length} bytes has another checksum")
                left -= 8 + length
                yield body

    def _decode(self, data: bytes) -> Any:
        try:
            return decode(data)
        except FormatError as error:
            raise FormatError(f"{self.file} is damaged: {error}") from error

    def _name(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise FormatError(f"{self.file} is damaged: the name of a stream is not UTF-8") from error


def replay(
    graph: Any, file: str | Path, *, side_packets: Mapping[str, Any] | None = None, timeout: float | None = None
) -> CalculatorGraph:
    """Run `graph` on a recording to the end, and return it; packets go to its inputs of the streams' names.

    `graph` is one that has not been started, with what listens to it, or what makes one (a path, text, a builder).
    Streams that are no inputs are passed over. Raises `UsageError` where no stream is an input, `FormatError` for a
    damaged file, and what the graph raises.
    """
    running = graph if isinstance(graph, CalculatorGraph) else CalculatorGraph(graph)
    recording = Recording(file)
    inputs = set(running.input_names())
    fed: set[str] = set()
    try:
        running.start(side_packets)
        for stream, packet in recording:
            if stream in inputs:
                fed.add(stream)
                running.add_packet(stream, packet)
        if inputs and not fed:
            names = ", ".join(recording.streams())
            raise UsageError(f"the recording has the streams {names}, none of which is an input of the graph: {inputs}")
        running.finish(timeout)
    finally:
        running.close()
    return running
