"""The 21 landmarks of a hand in a crop, its side, and where to look for it next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pocketgraph.graphs.stage import Stage
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.comparable import Comparable
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.runtime.vision.landmarks import (
    Landmarks,
    decode_landmarks,
    project_landmarks,
    rotate_world,
    unletterbox_landmarks,
)
from pocketgraph.runtime.vision.rect import Rect, Size, hand_rect_from_landmarks, transform_rect

Side = Literal["Left", "Right"]
_COUNT = 21
_DEPTH = 0.4  # MediaPipe's normalize_z for hands


@dataclass(frozen=True, eq=False)
class Hand(Comparable):
    """`landmarks` 21, normalised to the picture; `world` the same in metres; `presence` 0..1.

    `side` is the hand's, taking the picture for a mirror's as MediaPipe does, and `side_score` 0.5..1: in a picture
    that is not mirrored "Right" is the person's left hand, `left_hand` of `HolisticResult`, and drawn as that. Where
    only landmarks were asked for, `world` is None and the side is not told.
    """

    landmarks: Landmarks
    presence: float
    world: Landmarks | None = None
    side: Side | None = None
    side_score: float = 0.0


class HandLandmarker:
    """Landmarks of the hand in a rectangle. `model` is `"full"` or `"lite"`."""

    def __init__(
        self,
        model: str = "full",
        *,
        min_presence: float = 0.5,
        landmarks_only: bool = False,
        delegate: DelegateName = "auto",
        threads: int = 1,
    ) -> None:
        """`landmarks_only` leaves out side and world landmarks, and what only they need of the model."""
        if model not in ("full", "lite"):
            raise UsageError(f"the hand model is 'full' or 'lite', got {model!r}")
        outputs = (0, 1) if landmarks_only else None
        self._stage = Stage(f"hand_landmark_{model}", outputs=outputs, delegate=delegate, threads=threads)
        self._min_presence = min_presence

    def __call__(self, image: Image, rect: Rect) -> Hand | None:
        """The hand, or None where the model sees none."""
        crop = self._stage(image, rect)
        outputs = self._stage.outputs
        presence = float(outputs[1].flat[0])
        if presence <= self._min_presence:
            return None
        landmarks = decode_landmarks(outputs[0], _COUNT, self._stage.input_size, _DEPTH)
        landmarks = project_landmarks(unletterbox_landmarks(landmarks, crop.padding), rect)
        if len(outputs) == 2:
            return Hand(landmarks, presence)
        world = rotate_world(decode_landmarks(outputs[3], _COUNT), rect.rotation)
        left = float(outputs[2].flat[0])
        side: Side = "Left" if left >= 0.5 else "Right"
        return Hand(landmarks, presence, world, side, max(left, 1 - left))

    def close(self) -> None:
        """Release the engine."""
        self._stage.close()


def hand_rect(landmarks: Landmarks, size: Size) -> Rect:
    """Where to look for the same hand in the next frame (MediaPipe: `HandLandmarkLandmarksToRoi`)."""
    return transform_rect(hand_rect_from_landmarks(landmarks.points, size), size, 2.0, shift_y=-0.1)
