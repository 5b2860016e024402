"""`_core` called directly with what makes no sense: always ValueError or TypeError, never a crash."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketgraph.runtime.chw._core import UNPLACED, Finish, Planes, Program, View, Window, band_rows, lanes

BIG = 2**62
NUMBERS = [
    0,
    1,
    2,
    3,
    4,
    5,
    8,
    63,
    64,
    1000,
    65535,
    65536,
    2**16 + 1,
    2**31 - 1,
    2**31,
    2**32,
    2**63 - 1,
    -1,
    -2,
    -(2**63),
]
SIZE = 4096


def new(threads: int = 1, externals: tuple[int, ...] = (100, 100)) -> Program:
    return Program(SIZE, list(externals), threads)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def window(
    size: Any = (8, 8),
    out: Any = (8, 8),
    kernel: Any = (3, 3),
    stride: Any = (1, 1),
    dilation: Any = (1, 1),
    pad: Any = (1, 1),
) -> Window:
    return Window(list(size), list(out), list(kernel), list(stride), list(dilation), list(pad))


def finish(**fields: Any) -> Finish:
    made = Finish()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


PLANES = Planes(256, 128, 4, 8, 8)
RESULT = Planes(1024, 128, 4, 8, 8)
Call = Callable[[Program], Any]


def product(
    p: Program, a: Planes = PLANES, y: Planes = RESULT, weights: Any = None, bias: Any = None, f: Finish | None = None
) -> None:
    p.product(a, y, ones(4, 4) if weights is None else weights, ones(4) if bias is None else bias, f or Finish())


BAD_PLANES = [
    Planes(-2, 128, 4, 8, 8),
    Planes(SIZE, 128, 4, 8, 8),
    Planes(SIZE - 400, 128, 4, 8, 8),
    Planes(2**63 - 1, 128, 4, 8, 8),
    Planes(2**63 - 300, 128, 4, 8, 8),
    Planes(256, 63, 4, 8, 8),
    Planes(256, 0, 4, 8, 8),
    Planes(256, -128, 4, 8, 8),
    Planes(256, BIG, 4, 8, 8),
    Planes(256, 128, 0, 8, 8),
    Planes(256, 128, -4, 8, 8),
    Planes(256, 128, 2**62, 8, 8),
    Planes(256, 128, 4, 2**32, 2**32),
    Planes(256, 128, 4, 2**63 - 1, 2**63 - 1),
    Planes(256, 128, 4, -8, -8),
    Planes(256, 2**31, 2**31, 1, 1),
]


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("number", range(len(BAD_PLANES)))
def test_planes_that_lie_outside_or_overlap_are_refused(number: int, place: int) -> None:
    pair = [PLANES, RESULT]
    pair[place] = BAD_PLANES[number]
    a, y = pair
    p = new()
    calls: list[Call] = [
        lambda p: product(p, a, y),
        lambda p: p.convolution(a, y, window(), ones(4, 36), ones(4), Finish()),
        lambda p: p.separable(a, y, 3, ones(36), ones(4), Finish(), ones(4, 4), ones(4), Finish()),
        lambda p: p.depthwise(a, y, window(), ones(36), ones(4), Finish(), False),
        lambda p: p.depthwise(a, y, window(), ones(36), ones(4), Finish(), True),
        lambda p: p.pool(a, y, window(), 0, 0, 1),
        lambda p: p.resize(a, y, [0] * 8, [0] * 8, ones(8), [0] * 8, [0] * 8, ones(8)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"."):
            call(p)
    f = Finish()
    f.add_residual(BAD_PLANES[number])
    with pytest.raises(ValueError, match=r"."):
        product(p, f=f)
    assert p.steps == 0


BAD_VIEWS = [
    View(-1, 0, [4], [1]),
    View(3, 0, [4], [1]),
    View(2**31 - 1, 0, [4], [1]),
    View(0, -1, [4], [1]),
    View(0, SIZE, [4], [1]),
    View(0, 2**63 - 1, [4], [1]),
    View(0, SIZE - 3, [4], [1]),
    View(0, 2, [4], [-1]),
    View(1, 97, [4], [1]),
    View(1, 0, [4], [2**63 - 1]),
    View(1, 0, [4], [-(2**63)]),
    View(0, 0, [4], []),
    View(0, 0, [], [1]),
    View(0, 0, [0], [1]),
    View(0, 0, [-4], [1]),
    View(0, 0, [2**63 - 1], [0]),
    View(0, 0, [2**31, 2**31, 2**31], [0, 0, 0]),
    View(0, 0, [2**16, 2**16], [0, 0]),
]


@pytest.mark.parametrize("number", range(len(BAD_VIEWS)))
def test_views_that_lie_outside_their_buffer_are_refused(number: int) -> None:
    bad, good = BAD_VIEWS[number], View(0, 0, [4], [1])
    p = new()
    calls: list[Call] = [
        lambda p: p.fill(bad, 0),
        lambda p: p.unary(0, bad, bad, 0, 0),
        lambda p: p.unary(0, bad, good, 0, 0),
        lambda p: p.unary(0, good, bad, 0, 0),
        lambda p: p.binary(0, good, bad, good, 0, 0),
        lambda p: p.softmax(bad, bad, 1),
        lambda p: p.reduce(0, bad, good, 1),
        lambda p: p.reduce(0, good, bad, 1),
        lambda p: p.matvec(bad, good, ones(4, 4), ones(4), 0, 0),
        lambda p: p.matvec(good, bad, ones(4, 4), ones(4), 0, 0),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"."):
            call(p)
    assert p.steps == 0


def test_nothing_is_written_twice_or_to_an_input() -> None:
    p = new()
    with pytest.raises(ValueError, match="twice"):
        p.fill(View(0, 0, [4, 4], [0, 1]), 0)
    p.fill(View(1, 0, [4], [1]), 0)
    p.seal()
    frozen = ones(100)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="a step writes input 0"):
        p.run([frozen], [ones(100)])
    p.run([], [ones(100), ones(100)])


BAD_WINDOWS = [
    {"size": (7, 8)},
    {"out": (8, 9)},
    {"kernel": (0, 3)},
    {"kernel": (3, -3)},
    {"kernel": (2**16 + 1, 3)},
    {"kernel": (2**63 - 1, 3)},
    {"stride": (0, 1)},
    {"stride": (2**62, 1)},
    {"stride": (8, 8)},
    {"dilation": (0, 1)},
    {"dilation": (2**16, 2**16)},
    {"pad": (-1, 1)},
    {"pad": (1, 2**17)},
    {"pad": (2**63 - 1, 1)},
    {"kernel": (65536, 65536)},
    {"kernel": (5, 5)},
]


@pytest.mark.parametrize("number", range(len(BAD_WINDOWS)))
def test_windows_that_do_not_fit_are_refused(number: int) -> None:
    w = window(**BAD_WINDOWS[number])
    p = new()
    calls: list[Call] = [
        lambda p: p.convolution(PLANES, RESULT, w, ones(4, 36), ones(4), Finish()),
        lambda p: p.depthwise(PLANES, RESULT, w, ones(36), ones(4), Finish(), False),
        lambda p: p.depthwise(PLANES, RESULT, w, ones(36), ones(4), Finish(), True),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"."):
            call(p)
    if BAD_WINDOWS[number] not in ({"kernel": (5, 5)}, {"kernel": (65536, 65536)}):
        with pytest.raises(ValueError, match=r"."):
            p.pool(PLANES, RESULT, w, 0, 0, 1)
    assert p.steps == 0


def test_a_window_takes_pairs() -> None:
    with pytest.raises(ValueError, match="pairs"):
        Window([8], [8, 8], [3, 3], [1, 1], [1, 1], [1, 1])
    with pytest.raises(TypeError):
        Window([2**64, 8], [8, 8], [3, 3], [1, 1], [1, 1], [1, 1])


@pytest.mark.parametrize("kind", ["pool", "depthwise"])
@pytest.mark.parametrize("pad", [(0, 60000), (60000, 0), (65536, 65536)])
def test_a_window_may_lie_in_its_padding_altogether(kind: str, pad: tuple[int, int]) -> None:
    p = new(externals=(1,))
    w = window((1, 1), (1, 1), (1, 1), pad=pad)
    a, y = Planes(256, 64, 1, 1, 1), Planes(512, 64, 1, 1, 1)
    p.write(256, ones(1))
    if kind == "pool":
        p.pool(a, y, w, 1, -9, 9)
    else:
        p.depthwise(a, y, w, ones(1), ones(1) * 7, Finish(), False)
    p.unary(0, View(0, 512, [1], [1]), View(1, 0, [1], [1]), 0, 0)
    p.seal()
    out = ones(1)
    p.run([], [out])
    assert out[0] == (0 if kind == "pool" else 7)


def test_weights_biases_and_slopes_must_fit() -> None:
    p = new()
    bad: list[Call] = [
        lambda p: product(p, weights=ones(3, 4)),
        lambda p: product(p, weights=ones(4, 5)),
        lambda p: product(p, weights=ones(0, 4)),
        lambda p: product(p, bias=ones(3)),
        lambda p: product(p, f=finish(act=4)),
        lambda p: product(p, f=finish(act=-1)),
        lambda p: product(p, f=finish(after=9)),
        lambda p: product(p, f=finish(act=2)),
        lambda p: product(p, f=finish(act=2, slope=[1.0])),
        lambda p: product(p, f=finish(act=1, slope=[1.0])),  # would be read though it is not used
        lambda p: product(p, f=finish(after=1, after_slope=[1.0])),
        lambda p: p.separable(PLANES, RESULT, 4, ones(64), ones(4), Finish(), ones(4, 4), ones(4), Finish()),
        lambda p: p.separable(PLANES, RESULT, 2**62, ones(36), ones(4), Finish(), ones(4, 4), ones(4), Finish()),
        lambda p: p.separable(PLANES, RESULT, 3, ones(35), ones(4), Finish(), ones(4, 4), ones(4), Finish()),
        lambda p: p.separable(PLANES, RESULT, 3, ones(36), ones(4), finish(slope=[1.0]), ones(4, 4), ones(4), Finish()),
        lambda p: p.separable(
            Planes(256, 64, 4, 8, 8), RESULT, 3, ones(36), ones(4), Finish(), ones(4, 4), ones(4), Finish()
        ),
        lambda p: p.separable(
            Planes(4, 128, 4, 8, 8), RESULT, 3, ones(36), ones(4), Finish(), ones(4, 4), ones(4), Finish()
        ),
        lambda p: p.depthwise(PLANES, RESULT, window(), ones(35), ones(4), Finish(), False),
        lambda p: p.depthwise(PLANES, Planes(1024, 128, 6, 8, 8), window(), ones(54), ones(6), Finish(), False),
        lambda p: p.depthwise(Planes(256, 64, 4, 8, 8), RESULT, window(), ones(36), ones(4), Finish(), True),
        lambda p: p.pool(PLANES, RESULT, window(), 2, 0, 1),
        lambda p: p.unary(-1, View(0, 0, [4], [1]), View(0, 0, [4], [1]), 0, 0),
        lambda p: p.unary(99, View(0, 0, [4], [1]), View(0, 0, [4], [1]), 0, 0),
        lambda p: p.binary(99, *[View(0, 0, [4], [1])] * 3, 0, 0),
        lambda p: p.reduce(9, View(0, 0, [4], [1]), View(0, 0, [], []), 1),
        lambda p: p.reduce(0, View(0, 0, [4], [1]), View(0, 0, [], []), 2),
        lambda p: p.reduce(0, View(0, 0, [4], [1]), View(0, 0, [], []), 0),
        lambda p: p.reduce(0, View(0, 0, [4], [1]), View(0, 0, [], []), -1),
        lambda p: p.softmax(View(0, 0, [], []), View(0, 0, [], []), 1),
        lambda p: p.resize(PLANES, RESULT, [8] * 8, [0] * 8, ones(8), [0] * 8, [0] * 8, ones(8)),
        lambda p: p.resize(PLANES, RESULT, [0] * 8, [0] * 8, ones(8), [-1] * 8, [0] * 8, ones(8)),
        lambda p: p.resize(PLANES, RESULT, [0] * 7, [0] * 8, ones(8), [0] * 8, [0] * 8, ones(8)),
        lambda p: p.matvec(View(0, 0, [4], [2]), View(0, 8, [4], [1]), ones(4, 4), ones(4), 0, 0),
        lambda p: p.matvec(View(0, 0, [4], [1]), View(0, 8, [4], [1]), ones(4, 4), ones(3), 0, 0),
        lambda p: p.write(-1, ones(4)),
        lambda p: p.write(SIZE - 3, ones(4)),
        lambda p: p.write(2**63 - 1, ones(4)),
    ]
    for call in bad:
        with pytest.raises(ValueError, match=r"."):
            call(p)
    for call in (
        lambda p: product(p, weights=ones(16)),
        lambda p: product(p, weights=[[1.0]]),
        lambda p: product(p, bias=None, weights="text"),
        lambda p: p.write(0, "text"),
        lambda p: p.fill(3, 0),
        lambda p: p.resize(PLANES, RESULT, [2**40] * 8, [0] * 8, ones(8), [0] * 8, [0] * 8, ones(8)),
    ):
        with pytest.raises(TypeError):
            call(p)
    assert p.steps == 0


def test_programs_of_no_sensible_size_are_refused() -> None:
    for arena, externals in ((-1, []), (2**31 + 1, []), (2**63 - 1, []), (16, [-1]), (16, [2**62])):
        with pytest.raises(ValueError, match="too large"):
            Program(arena, externals, 1)
    with pytest.raises(ValueError, match="instruction set"):
        Program(16, [], 1, "abacus")
    with pytest.raises(ValueError, match="instruction set"):
        lanes("abacus")
    Program(0, [], -5).seal()
    Program(16, [], 2**31 - 1).seal()


@pytest.mark.skipif("POCKETGRAPH_CORE" in os.environ, reason="sanitizers need more memory than that")
def test_where_the_system_gives_no_more_threads_fewer_do_the_work() -> None:
    code = """
