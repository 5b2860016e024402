"""Items made ahead on a thread: in order and bounded, or the newest; errors arrive, and the thread ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pocketgraph.runtime.vision.ahead import Ahead


def test_all_items_come_in_order_and_no_more_than_the_room_wait() -> None:
    made: list[int] = []
    more = threading.Semaphore(0)

    def source() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            more.release()
            yield number

    with Ahead(source(), room=3) as ahead:
        taken = 0
        for number in ahead:
            assert number == taken
            taken += 1
            while more.acquire(blocking=False):
                pass
            assert len(made) <= taken + 3 + 1  # what waits, and the one at the door
    assert taken == 20
    assert ahead.passed_over == 0


def test_an_error_comes_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield from (1, 2)
        raise OSError("the disk is gone")

    seen = []
    with Ahead(source(), 5) as ahead, pytest.raises(OSError, match="the disk is gone"):
        seen.extend(ahead)
    assert seen == [1, 2]


@pytest.mark.parametrize("newest", [False, True])
def test_leaving_ends_the_thread_and_closes_the_source(newest: bool) -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    with Ahead(source(), newest=newest, name="to be ended") as ahead:
        assert next(ahead) == 1
    assert closed.wait(30)
    assert list(ahead) == []


def test_nothing_is_read_before_it_is_asked_for() -> None:
    read = []
    with Ahead(read.append(number) for number in range(3)):
        pass
    assert read == []
