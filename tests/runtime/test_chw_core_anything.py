"""`_core` asked for anything at all: it refuses or runs, and never crashes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pocketgraph.runtime.chw._core import Planes, Program, View, Window

sys.path.insert(0, str(Path(__file__).parent))
try:
    from chw_core_calls import SIZE, finish, ones
finally:
    sys.path.pop(0)


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