import resource
import numpy as np
from pocketgraph.runtime.chw._core import Program, View
usual = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, usual[1]))
p = Program(100_000, [100_000], 256)
resource.setrlimit(resource.RLIMIT_AS, usual)  # what threads took is not there for anything else
p.fill(View(1, 0, [10, 10_000], [10_000, 1]), 3.0)
p.unary(0, View(1, 0, [100, 1000], [1000, 1]), View(0, 0, [100, 1000], [1000, 1]), 0, 0)
p.seal()
out = np.zeros(100_000, np.float32)
p.run([], [out])
assert (out == 3).all()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# ---- order of calls


def test_a_program_runs_only_when_it_is_sealed_and_changes_only_before() -> None:
    p = new()
    product(p)
    buffers = [ones(100)], [ones(100)]
    for call in (p.run, p.profile):
        with pytest.raises(ValueError, match="not sealed"):
            call(*buffers)
    p.seal()
    p.seal()
    changes: list[Call] = [product, lambda p: p.fill(View(0, 0, [4], [1]), 0), lambda p: p.pack(0, 1, 1, 4)]
    for change in changes:
        with pytest.raises(ValueError, match="sealed"):
            change(p)
    with pytest.raises(ValueError, match="let go of"):
        p.layer(0)
    p.run(*buffers)
    assert p.time_step(0, 1) > 0
    assert p.bytes > SIZE * 4


