"""Streams at run time: the queue at each reader, and the writer's side that feeds all of its readers.

Neither locks: whoever calls holds the lock of the scheduler.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from pocketgraph.models.errors import GraphRuntimeError
from pocketgraph.runtime.graph.packet import EMPTY, NOTHING, Packet
from pocketgraph.runtime.graph.ports import type_name
from pocketgraph.runtime.graph.timestamp import (
    DONE,
    MAX,
    MIN,
    POST_STREAM,
    PRE_STREAM,
    UNSET,
    UNSTARTED,
    is_allowed_in_stream,
    next_allowed,
    previous_allowed,
    text_of,
)

PREPARED: Final = 0
OPENED: Final = 1
CLOSED: Final = 2
"""The states of a reader, which takes packets while it is open."""

NO_LIMIT: Final = 1 << 62
"""The size of a queue that is never full."""


class Reader(Protocol):
    """Whoever reads an input stream: told when there may be something to do, and when its queue fills or empties."""

    name: str
    only_stream: InputStream | None
    in_flight: int
    status: int

    def schedule(self) -> None: ...

    def take(self, stream: InputStream, packet: Packet, timestamp: int) -> None: ...

    def fullness_changed(self, stream: InputStream) -> None: ...


class InputStream:
    """The packets waiting at one reader, and the bound below which no more arrive.

    `limit` is the number of packets at which the queue counts as full; full queues take packets all the same, it is
    the sources that are held back.
    """

    __slots__ = (
        "added", "back_edge", "bound", "closed", "full", "header", "last_taken", "limit", "name", "queue", "reader",
        "tag", "timed", "type",
    )  # fmt: skip

    def __init__(self, name: str, reader: Reader, *, tag: str = "", back_edge: bool = False) -> None:
        self.name = name
        self.tag = tag
        self.reader = reader
        self.back_edge = back_edge
        self.type: type | tuple[type, ...] = object
        self.limit = NO_LIMIT
        self.timed = True
        self.reset()

    def reset(self) -> None:
        """Forget everything, for a new run."""
        self.queue: deque[Packet] = deque()
        self.bound = PRE_STREAM
        self.last_taken = UNSTARTED
        self.closed = False
        self.full = False
        self.added = 0
        self.header: Packet = EMPTY

    @property
    def done(self) -> bool:
        """Whether nothing waits and nothing more arrives."""
        return not self.queue and self.bound == DONE

    def add(self, packet: Packet) -> None:
        """Queue a packet. Raises `GraphRuntimeError` for a timestamp that cannot follow, or another type."""
        if self.closed:
            return
        value, timestamp = packet
        if timestamp < self.bound or not MIN <= timestamp < MAX:
            self._check(timestamp)
            self.bound = next_allowed(timestamp)
        else:
            self.bound = timestamp + 1
        if self.type is not object and not isinstance(value, self.type):
            raise GraphRuntimeError(
                f'node "{self.reader.name}": its input stream "{self.name}" takes {type_name(self.type)}, '
                f"but a {type(value).__name__} came",
                node=self.reader.name,
                timestamp=timestamp,
            )
        self.added += 1
        self.queue.append(packet)
        if len(self.queue) >= self.limit and not self.full:
            self.full = True
            self.reader.fullness_changed(self)

    def _check(self, timestamp: int) -> None:
        if not is_allowed_in_stream(timestamp):
            raise GraphRuntimeError(
                f'stream "{self.name}": a packet cannot have the timestamp {text_of(timestamp)}', timestamp=timestamp
            )
        if not self.timed:
            return
        if timestamp == POST_STREAM and self.added:
            raise GraphRuntimeError(
                f'stream "{self.name}": a packet at {text_of(timestamp)} must be the only one of its stream',
                timestamp=timestamp,
            )
        if timestamp < self.bound:
            raise GraphRuntimeError(
                f'timestamps went back on stream "{self.name}": at least {text_of(self.bound)} was expected, '
                f"{text_of(timestamp)} came",
                timestamp=timestamp,
            )

    def set_bound(self, bound: int) -> bool:
        """Move the bound up; returns whether the reader can notice. Raises `GraphRuntimeError` for a lower one."""
        if self.closed or bound == self.bound:
            return False
        if bound < self.bound:
            if not self.timed:
                return False
            raise GraphRuntimeError(
                f'the bound of stream "{self.name}" went back from {text_of(self.bound)} to {text_of(bound)}',
                timestamp=bound,
            )
        self.bound = bound
        return not self.queue

    def head(self) -> tuple[int, bool]:
        """The timestamp of the first packet and False, or the bound and True where none waits."""
        return (self.queue[0][1], False) if self.queue else (self.bound, True)

    def take(self, timestamp: int) -> Packet:
        """Remove what waits up to `timestamp`: returns the packet at it, or an empty one at the last settled time.

        From then on nothing at or below `timestamp` can be added. Raises `GraphRuntimeError` where that would lose
        an older packet or go back.
        """
        if timestamp < self.last_taken:
            raise GraphRuntimeError(f'stream "{self.name}" was read back in time at {text_of(timestamp)}')
        self.last_taken = timestamp
        if self.bound <= timestamp:
            self.bound = next_allowed(timestamp)
        queue = self.queue
        if queue and queue[0][1] <= timestamp:
            packet = queue.popleft()
            if packet[1] != timestamp or (queue and queue[0][1] <= timestamp):
                raise GraphRuntimeError(
                    f'stream "{self.name}" would lose a packet at {text_of(packet[1])} by reading {text_of(timestamp)}'
                )
            if self.full:
                self._not_full()
            return packet
        return Packet(NOTHING, previous_allowed(self.head()[0]))

    def take_head(self) -> Packet:
        """Remove and return the first packet, whatever its timestamp; an empty one where none waits."""
        if not self.queue:
            return EMPTY
        packet = self.queue.popleft()
        if self.full:
            self._not_full()
        return packet

    def drop_before(self, timestamp: int) -> None:
        """Remove packets earlier than `timestamp`."""
        while self.queue and self.queue[0][1] < timestamp:
            self.queue.popleft()
        if self.full:
            self._not_full()

    def earliest_of_latest(self, count: int) -> int:
        """The timestamp of the earliest among the `count` newest packets; Unset where none waits."""
        return self.queue[max(0, len(self.queue) - count)][1] if self.queue and count else UNSET

    def set_limit(self, limit: int) -> None:
        """Change the size at which the queue is full; -1 for never."""
        self.limit = NO_LIMIT if limit == -1 else limit
        full = len(self.queue) >= self.limit
        if full != self.full:
            self.full = full
            self.reader.fullness_changed(self)

    def close(self) -> None:
        """Nothing more is read: the queue is emptied, and what still comes is dropped."""
        if not self.closed:
            self.closed = True
            self.bound = self.last_taken = DONE
            self.queue.clear()
            if self.full:
                self._not_full()

    def _not_full(self) -> None:
        if len(self.queue) < self.limit:
            self.full = False
            self.reader.fullness_changed(self)


class OutputStream:
    """The writer's side of a stream: hands packets, bounds and the header to all readers."""

    __slots__ = ("added", "bound", "closed", "header", "name", "offset", "readers")

    def __init__(self, name: str) -> None:
        self.name = name
        self.readers: list[InputStream] = []
        self.reset()

    def reset(self) -> None:
        self.bound = PRE_STREAM
        self.closed = False
        self.offset: int | None = None
        self.header: Packet = EMPTY
        self.added = 0

    def pass_on(self, packets: list[Packet], bound: int) -> None:
        """Give `packets` to every reader, then the bound; Unset leaves the bound that the packets make."""
        if packets:
            last = packets[-1][1]
            after = last + 1 if MIN <= last < MAX else next_allowed(last)
            bound = max(bound, after)
            self.added += len(packets)
            for stream in self.readers:
                for packet in packets:
                    stream.add(packet)
                if bound != after:
                    stream.set_bound(bound)
                stream.reader.schedule()
            self.bound = bound
        elif bound != UNSET:
            self.move_bound(bound)

    def pass_one(self, packet: Packet) -> None:
        """Give one packet to every reader: `pass_on` for the usual case, as lean as can be."""
        timestamp = packet[1]
        if not MIN <= timestamp < MAX:
            self.pass_on([packet], UNSET)
            return
        self.added += 1
        self.bound = after = timestamp + 1
        for stream in self.readers:
            reader = stream.reader
            if (
                reader.only_stream is stream
                and stream.bound <= timestamp
                and stream.type is object
                and not reader.in_flight
                and reader.status == OPENED
                and not stream.queue
            ):
                # the reader waits for just this packet: it need not go through the queue
                stream.bound = after
                stream.added += 1
                reader.take(stream, packet, timestamp)
            else:
                stream.add(packet)
                reader.schedule()

    def move_bound(self, bound: int) -> None:
        """Move the bound, and tell readers who can notice. Raises `GraphRuntimeError` for a lower one."""
        if bound < self.bound:
            raise GraphRuntimeError(
                f'the bound of stream "{self.name}" went back from {text_of(self.bound)} to {text_of(bound)}',
                timestamp=bound,
            )
        self.bound = bound
        for stream in self.readers:
            if stream.set_bound(bound):
                stream.reader.schedule()

    def pass_header(self) -> None:
        for stream in self.readers:
            stream.header = self.header

    def close(self) -> None:
        """Nothing follows."""
        if not self.closed:
            self.closed = True
            self.bound = DONE
            for stream in self.readers:
                if stream.set_bound(DONE):
                    stream.reader.schedule()


def offset_bound(timestamp: int, offset: int) -> int:
    """Where a stream `offset` µs after its input is settled once the input at `timestamp` was processed."""
    if timestamp == PRE_STREAM:
        return MIN
    if timestamp == POST_STREAM:
        return next_allowed(timestamp)
    if timestamp == MAX and offset >= 0:
        return POST_STREAM
    if MIN <= timestamp <= MAX:
        return max(MIN, min(MAX, next_allowed(timestamp) + offset))
    return UNSET
