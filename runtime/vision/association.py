"""Which regions of a frame are the same object: later lists win over earlier ones that they overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketgraph.runtime.vision.nms import overlaps
from pocketgraph.runtime.vision.rect import Rect


def associate(*lists: Sequence[Rect], min_overlap: float = 0.5) -> list[Rect]:
    """All rectangles of all lists; one that overlaps earlier ones by more than `min_overlap` takes their place.

    Overlap is intersection over union of the boxes as if they were not turned. MediaPipe:
    `AssociationNormRectCalculator`.
    """
    kept: list[Rect] = []
    for rect in (rect for rects in lists for rect in rects):
        if kept:
            shared = overlaps(np.array([_box(other) for other in kept], np.float32), np.array(_box(rect), np.float32))
            kept = [other for other, value in zip(kept, shared, strict=True) if value <= min_overlap]
        kept.append(rect)
    return kept


def rect_overlap(one: Rect, other: Rect) -> float:
    """Intersection over union of two rectangles as if they were not turned."""
    return float(overlaps(np.array([_box(one)], np.float32), np.array(_box(other), np.float32))[0])


def _box(rect: Rect) -> tuple[float, float, float, float]:
    x, y = rect.x_center - rect.width / 2, rect.y_center - rect.height / 2
    return x, y, x + rect.width, y + rect.height
