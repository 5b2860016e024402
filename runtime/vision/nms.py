"""Non-maximum suppression: of boxes that overlap the best one is left, or their mean, weighted by score."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pocketgraph.runtime.vision.detections import Detections

FloatArray = npt.NDArray[np.float32]


def overlaps(boxes: FloatArray, box: FloatArray) -> FloatArray:
    """Intersection over union of each of `boxes` `[n, 4]` with `box` `[4]` (x_min, y_min, x_max, y_max)."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    shared = np.where((sides > 0).all(axis=1), sides[:, 0] * sides[:, 1], np.float32(0))
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    union = areas + (box[2] - box[0]) * (box[3] - box[1]) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def weighted_nms(found: Detections, min_overlap: float = 0.3) -> Detections:
    """Merge detections whose boxes overlap the best one by more than `min_overlap`; then the same with what is left.

    `found` comes best first. Boxes and keypoints are means weighted by score, the score is the best one's. MediaPipe:
    `NonMaxSuppressionCalculator` with `WEIGHTED` and `INTERSECTION_OVER_UNION`.
    """
    if len(found) <= 1:
        return found
    boxes, keypoints, scores = [], [], []
    while len(found):
        same = overlaps(found.boxes, found.boxes[0]) > min_overlap
        scores.append(found.scores[0])
        if same.any():
            group = found.take(np.nonzero(same)[0])
            total = _sum(group.scores)
            boxes.append(_sum(group.boxes * group.scores[:, None]) / total)
            keypoints.append(_sum(group.keypoints * group.scores[:, None, None]) / total)
        else:  # a box without area overlaps nothing, itself included
            boxes.append(found.boxes[0])
            keypoints.append(found.keypoints[0])
        left = np.nonzero(~same)[0]
        if len(left) == len(found):
            break
        found = found.take(left)
    return Detections(np.stack(boxes), np.stack(keypoints), np.array(scores, np.float32))


def greedy_nms(found: Detections, min_overlap: float = 0.3) -> Detections:
    """Leave the best of the detections whose boxes overlap by more than `min_overlap`; `found` comes best first.

    MediaPipe: `NonMaxSuppressionCalculator` with `DEFAULT` and `INTERSECTION_OVER_UNION`.
    """
    kept: list[int] = []
    for index, box in enumerate(found.boxes):
        if not (overlaps(found.boxes[kept], box) > min_overlap).any():
            kept.append(index)
    return found.take(np.array(kept, np.intp))


def _sum(values: FloatArray) -> FloatArray:
    """The sum over the first axis, one after the other in single precision, as upstream adds."""
    return np.asarray(np.add.accumulate(values)[-1], np.float32)
