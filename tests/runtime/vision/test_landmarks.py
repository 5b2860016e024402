"""Landmarks decoded, brought back into the picture, and sharpened by a heatmap."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.landmarks import (
    Landmarks,
    decode_landmarks,
    mirror,
    project_landmarks,
    rotate_world,
    unletterbox_landmarks,
)
from pocketgraph.runtime.vision.rect import Rect
from pocketgraph.runtime.vision.refine import refine_from_heatmap


def _points(*values: float) -> Landmarks:
    return Landmarks(np.array(values, np.float32).reshape(-1, 3))


def test_five_numbers_are_a_place_visibility_and_presence() -> None:
    decoded = decode_landmarks(np.array([[50, 100, 20, 0, 200]], np.float32), 1, (100, 200), 0.4)
    np.testing.assert_allclose(decoded.points, [[0.5, 0.5, 0.5]])
    assert decoded.visibility is not None
    assert decoded.presence is not None
    assert decoded.visibility.tolist() == [0.5]
    assert decoded.presence.tolist() == [1.0]


def test_two_or_three_numbers_are_a_place() -> None:
    flat = decode_landmarks(np.arange(4, dtype=np.float32), 2, (2, 2))
    assert flat.points.tolist() == [[0, 0.5, 0], [1, 1.5, 0]]
    world = decode_landmarks(np.arange(6, dtype=np.float32), 2)
    assert world.points.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert world.visibility is None
    with pytest.raises(UsageError, match="7 values"):
        decode_landmarks(np.zeros(7, np.float32), 2)


def test_letterboxes_are_removed() -> None:
    assert unletterbox_landmarks(_points(0.5, 0.25, 0.1), (0.0, 0.25)).points.tolist() == [[0.5, 0, pytest.approx(0.1)]]
    same = _points(0.5, 0.25, 0.1)
    assert unletterbox_landmarks(same, (0.0, 0.0)) is same


def test_landmarks_are_projected_out_of_a_turned_rectangle() -> None:
    rect = Rect(0.5, 0.25, 0.2, 0.4, math.pi / 2)
    projected = project_landmarks(_points(0.5, 0.5, 1, 1.0, 0.5, 0), rect).points
    np.testing.assert_allclose(projected, [[0.5, 0.25, 0.2], [0.5, 0.45, 0]], atol=1e-6)
    np.testing.assert_allclose(rotate_world(_points(1, 0, 3), math.pi / 2).points, [[0, 1, 3]], atol=1e-6)
    np.testing.assert_allclose(mirror(_points(0.25, 1, 2)).points, [[0.75, 1, 2]])


def test_parts_are_taken_with_all_they_carry() -> None:
    whole = decode_landmarks(np.arange(15, dtype=np.float32), 3)
    part = whole.take(slice(1, 3))
    assert len(part) == 2
    assert part.visibility is not None
    assert part.visibility.shape == (2,)
    assert _points(0, 0, 0).take([0]).presence is None


def _heatmap(count: int, *peaks: tuple[int, int, int]) -> np.ndarray:
    heatmap = np.full((16, 16, count), -30, np.float32)
    for channel, row, column in peaks:
        heatmap[row, column, channel] = 30
    return heatmap


def test_a_landmark_moves_to_the_peak_beside_it() -> None:
    landmarks = _points(8 / 16, 8 / 16, 0.3)
    assert refine_from_heatmap(landmarks, _heatmap(1, (0, 6, 10))).points[0].tolist() == [
        pytest.approx(10 / 16),
        pytest.approx(6 / 16),
        pytest.approx(0.3),
    ]
    two = refine_from_heatmap(landmarks, _heatmap(1, (0, 6, 10), (0, 6, 8)))
    assert two.points[0, 0] == pytest.approx(9 / 16)


def test_a_landmark_stays_without_a_sure_peak_nearby() -> None:
    heatmap = _heatmap(4, (0, 15, 15), (2, 0, 0), (3, 1, 0))
    heatmap[8, 8, 1] = -0.1  # just below the confidence
    landmarks = _points(0.5, 0.5, 0, 0.5, 0.5, 0, -0.2, 0.0, 0, 0.0, 0.0, 0)
    refined = refine_from_heatmap(landmarks, heatmap).points
    np.testing.assert_array_equal(refined[:3], landmarks.points[:3])  # too far, too weak, outside
    np.testing.assert_allclose(refined[3], [0, 1 / 16, 0], atol=1e-6)  # the window is cut at the edge
    with pytest.raises(UsageError, match="4 channels for 1"):
        refine_from_heatmap(_points(0, 0, 0), heatmap)
