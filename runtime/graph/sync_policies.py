"""Input policies that read streams apart: each alone (Immediate), or in groups (SyncSet)."""

from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.context import InputView
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.policies import CLOSE, NOT_READY, PROCESS, Policy, SyncSet, register_policy
from pocketgraph.runtime.graph.streams import InputStream
from pocketgraph.runtime.graph.tags import TagMap, parse_tag_index
from pocketgraph.runtime.graph.timestamp import (
    DONE,
    MAX,
    UNSET,
    previous_allowed,
)


def place_of(tags: TagMap, text: str) -> int:
    place = tags.place(*parse_tag_index(text))
    if place is None:
        raise GraphConfigError(f'there is no input stream "{text}"; there are {tags.texts()}')
    return place


@register_policy("ImmediateInputStreamHandler")
class Immediate(Policy):
    """Each stream on its own: a packet is processed as soon as it is there, so timestamps may go back between streams.

    Packets at the same timestamp that are there together are given together. A stream that ends is worth one call.
    """

    def __init__(self, streams: list[InputStream], tags: TagMap, options: Any, *, bounds: bool) -> None:
        super().__init__(streams, tags, options, bounds=bounds)
        self._sets = [SyncSet(streams, [place], bounds=bounds) for place in range(len(streams))]
        self._ready = [UNSET] * len(streams)
        self.sync_sets = len(streams)

    def readiness(self) -> int:
        timestamp = lowest = DONE
        ended = False
        for place, one in enumerate(self._sets):
            if self._ready[place] > UNSET:
                lowest = min(lowest, self._ready[place])
                timestamp = min(timestamp, self._ready[place])
                continue
            before = one.last
            ready = one.readiness()
            lowest = min(lowest, one.timestamp)
            if ready == PROCESS:
                self._ready[place] = one.timestamp
                timestamp = min(timestamp, one.timestamp)
            elif ready == CLOSE and self.bounds and before < MAX:
                lowest, timestamp = min(lowest, MAX), min(timestamp, MAX)
                self._ready[place] = MAX
            elif ready == CLOSE:
                ended |= not self.bounds and before < DONE
                self._ready[place] = DONE
        self.timestamp = lowest
        if lowest == DONE:
            return CLOSE
        if timestamp < DONE:
            self.timestamp = timestamp
            return PROCESS
        return PROCESS if ended else NOT_READY

    def fill(self, timestamp: int, views: list[InputView]) -> None:
        for place, one in enumerate(self._sets):
            if self._ready[place] == timestamp:
                one.fill(timestamp, views)
                self._ready[place] = UNSET
            else:
                one.fill_bounds(views)


@register_policy("SyncSetInputStreamHandler")
class SyncSets(Policy):
    """Groups of streams, named in the options, are each read together; streams in no group form one more."""

    Options = OptionsSpec("""
message SyncSetInputStreamHandlerOptions extends MediaPipeOptions at 155816273
  message SyncSet
    repeated string tag_index = 1
  repeated SyncSet sync_set = 1
""")

    def __init__(self, streams: list[InputStream], tags: TagMap, options: Any, *, bounds: bool) -> None:
        super().__init__(streams, tags, options, bounds=bounds)
        left = list(range(len(streams)))
        groups: list[list[int]] = []
        for group in options.sync_set:
            places = [place_of(tags, text) for text in group.tag_index]
            if not places:
                raise GraphConfigError("a sync_set is empty")
            for text, place in zip(group.tag_index, places, strict=True):
                if place not in left:
                    raise GraphConfigError(f'stream "{text}" is in more than one sync_set')
                left.remove(place)
            groups.append(places)
        if left:
            groups.append(left)
        self._sets = [SyncSet(streams, places, bounds=bounds) for places in groups]
        self._open = list(self._sets)
        self._chosen: SyncSet | None = None
        self.sync_sets = len(groups)

    def readiness(self) -> int:
        self._chosen = None
        lowest = DONE
        for one in list(self._open):
            ready = one.readiness()
            if ready == CLOSE:
                self._open.remove(one)
                continue
            if ready == PROCESS and (self._chosen is None or one.timestamp < self.timestamp):
                self._chosen, self.timestamp = one, one.timestamp
            lowest = min(lowest, one.timestamp)
        if self._chosen is not None:
            for one in self._open:
                if one is not self._chosen and one.bounds:
                    one.last = min(one.last, previous_allowed(one.timestamp))
            return PROCESS
        self.timestamp = lowest
        return NOT_READY if self._open else CLOSE

    def fill(self, timestamp: int, views: list[InputView]) -> None:
        for one in self._sets:
            if one is self._chosen:
                one.fill(timestamp, views)
            else:
                one.fill_bounds(views)
