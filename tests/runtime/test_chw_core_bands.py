"""Bands of `_core` are made of an unplaced product and what fits to it, and of nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pocketgraph.runtime.chw._core import UNPLACED, Finish, Planes, Program, View, Window, band_rows

sys.path.insert(0, str(Path(__file__).parent))
try:
    from chw_core_calls import SIZE, finish, new, ones, product, window
finally:
    sys.path.pop(0)


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
