"""Detector outputs decoded: boxes, keypoints and scores, and their way back into the picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.comparable import Comparable
from pocketgraph.runtime.vision.landmarks import sigmoid

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Detection:
    """One detection: `box` float32 `[4]` (x_min, y_min, x_max, y_max), `keypoints` `[k, 2]` (x, y), `score` 0..1."""

    box: FloatArray
    keypoints: FloatArray
    score: float = 1.0


@dataclass(frozen=True, eq=False)
class Detections(Comparable, Sequence[Detection]):
    """A list of detections, kept as arrays.

    `boxes` float32 `[n, 4]` (x_min, y_min, x_max, y_max), `keypoints` `[n, k, 2]` (x, y), `scores` `[n]`, 0..1.
    Coordinates are normalised, to the model's input or to the picture.
    """

    boxes: FloatArray
    keypoints: FloatArray
    scores: FloatArray

    @classmethod
    def of(cls, items: Sequence[Detection]) -> Detections:
        """Any list of detections as arrays; all must have as many keypoints."""
        if isinstance(items, Detections):
            return items
        if not items:
            return cls(np.zeros((0, 4), np.float32), np.zeros((0, 0, 2), np.float32), np.zeros(0, np.float32))
        if len({len(item.keypoints) for item in items}) > 1:
            raise UsageError(f"detections with {sorted({len(item.keypoints) for item in items})} keypoints do not mix")
        return cls(
            np.stack([item.box for item in items]),
            np.stack([item.keypoints for item in items]),
            np.array([item.score for item in items], np.float32),
        )

    def __len__(self) -> int:
        return len(self.scores)

    @overload
    def __getitem__(self, index: int) -> Detection: ...
    @overload
    def __getitem__(self, index: slice) -> Detections: ...
    def __getitem__(self, index: int | slice) -> Detection | Detections:
        if isinstance(index, slice):
            return self.take(index)
        return Detection(self.boxes[index], self.keypoints[index], float(self.scores[index]))

    def __iter__(self) -> Iterator[Detection]:
        return (self[index] for index in range(len(self)))

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> Detections:
        """The detections at `index`."""
        return Detections(self.boxes[index], self.keypoints[index], self.scores[index])

    def sorted(self) -> Detections:
        """The same, best first."""
        return self.take(np.argsort(-self.scores, kind="stable"))


def decode_detections(
    raw_boxes: FloatArray,
    raw_scores: FloatArray,
    anchors: FloatArray,
    scale: float | tuple[float, float],
    min_score: float,
) -> Detections:
    """Boxes that score at least `min_score`, best first, normalised to the model's input.

    `raw_boxes` `[n, 4 + 2 k]` hold centre, size and keypoints as x, y pairs in pixels of an input of side `scale` (or
    width and height), centre and keypoints from the anchor; `raw_scores` `[n]` are logits. Boxes of negative size are
    dropped. MediaPipe: `TensorsToDetectionsCalculator` with `reverse_output_order`.
    """
    if raw_boxes.shape[0] != len(anchors) or raw_scores.shape[0] != len(anchors):
        raise UsageError(f"{len(anchors)} anchors, but {raw_boxes.shape[0]} boxes and {raw_scores.shape[0]} scores")
    # compare logits first: most anchors see nothing, and exp() of them all would cost more than the rest
    least = -math.inf if min_score <= 0 else math.inf if min_score >= 1 else math.log(min_score / (1 - min_score))
    index = np.nonzero(raw_scores >= np.float32(least - 1e-4))[0]
    scores = sigmoid(raw_scores[index])
    index, scores = index[scores >= np.float32(min_score)], scores[scores >= np.float32(min_score)]
    order = np.argsort(-scores, kind="stable")
    index, scores = index[order], scores[order]
    values = raw_boxes[index].reshape(len(index), raw_boxes.shape[1] // 2, 2) / np.asarray(scale, np.float32)
    values[:, 0] += anchors[index]
    values[:, 2:] += anchors[index][:, None]
    half = values[:, 1] / 2
    boxes = np.concatenate([values[:, 0] - half, values[:, 0] + half], axis=1)
    good = (values[:, 1] >= 0).all(axis=1)
    return Detections(boxes[good], values[good, 2:], scores[good])


def remove_letterbox(found: Detections, padding: tuple[float, float]) -> Detections:
    """Detections in a letterboxed input, normalised to the part inside the padding (see `Crop.padding`).

    MediaPipe: `DetectionLetterboxRemovalCalculator`.
    """
    start = np.array(padding, np.float32)
    inside = 1 - 2 * start
    boxes = (found.boxes.reshape(-1, 2, 2) - start) / inside
    return replace(found, boxes=boxes.reshape(-1, 4), keypoints=(found.keypoints - start) / inside)


def project_detections(found: Detections, matrix: npt.NDArray[np.float64]) -> Detections:
    """Detections in a crop, normalised to the picture; a turned box becomes the upright box around it.

    `matrix` `[4, 4]` is that of `Crop.matrix`.

    MediaPipe: `DetectionProjectionCalculator`.
    """
    turn, shift = matrix[:2, :2].astype(np.float32).T, matrix[:2, 3].astype(np.float32)
    corners = found.boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]] @ turn + shift
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return Detections(boxes, found.keypoints @ turn + shift, found.scores)
