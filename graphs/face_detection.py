"""Faces in a picture: boxes, six keypoints and scores."""

from __future__ import annotations

from typing import Literal

from pocketgraph.graphs.detector import Detector
from pocketgraph.graphs.streaming import Streaming
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.image_to_tensor import Image, as_picture


class FaceDetection(Streaming[Detections]):
    """Finds faces within two metres (`reach="short"`) or five (`"full"`). MediaPipe: `solutions.face_detection`."""

    kind = "faces"

    def __init__(
        self,
        *,
        reach: Literal["short", "full"] = "short",
        min_confidence: float = 0.5,
        delegate: DelegateName = "auto",
        threads: int = 1,
    ) -> None:
        if reach not in ("short", "full"):
            raise UsageError(f"reach is 'short' or 'full', got {reach!r}")
        self._detector = Detector(f"face_{reach}", min_confidence, delegate, threads)

    def __call__(self, image: Image) -> Detections:
        """The faces in an RGB picture, best first, normalised to it. Keypoints as in `Detector`."""
        return self._detector(as_picture(image))

    def close(self) -> None:
        """Release the engine."""
        super().close()
        self._detector.close()
