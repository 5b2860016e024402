"""When a region found from the last frame's landmarks may be kept, and when a fresh one must be taken."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pocketgraph.runtime.vision.association import rect_overlap
from pocketgraph.runtime.vision.rect import Rect, Size

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TrackingLimits:
    """How far the region of the last frame may lie from the fresh one; what is None, or infinite, does not count.

    `rotation_degrees` of difference, `translation` and `scale` as parts of the fresh region's sides. `margin` widens
    (above 0) or narrows (below 0) the fresh region, in which all old landmarks must lie. `overlap` is the least
    intersection over union of the two, as if they were not turned.
    """

    rotation_degrees: float = math.inf
    translation: float = math.inf
    scale: float = math.inf
    margin: float | None = None
    overlap: float | None = None


HAND_LIMITS = TrackingLimits(40.0, 0.2, 0.4, -0.1)
"""MediaPipe's `hand_tracking.pbtxt`."""
FACE_LIMITS = TrackingLimits(15.0, 0.1, 0.3, -0.2)
"""MediaPipe's `face_tracking.pbtxt`."""


def tracked_rect(
    fresh: Rect, previous: Rect | None, landmarks: FloatArray | None, size: Size, limits: TrackingLimits
) -> Rect:
    """`previous`, the region made from the last frame's `landmarks` `[n, 2 or more]`, if it still fits; else `fresh`.

    MediaPipe: `RoiTrackingCalculator` (which has no output where there is no fresh region).
    """
    if previous is None or landmarks is None:
        return fresh
    kept = (
        _close(fresh, previous, size, limits)
        and (limits.margin is None or _holds(fresh, landmarks, size, limits.margin))
        and (limits.overlap is None or rect_overlap(fresh, previous) >= limits.overlap)
    )
    return previous if kept else fresh


def _close(fresh: Rect, previous: Rect, size: Size, limits: TrackingLimits) -> bool:
    """Whether rotation, place and sides agree within the limits, along the axes of `fresh`."""
    turned = abs(math.degrees(previous.rotation - fresh.rotation))
    if min(turned, 360.0 - turned) > limits.rotation_degrees:
        return False
    width, height = fresh.width * size[0], fresh.height * size[1]
    x = (previous.x_center - fresh.x_center) * size[0]
    y = (previous.y_center - fresh.y_center) * size[1]
    cos, sin = math.cos(-fresh.rotation), math.sin(-fresh.rotation)
    return (
        abs(x * cos - y * sin) <= width * limits.translation
        and abs(x * sin + y * cos) <= height * limits.translation
        and abs(previous.width * size[0] - width) <= width * limits.scale
        and abs(previous.height * size[1] - height) <= height * limits.scale
    )


def _holds(fresh: Rect, landmarks: FloatArray, size: Size, margin: float) -> bool:
    """Whether all landmarks lie in `fresh`, widened by `margin` of its sides."""
    center = np.array([fresh.x_center, fresh.y_center], np.float32)
    cos, sin = math.cos(fresh.rotation), math.sin(fresh.rotation)
    away = (landmarks[:, :2] - center) * np.array(size, np.float32) @ np.array([[cos, -sin], [sin, cos]], np.float32)
    half = np.array([fresh.width * size[0], fresh.height * size[1]], np.float32) * np.float32((1.0 + margin) / 2)
    return bool((np.abs(away) < half).all())
