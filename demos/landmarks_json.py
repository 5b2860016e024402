"""What a frame shows, as one JSON object: coordinates normalised to the picture, world landmarks in metres."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.demos.pipelines import Found
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.landmarks import Landmarks

_DIGITS = 6


def as_json(found: Found, timestamp_us: int, size: tuple[int, int]) -> dict[str, Any]:
    """`timestamp_us`, `width`, `height` and what was found; nothing found, nothing there.

    `pose` and `world` are 33 of [x, y, z, visibility, presence], each of `hands` has `side`, `landmarks` (21 of [x, y,
    z]) and, where told, `score` and `world`; `faces` are 468 or 478 of [x, y, z] each, `detections` have
    `score`, `box` [x_min, y_min, x_max, y_max] and `keypoints` [x, y]. Of a mask there is `person`, its share of the
    picture.
    """
    result: dict[str, Any] = {"timestamp_us": timestamp_us, "width": size[0], "height": size[1]}
    if found.pose is not None:
        result["pose"] = _landmarks(found.pose)
    if found.world is not None:
        result["world"] = _landmarks(found.world)
    if found.hands:
        result["hands"] = [
            {"side": hand.side, "landmarks": _landmarks(hand.landmarks)}
            | ({} if hand.score is None else {"score": round(hand.score, _DIGITS)})
            | ({} if hand.world is None else {"world": _landmarks(hand.world)})
            for hand in found.hands
        ]
    if found.faces:
        result["faces"] = [_landmarks(face) for face in found.faces]
    if found.detections is not None and len(found.detections):
        result["detections"] = _detections(found.detections)
    if found.mask is not None:
        result["person"] = round(float((found.mask > 0.5).mean()), _DIGITS)
    return result


def _landmarks(landmarks: Landmarks) -> list[list[float]]:
    columns = [landmarks.points]
    columns += [column[:, None] for column in (landmarks.visibility, landmarks.presence) if column is not None]
    return _rounded(np.concatenate(columns, axis=1))


def _detections(found: Detections) -> list[dict[str, Any]]:
    boxes, keypoints, scores = (_rounded(values) for values in (found.boxes, found.keypoints, found.scores))
    return [
        {"score": score, "box": box, "keypoints": points}
        for score, box, points in zip(scores, boxes, keypoints, strict=True)
    ]


def _rounded(values: npt.NDArray[np.float32]) -> Any:
    return np.round(values.astype(np.float64), _DIGITS).tolist()
