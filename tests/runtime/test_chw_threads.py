"""The CHW engine on several threads, and in several Python threads at once."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import Model
from pocketgraph.runtime import load_model
from pocketgraph.runtime.chw import Chw, _core, matrix_rules


def net_of_everything(new_net: Any) -> Model:
    """Every kind of step that shares work out."""
    net = new_net()
    x = net.input(1, 33, 29, 3)
    y = net.conv(x, 12, (3, 3), (2, 2), act="RELU")
    wide = net.conv(y, 40, act="RELU6", density=0.3)
    y = net.add(y, net.conv(net.depthwise(wide, (5, 5)), 12, density=0.3))
    y = net.depthwise(net.conv(y, 24, density=0.4), stride=(2, 2))
    gate = net.op(
        "LOGISTIC", [net.op("MEAN", [y, np.array([1, 2], np.int32)], (1, 1, 1, 24), keep_dims=True)], (1, 1, 1, 24)
    )
    y = net.op("MUL", [y, gate], y.shape)
    big = net.op("RESIZE_BILINEAR", [y, np.array([40, 50], np.int32)], (1, 40, 50, 24))
    flat = net.op("FULLY_CONNECTED", [gate, net.normal(300, 24), None], (1, 300))
    return net.model(big, net.op("SOFTMAX", [flat], (1, 300), beta=1.0))


@pytest.mark.parametrize("banded", [False, True])
def test_any_number_of_threads_gives_the_same(
    new_net: Any, feeds: Any, close_to: Any, monkeypatch: Any, banded: bool
) -> None:
    if banded:
        monkeypatch.setattr(matrix_rules, "_LARGE_FLOATS", 0)
        monkeypatch.setattr(matrix_rules, "_BAND_FLOATS", 1000)
    model = net_of_everything(new_net)
    given = feeds(model)
    expected = Chw(model, 1).run(given)
    for threads in (2, 3, 7):
        engine = Chw(model, threads)
        first = engine.run(given)
        close_to(first, expected, 1e-6)
        for _ in range(5):
            close_to(engine.run(given), first, 0)


@pytest.mark.parametrize("isa", ["avx512", "avx2", "neon", "portable"])
def test_every_instruction_set_of_this_machine(new_net: Any, agrees: Any, monkeypatch: Any, isa: str) -> None:
    try:
        _core.lanes(isa)
    except ValueError:
        pytest.skip(f"this processor has no {isa}")
    monkeypatch.setenv("POCKETGRAPH_CPU", isa)
    model = net_of_everything(new_net)
    agrees(model)
    assert {plan.program.isa for plan in Chw(model, 1).plans()} == {isa}


def test_an_unknown_instruction_set_is_the_users_error(new_net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETGRAPH_CPU", "abacus")
    with pytest.raises(UsageError, match="POCKETGRAPH_CPU is 'abacus'"):
        Chw(net_of_everything(new_net), 1)


def test_instances_in_several_threads_and_one_in_several(new_net: Any, feeds: Any, close_to: Any) -> None:
    model = net_of_everything(new_net)
    given = [feeds(model, seed) for seed in range(4)]
    shared = Chw(model, 2)
    expected = [shared.run(feed) for feed in given]
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            own = Chw(model, 1 + number % 2)
            for _ in range(10):
                close_to(own.run(given[number]), expected[number], 1e-6)
                close_to(shared.run(given[number]), expected[number], 0)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


def test_other_python_threads_go_on_while_it_runs() -> None:
    """A step of many seconds would leave them no turn at all if it kept the lock."""
    p = _core.Program(1 << 20, [], 1)
    a, y = _core.Planes(1024, 4096, 64, 64, 64), _core.Planes(1 << 19, 4096, 64, 64, 64)
    p.product(a, y, np.ones((64, 64), np.float32), np.ones(64, np.float32), _core.Finish())
    entered, left = threading.Event(), threading.Event()
    seen_inside = 0

    def run() -> None:
        entered.set()
        p.time_step(0, 200)
        left.set()

    thread = threading.Thread(target=run)
    thread.start()
    entered.wait()
    while not left.is_set():
        seen_inside += 1
    thread.join()
    assert seen_inside > 1000


def test_far_too_many_threads_are_refused_and_many_are_fine(new_net: Any, feeds: Any, close_to: Any) -> None:
    model = net_of_everything(new_net)
    with pytest.raises(UsageError, match="threads must be 1 to 1024"):
        load_model(model, "chw", threads=1025)
    given = feeds(model)
    with load_model(model, "chw", threads=64) as many, load_model(model, "chw") as one:
        close_to(many.run(given), one.run(given), 1e-6)
