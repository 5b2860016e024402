"""Input policies with a rule of their own: FixedSize, Barrier, EarlyClose, Mux and TimestampAlign."""

from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphRuntimeError
from pocketgraph.runtime.graph.context import InputView
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.packet import EMPTY, NOTHING, Packet
from pocketgraph.runtime.graph.policies import CLOSE, NOT_READY, PROCESS, Default, Policy, register_policy
from pocketgraph.runtime.graph.streams import InputStream
from pocketgraph.runtime.graph.sync_policies import place_of
from pocketgraph.runtime.graph.tags import TagMap
from pocketgraph.runtime.graph.timestamp import (
    DONE,
    UNSET,
    is_range,
    next_allowed,
    shifted,
)


@register_policy("FixedSizeInputStreamHandler")
class FixedSize(Default):
    """`Default` that keeps queues short: where one reaches `trigger_queue_size`, all are cut at one timestamp so that
    it keeps `target_queue_size`. With `fixed_min_size` they are cut only once every queue has reached the size.
    """

    Options = OptionsSpec("""
message FixedSizeInputStreamHandlerOptions extends MediaPipeOptions at 125744319
  int32 trigger_queue_size = 1 default 2
  int32 target_queue_size = 2 default 1
  bool fixed_min_size = 3 default false
""")

    def __init__(self, streams: list[InputStream], tags: TagMap, options: Any, *, bounds: bool) -> None:
        super().__init__(streams, tags, options, bounds=bounds)
        self._trigger = options.trigger_queue_size
        self._target = options.target_queue_size
        self._kept = UNSET

    def readiness(self) -> int:
        self.cut()
        ready = super().readiness()
        while ready == PROCESS and self.timestamp < self._kept:
            # a packet came below what was cut already
            self.cut()
            ready = super().readiness()
        return ready

    def cut(self) -> None:
        """Drop what is surplus; called whenever a packet came and none is being processed."""
        if self.options.fixed_min_size:
            if all(len(stream.queue) >= self._trigger for stream in self.streams):
                first = min(stream.earliest_of_latest(self._target) for stream in self.streams)
                for stream in self.streams:
                    stream.drop_before(first)
            return
        for stream in self.streams:
            size = len(stream.queue)
            keep = self._target if size >= self._trigger else self._trigger - 1
            if size > keep:
                self._kept = max(self._kept, next_allowed(stream.earliest_of_latest(keep + 1)))
        for stream in self.streams:
            stream.drop_before(self._kept)


@register_policy("BarrierInputStreamHandler")
class Barrier(Policy):
    """Waits for a packet on every stream, whatever its timestamp; closes when a stream is done."""

    def __init__(self, streams: list[InputStream], tags: TagMap, options: Any, *, bounds: bool) -> None:
        super().__init__(streams, tags, options, bounds=bounds)
        for stream in streams:
            stream.timed = False

    def readiness(self) -> int:
        heads = [stream.head() for stream in self.streams]
        if any(empty and bound == DONE for bound, empty in heads):
            self.timestamp = DONE
            return CLOSE
        self.timestamp = min(timestamp for timestamp, _ in heads)
        return NOT_READY if any(empty for _, empty in heads) else PROCESS

    def fill(self, timestamp: int, views: list[InputView]) -> None:  # noqa: ARG002 - heads, whatever their time
        for stream, view in zip(self.streams, views, strict=True):
            view.packet = stream.take_head()
            view.done = stream.done


@register_policy("EarlyCloseInputStreamHandler")
class EarlyClose(Policy):
    """`Default` that closes as soon as one stream is done."""

    def readiness(self) -> int:
        heads = [stream.head() for stream in self.streams]
        bounds = [bound for bound, empty in heads if empty]
        if DONE in bounds:
            self.timestamp = DONE
            return CLOSE
        self.timestamp = min(timestamp for timestamp, _ in heads)
        return PROCESS if min(bounds, default=DONE) > self.timestamp else NOT_READY

    def fill(self, timestamp: int, views: list[InputView]) -> None:
        for stream, view in zip(self.streams, views, strict=True):
            view.packet = stream.take(timestamp)
            view.done = stream.done


@register_policy("MuxInputStreamHandler")
class Mux(Policy):
    """Reads the last stream, which says by its number which other stream to read at the same timestamp.

    What other streams have at or before that timestamp is dropped. Closes when the last stream is done.
    """

    def readiness(self) -> int:
        *data, control = self.streams
        self.timestamp, empty = control.head()
        for stream in data:
            stream.drop_before(self.timestamp)
        if empty:
            return CLOSE if self.timestamp == DONE else NOT_READY
        head, empty = self._selected().head()
        return NOT_READY if empty and head <= self.timestamp else PROCESS

    def _selected(self) -> InputStream:
        *data, control = self.streams
        number = control.queue[0][0]
        if not isinstance(number, int) or not 0 <= number < len(data):
            raise GraphRuntimeError(
                f'stream "{control.name}" selects input {number!r}, there are {len(data)}',
                timestamp=control.queue[0][1],
            )
        return data[number]

    def fill(self, timestamp: int, views: list[InputView]) -> None:
        selected = self._selected()
        for stream, view in zip(self.streams, views, strict=True):
            if stream is selected or stream is self.streams[-1]:
                view.packet = stream.take(timestamp)
                view.done = stream.done
            else:
                view.packet = EMPTY
        for stream in self.streams[:-1]:
            stream.drop_before(next_allowed(timestamp))


@register_policy("TimestampAlignInputStreamHandler")
class TimestampAlign(Policy):
    """Shifts streams of different clocks onto that of the base stream, by the difference of their first packets.

    Until every other stream has its first packet, packets of the base stream are processed alone.
    """

    Options = OptionsSpec("""
message TimestampAlignInputStreamHandlerOptions extends MediaPipeOptions at 190104979
  string timestamp_base_tag_index = 1
""")

    def __init__(self, streams: list[InputStream], tags: TagMap, options: Any, *, bounds: bool) -> None:
        super().__init__(streams, tags, options, bounds=bounds)
        self._base = place_of(tags, options.timestamp_base_tag_index)
        self._offsets = [0] * len(streams)
        self._aligned = len(streams) == 1

    def readiness(self) -> int:
        if not self._aligned:
            self.timestamp, empty = self.streams[self._base].head()
            if empty:
                if self.timestamp == DONE and all(stream.done for stream in self.streams):
                    return CLOSE
                return NOT_READY
            others = [place for place in range(len(self.streams)) if place != self._base]
            for place in others:
                if self.streams[place].queue:
                    self._offsets[place] = self.timestamp - self.streams[place].queue[0][1]
            self._aligned = all(self.streams[place].queue for place in others)
            return PROCESS
        lowest = lowest_bound = DONE
        for stream, offset in zip(self.streams, self._offsets, strict=True):
            head, empty = stream.head()
            head = shifted(head, offset) if is_range(head) else head
            lowest = min(lowest, head)
            if empty:
                lowest_bound = min(lowest_bound, head)
        self.timestamp = lowest
        if lowest == DONE:
            return CLOSE
        return PROCESS if lowest_bound > lowest else NOT_READY

    def fill(self, timestamp: int, views: list[InputView]) -> None:
        for place, (stream, view) in enumerate(zip(self.streams, views, strict=True)):
            if self._aligned:
                packet = stream.take(shifted(timestamp, -self._offsets[place]) if is_range(timestamp) else timestamp)
                view.packet = packet if packet[0] is NOTHING else Packet(packet[0], timestamp)
            elif place == self._base:
                view.packet = stream.take(timestamp)
            else:
                view.packet = EMPTY
            view.done = stream.done
