"""The warp of pictures into tensors gives what OpenCV's fixed-point resampling gives, to the bit."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketgraph.runtime.vision import _warp

_BORDERS = {True: cv2.BORDER_REPLICATE, False: cv2.BORDER_CONSTANT}


def _with_opencv(
    image: np.ndarray, shape: tuple[int, int], to: np.ndarray, scale: float, low: float, *, replicate: bool
) -> np.ndarray:
    """The same in four steps: maps in single precision, rounded to 1/32 pixel, resampled to bytes, looked up."""
    rows, columns = shape
    column, row = np.arange(columns), np.arange(rows)[:, None]
    x, y = ((column * a + c).astype(np.float32) + (row * b).astype(np.float32) for a, b, c in to.astype(np.float64))
    cells, fractions = cv2.convertMaps(x, y, cv2.CV_16SC2)
    found = cv2.remap(image, cells, fractions, cv2.INTER_LINEAR, borderMode=_BORDERS[replicate])
    table = np.arange(256, dtype=np.float32) * np.float32(scale) + np.float32(low)
    return table[found]


def _warped(
    image: np.ndarray, shape: tuple[int, int], to: np.ndarray, scale: float, low: float, *, replicate: bool
) -> np.ndarray:
    tensor = np.full((*shape, 3), np.nan, np.float32)
    _warp.warp(image, tensor, tuple(to[0].tolist()), tuple(to[1].tolist()), scale, low, replicate)
    return tensor


_NUMBERS = st.floats(-3, 3, width=32)
_STARTS = st.floats(-60, 90, width=32)


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 20), st.integers(1, 33)),
    st.tuples(_NUMBERS, _NUMBERS, _STARTS, _NUMBERS, _NUMBERS, _STARTS),
    st.booleans(),
    st.sampled_from([(1 / 255, 0.0), (2 / 255, -1.0), (1.0, 0.0), (0.3, 7.0)]),
    st.integers(0, 1000),
)
def test_every_matrix_gives_what_opencv_gives(
    size: tuple[int, int], shape: tuple[int, int], numbers: tuple[float, ...], replicate: bool,
    values: tuple[float, float], seed: int,
) -> None:  # fmt: skip
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    to = np.array(numbers).reshape(2, 3)
    expected = _with_opencv(image, shape, to, *values, replicate=replicate)
    np.testing.assert_array_equal(_warped(image, shape, to, *values, replicate=replicate), expected)


@pytest.mark.parametrize("replicate", [True, False])
def test_a_photograph_sized_turn(replicate: bool) -> None:
    image = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    to = np.array([[2.6, -1.1, 300.3], [1.1, 2.6, -120.9]])
    expected = _with_opencv(image, (256, 192), to, 1 / 255, 0.0, replicate=replicate)
    np.testing.assert_array_equal(_warped(image, (256, 192), to, 1 / 255, 0.0, replicate=replicate), expected)


def test_rows_may_lie_apart_and_memory_beside_the_picture_is_not_read() -> None:
    around = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    part = around[5:25, 10:40]
    to = np.array([[1.3, 0.2, -4.0], [-0.2, 1.3, 2.5]])
    np.testing.assert_array_equal(
        _warped(part, (16, 24), to, 1.0, 0.0, replicate=True),
        _warped(part.copy(), (16, 24), to, 1.0, 0.0, replicate=True),
    )


@pytest.mark.parametrize("far", [1e6, 1e30, float("inf"), float("nan"), -1e9])
def test_places_beyond_all_pictures_are_borders(far: float) -> None:
    image = np.full((4, 4, 3), 9, np.uint8)
    to = np.array([[0.0, 0.0, far], [0.0, 0.0, far]])
    assert (_warped(image, (2, 2), to, 1.0, 0.0, replicate=True) == 9).all()
    assert (_warped(image, (2, 2), to, 1.0, 0.0, replicate=False) == 0).all()


def test_wrong_shapes_are_refused() -> None:
    image, tensor, row = np.zeros((4, 4, 3), np.uint8), np.zeros((2, 2, 3), np.float32), (1.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="side by side"):
        _warp.warp(image[:, ::2], tensor, row, row, 1.0, 0.0, True)
    with pytest.raises(ValueError, match="side by side"):
        _warp.warp(np.zeros((4, 4, 4), np.uint8), tensor, row, row, 1.0, 0.0, True)
    with pytest.raises(ValueError, match="no pixels"):
        _warp.warp(image[:0], tensor, row, row, 1.0, 0.0, True)
    with pytest.raises(ValueError, match="three channels"):
        _warp.warp(image, np.zeros((2, 2, 4), np.float32), row, row, 1.0, 0.0, True)
    with pytest.raises(TypeError, match="incompatible"):
        _warp.warp(image, tensor, (1.0, 0.0), row, 1.0, 0.0, True)
    with pytest.raises(TypeError, match="incompatible"):
        _warp.warp(image, np.zeros((2, 2, 3)), row, row, 1.0, 0.0, True)
