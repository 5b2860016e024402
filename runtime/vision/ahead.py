"""`Ahead`: what comes in order, made on a thread of its own while what came before is worked on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Generic, TypeVar

from typing_extensions import Self

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """Iterates over `source`, of which at most `room` items wait; a context, which ends the thread.

    Where there is no more room the thread waits, or, with `newest`, the oldest item gives way and is counted in
    `passed_over`. An error of `source` is raised here, after the items before it. The thread starts with the first item
    that is asked for; it closes a generator that it read from. `close` waits for it, but no longer than `patience`
    seconds where that is told: a dead camera may never answer.
    """

    def __init__(
        self,
        source: Iterable[Item],
        room: int = 1,
        *,
        newest: bool = False,
        patience: float | None = None,
        name: str = "ahead",
    ) -> None:
        self.passed_over = 0
        self._source, self._room, self._newest = source, room, newest
        self._patience, self._name = patience, name
        self._changed = threading.Condition()
        self._items: deque[Item] = deque()
        self._error: BaseException | None = None
        self._ended = self._stopped = False
        self._thread: threading.Thread | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        with self._changed:
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.wait_for(lambda: self._items or self._ended or self._stopped)
            if self._items and not self._stopped:
                self._changed.notify_all()
                return self._items.popleft()
            error, self._error = self._error, None
        if error is not None and not self._stopped:
            raise error
        raise StopIteration

    def _run(self) -> None:
        """Read until the source ends or nobody wants more."""
        try:
            for item in self._source:
                if not self._offer(item):
                    break
            close = getattr(self._source, "close", None)
            if close is not None:
                close()
        except BaseException as error:  # noqa: BLE001 - carried over to the thread that waits
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _offer(self, item: Item) -> bool:
        """Let `item` wait; returns whether more are wanted."""
        with self._changed:
            if self._newest and len(self._items) == self._room:
                self._items.popleft()
                self.passed_over += 1
            self._changed.wait_for(lambda: len(self._items) < self._room or self._stopped)
            self._items.append(item)
            self._changed.notify_all()
            return not self._stopped

    def stop(self) -> None:
        """Whoever iterates comes to the end, also one that waits; may be called by a signal's handler."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def close(self) -> None:
        """Stop, and wait for the thread to come back from what it reads."""
        self.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(self._patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
