"""Live video: a thread reads, the newest frame waits for whoever is ready, and what came before it is dropped."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

from pocketgraph.runtime.vision.image_to_tensor import Image

Item = TypeVar("Item")
_PATIENCE = 1.0  # seconds to wait for the reader at the end: a dead camera may never answer


def newest(source: Iterator[Item]) -> Generator[Item, None, None]:
    """The newest item of `source` each time that one is asked for, never the same twice; ends as `source` does.

    At most one item waits. An error of `source` is raised here, after the last item before it.
    """
    slot = _Slot[Item](source)
    thread = threading.Thread(target=slot.fill, name="live", daemon=True)
    thread.start()
    try:
        while (item := slot.take()) is not None:
            yield item[0]
    finally:
        slot.stop()
        thread.join(_PATIENCE)


class _Slot(Generic[Item]):
    """Room for one item between the thread that reads and the one that works."""

    def __init__(self, source: Iterator[Item]) -> None:
        self._source = source
        self._changed = threading.Condition()
        self._item: tuple[Item] | None = None
        self._error: BaseException | None = None
        self._ended = self._stopped = False

    def fill(self) -> None:
        """Read until the source ends or nobody wants more; the reader closes what it read from."""
        try:
            for item in self._source:
                with self._changed:
                    self._item = (item,)
                    self._changed.notify()
                    if self._stopped:
                        break
            close = getattr(self._source, "close", None)
            if close is not None:
                close()
        except BaseException as error:  # noqa: BLE001 - carried over to the thread that waits
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify()

    def take(self) -> tuple[Item] | None:
        """The newest item, waited for where there is none yet; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._ended)
            item, self._item = self._item, None
        if item is None and self._error is not None:
            raise self._error
        return item

    def stop(self) -> None:
        """Let the reader end after the item it is at."""
        with self._changed:
            self._stopped = True


def paced(frames: Iterator[tuple[int | None, Image]]) -> Iterator[tuple[int | None, Image]]:
    """`frames` of a file, each held back until its time has come."""
    started: float | None = None
    for timestamp, image in frames:
        if timestamp is not None:
            now = time.monotonic()
            started = now - timestamp / 1e6 if started is None else started
            time.sleep(max(0.0, started + timestamp / 1e6 - now))
        yield timestamp, image
