"""Rectangles from detections and landmarks, turned, shifted and squared."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pocketgraph.runtime.vision.rect import (
    Rect,
    hand_rect_from_landmarks,
    hand_rect_from_pose,
    normalize_radians,
    rect_around,
    rect_from_alignment,
    rect_of_box,
    rect_of_keypoints,
    rotation_between,
    transform_rect,
)

SIZE = (400, 200)


def _f(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def _close(rect: Rect, *values: float) -> None:
    np.testing.assert_allclose(
        [rect.x_center, rect.y_center, rect.width, rect.height, rect.rotation], values, atol=1e-6
    )


@pytest.mark.parametrize(
    ("angle", "expected"), [(0, 0), (math.pi, -math.pi), (-4, 2 * math.pi - 4), (7, 7 - 2 * math.pi)]
)
def test_angles_come_out_between_minus_pi_and_pi(angle: float, expected: float) -> None:
    assert normalize_radians(angle) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("end", "target", "expected"),
    [((0.75, 0.5), 0, 0), ((0.5, 0.25), 90, 0), ((0.5, 0.75), 0, 90), ((0.75, 0.0), 90, 45), ((0.25, 0.5), 90, -90)],
)
def test_a_direction_is_turned_to_the_target_in_pixels(end: tuple, target: float, expected: float) -> None:
    turned = rotation_between(_f(0.5, 0.5), _f(*end), target, SIZE)
    assert math.degrees(turned) == pytest.approx(expected, abs=1e-4)


def test_boxes_around_points() -> None:
    points = _f(0.25, 0.5, 9, 0.75, 0.25, 9).reshape(2, 3)
    _close(rect_around(points, 0.5), 0.5, 0.375, 0.5, 0.25, 0.5)
    _close(rect_of_keypoints(points[:, :2]), 0.5, 0.375, 0.5, 0.25, 0)
    _close(rect_of_box(_f(0.25, 0.25, 0.75, 0.5)), 0.5, 0.375, 0.5, 0.25, 0)


def test_landmarks_left_of_the_picture_reach_to_its_edge() -> None:
    """Upstream looks for the largest coordinate from just above zero."""
    _close(rect_around(_f(-0.5, -0.5, -0.25, -0.25).reshape(2, 2)), -0.25, -0.25, 0.5, 0.5, 0)


def test_an_aligned_square_is_square_in_pixels() -> None:
    rect = rect_from_alignment(_f(0.5, 0.5), _f(0.5, 0.0), 90, SIZE)
    _close(rect, 0.5, 0.5, 0.5, 1.0, 0)


def test_a_hand_reaches_from_the_wrist_to_as_far_behind_the_knuckle() -> None:
    rect = hand_rect_from_pose(_f(0.5, 1.0), _f(0.5, 0.5), _f(0.5, 0.5), SIZE)
    _close(rect, 0.5, 0.5, 0.5, 1.0, 0)


def test_the_box_of_hand_landmarks_lies_along_the_hand() -> None:
    landmarks = np.zeros((21, 2), np.float32)
    landmarks[:] = (0.5, 0.5)
    landmarks[0] = (0.25, 0.5)  # the wrist, 100 pixels left of all other joints
    rect = hand_rect_from_landmarks(landmarks, SIZE)
    assert math.degrees(rect.rotation) == pytest.approx(90)
    _close(rect, 0.375, 0.5, 0.0, 0.5, math.pi / 2)
    landmarks[12] = (0.9, 0.1)  # a finger tip counts for nothing
    assert hand_rect_from_landmarks(landmarks, SIZE) == rect


def test_a_rectangle_is_shifted_along_its_own_axes_before_it_is_squared() -> None:
    rect = Rect(0.5, 0.5, 0.25, 0.25, math.pi / 2)  # 100 x 50 pixels, standing
    moved = transform_rect(rect, SIZE, 2.0, shift_y=-0.5)
    _close(moved, 0.5 + 25 / 400, 0.5, 0.5, 1.0, math.pi / 2)
    _close(transform_rect(rect, SIZE, shift_x=0.5, square="no"), 0.5, 0.5 + 50 / 200, 0.25, 0.25, math.pi / 2)
