"""The builder of `_core` refuses planes, views, windows and weights that make no sense, and adds no step for them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pocketgraph.runtime.chw._core import Finish, Planes, View, Window

sys.path.insert(0, str(Path(__file__).parent))
try:
    from chw_core_calls import PLANES, RESULT, SIZE, Call, finish, new, ones, product, window
finally:
    sys.path.pop(0)

BIG = 2**62

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
