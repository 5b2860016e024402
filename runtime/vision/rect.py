"""Rotated rectangles in a picture: from detections and landmarks, shifted, squared and scaled.

A rectangle is normalised (x and widths by the picture's width, y and heights by its height) and turned clockwise by
`rotation` radians around its centre. Its aspect therefore lives in pixels: every function that turns or squares one
needs the picture's size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Size = tuple[int, int]
"""Width and height of a picture in pixels."""

_TINY = 1.1754944e-38  # where upstream's search for the largest coordinate starts: never below zero
_HAND_OUTLINE = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]  # wrist, thumb and the two lower joints of each finger
_WRIST, _INDEX_PIP, _MIDDLE_PIP, _RING_PIP = 0, 6, 10, 14


@dataclass(frozen=True)
class Rect:
    """A normalised rectangle: centre, width and height as parts of the picture, `rotation` clockwise in radians."""

    x_center: float
    y_center: float
    width: float
    height: float
    rotation: float = 0.0


WHOLE = Rect(0.5, 0.5, 1.0, 1.0)
"""The whole picture."""


def normalize_radians(angle: float) -> float:
    """`angle` brought into [-pi, pi)."""
    return angle - 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi))


def rotation_between(start: FloatArray, end: FloatArray, target_degrees: float, size: Size) -> float:
    """The rotation that turns the direction from `start` to `end` (normalised x, y) to `target_degrees`.

    0 degrees points right, 90 degrees up. MediaPipe: `DetectionsToRectsCalculator`.
    """
    x = float(end[0] - start[0]) * size[0]
    y = float(end[1] - start[1]) * size[1]
    return normalize_radians(math.radians(target_degrees) - math.atan2(-y, x))


def rect_around(points: FloatArray, rotation: float = 0.0) -> Rect:
    """The upright box around landmarks `[n, 2 or more]`, to be turned by `rotation`.

    MediaPipe: `LandmarksToDetectionCalculator`, then the bounding box in `DetectionsToRectsCalculator`.
    """
    x_min, y_min = (float(v) for v in points[:, :2].min(axis=0))
    x_max, y_max = (max(float(v), _TINY) for v in points[:, :2].max(axis=0))
    width, height = x_max - x_min, y_max - y_min
    return Rect(x_min + width / 2, y_min + height / 2, width, height, rotation)


def rect_of_box(box: FloatArray, rotation: float = 0.0) -> Rect:
    """A detection's box (x_min, y_min, x_max, y_max) as a rectangle, turned by `rotation`."""
    x_min, y_min, x_max, y_max = (float(v) for v in box)
    return Rect(x_min + (x_max - x_min) / 2, y_min + (y_max - y_min) / 2, x_max - x_min, y_max - y_min, rotation)


def rect_from_alignment(center: FloatArray, edge: FloatArray, target_degrees: float, size: Size) -> Rect:
    """The square around `center` whose half side is the distance to `edge`, turned so that `edge` lies at the target.

    Points are normalised (x, y). MediaPipe: `AlignmentPointsRectsCalculator`.
    """
    width, height = size
    side = 2.0 * math.hypot(float(edge[0] - center[0]) * width, float(edge[1] - center[1]) * height)
    rotation = rotation_between(center, edge, target_degrees, size)
    return Rect(float(center[0]), float(center[1]), side / width, side / height, rotation)


def hand_rect_from_pose(wrist: FloatArray, pinky: FloatArray, index: FloatArray, size: Size) -> Rect:
    """A square around the hand, from three body landmarks (normalised x, y).

    Its centre is the knuckle of the middle finger, guessed between pinky and index, and its half side the way from
    there to the wrist. MediaPipe: `HandDetectionsFromPoseToRectsCalculator`.
    """
    middle = (2.0 * index[:2] + pinky[:2]) / np.float32(3.0)
    width, height = size
    side = 2.0 * math.hypot(float(middle[0] - wrist[0]) * width, float(middle[1] - wrist[1]) * height)
    rotation = rotation_between(wrist, middle, 90.0, size)
    return Rect(float(middle[0]), float(middle[1]), side / width, side / height, rotation)


def hand_rect_from_landmarks(landmarks: FloatArray, size: Size) -> Rect:
    """The turned box around wrist, thumb and lower finger joints of 21 hand landmarks `[21, 2 or more]`.

    Its axis runs from the wrist to the middle joints. MediaPipe: `HandLandmarksToRectCalculator`.
    """
    pixels = landmarks[:, :2] * np.array(size, np.float32)
    knuckles = ((pixels[_INDEX_PIP] + pixels[_RING_PIP]) / 2 + pixels[_MIDDLE_PIP]) / 2
    x, y = (float(v) for v in knuckles - pixels[_WRIST])
    rotation = normalize_radians(math.pi * 0.5 - math.atan2(-y, x))
    points = pixels[_HAND_OUTLINE]
    middle = (points.min(axis=0) + np.maximum(points.max(axis=0), _TINY)) / 2
    cos, sin = math.cos(rotation), math.sin(rotation)
    turned = (points - middle) @ np.array([[cos, -sin], [sin, cos]], np.float32)
    low, high = turned.min(axis=0), np.maximum(turned.max(axis=0), _TINY)
    u, v = (float(value) for value in (low + high) / 2)
    box_width, box_height = (float(value) for value in high - low)
    width, height = size
    return Rect(
        (u * cos - v * sin + float(middle[0])) / width,
        (u * sin + v * cos + float(middle[1])) / height,
        box_width / width,
        box_height / height,
        rotation,
    )


def transform_rect(
    rect: Rect, size: Size, scale: float = 1.0, shift_x: float = 0.0, shift_y: float = 0.0, square_long: bool = True
) -> Rect:
    """`rect` shifted along its own axes by parts of its sides, squared to its longer side in pixels, then scaled.

    MediaPipe: `RectTransformationCalculator`.
    """
    width, height = size
    box_width, box_height = rect.width * width, rect.height * height
    cos, sin = math.cos(rect.rotation), math.sin(rect.rotation)
    right, down = box_width * shift_x, box_height * shift_y
    x = rect.x_center + (right * cos - down * sin) / width
    y = rect.y_center + (right * sin + down * cos) / height
    if square_long:
        box_width = box_height = max(box_width, box_height)
    return Rect(x, y, box_width * scale / width, box_height * scale / height, rect.rotation)