@pytest.mark.parametrize(
    "buffers",
    [
        ([], []),
        ([ones(100)], []),
        ([ones(100)] * 3, []),
        ([ones(99)], [ones(100)]),
        ([ones(100)], [ones(101)]),
        ([ones(100)], [ones(100), ones(100)]),
    ],
    ids=range(6),
)
def test_buffers_of_wrong_number_or_size_are_refused(buffers: Any) -> None:
    p = new()
    p.seal()
    for call in (p.run, p.profile):
        with pytest.raises(ValueError, match="buffer"):
            call(*buffers)


def test_outputs_that_cannot_be_written_are_refused() -> None:
    p = new()
    p.seal()
    frozen = ones(100)
    frozen.flags.writeable = False
    for bad in (frozen, ones(200)[::2], np.ones(100), np.ones(100, np.int32), [1.0] * 100, None, "text"):
        with pytest.raises(TypeError):
            p.run([ones(100)], [bad])
    with pytest.raises(TypeError):
        p.run(None, [ones(100)])


def test_packings_without_a_kernel_are_refused() -> None:
    p = new()
    product(p)
    p.fill(View(0, 0, [4], [1]), 0)
    bad = [(3, 1, 1), (1, 3, 1), (1, 1, 0), (1, 1, 9), (8, 1, 8), (1, 1, 4, -1), (1, 1, 4, 0, 3), (1, 1, 4, 0, -1)]
    for packing in [*bad, (0, 0, 0), (-1, -1, -1), (2**31 - 1, 1, 1)]:
        with pytest.raises(ValueError, match=r"."):
            p.pack(0, *packing)
    for step in (1, 2, -1, 2**62, -(2**63)):
        for call in (lambda s: p.pack(s, 1, 1, 1), p.layer, lambda s: p.time_step(s, 1)):
            with pytest.raises(ValueError, match=r"."):
                call(step)
    for repeats in (0, -1, 10001):
        with pytest.raises(ValueError, match="times"):
            p.time_step(0, repeats)
    for values in ((1, 1, 2**31), (1, 1, 1, 2**63), (1.5, 1, 1), (None, 1, 1)):
        with pytest.raises(TypeError):
            p.pack(0, *values)
    assert [p.max_vectors(b, n) for b, n in ((0, 0), (3, 3), (-1, 1), (2**31 - 1, 1))] == [0] * 4
    p.pack(0, 1, 1, 1, 2**63 - 1)


