"""The hands and the face of a body: each follows its own region, checked against the pose in every frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pocketgraph.graphs.detector import Detector
from pocketgraph.graphs.face_landmarker import FaceLandmarker, face_rect
from pocketgraph.graphs.hand_landmarker import Hand, HandLandmarker, hand_rect
from pocketgraph.graphs.stage import Stage
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.runtime.vision.landmarks import (
    Landmarks,
    decode_landmarks,
    project_landmarks,
    unletterbox_landmarks,
)
from pocketgraph.runtime.vision.rect import (
    Rect,
    Size,
    hand_rect_from_pose,
    rect_around,
    rect_from_alignment,
    rect_of_keypoints,
    rotation_between,
    transform_rect,
)
from pocketgraph.runtime.vision.smoothing import LandmarkSmoothing
from pocketgraph.runtime.vision.tracking import FACE_LIMITS, HAND_LIMITS, tracked_rect

FloatArray = npt.NDArray[np.float32]

_HAND_OF_POSE = {"left": (15, 17, 19), "right": (16, 18, 20)}  # wrist, pinky and index of the 33
_FACE_OF_POSE = 11  # the first landmarks of the 33
_POSE_EYES = 5, 2  # outer parts of the picture's left and right eye
_LEAST_VISIBILITY = 0.1  # of the wrist


@dataclass(frozen=True)
class Face:
    """`landmarks` 468 or 478, normalised to the picture; `presence` 0..1."""

    landmarks: Landmarks
    presence: float


class HandEngines:
    """The models of one hand, for one thread at a time. Without `recrop` the pose's region is taken as it is.

    `sides` also tells which hand it is.
    """

    def __init__(
        self,
        *,
        model: str = "full",
        recrop: bool = True,
        sides: bool = False,
        delegate: DelegateName = "auto",
        threads: int = 1,
    ) -> None:
        self.recrop = Stage("hand_recrop", delegate=delegate, threads=threads) if recrop else None
        self.landmarker = HandLandmarker(model, landmarks_only=not sides, delegate=delegate, threads=threads)

    def close(self) -> None:
        """Release the engines."""
        if self.recrop is not None:
            self.recrop.close()
        self.landmarker.close()


class HandPart:
    """One hand of a body. MediaPipe: `hand_landmarks_from_pose_cpu.pbtxt`."""

    def __init__(self, side: Literal["left", "right"], engines: HandEngines) -> None:
        self._wrist, self._pinky, self._index = _HAND_OF_POSE[side]
        self._engines = engines
        self._previous: Landmarks | None = None

    def reset(self) -> None:
        """Forget the hand followed so far."""
        self._previous = None

    def __call__(self, image: Image, pose: Landmarks | None) -> Hand | None:
        """The hand that belongs to `pose` (33), or None."""
        hand = None if pose is None else self._find(image, pose)
        self._previous = None if hand is None else hand.landmarks
        return hand

    def _find(self, image: Image, pose: Landmarks) -> Hand | None:
        if pose.visibility is None or float(pose.visibility[self._wrist]) <= _LEAST_VISIBILITY:
            return None
        size = image.shape[1], image.shape[0]
        points = pose.points
        rect = hand_rect_from_pose(points[self._wrist], points[self._pinky], points[self._index], size)
        if rect.width <= 0:
            return None
        fresh = transform_rect(rect, size, 2.7, shift_y=-0.1)
        if self._engines.recrop is not None:
            fresh = _recropped(self._engines.recrop, image, fresh, size)
        if fresh.width <= 0:
            return None
        if self._previous is not None:
            old = self._previous
            fresh = tracked_rect(fresh, hand_rect(old, size), old.points, size, HAND_LIMITS)
        return self._engines.landmarker(image, fresh)


def _recropped(recrop: Stage, image: Image, rect: Rect, size: Size) -> Rect:
    """The hand's region as a small model sees it in a rough one (MediaPipe: `hand_recrop_by_roi_cpu.pbtxt`)."""
    crop = recrop(image, rect)
    pair = decode_landmarks(recrop.outputs[0], 2, recrop.input_size)
    points = project_landmarks(unletterbox_landmarks(pair, crop.padding), rect).points
    return transform_rect(rect_from_alignment(points[0], points[1], -90.0, size), size, shift_y=-0.1)


class FaceEngines:
    """The models of a face, for one thread at a time."""

    def __init__(self, *, refine: bool = False, delegate: DelegateName = "auto", threads: int = 1) -> None:
        self.detector = Detector("face_short", 0.5, delegate, threads)
        self.landmarker = FaceLandmarker(refine=refine, delegate=delegate, threads=threads)

    def close(self) -> None:
        """Release the engines."""
        self.detector.close()
        self.landmarker.close()


class FacePart:
    """The face of a body. MediaPipe: `face_landmarks_from_pose_cpu.pbtxt`."""

    def __init__(self, engines: FaceEngines) -> None:
        self._engines = engines
        self._previous: Landmarks | None = None

    def reset(self) -> None:
        """Forget the face followed so far."""
        self._previous = None

    def __call__(self, image: Image, pose: Landmarks | None) -> Face | None:
        """The face that belongs to `pose` (33), or None."""
        face = None if pose is None else self._find(image, pose)
        self._previous = None if face is None else face.landmarks
        return face

    def _find(self, image: Image, pose: Landmarks) -> Face | None:
        size = image.shape[1], image.shape[0]
        points = pose.points[:_FACE_OF_POSE]
        rotation = rotation_between(points[_POSE_EYES[0]], points[_POSE_EYES[1]], 0.0, size)
        rough = transform_rect(rect_around(points, rotation), size, 3.0)
        if rough.width <= 0:
            return None
        found = self._engines.detector(image, rough)
        if not len(found):
            return None
        fresh = _face_of_keypoints(found.keypoints[0], size)
        if self._previous is not None:
            old = self._previous
            fresh = tracked_rect(fresh, face_rect(old, size), old.points, size, FACE_LIMITS)
        landmarks = self._engines.landmarker(image, fresh)
        return None if landmarks is None else Face(landmarks, self._engines.landmarker.presence)


class PartSmoothing:
    """A part's landmarks steadied as the pose's are, for as long as the part is seen."""

    def __init__(self) -> None:
        self._filter = LandmarkSmoothing(0.05, 80.0)

    def reset(self) -> None:
        """Forget the past."""
        self._filter.reset()

    def __call__(self, landmarks: Landmarks | None, timestamp_us: int, size: Size) -> Landmarks | None:
        """The landmarks of the next frame, steadied; None ends what was seen."""
        if landmarks is None:
            self._filter.reset()
            return None
        return self._filter(landmarks, timestamp_us, size)


def _face_of_keypoints(keypoints: FloatArray, size: Size) -> Rect:
    """A detected face's region from its six keypoints (MediaPipe: `FaceDetectionFrontDetectionsToRoi`)."""
    rotation = rotation_between(keypoints[0], keypoints[1], 0.0, size)
    return transform_rect(rect_of_keypoints(keypoints, rotation), size, 2.0, shift_y=-0.1)
