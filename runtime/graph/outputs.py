"""What users attach to streams: observers, called for each packet, and pollers, asked for the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pocketgraph.models.errors import GraphRuntimeError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.packet import Packet
from pocketgraph.runtime.graph.ports import Input
from pocketgraph.runtime.graph.streams import InputStream
from pocketgraph.runtime.graph.timestamp import ONE_OVER_POST_STREAM, previous_allowed

if TYPE_CHECKING:
    from pocketgraph.runtime.graph.scheduler import Scheduler


class Observer(Calculator):
    """A node that calls a function for each packet; with bounds, for each settled time without one too."""

    stream = Input[Any]()

    def __init__(self, callback: Callable[[Packet], Any], emitted: Callable[[], None]) -> None:
        self.callback = callback
        self.emitted = emitted

    def process(self, context: Context) -> None:
        self.callback(context.inputs[0].packet)
        self.emitted()


class BoundsObserver(Observer):
    """The same, told of settled timestamps without a packet, as empty packets."""

    process_bounds = True


class Poller:
    """Reads a stream at the user's pace: `next()` waits for a packet; iterating ends where the stream does.

    A full queue holds back the sources before it. With `bounds`, settled times without a packet come as empty packets.
    """

    def __init__(self, name: str, scheduler: Scheduler, *, bounds: bool, queue_size: int) -> None:
        self.only_stream: InputStream | None = None
        self.in_flight = self.status = 0
        self.name = f"the poller of {name}"
        self._scheduler = scheduler
        self._bounds = bounds
        self._limit = queue_size
        self.stream = InputStream(name, self)
        self._told = 0
        self.prepare()

    def prepare(self) -> None:
        """Be ready for a run."""
        self.stream.reset()
        self.stream.set_limit(self._limit)
        self._told = previous_allowed(self.stream.bound)

    def schedule(self) -> None:
        self._scheduler.changed.notify_all()

    def take(self, stream: InputStream, packet: Packet, timestamp: int) -> None:
        """Never called: a poller lets packets wait."""

    def fullness_changed(self, stream: InputStream) -> None:
        self._scheduler.throttle.changed(stream)

    def __len__(self) -> int:
        return len(self.stream.queue)

    def set_max_queue_size(self, size: int) -> None:
        """How many packets may wait before sources are held back; -1 for any number."""
        with self._scheduler.lock:
            self._limit = size
            self.stream.set_limit(size)

    def reset(self) -> None:
        """Drop what waits."""
        with self._scheduler.lock:
            while self.stream.queue:
                self.stream.take_head()

    def next(self, timeout: float | None = None) -> Packet | None:
        """The next packet, or None where the stream or the graph has ended. Raises the run's error after one."""
        scheduler = self._scheduler
        if scheduler.synchronous:
            if not self._ready():
                scheduler.run(self._ready)
            if not self._ready():
                raise GraphRuntimeError(
                    f'stream "{self.stream.name}" has no packet, and the synchronous graph has nothing to do; add one'
                )
        with scheduler.lock:
            if not scheduler.changed.wait_for(self._ready, timeout):
                raise GraphRuntimeError(f'stream "{self.stream.name}" had no packet for {timeout} seconds')
            if self.stream.queue:
                packet = self.stream.take_head()
                self._told = packet.timestamp
                if not scheduler.busy:
                    scheduler._idle()  # noqa: SLF001 - room in the queue may be all that was waited for
                return packet
            if self._bound_news():
                self._told = previous_allowed(self.stream.bound)
                return Packet().at(self._told)
            return None

    def _bound_news(self) -> bool:
        bound = self.stream.bound
        return self._bounds and bound < ONE_OVER_POST_STREAM and previous_allowed(bound) > self._told

    def _ready(self) -> bool:
        over = self.stream.bound >= ONE_OVER_POST_STREAM or self._scheduler.state == "terminated"
        return bool(self.stream.queue) or self._bound_news() or over or bool(self._scheduler.errors)

    def __iter__(self) -> Iterator[Packet]:
        while (packet := self.next()) is not None:
            yield packet
