"""Detector outputs decoded: boxes, keypoints and scores, and their way back into the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.image_to_tensor import Crop
from pocketgraph.runtime.vision.landmarks import sigmoid

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Detections:
    """`boxes` float32 `[n, 4]` (x_min, y_min, x_max, y_max), `keypoints` `[n, k, 2]` (x, y), `scores` `[n]`, 0..1.

    Coordinates are normalised, to the model's input or to the picture.
    """

    boxes: FloatArray
    keypoints: FloatArray
    scores: FloatArray

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, index: npt.NDArray[np.intp] | slice) -> Detections:
        """The detections at `index`."""
        return Detections(self.boxes[index], self.keypoints[index], self.scores[index])


def decode_detections(
    raw_boxes: FloatArray, raw_scores: FloatArray, anchors: FloatArray, scale: float, min_score: float
) -> Detections:
    """Boxes that score at least `min_score`, best first, normalised to the model's input.

    `raw_boxes` `[n, 4 + 2 k]` hold centre, size and keypoints as x, y pairs in pixels of an input of side `scale`,
    centre and keypoints from the anchor; `raw_scores` `[n]` are logits. Boxes of negative size are
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
    values = raw_boxes[index].reshape(len(index), raw_boxes.shape[1] // 2, 2) / np.float32(scale)
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


def project_detections(found: Detections, crop: Crop) -> Detections:
    """Detections in a crop, normalised to the picture; a turned box becomes the upright box around it.

    MediaPipe: `DetectionProjectionCalculator`.
    """
    matrix = crop.matrix().astype(np.float32)
    corners = found.boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]] @ matrix[:, :2].T + matrix[:, 2]
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return Detections(boxes, found.keypoints @ matrix[:, :2].T + matrix[:, 2], found.scores)
