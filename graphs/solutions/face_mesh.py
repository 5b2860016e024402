"""Meshes of faces in pictures or video: 468 landmarks each, or 478 with irises."""

from __future__ import annotations

from pocketgraph.graphs.face_mesh import FaceMesh as FaceMeshPipeline
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.solutions import messages
from pocketgraph.solutions.face_mesh_connections import (
    FACEMESH_CONTOURS,
    FACEMESH_FACE_OVAL,
    FACEMESH_IRISES,
    FACEMESH_LEFT_EYE,
    FACEMESH_LEFT_EYEBROW,
    FACEMESH_LEFT_IRIS,
    FACEMESH_LIPS,
    FACEMESH_NOSE,
    FACEMESH_RIGHT_EYE,
    FACEMESH_RIGHT_EYEBROW,
    FACEMESH_RIGHT_IRIS,
    FACEMESH_TESSELATION,
)
from pocketgraph.solutions.solution_base import SolutionBase, SolutionOutputs, confidence, count

FACEMESH_NUM_LANDMARKS = 468
FACEMESH_NUM_LANDMARKS_WITH_IRISES = 478

__all__ = [
    "FACEMESH_CONTOURS",
    "FACEMESH_FACE_OVAL",
    "FACEMESH_IRISES",
    "FACEMESH_LEFT_EYE",
    "FACEMESH_LEFT_EYEBROW",
    "FACEMESH_LEFT_IRIS",
    "FACEMESH_LIPS",
    "FACEMESH_NOSE",
    "FACEMESH_NUM_LANDMARKS",
    "FACEMESH_NUM_LANDMARKS_WITH_IRISES",
    "FACEMESH_RIGHT_EYE",
    "FACEMESH_RIGHT_EYEBROW",
    "FACEMESH_RIGHT_IRIS",
    "FACEMESH_TESSELATION",
    "FaceMesh",
]


class FaceMesh(SolutionBase[FaceMeshPipeline]):
    """Finds up to `max_num_faces` faces.

    `static_image_mode` treats each picture on its own. `refine_landmarks` gives finer lips and eyes, and the irises.
    Confidences are 0 to 1. Result: `multi_face_landmarks` (`NormalizedLandmarkList`s).
    """

    def __init__(
        self,
        static_image_mode: bool = False,
        max_num_faces: int = 1,
        refine_landmarks: bool = False,
        min_detection_confidence: float = 0.5,
        min_tracking_confidence: float = 0.5,
    ) -> None:
        super().__init__(
            FaceMeshPipeline(
                static=bool(static_image_mode),
                num_faces=count("max_num_faces", max_num_faces),
                refine=bool(refine_landmarks),
                min_detection_confidence=confidence("min_detection_confidence", min_detection_confidence),
                min_tracking_confidence=confidence("min_tracking_confidence", min_tracking_confidence),
                delegate=self.delegate,
            )
        )

    def _outputs(self, pipeline: FaceMeshPipeline, picture: Image) -> SolutionOutputs:
        return SolutionOutputs(multi_face_landmarks=[messages.normalized(face) for face in pipeline(picture)] or None)
