"""The pose of one person in pictures or video: 33 landmarks, in the picture and in metres, and a mask."""

from __future__ import annotations

import enum

from pocketgraph.graphs.pose import Pose as PosePipeline
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.solutions import messages
from pocketgraph.solutions.pose_connections import POSE_CONNECTIONS
from pocketgraph.solutions.solution_base import SolutionBase, SolutionOutputs, confidence, pose_model

__all__ = ["POSE_CONNECTIONS", "Pose", "PoseLandmark"]

PoseLandmark = enum.IntEnum(
    "PoseLandmark",
    "NOSE LEFT_EYE_INNER LEFT_EYE LEFT_EYE_OUTER RIGHT_EYE_INNER RIGHT_EYE RIGHT_EYE_OUTER LEFT_EAR RIGHT_EAR"
    " MOUTH_LEFT MOUTH_RIGHT LEFT_SHOULDER RIGHT_SHOULDER LEFT_ELBOW RIGHT_ELBOW LEFT_WRIST RIGHT_WRIST"
    " LEFT_PINKY RIGHT_PINKY LEFT_INDEX RIGHT_INDEX LEFT_THUMB RIGHT_THUMB LEFT_HIP RIGHT_HIP LEFT_KNEE RIGHT_KNEE"
    " LEFT_ANKLE RIGHT_ANKLE LEFT_HEEL RIGHT_HEEL LEFT_FOOT_INDEX RIGHT_FOOT_INDEX",
    start=0,
)


class Pose(SolutionBase[PosePipeline]):
    """Finds and follows one person.

    `static_image_mode` treats each picture on its own. `model_complexity` can only be 1. `smooth_landmarks` steadies
    video; `smooth_segmentation` has no effect, as in mediapipe 0.10.21 (`graphs.Pose` can blend masks). Confidences are
    0 to 1. Results: `pose_landmarks` (`NormalizedLandmarkList`), `pose_world_landmarks` (`LandmarkList`, metres) and
    `segmentation_mask` (float32 `[height, width]`, 0..1, with `enable_segmentation`).
    """

    def __init__(
        self,
        static_image_mode: bool = False,
        model_complexity: int = 1,
        smooth_landmarks: bool = True,
        enable_segmentation: bool = False,
        smooth_segmentation: bool = True,  # noqa: ARG002
        min_detection_confidence: float = 0.5,
        min_tracking_confidence: float = 0.5,
    ) -> None:
        pose_model(model_complexity)
        super().__init__(
            PosePipeline(
                static=bool(static_image_mode),
                smooth=bool(smooth_landmarks),
                segmentation=bool(enable_segmentation),
                min_detection_confidence=confidence("min_detection_confidence", min_detection_confidence),
                min_tracking_confidence=confidence("min_tracking_confidence", min_tracking_confidence),
                delegate=self.delegate,
            )
        )

    def _outputs(self, pipeline: PosePipeline, picture: Image) -> SolutionOutputs:
        pose = pipeline(picture)
        return SolutionOutputs(
            pose_landmarks=None if pose is None else messages.normalized(pose.landmarks),
            pose_world_landmarks=None if pose is None else messages.world(pose.world),
            segmentation_mask=None if pose is None else pose.mask,
        )
