"""The hands and the face of a body: each follows its own region, checked against the pose in every frame."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from pocketgraph.graphs.detector import Detector
from pocketgraph.graphs.face_landmarker import FaceLandmarker, face_rect
from pocketgraph.graphs.hand_landmarker import HandLandmarker, hand_rect
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
from pocketgraph.runtime.vision.tracking import FACE_LIMITS, HAND_LIMITS, tracked_rect

FloatArray = npt.NDArray[np.float32]

_HAND_OF_POSE = {"left": (15, 17, 19), "right": (16, 18, 20)}  # wrist, pinky and index of the 33
_FACE_OF_POSE = 11  # the first landmarks of the 33
_POSE_EYES = 5, 2  # outer parts of the picture's left and right eye
_LEAST_VISIBILITY = 0.1  # of the wrist


class HandPart:
    """One hand of a body. MediaPipe: `hand_landmarks_from_pose_cpu.pbtxt`."""

    def __init__(self, side: Literal["left", "right"], delegate: DelegateName = "auto", threads: int = 1) -> None:
        self._wrist, self._pinky, self._index = _HAND_OF_POSE[side]
        self._recrop = Stage("hand_recrop", delegate=delegate, threads=threads)
        self._landmarker = HandLandmarker(landmarks_only=True, delegate=delegate, threads=threads)
        self._previous: Landmarks | None = None

    def reset(self) -> None:
        """Forget the hand followed so far."""
        self._previous = None

    def __call__(self, image: Image, pose: Landmarks | None) -> Landmarks | None:
        """The 21 landmarks of the hand that belongs to `pose` (33), or None."""
        previous, self._previous = self._previous, None
        if pose is None or pose.visibility is None or float(pose.visibility[self._wrist]) <= _LEAST_VISIBILITY:
            return None
        size = image.shape[1], image.shape[0]
        points = pose.points
        rect = hand_rect_from_pose(points[self._wrist], points[self._pinky], points[self._index], size)
        if rect.width <= 0:
            return None
        fresh = self._recropped(image, transform_rect(rect, size, 2.7, shift_y=-0.1), size)
        if fresh.width <= 0:
            return None
        if previous is not None:
            fresh = tracked_rect(fresh, hand_rect(previous, size), previous.points, size, HAND_LIMITS)
        hand = self._landmarker(image, fresh)
        self._previous = None if hand is None else hand.landmarks
        return self._previous

    def _recropped(self, image: Image, rect: Rect, size: Size) -> Rect:
        """The hand's region as a small model sees it in a rough one (MediaPipe: `hand_recrop_by_roi_cpu.pbtxt`)."""
        crop = self._recrop(image, rect)
        pair = decode_landmarks(self._recrop.outputs[0], 2, self._recrop.input_size)
        points = project_landmarks(unletterbox_landmarks(pair, crop.padding), rect).points
        return transform_rect(rect_from_alignment(points[0], points[1], -90.0, size), size, shift_y=-0.1)

    def close(self) -> None:
        """Release the engines."""
        self._recrop.close()
        self._landmarker.close()


class FacePart:
    """The face of a body. MediaPipe: `face_landmarks_from_pose_cpu.pbtxt`."""

    def __init__(self, *, refine: bool = False, delegate: DelegateName = "auto", threads: int = 1) -> None:
        self._detector = Detector("face_short", 0.5, delegate, threads)
        self._landmarker = FaceLandmarker(refine=refine, delegate=delegate, threads=threads)
        self._previous: Landmarks | None = None

    def reset(self) -> None:
        """Forget the face followed so far."""
        self._previous = None

    def __call__(self, image: Image, pose: Landmarks | None) -> Landmarks | None:
        """The landmarks of the face that belongs to `pose` (33), or None."""
        previous, self._previous = self._previous, None
        if pose is None:
            return None
        size = image.shape[1], image.shape[0]
        points = pose.points[:_FACE_OF_POSE]
        rotation = rotation_between(points[_POSE_EYES[0]], points[_POSE_EYES[1]], 0.0, size)
        rough = transform_rect(rect_around(points, rotation), size, 3.0)
        if rough.width <= 0:
            return None
        found = self._detector(image, rough)
        if not len(found):
            return None
        fresh = _face_of_keypoints(found.keypoints[0], size)
        if previous is not None:
            fresh = tracked_rect(fresh, face_rect(previous, size), previous.points, size, FACE_LIMITS)
        self._previous = self._landmarker(image, fresh)
        return self._previous

    def close(self) -> None:
        """Release the engines."""
        self._detector.close()
        self._landmarker.close()


def _face_of_keypoints(keypoints: FloatArray, size: Size) -> Rect:
    """A detected face's region from its six keypoints (MediaPipe: `FaceDetectionFrontDetectionsToRoi`)."""
    rotation = rotation_between(keypoints[0], keypoints[1], 0.0, size)
    return transform_rect(rect_of_keypoints(keypoints, rotation), size, 2.0, shift_y=-0.1)
