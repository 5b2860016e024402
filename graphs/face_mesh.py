"""Meshes of faces: 468 landmarks each, or 478 with irises."""

from __future__ import annotations

from pocketgraph.graphs.detector import Detector
from pocketgraph.graphs.face_landmarker import FaceLandmarker, face_rect
from pocketgraph.graphs.streaming import Streaming
from pocketgraph.graphs.tracker import Tracker
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.runtime.vision.landmarks import Landmarks
from pocketgraph.runtime.vision.rect import Rect, Size, rect_of_box, rotation_between, transform_rect


class FaceMesh(Streaming[list[Landmarks]]):
    """Landmarks of up to `num_faces` faces. MediaPipe: `solutions.face_mesh`.

    `static` treats each picture on its own. `refine` gives 478 landmarks instead of 468.
    """

    kind = "face_mesh"

    def __init__(
        self,
        *,
        static: bool = False,
        num_faces: int = 1,
        refine: bool = False,
        min_detection_confidence: float = 0.5,
        min_tracking_confidence: float = 0.5,
        delegate: DelegateName = "auto",
        threads: int = 1,
    ) -> None:
        self._detector = Detector("face_short", min_detection_confidence, delegate, threads)
        self._landmarker = FaceLandmarker(
            refine=refine, min_presence=min_tracking_confidence, delegate=delegate, threads=threads
        )
        self._tracker = Tracker(
            self._detector, detection_rect, self._landmarker, face_rect, most=num_faces, static=static
        )

    def __call__(self, image: Image) -> list[Landmarks]:
        """The faces of the next frame, as landmarks normalised to it."""
        return self._tracker(image)

    def reset(self) -> None:
        """Forget the faces followed so far."""
        self._tracker.reset()

    def close(self) -> None:
        """Release the engines."""
        super().close()
        self._detector.close()
        self._landmarker.close()


def detection_rect(found: Detections, index: int, size: Size) -> Rect:
    """The region of a detected face, level with its eyes (MediaPipe: `FaceDetectionFrontDetectionToRoi`)."""
    eyes = found.keypoints[index]
    rotation = rotation_between(eyes[0], eyes[1], 0.0, size)
    return transform_rect(rect_of_box(found.boxes[index], rotation), size, 1.5)
