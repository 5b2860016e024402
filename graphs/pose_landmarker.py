"""The landmarks of a body in a crop: 33, in the picture and in metres, and the mask of the person."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pocketgraph.graphs.stage import Stage
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.runtime.vision.landmarks import (
    Landmarks,
    decode_landmarks,
    project_landmarks,
    rotate_world,
    unletterbox_landmarks,
)
from pocketgraph.runtime.vision.mask import probabilities, unwarp_mask
from pocketgraph.runtime.vision.rect import Rect, Size, rect_from_alignment, transform_rect
from pocketgraph.runtime.vision.refine import refine_from_heatmap

_COUNT = 33
_DECODED = 39  # 33 of the body, 2 that align the next crop, 4 of no use here
_OUTPUTS = (0, 1, 3, 4)  # landmarks, presence, heatmap, world; the mask is output 2


@dataclass(frozen=True)
class RawPose:
    """One frame's pose before smoothing: `landmarks` and `world` 33, `alignment` 2, `mask` `[height, width]`, 0..1."""

    landmarks: Landmarks
    world: Landmarks
    alignment: Landmarks
    mask: npt.NDArray[np.float32] | None


class PoseLandmarker:
    """Landmarks of the person in a rectangle. Without `segmentation` the model's mask is cut out of its graph."""

    def __init__(
        self,
        *,
        segmentation: bool = False,
        min_presence: float = 0.5,
        delegate: DelegateName = "auto",
        threads: int = 1,
    ) -> None:
        outputs = (*_OUTPUTS, 2) if segmentation else _OUTPUTS
        self._stage = Stage("pose_landmark_full", outputs=outputs, delegate=delegate, threads=threads)
        self._min_presence = min_presence

    def __call__(self, image: Image, rect: Rect) -> RawPose | None:
        """The pose, normalised to the picture, or None where the model sees nobody."""
        crop = self._stage(image, rect)
        table, presence, heatmap, world_table, *mask = self._stage.outputs
        if float(presence.flat[0]) <= self._min_presence:
            return None
        decoded = refine_from_heatmap(decode_landmarks(table, _DECODED, self._stage.input_size), heatmap[0])
        decoded = project_landmarks(unletterbox_landmarks(decoded, crop.padding), rect)
        landmarks = decoded.take(slice(_COUNT))
        world = rotate_world(decode_landmarks(world_table, _DECODED).take(slice(_COUNT)), rect.rotation)
        world = replace(world, visibility=landmarks.visibility, presence=landmarks.presence)
        unwarped = unwarp_mask(probabilities(mask[0][0, :, :, 0]), crop.matrix(), crop.size) if mask else None
        return RawPose(landmarks, world, decoded.take(slice(_COUNT, _COUNT + 2)), unwarped)

    def close(self) -> None:
        """Release the engine."""
        self._stage.close()


def pose_rect(alignment: npt.NDArray[np.float32], size: Size) -> Rect:
    """The region of a body from the middle of its hips and a point on the circle around it, `[2 or more, 2 or more]`.

    MediaPipe: `PoseDetectionToRoi` and `PoseLandmarksToRoi`.
    """
    return transform_rect(rect_from_alignment(alignment[0], alignment[1], 90.0, size), size, 1.25)
