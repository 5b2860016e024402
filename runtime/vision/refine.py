"""Landmarks sharpened: by the heatmap that the pose model draws beside them, by finer landmarks of a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.landmarks import Landmarks, sigmoid

FloatArray = npt.NDArray[np.float32]
Depth = Literal["keep", "copy"] | list[int]
"""Of refined landmarks: as it is, that of the finer landmarks, or the mean depth of the listed ones."""


@dataclass(frozen=True)
class Refinement:
    """Where finer landmarks go: `index` says which landmarks of the result they are."""

    index: list[int]
    depth: Depth


def refine_landmarks(parts: Sequence[Landmarks], refinements: Sequence[Refinement]) -> Landmarks:
    """Landmarks laid over one another, in order. MediaPipe: `LandmarksRefinementCalculator`.

    All indices together must reach from 0 without a gap.
    """
    points = np.zeros((1 + max(max(refinement.index) for refinement in refinements), 3), np.float32)
    for part, refinement in zip(parts, refinements, strict=True):
        if len(part) != len(refinement.index):
            raise UsageError(f"{len(part)} landmarks came to refine {len(refinement.index)}")
        points[refinement.index, :2] = part.points[:, :2]
        if isinstance(refinement.depth, list):
            points[refinement.index, 2] = points[refinement.depth, 2].mean(dtype=np.float64)
        elif refinement.depth == "copy":
            points[refinement.index, 2] = part.points[:, 2]
    return Landmarks(points)


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
