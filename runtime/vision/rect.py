"""Rotated rectangles in a picture: from detections and landmarks, shifted, squared and scaled.

A rectangle is normalised (x and widths by the picture's width, y and heights by its height) and turned clockwise by
`rotation` radians around its centre. Its aspect therefore lives in pixels: every function that turns or squares one
needs the picture's size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Size = tuple[int, int]
"""Width and height of a picture in pixels."""

_f32 = np.float32
_TINY = _f32(1.1754944e-38)  # where upstream's search for the largest coordinate starts: never below zero
_HAND_OUTLINE = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]  # wrist, thumb and the two lower joints of each finger
_WRIST, _INDEX_KNUCKLE, _MIDDLE_KNUCKLE, _RING_KNUCKLE = 0, 5, 9, 13


@dataclass(frozen=True)
class Rect:
    """A normalised rectangle: centre, width and height as parts of the picture, `rotation` clockwise in radians.

    The functions here round to single precision after every step, in upstream's order: the pose model answers to the
    last bit of its crop, and a video's next crop follows from its answer.
    """

    x_center: float
    y_center: float
    width: float
    height: float
    rotation: float = 0.0


WHOLE = Rect(0.5, 0.5, 1.0, 1.0)
"""The whole picture."""


def normalize_radians(angle: float) -> float:
    """`angle` brought into [-pi, pi)."""
    return float(_f32(angle - 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi))))


def rotation_between(start: FloatArray, end: FloatArray, target_degrees: float, size: Size) -> float:
    """The rotation that turns the direction from `start` to `end` (normalised x, y) to `target_degrees`.

    0 degrees points right, 90 degrees up. MediaPipe: `DetectionsToRectsCalculator`.
    """
    return _rotation(_pixels(start, size), _pixels(end, size), target_degrees)


def box_around(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The corners (x, y) of the upright box around landmarks `[n, 2 or more]`.

    MediaPipe: `LandmarksToDetectionCalculator`.
    """
    return points[:, :2].min(axis=0), np.maximum(points[:, :2].max(axis=0), _TINY)


def rect_around(points: FloatArray, rotation: float = 0.0) -> Rect:
    """The upright box around landmarks `[n, 2 or more]`, to be turned by `rotation`.

    MediaPipe: `LandmarksToDetectionCalculator`, then the bounding box in `DetectionsToRectsCalculator`.
    """
    low, high = box_around(points)
    sides = high - low
    return _rect(low + sides / _f32(2), sides, rotation)


def rect_of_box(box: FloatArray, rotation: float = 0.0) -> Rect:
    """A detection's box (x_min, y_min, x_max, y_max) as a rectangle, turned by `rotation`."""
    sides = box[2:] - box[:2]
    return _rect(box[:2] + sides / _f32(2), sides, rotation)


def rect_of_keypoints(keypoints: FloatArray, rotation: float = 0.0) -> Rect:
    """The upright box around a detection's keypoints `[n, 2]`, to be turned by `rotation`."""
    low, high = keypoints.min(axis=0), keypoints.max(axis=0)
    return _rect((low + high) / _f32(2), high - low, rotation)


def rect_from_alignment(center: FloatArray, edge: FloatArray, target_degrees: float, size: Size) -> Rect:
    """The square around `center` whose half side is the distance to `edge`, turned so that `edge` lies at the target.

    Points are normalised (x, y). MediaPipe: `AlignmentPointsRectsCalculator`.
    """
    middle, tip = _pixels(center, size), _pixels(edge, size)
    return _square(middle, tip - middle, _rotation(middle, tip, target_degrees), size)


def hand_rect_from_pose(wrist: FloatArray, pinky: FloatArray, index: FloatArray, size: Size) -> Rect:
    """A square around the hand, from three body landmarks (normalised x, y).

    Its centre is the knuckle of the middle finger, guessed between pinky and index, and its half side the way from
    there to the wrist. MediaPipe: `HandDetectionsFromPoseToRectsCalculator`.
    """
    root = _pixels(wrist, size)
    middle = (_f32(2) * _pixels(index, size) + _pixels(pinky, size)) / _f32(3)
    return _square(middle, middle - root, _rotation(root, middle, 90.0), size)


