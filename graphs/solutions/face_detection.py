"""Faces in pictures: boxes, six keypoints and scores."""

from __future__ import annotations

import enum
from typing import Any, Literal

from pocketgraph.graphs.face_detection import FaceDetection as FaceDetectionPipeline
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.solutions import messages
from pocketgraph.solutions.solution_base import SolutionBase, SolutionOutputs, choice, confidence

FaceKeyPoint = enum.IntEnum(
    "FaceKeyPoint", "RIGHT_EYE LEFT_EYE NOSE_TIP MOUTH_CENTER RIGHT_EAR_TRAGION LEFT_EAR_TRAGION", start=0
)
_LEAST_SCORE = {"short": 0.5, "full": 0.6}


class FaceDetection(SolutionBase[FaceDetectionPipeline]):
    """Finds faces. `model_selection` 0 is for faces within two metres, 1 within five. Result: `detections`.

    `min_detection_confidence` can raise the score that a face needs, 0.5 or, for model 1, 0.6; mediapipe 0.10.21 took
    it and used those whatever it said.
    """

    def __init__(self, min_detection_confidence: float = 0.5, model_selection: int = 0) -> None:
        reach: Literal["short", "full"] = choice("model_selection", model_selection, ("short", "full"))
        wanted = confidence("min_detection_confidence", min_detection_confidence)
        super().__init__(
            FaceDetectionPipeline(
                reach=reach,
                min_confidence=max(wanted, _LEAST_SCORE[reach]),
                delegate=self.delegate,
            )
        )

    def _outputs(self, pipeline: FaceDetectionPipeline, picture: Image) -> SolutionOutputs:
        return SolutionOutputs(detections=messages.detections(pipeline(picture)) or None)


def get_key_point(detection: Any, key_point_enum: FaceKeyPoint) -> Any:
    """The `RelativeKeypoint` of a detected face, or None without a detection."""
    if not detection or not detection.location_data:
        return None
    return detection.location_data.relative_keypoints[key_point_enum]
