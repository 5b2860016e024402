"""Hands: 21 landmarks each, in the picture and in metres, and which hand it is."""

from __future__ import annotations

from typing import Literal

from pocketgraph.graphs.detector import Detector
from pocketgraph.graphs.hand_landmarker import Hand, HandLandmarker, hand_rect
from pocketgraph.graphs.streaming import Streaming
from pocketgraph.graphs.tracker import Tracker
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.runtime.vision.rect import Rect, Size, rect_of_box, rotation_between, transform_rect

_WRIST, _MIDDLE_KNUCKLE = 0, 2  # keypoints of a palm


class Hands(Streaming[list[Hand]]):
    """Landmarks of up to `num_hands` hands. MediaPipe: `solutions.hands`.

    `static` treats each picture on its own. `model` is `"full"` or `"lite"`.
    """

    kind = "hands"

    def __init__(
        self,
        *,
        static: bool = False,
        num_hands: int = 2,
        model: Literal["full", "lite"] = "full",
        min_detection_confidence: float = 0.5,
        min_tracking_confidence: float = 0.5,
        delegate: DelegateName = "auto",
        threads: int = 1,
    ) -> None:
        self._landmarker = HandLandmarker(
            model, min_presence=min_tracking_confidence, delegate=delegate, threads=threads
        )
        self._detector = Detector(f"palm_{model}", min_detection_confidence, delegate, threads)
        self._tracker = Tracker(self._detector, palm_rect, self._landmarker, _next_rect, most=num_hands, static=static)

    def __call__(self, image: Image) -> list[Hand]:
        """The hands in the next frame."""
        return self._tracker(image)

    def reset(self) -> None:
        """Forget the hands followed so far."""
        self._tracker.reset()

    def close(self) -> None:
        """Release the engines."""
        super().close()
        self._detector.close()
        self._landmarker.close()


def palm_rect(found: Detections, index: int, size: Size) -> Rect:
    """The region of the hand that a palm belongs to (MediaPipe: `PalmDetectionDetectionToRoi`)."""
    keypoints = found.keypoints[index]
    rotation = rotation_between(keypoints[_WRIST], keypoints[_MIDDLE_KNUCKLE], 90.0, size)
    return transform_rect(rect_of_box(found.boxes[index], rotation), size, 2.6, shift_y=-0.5)


def _next_rect(hand: Hand, size: Size) -> Rect:
    return hand_rect(hand.landmarks, size)
