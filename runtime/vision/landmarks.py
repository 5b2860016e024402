"""Landmark outputs decoded: a model's numbers as points of the picture, and world coordinates on the camera's axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.comparable import Comparable
from pocketgraph.runtime.vision.rect import Rect, Size

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Landmarks(Comparable):
    """`points` float32 `[n, 3]` (x, y, z), `visibility` and `presence` `[n]`, 0..1, where the model tells them.

    Normalised landmarks have x and y as parts of the picture's width and height and z on the scale of x, smaller nearer
    to the camera. World landmarks are in metres.
    """

    points: FloatArray
    visibility: FloatArray | None = None
    presence: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.points)

    def take(self, index: slice | list[int]) -> Landmarks:
        """The landmarks at `index`."""
        visibility = None if self.visibility is None else self.visibility[index]
        presence = None if self.presence is None else self.presence[index]
        return Landmarks(self.points[index], visibility, presence)

    def pixels(self, size: Size) -> FloatArray:
        """x and y of normalised landmarks in a picture of `size` (width, height), in pixels, `[n, 2]`."""
        return np.asarray(self.points[:, :2] * np.array(size, np.float32), np.float32)


def sigmoid(values: FloatArray) -> FloatArray:
    """1 / (1 + exp(-x)), elementwise, without overflow."""
    return np.float32(1.0) / (np.float32(1.0) + np.exp(-np.clip(values, np.float32(-80), np.float32(80))))


def decode_landmarks(
    tensor: FloatArray,
    count: int,
    input_size: Size | None = None,
    normalize_z: float = 1.0,
    logits: tuple[bool, bool] = (True, True),
) -> Landmarks:
    """`count` landmarks from a model's output: x, y, perhaps z, perhaps visibility and presence.

    `logits` says of visibility and presence whether they are logits; otherwise they are left as they are.
    With `input_size` x and y come out as parts of the model's input, z as part of its width divided by `normalize_z`
    besides (0.4 for hands); without, all are left as they are (world coordinates). Where the output has more landmarks,
    the first are read. MediaPipe: `TensorsToLandmarksCalculator`.
    """
    width = tensor.size // count
    if width < 2 or tensor.size % count:
        raise UsageError(f"{tensor.size} values cannot be {count} landmarks of 2 or more numbers")
    table = tensor.reshape(count, width)
    points = np.zeros((count, 3), np.float32)
    points[:, : min(width, 3)] = table[:, :3]
    if input_size is not None:
        points /= np.array([input_size[0], input_size[1], input_size[0] * normalize_z], np.float32)
    scores = [table[:, at] if width > at else None for at in (3, 4)]
    visibility, presence = (
        sigmoid(score) if score is not None and as_logit else score
        for score, as_logit in zip(scores, logits, strict=True)
    )
    return Landmarks(points, visibility, presence)


def unletterbox_landmarks(landmarks: Landmarks, padding: tuple[float, float]) -> Landmarks:
    """Landmarks of a letterboxed input, as parts of what lies inside the padding (see `Crop.padding`).

    MediaPipe: `LandmarkLetterboxRemovalCalculator`.
    """
    if padding == (0.0, 0.0):
        return landmarks
    across, down = padding
    start = np.array([across, down, 0.0], np.float32)
    inside = np.array([1 - 2 * across, 1 - 2 * down, 1 - 2 * across], np.float32)
    return replace(landmarks, points=(landmarks.points - start) / inside)


def project_landmarks(landmarks: Landmarks, rect: Rect) -> Landmarks:
    """Landmarks as parts of a rectangle that is square in pixels, as parts of the picture; z on the scale of x.

    MediaPipe: `LandmarkProjectionCalculator` with `NORM_RECT`, which turns in normalised coordinates: right for square
    rectangles only, as all of its landmark graphs use.
    """
    cos, sin = math.cos(rect.rotation), math.sin(rect.rotation)
    turn = np.array(
        [[cos * rect.width, sin * rect.height, 0], [-sin * rect.width, cos * rect.height, 0], [0, 0, rect.width]],
        np.float32,
    )
    middle = np.array([0.5, 0.5, 0.0], np.float32)
    center = np.array([rect.x_center, rect.y_center, 0.0], np.float32)
    return replace(landmarks, points=np.asarray((landmarks.points - middle) @ turn + center, np.float32))


def project_by_matrix(landmarks: Landmarks, matrix: npt.NDArray[np.float64]) -> Landmarks:
    """Landmarks of a crop with this `Crop.matrix`, as parts of the picture; z on the scale of x.

    MediaPipe: `LandmarkProjectionCalculator` with `PROJECTION_MATRIX`.
    """
    turn = matrix[:2, :3].astype(np.float32)
    points = np.empty_like(landmarks.points)
    points[:, :2] = landmarks.points @ turn.T + matrix[:2, 3].astype(np.float32)
    points[:, 2] = landmarks.points[:, 2] * np.hypot(turn[0, 0], turn[1, 0])
    return replace(landmarks, points=points)


def rotate_world(landmarks: Landmarks, rotation: float) -> Landmarks:
    """World landmarks of a turned crop, in the axes of the picture. MediaPipe: `WorldLandmarkProjectionCalculator`."""
    cos, sin = math.cos(rotation), math.sin(rotation)
    turn: FloatArray = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]], np.float32)
    return replace(landmarks, points=landmarks.points @ turn)


def join(parts: Sequence[Landmarks]) -> Landmarks:
    """All landmarks of `parts`, in order; visibility and presence where every part has them."""
    if not parts:
        return Landmarks(np.zeros((0, 3), np.float32))
    visibility = [part.visibility for part in parts if part.visibility is not None]
    presence = [part.presence for part in parts if part.presence is not None]
    return Landmarks(
        np.concatenate([part.points for part in parts]),
        np.concatenate(visibility) if len(visibility) == len(parts) else None,
        np.concatenate(presence) if len(presence) == len(parts) else None,
    )


def mirror(landmarks: Landmarks) -> Landmarks:
    """Normalised landmarks of a picture flipped left to right, for the picture as it was."""
    points = landmarks.points.copy()
    points[:, 0] = 1 - points[:, 0]
    return replace(landmarks, points=points)