# ---- bands


def band(
    p: Program, middle: Planes | None = None, y: Planes | None = None, w: Window | None = None, **other: Any
) -> None:
    p.band(
        middle or Planes(2048, 128, 4, 8, 8),
        y or Planes(1024, 128, 4, 4, 4),
        w or window(out=(4, 4), stride=(2, 2)),
        other.get("weights", ones(36)),
        other.get("bias", ones(4)),
        other.get("f", Finish()),
        other.get("rows", 2),
    )


UNPLACED_RESULT = Planes(UNPLACED, 0, 4, 8, 8)


def test_bands_are_made_of_an_unplaced_product_and_nothing_else() -> None:
    p = new()
    with pytest.raises(ValueError, match="no step before"):
        band(p)
    p.fill(View(0, 0, [4], [1]), 0)
    with pytest.raises(ValueError, match="no product"):
        band(p)
    product(p)
    with pytest.raises(ValueError, match="does not fit"):
        band(p)
    product(p, y=UNPLACED_RESULT)
    for call in (p.seal, lambda: p.time_step(2, 1)):
        with pytest.raises(ValueError, match="band is missing"):
            call()
    band(p)
    with pytest.raises(ValueError, match="no product"):
        band(p)
    p.pack(2, 4, 1, 2)
    p.seal()
    p.run([ones(100)], [ones(100)])
    with pytest.raises(ValueError, match="no step before"):
        band(p)


