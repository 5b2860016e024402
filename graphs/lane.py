"""`Lane`: work that must be done in order, beside the work of other lanes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from threading import Lock
from typing import Any, TypeVar

T = TypeVar("T")


class Lane:
    """Runs what it is given one after another on workers that it shares with other lanes.

    No worker ever waits for a lane: while one lane's work runs, the other workers take what other lanes have. With
    `stays` a worker stays with the lane as long as it has work: right for the lane which the others depend on.
    """

    def __init__(self, workers: Executor, *, stays: bool = False) -> None:
        self._workers = workers
        self._stays = stays
        self._lock = Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._busy = False

    def submit(self, work: Callable[..., T], *arguments: Any) -> Future[T]:
        """Do `work(*arguments)` after all that was submitted before; the future has its result or its error."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work(*arguments))
            except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
                future.set_exception(error)

        with self._lock:
            self._waiting.append(run)
            if self._busy:
                return future
            self._busy = True
        self._workers.submit(self._work)
        return future

    def _work(self) -> None:
        while True:
            self._waiting.popleft()()
            with self._lock:
                self._busy = bool(self._waiting)
                if not self._busy:
                    return
            if not self._stays:
                with suppress(RuntimeError):  # the workers take nothing new: then the rest is done here
                    self._workers.submit(self._work)
                    return