def hand_rect_from_landmarks(landmarks: FloatArray, size: Size) -> Rect:
    """The turned box around wrist, thumb and lower finger joints of 21 hand landmarks `[21, 2 or more]`.

    Its axis runs from the wrist to the knuckles. MediaPipe: `HandLandmarksToRectCalculator`.
    """
    points = landmarks[:, :2]
    extent = np.array(size, np.float32)
    knuckles = (points[_INDEX_KNUCKLE] + points[_RING_KNUCKLE]) / _f32(2)
    knuckles = (knuckles + points[_MIDDLE_KNUCKLE]) / _f32(2) * extent
    rotation = _rotation(points[_WRIST] * extent, knuckles, 90.0)
    points = points[_HAND_OUTLINE]
    center = (np.maximum(points.max(axis=0), _TINY) + points.min(axis=0)) / _f32(2)
    x, y = ((points - center) * extent).T
    cos, sin = _cos_sin(normalize_radians(-rotation))
    turned = np.stack([x * cos - y * sin, x * sin + y * cos])
    low, high = turned.min(axis=1), np.maximum(turned.max(axis=1), _TINY)
    u, v = (high + low) / _f32(2)
    cos, sin = _cos_sin(rotation)
    middle = np.array([u * cos - v * sin, u * sin + v * cos]) + extent * center
    return _rect(middle / extent, (high - low) / extent, rotation)


def transform_rect(
    rect: Rect,
    size: Size,
    scale: float | tuple[float, float] = 1.0,
    shift_x: float = 0.0,
    shift_y: float = 0.0,
    square: Literal["long", "short", "no"] = "long",
) -> Rect:
    """`rect` shifted along its own axes by parts of its sides, squared to one of its sides in pixels, then scaled.

    `scale` is one number or that of the width and that of the height. MediaPipe: `RectTransformationCalculator`.
    """
    width, height = _f32(size[0]), _f32(size[1])
    box_width, box_height = width * _f32(rect.width), height * _f32(rect.height)
    cos, sin = _cos_sin(rect.rotation)
    right, down = box_width * _f32(shift_x), box_height * _f32(shift_y)
    x = _f32(rect.x_center) + (right * cos - down * sin) / width
    y = _f32(rect.y_center) + (right * sin + down * cos) / height
    new_width, new_height = _f32(rect.width), _f32(rect.height)
    if square != "no":
        side = max(box_width, box_height) if square == "long" else min(box_width, box_height)
        new_width, new_height = side / width, side / height
    wider, higher = scale if isinstance(scale, tuple) else (scale, scale)
    return Rect(float(x), float(y), float(new_width * _f32(wider)), float(new_height * _f32(higher)), rect.rotation)


def _pixels(point: FloatArray, size: Size) -> FloatArray:
    return np.asarray(point[:2] * np.array(size, np.float32), np.float32)


def _rotation(start: FloatArray, end: FloatArray, target_degrees: float) -> float:
    """As `rotation_between`, of points in pixels."""
    away = end - start
    return normalize_radians(float(_f32(math.radians(target_degrees)) - np.arctan2(-away[1], away[0])))


def _square(center: FloatArray, reach: FloatArray, rotation: float, size: Size) -> Rect:
    """The square of half side |`reach`| around `center`, both in pixels."""
    extent = np.array(size, np.float32)
    side = np.sqrt(reach[0] * reach[0] + reach[1] * reach[1]) * _f32(2)
    return _rect(center / extent, side / extent, rotation)


def _rect(center: FloatArray, sides: FloatArray, rotation: float) -> Rect:
    return Rect(float(center[0]), float(center[1]), float(sides[0]), float(sides[1]), rotation)


def _cos_sin(angle: float) -> tuple[np.float32, np.float32]:
    return _f32(math.cos(angle)), _f32(math.sin(angle))
