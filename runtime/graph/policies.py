"""Input policies: when a node is ready, and with which packets of its input streams.

A policy looks at the queues of a node. `readiness` says NOT_READY, PROCESS or CLOSE and leaves in `timestamp` the input
timestamp, or the lowest time at which something may still come. `fill` then moves the packets into the views.

Names are those of graph files, `input_stream_handler { input_stream_handler: "ImmediateInputStreamHandler" }`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, TypeVar

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.context import InputView
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.packet import NOTHING, Packet
from pocketgraph.runtime.graph.streams import InputStream
from pocketgraph.runtime.graph.tags import TagMap
from pocketgraph.runtime.graph.timestamp import (
    DONE,
    MAX,
    ONE_OVER_POST_STREAM,
    POST_STREAM,
    UNSET,
    UNSTARTED,
    previous_allowed,
)

NOT_READY: Final = 0
PROCESS: Final = 1
CLOSE: Final = 2
P = TypeVar("P", bound="type[Policy]")
_policies: dict[str, type[Policy]] = {}


class Policy:
    """The base. `options` is the policy's message of options, `bounds` whether settled timestamps are processed too."""

    Options: ClassVar[OptionsSpec | None] = None
    sync_sets = 1

    def __init__(self, streams: list[InputStream], tags: TagMap, options: Any, *, bounds: bool) -> None:
        self.streams = streams
        self.tags = tags
        self.options = options
        self.bounds = bounds
        self.timestamp = UNSET

    def readiness(self) -> int:
        raise NotImplementedError

    def fill(self, timestamp: int, views: list[InputView]) -> None:
        raise NotImplementedError


def register_policy(*names: str) -> Callable[[P], P]:
    """Make a policy known to graph files; a name given twice raises."""

    def mark(policy: P) -> P:
        for name in names:
            if name in _policies:
                raise GraphConfigError(f'the input policy "{name}" is registered twice')
            _policies[name] = policy
        return policy

    return mark


def find_policy(name: str, node: str) -> type[Policy]:
    """The policy called `name`. Raises `GraphConfigError`."""
    from pocketgraph.runtime.graph import special_policies

    assert special_policies
    if name not in _policies:
        raise GraphConfigError(f'node "{node}": unknown input policy "{name}"; there are {", ".join(_policies)}')
    return _policies[name]


class SyncSet:
    """Some streams of a node, read together in ascending timestamps."""

    __slots__ = ("bounds", "last", "places", "streams", "timestamp")

    def __init__(self, streams: Sequence[InputStream], places: Sequence[int], *, bounds: bool) -> None:
        self.streams = [streams[place] for place in places]
        self.places = list(places)
        self.bounds = bounds
        self.last = UNSET
        self.timestamp = UNSET

    def readiness(self) -> int:
        """Ready once a timestamp is settled on all streams and one has a packet there (or `bounds` is set)."""
        lowest_bound = lowest_packet = DONE
        for stream in self.streams:
            if stream.queue:
                timestamp = stream.queue[0][1]
                lowest_packet = min(lowest_packet, timestamp)
            elif stream.bound < lowest_bound:
                lowest_bound = stream.bound
        lowest = min(lowest_packet, lowest_bound)
        if lowest >= ONE_OVER_POST_STREAM:
            self.timestamp = DONE
            self.last = MAX
            return CLOSE
        if not self.bounds:
            self.timestamp = lowest
            if lowest_bound > lowest_packet:
                self.last = lowest
                return PROCESS
            return NOT_READY
        last_one = lowest_packet == POST_STREAM and lowest_bound > lowest_packet
        settled = lowest_packet if last_one else previous_allowed(lowest_bound)
        timestamp = min(lowest_packet, settled)
        if timestamp > max(self.last, UNSTARTED):
            self.timestamp = self.last = timestamp
            return PROCESS
        self.timestamp = lowest
        return NOT_READY

    def fill(self, timestamp: int, views: list[InputView]) -> None:
        """Take the packets at `timestamp`."""
        for place, stream in zip(self.places, self.streams, strict=True):
            view = views[place]
            view.packet = stream.take(timestamp)
            view.done = stream.done

    def fill_bounds(self, views: list[InputView]) -> None:
        """Show how far each stream is settled, and take nothing."""
        for place, stream in zip(self.places, self.streams, strict=True):
            bound, _ = stream.head()
            view = views[place]
            view.packet = Packet(NOTHING, previous_allowed(bound))
            view.done = bound == DONE


@register_policy("DefaultInputStreamHandler")
class Default(Policy):
    """All streams together, in ascending timestamps; nothing is dropped.

    Ready when a timestamp is settled on all streams and at least one has a packet there; closes when all are done.
    """

    def __init__(self, streams: list[InputStream], tags: TagMap, options: Any, *, bounds: bool) -> None:
        super().__init__(streams, tags, options, bounds=bounds)
        self._set = SyncSet(streams, range(len(streams)), bounds=bounds)

    def readiness(self) -> int:
        ready = self._set.readiness()
        self.timestamp = self._set.timestamp
        return ready

    def fill(self, timestamp: int, views: list[InputView]) -> None:
        self._set.fill(timestamp, views)


class DefaultOfOne(Policy):
    """`Default` for a node with one stream, where it comes down to the head of the queue."""

    def __init__(self, streams: list[InputStream], tags: TagMap, options: Any, *, bounds: bool) -> None:
        super().__init__(streams, tags, options, bounds=bounds)
        (self._stream,) = streams

    def readiness(self) -> int:
        stream = self._stream
        if stream.queue:
            self.timestamp = stream.queue[0][1]
            return PROCESS
        self.timestamp = bound = stream.bound
        if bound >= ONE_OVER_POST_STREAM:
            self.timestamp = DONE
            return CLOSE
        return NOT_READY

    def fill(self, timestamp: int, views: list[InputView]) -> None:
        stream = self._stream
        view = views[0]
        view.packet = stream.queue.popleft()
        stream.last_taken = timestamp
        view.done = stream.bound == DONE and not stream.queue
        if stream.full:
            stream.drop_before(timestamp)


def make_policy(name: str, config: Any, streams: list[InputStream], tags: TagMap, node: str, *, bounds: bool) -> Policy:
    """The policy `name` over `streams`; `config` is the InputStreamHandlerConfig with its options, or None."""
    kind = find_policy(name, node)
    if kind is Default and len(streams) == 1 and not bounds:
        kind = DefaultOfOne
    options = kind.Options.read(config) if kind.Options is not None else None
    try:
        return kind(streams, tags, options, bounds=bounds)
    except GraphConfigError as error:
        raise GraphConfigError(f'node "{node}": {name}: {error}') from error
