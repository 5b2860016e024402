"""Memory of `_core`: weights live as long as somebody reads them, and several threads take turns."""

from __future__ import annotations

import gc
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from pocketgraph.runtime.chw._core import Finish, Planes, Program, View

sys.path.insert(0, str(Path(__file__).parent))
try:
    from chw_core_calls import new, ones, product
finally:
    sys.path.pop(0)


def test_borrowed_weights_live_as_long_as_they_are_read() -> None:
    p = new()
    p.write(256, np.arange(128 * 4, dtype=np.float32))
    for number in range(20):
        product(p, weights=np.full((4, 4), number, np.float32), bias=np.zeros(4, np.float32))
    gc.collect()
    [np.random.default_rng(0).random((4, 4)) for _ in range(1000)]
    for number in range(20):
        p.pack(number, 2, 1, 3)
        np.testing.assert_array_equal(p.layer(number)[1], np.full((4, 4), number))


@pytest.mark.parametrize("end", ["sealed", "gone", "both"])
def test_weights_that_are_shown_outlive_the_program(end: str) -> None:
    p = Program(1 << 16, [], 1)
    a, y = Planes(256, 16, 1000, 1, 1), Planes(32768, 16, 1000, 1, 1)
    p.product(a, y, np.arange(1_000_000, dtype=np.float32).reshape(1000, 1000), ones(1000), Finish())
    kind, shown, pixels = p.layer(0)
    assert (kind, pixels) == ("pixels", 1)
    if end != "gone":
        p.seal()
    if end != "sealed":
        del p
    gc.collect()
    other = np.zeros((1000, 1000), np.float32)  # what would take the freed place
    np.testing.assert_array_equal(shown[:, 0], np.arange(1000, dtype=np.float32) * 1000)
    assert not shown.flags.writeable
    del other


def test_one_program_in_several_threads() -> None:
    """Its users take turns, whatever they call."""
    p = Program(1 << 20, [], 2)
    a, y = Planes(1024, 4096, 64, 64, 64), Planes(1 << 19, 4096, 64, 64, 64)
    p.product(a, y, ones(64, 64), ones(64), Finish())
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(20):
                if number % 2:
                    p.pack(0, 4, 1, 2)
                else:
                    p.time_step(0, 2)
                p.fill(View(0, 0, [4], [1]), 0)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert p.steps == 81
