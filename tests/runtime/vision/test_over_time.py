"""Smoothing and tracking from frame to frame, and masks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.image_to_tensor import padded
from pocketgraph.runtime.vision.landmarks import Landmarks
from pocketgraph.runtime.vision.mask import MaskSmoothing, probabilities, resize_mask, unwarp_mask
from pocketgraph.runtime.vision.rect import Rect
from pocketgraph.runtime.vision.smoothing import LandmarkSmoothing, OneEuro, VisibilitySmoothing
from pocketgraph.runtime.vision.tracking import FACE_LIMITS, HAND_LIMITS, TrackingLimits, tracked_rect


def _seen(*visibility: float) -> Landmarks:
    return Landmarks(np.zeros((len(visibility), 3), np.float32), np.array(visibility, np.float32))


def test_visibility_follows_slowly() -> None:
    smoothing = VisibilitySmoothing(0.1)
    assert smoothing(_seen(1.0, 0.0)).visibility == pytest.approx([1.0, 0.0])
    assert smoothing(_seen(0.0, 1.0)).visibility == pytest.approx([0.9, 0.1])
    smoothing.reset()
    assert smoothing(_seen(0.5)).visibility == pytest.approx([0.5])
    with pytest.raises(UsageError, match="no visibility"):
        smoothing(Landmarks(np.zeros((1, 3), np.float32)))
    with pytest.raises(UsageError, match="alpha"):
        VisibilitySmoothing(2)


def _one_euro(values: list[float], min_cutoff: float, beta: float, scale: float, step: float) -> list[float]:
    """The filter as the paper has it, one value after the other."""

    def share(cutoff: float) -> float:
        return 1 / (1 + 1 / (2 * math.pi * cutoff) / step)

    result = [values[0]]
    speed = 0.0
    for last, value in itertools.pairwise(values):
        speed = share(1.0) * (value - last) * scale / step + (1 - share(1.0)) * speed
        follow = share(min_cutoff + beta * abs(speed))
        result.append(follow * value + (1 - follow) * result[-1])
    return result


def test_the_one_euro_filter_is_the_papers() -> None:
    values = [0.0, 1.0, 1.5, 1.0, 4.0]
    expected = _one_euro(values, 0.05, 80.0, 0.01, 0.04)
    euro = OneEuro(0.05, 80.0)
    found = [float(euro(np.array([v], np.float32), 40_000 * i + 1, 0.01)[0]) for i, v in enumerate(values)]
    assert found == pytest.approx(expected)
    assert float(euro(np.array([9], np.float32), 1, 0.01)[0]) == 9  # time that runs back passes values through
    with pytest.raises(UsageError, match="above 0"):
        OneEuro(0, 1)


def test_landmarks_are_smoothed_in_pixels_by_the_objects_size() -> None:
    path = np.array([[0.1, 0.1, 0.0], [0.2, 0.1, 0.1], [0.2, 0.3, 0.1]], np.float32)
    rect = Rect(0.5, 0.5, 0.5, 0.5)  # 50 x 100 of 100 x 200 pixels: extent 75
    smoothing = LandmarkSmoothing(0.05, 80.0)
    found = [smoothing(Landmarks(p[None]), 33_333 * (i + 1), (100, 200), rect).points[0] for i, p in enumerate(path)]
    for axis, unit in enumerate((100, 200, 100)):
        expected = np.array(_one_euro([float(v) * unit for v in path[:, axis]], 0.05, 80.0, 1 / 75, 0.033333)) / unit
        np.testing.assert_allclose(np.array(found)[:, axis], expected, atol=1e-6)


def test_what_has_no_size_is_not_smoothed() -> None:
    point = Landmarks(np.ones((1, 3), np.float32))
    smoothing = LandmarkSmoothing(0.05, 80.0)
    assert smoothing(point, 1, (10, 10)) is point
    still = LandmarkSmoothing(0.05, 80.0, by_size=False)
    still(point, 1)
    still.reset()
    assert still(Landmarks(point.points * 5), 2).points[0, 0] == 5


SIZE = (1000, 500)
FRESH = Rect(0.5, 0.5, 0.1, 0.2)
INSIDE = np.array([[0.5, 0.5], [0.53, 0.55]], np.float32)


@pytest.mark.parametrize(
    ("previous", "landmarks", "kept"),
    [
        (Rect(0.51, 0.5, 0.1, 0.2, 0.3), INSIDE, True),
        (Rect(0.525, 0.5, 0.1, 0.2), INSIDE, False),  # moved by a quarter of a side
        (Rect(0.5, 0.5, 0.15, 0.2), INSIDE, False),  # half wider
        (Rect(0.5, 0.5, 0.1, 0.2, 0.8), INSIDE, False),  # turned by 46 degrees
        (Rect(0.5, 0.5, 0.1, 0.2, 0.3 - 2 * math.pi), INSIDE, True),
        (Rect(0.5, 0.5, 0.1, 0.2), np.array([[0.546, 0.5]], np.float32), False),  # a landmark at the edge
    ],
)
def test_a_region_is_kept_while_it_agrees(previous: Rect, landmarks: np.ndarray, kept: bool) -> None:
    assert tracked_rect(FRESH, previous, landmarks, SIZE, HAND_LIMITS) == (previous if kept else FRESH)


def test_limits_count_along_the_fresh_region() -> None:
    limits = TrackingLimits(90, 0.2, 1.0, 1.0)
    tall = Rect(0.5, 0.5, 0.02, 0.4, math.pi / 2)  # 20 x 200 pixels, lying: 200 across
    moved = Rect(0.53, 0.5, 0.02, 0.4, math.pi / 2)
    assert tracked_rect(tall, moved, INSIDE[:1], SIZE, limits) == moved
    assert tracked_rect(tall, Rect(0.5, 0.53, 0.02, 0.4, math.pi / 2), INSIDE[:1], SIZE, limits) == tall
    assert tracked_rect(FRESH, None, None, SIZE, FACE_LIMITS) == FRESH


def test_a_mask_goes_back_to_where_it_was_cut() -> None:
    crop = padded(Rect(0.5, 0.5, 0.5, 0.5), (40, 40), (10, 10))
    mask = unwarp_mask(np.ones((10, 10), np.float32), crop.matrix(), crop.size)
    assert mask.shape == (40, 40)
    assert mask[12:26, 12:26].min() == 1
    assert mask[:9].max() == 0
    assert resize_mask(np.ones((2, 2), np.float32), (6, 4)).shape == (4, 6)
    assert probabilities(np.zeros((1, 1), np.float32)).item() == 0.5


def test_an_undecided_mask_keeps_some_of_the_last_one() -> None:
    smoothing = MaskSmoothing(0.7)
    smoothing(np.array([[1.0, 0.0]], np.float32))
    assert smoothing(np.array([[0.5, 1.0]], np.float32))[0].tolist() == pytest.approx([0.85, 1.0], abs=1e-3)
    assert smoothing(np.zeros((2, 2), np.float32)).max() == 0  # another size starts anew
    smoothing.reset()
