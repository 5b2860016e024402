"""Results that hold arrays are equal where their values are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pocketgraph.graphs.hand_landmarker import Hand
from pocketgraph.graphs.holistic import HolisticResult
from pocketgraph.graphs.streaming import Timed
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.landmarks import Landmarks

POINTS = np.arange(9, dtype=np.float32).reshape(3, 3)


def _results() -> list[object]:
    landmarks = Landmarks(POINTS.copy(), np.array([0.5, np.nan, 1], np.float32))
    hand = Hand(landmarks, 0.75, side="Left", side_score=0.9)
    found = Detections(POINTS[:, :2].copy(), POINTS[:, None, :2].copy(), POINTS[:, 0].copy())
    return [landmarks, hand, found, HolisticResult(landmarks, id=3), Timed("hands", 7, [hand, hand])]


@pytest.mark.parametrize("index", range(5))
def test_equal_values_make_equal_results(index: int) -> None:
    one, other = _results()[index], _results()[index]
    assert one == other
    assert one != _results()[index - 1]
    assert one != "something else"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_another_value_shape_or_type_makes_another_result() -> None:
    landmarks = _results()[0]
    assert isinstance(landmarks, Landmarks)
    assert landmarks != replace(landmarks, points=POINTS + 1)
    assert landmarks != replace(landmarks, points=POINTS[:2])
    assert landmarks != replace(landmarks, points=POINTS.astype(np.float64))
    assert landmarks != replace(landmarks, visibility=None)
    assert Timed("hands", 7, [landmarks]) != Timed("hands", 7, [landmarks, landmarks])
    assert HolisticResult(landmarks, timestamp_us=1) == HolisticResult(landmarks, timestamp_us=2)