@pytest.mark.parametrize("gap", [1, SIZE, 2**62])
def test_an_unplaced_product_has_no_gap(gap: int) -> None:
    p = new()
    with pytest.raises(ValueError, match="a band has no gap"):
        product(p, y=Planes(UNPLACED, 0, 4, 8, 8, gap))
    assert p.steps == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"middle": Planes(4, 128, 4, 8, 8)},
        {"middle": Planes(SIZE - 128 * 3 - 64, 128, 4, 8, 8)},
        {"middle": Planes(2048, 128, 3, 8, 8)},
        {"middle": Planes(2048, 128, 4, 1, 8)},
        {"middle": Planes(2048, 128, 4, 8, 7)},
        {"middle": Planes(2**63 - 1, 128, 4, 8, 8)},
        {"y": Planes(1024, 128, 4, 5, 4)},
        {"y": Planes(SIZE, 128, 4, 4, 4)},
        {"y": Planes(1024, 128, 8, 4, 4)},
        {"w": window(out=(4, 4), stride=(3, 3))},
        {"w": window(out=(4, 4), stride=(2, 2), pad=(1, 3))},
        {"w": window(size=(9, 8), out=(4, 4), stride=(2, 2))},
        {"weights": ones(35)},
        {"bias": ones(5)},
        {"f": finish(act=2)},
        {"rows": 0},
        {"rows": 5},
        {"rows": -(2**63)},
    ],
    ids=range(18),
)
def test_bands_that_do_not_fit_are_refused(wrong: dict[str, Any]) -> None:
    p = new()
    product(p, y=UNPLACED_RESULT)
    with pytest.raises(ValueError, match=r"."):
        band(p, **wrong)
    band(p)
    p.seal()
    p.run([ones(100)], [ones(100)])


