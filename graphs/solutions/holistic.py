"""Body, hands and face of one person in pictures or video."""

from __future__ import annotations

from pocketgraph.graphs.holistic import Holistic as HolisticPipeline
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.solutions import messages
from pocketgraph.solutions.face_mesh_connections import FACEMESH_CONTOURS, FACEMESH_TESSELATION
from pocketgraph.solutions.hands import HandLandmark
from pocketgraph.solutions.hands_connections import HAND_CONNECTIONS
from pocketgraph.solutions.pose import PoseLandmark
from pocketgraph.solutions.pose_connections import POSE_CONNECTIONS
from pocketgraph.solutions.solution_base import SolutionBase, SolutionOutputs, confidence, pose_model

__all__ = [
    "FACEMESH_CONTOURS",
    "FACEMESH_TESSELATION",
    "HAND_CONNECTIONS",
    "POSE_CONNECTIONS",
    "HandLandmark",
    "Holistic",
    "PoseLandmark",
]


class Holistic(SolutionBase[HolisticPipeline]):
    """Finds and follows one person.

    Settings are those of `pose.Pose`; `refine_face_landmarks` gives 478 face landmarks with irises instead of 468.
    Results: `pose_landmarks`, `left_hand_landmarks`, `right_hand_landmarks` and `face_landmarks`
    (`NormalizedLandmarkList`s), `pose_world_landmarks` (`LandmarkList`, metres) and `segmentation_mask` (float32
    `[height, width]`, 0..1, with `enable_segmentation`).
    """

    def __init__(
        self,
        static_image_mode: bool = False,
        model_complexity: int = 1,
        smooth_landmarks: bool = True,
        enable_segmentation: bool = False,
        smooth_segmentation: bool = True,  # noqa: ARG002
        refine_face_landmarks: bool = False,
        min_detection_confidence: float = 0.5,
        min_tracking_confidence: float = 0.5,
    ) -> None:
        pose_model(model_complexity)
        super().__init__(
            HolisticPipeline(
                static=bool(static_image_mode),
                smooth=bool(smooth_landmarks),
                segmentation=bool(enable_segmentation),
                refine_face=bool(refine_face_landmarks),
                min_detection_confidence=confidence("min_detection_confidence", min_detection_confidence),
                min_tracking_confidence=confidence("min_tracking_confidence", min_tracking_confidence),
                delegate=self.delegate,
            )
        )

    def _outputs(self, pipeline: HolisticPipeline, picture: Image) -> SolutionOutputs:
        found = pipeline(picture)
        return SolutionOutputs(
            pose_landmarks=messages.normalized(found.pose),
            pose_world_landmarks=messages.world(found.world),
            left_hand_landmarks=messages.normalized(found.left_hand),
            right_hand_landmarks=messages.normalized(found.right_hand),
            face_landmarks=messages.normalized(found.face),
            segmentation_mask=found.mask,
        )
