"""Lanes keep the order of their own work and share workers with others."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from pocketgraph.graphs.lane import Lane


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_each_lane_does_one_thing_after_another(workers: int, stays: bool) -> None:
    done: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    running = dict.fromkeys(done, 0)
    together: list[str] = []

    def work(name: str, index: int) -> int:
        running[name] += 1
        if running[name] > 1:
            together.append(name)
        done[name].append(index)
        running[name] -= 1
        return index * 10

    with ThreadPoolExecutor(workers) as pool:
        lanes = {name: Lane(pool, stays=stays and name == "a") for name in done}
        futures = [lane.submit(work, name, index) for index in range(50) for name, lane in lanes.items()]
        wait(futures)
    assert not together
    assert done == {name: list(range(50)) for name in done}
    assert [future.result() for future in futures[::3]] == [10 * index for index in range(50)]


def test_a_busy_lane_holds_no_worker_that_another_could_use() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        assert go_on.wait(60)

    with ThreadPoolExecutor(2) as pool:
        blocked, free = Lane(pool), Lane(pool)
        first = blocked.submit(block)
        assert begun.wait(60)
        second = blocked.submit(lambda: "later")
        assert free.submit(lambda: "now").result(60) == "now"
        assert not second.done()
        go_on.set()
        first.result(60)
        assert second.result(60) == "later"


def test_an_error_is_its_own_futures_and_the_lane_goes_on() -> None:
    with ThreadPoolExecutor(1) as pool:
        lane = Lane(pool)
        bad, good = lane.submit(int, "x"), lane.submit(int, "7")
        with pytest.raises(ValueError, match="invalid literal"):
            bad.result(60)
        assert good.result(60) == 7


def test_work_may_submit_to_other_lanes() -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = Lane(pool, stays=True), Lane(pool)
        inner = first.submit(lambda: second.submit(lambda: 5)).result(60)
        assert inner.result(60) == 5


def test_what_was_submitted_before_the_workers_shut_down_is_done() -> None:
    pool = ThreadPoolExecutor(1)
    lane = Lane(pool)
    go_on = threading.Event()
    lane.submit(go_on.wait, 60)
    later = [lane.submit(int, str(index)) for index in range(3)]
    pool.shutdown(wait=False)
    go_on.set()
    assert [future.result(60) for future in later] == [0, 1, 2]