@pytest.mark.parametrize(
    ("rows", "lane_count"), [(0, 16), (1, 0), (1, -1), (-(2**63), 16), (2**63 - 1, 0), (2**63 - 1, 2**63 - 1), (5, 16)]
)
def test_rows_of_a_band_need_rows_and_lanes(rows: int, lane_count: int) -> None:
    with pytest.raises(ValueError, match=r"band|lanes"):
        band_rows(window(out=(4, 4), stride=(2, 2)), rows, lane_count)
    assert band_rows(window(out=(4, 4), stride=(2, 2)), 4, 16) == 8


# ---- memory


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


# ---- anything at all

number = st.one_of(st.sampled_from(NUMBERS), st.integers(-4, 300))
small = st.one_of(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), number)
views = st.builds(
    lambda base, offset, axes: View(base, offset, [n for n, _ in axes], [s for _, s in axes]),
    st.sampled_from([0, 0, 1, 2, 3, -1]),
    number,
    st.lists(st.tuples(small, small), max_size=4),
)
planes = st.builds(
    Planes, st.one_of(st.just(512), number), st.one_of(st.sampled_from([64, 128]), number), small, small, small
)
pair = st.lists(small, min_size=2, max_size=2)
windows = st.builds(Window, pair, pair, pair, pair, pair, pair)
finishes = st.builds(
    lambda act, after, slope: finish(act=act, after=after, slope=[0.5] * slope, after_slope=[0.5] * slope),
    st.integers(-1, 4),
    st.integers(-1, 4),
    st.integers(0, 5),
)
counts = st.integers(0, 9)
CALLS = [
    "fill",
    "unary",
    "binary",
    "reduce",
    "softmax",
    "pool",
    "depthwise",
    "product",
    "convolution",
    "separable",
    "band",
]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_whatever_is_asked_for_is_refused_or_runs(data: st.DataObject) -> None:
    p = Program(SIZE, [100, 100], 1)
    for _ in range(data.draw(st.integers(1, 4))):
        call = data.draw(st.sampled_from(CALLS))
        v = [data.draw(views) for _ in range(3)]
        if data.draw(st.booleans()):
            v = [v[0]] * 3
        a, y = data.draw(planes), data.draw(planes)
        if data.draw(st.booleans()):
            y = a
        w, f = data.draw(windows), data.draw(finishes)
        n, k = data.draw(counts), data.draw(counts)
        flag = data.draw(st.booleans())
        arguments: dict[str, tuple[Any, ...]] = {
            "fill": (v[0], 1.0),
            "unary": (n * 3, v[0], v[1], 0.0, 1.0),
            "binary": (n, *v, 0.0, 1.0),
            "reduce": (n, v[0], v[1], k),
            "softmax": (v[0], v[1], 1.0),
            "pool": (a, y, w, n % 3, 0.0, 1.0),
            "depthwise": (a, y, w, ones(n * k), ones(n), f, flag),
            "product": (a, y, ones(n, k), ones(n), f),
            "convolution": (a, y, w, ones(n, n * k), ones(n), f),
            "separable": (a, y, 3, ones(k * 9), ones(k), f, ones(n, k), ones(n), f),
            "band": (a, y, w, ones(n * k), ones(n), f, n),
        }
        try:
            getattr(p, call)(*arguments[call])
        except ValueError:
            continue
    try:
        p.seal()
        p.run([], [ones(100), ones(100)])
    except ValueError:
        return
