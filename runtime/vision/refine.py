"""Landmarks sharpened by the heatmap that the pose model draws beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.landmarks import Landmarks, sigmoid

FloatArray = npt.NDArray[np.float32]


def refine_from_heatmap(
    landmarks: Landmarks, heatmap: FloatArray, kernel: int = 9, min_confidence: float = 0.5
) -> Landmarks:
    """Move each landmark to the centre of mass of its heatmap around it, where the heatmap is confident.

    `heatmap` `[height, width, n]` holds logits, one channel a landmark; landmarks are parts of it. The window of
    `kernel` cells is cut at the edges. A landmark outside, or one whose window stays below `min_confidence`, is kept;
    z, visibility and presence are kept always. MediaPipe: `RefineLandmarksFromHeatmapCalculator`; its graph asks for a
    kernel of 7, but the 0.10.21 wheel moves landmarks as 9, the calculator's default, does.
    """
    height, width, count = heatmap.shape
    if count != len(landmarks):
        raise UsageError(f"the heatmap has {count} channels for {len(landmarks)} landmarks")
    reach = (kernel - 1) // 2
    cells = (landmarks.points[:, :2] * np.array([width, height], np.float32)).astype(np.int64)
    column, row = cells[:, 0], cells[:, 1]
    offsets = np.arange(-reach, reach + 1)
    columns = column[:, None] + offsets
    rows = row[:, None] + offsets
    # a cell beside the heatmap weighs nothing; its index is brought inside only to be read
    window = heatmap[
        rows.clip(0, height - 1)[:, :, None], columns.clip(0, width - 1)[:, None, :], np.arange(count)[:, None, None]
    ]
    weights = sigmoid(window)
    weights *= ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    total = weights.sum(axis=(1, 2))
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    sure = inside & (weights.max(axis=(1, 2)) >= np.float32(min_confidence)) & (total > 0)
    points = landmarks.points.copy()
    points[sure, 0] = ((weights.sum(axis=1) * columns).sum(axis=1)[sure] / width / total[sure]).astype(np.float32)
    points[sure, 1] = ((weights.sum(axis=2) * rows).sum(axis=1)[sure] / height / total[sure]).astype(np.float32)
    return replace(landmarks, points=points)
