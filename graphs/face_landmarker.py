"""The face mesh of a crop: 468 landmarks, or 478 with finer lips and eyes and the irises."""

from __future__ import annotations

import math

from pocketgraph.graphs.stage import Stage
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.runtime.vision.landmarks import Landmarks, decode_landmarks, project_landmarks, sigmoid
from pocketgraph.runtime.vision.rect import Rect, Size, rect_around, rotation_between, transform_rect
from pocketgraph.runtime.vision.refine import Refinement, refine_landmarks

# Which landmarks of the mesh the fine ones replace, in the order of the model's outputs (MediaPipe's
# tensors_to_face_landmarks_with_attention.pbtxt).
_LIPS = [
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408),
    *(62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407),
]
_LEFT_EYE = [
    *(33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
    *(130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190),
    *(226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189),
    *(35, 124, 46, 53, 52, 65, 143, 111, 117, 118, 119, 120, 121, 128, 245, 156, 70, 63, 105, 66, 107, 55, 193),
]
_RIGHT_EYE = [
    *(263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
    *(359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414),
    *(446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413),
    *(
        265,
        353,
        276,
        283,
        282,
        295,
        372,
        340,
        346,
        347,
        348,
        349,
        350,
        357,
        465,
        383,
        300,
        293,
        334,
        296,
        336,
        285,
        417,
    ),
]
_EYE_CONTOUR = 16  # an iris lies as deep as the mean of its eye's first 16 points
_MESH = 468
_REFINEMENTS = (
    Refinement(list(range(_MESH)), "copy"),
    Refinement(_LIPS, "keep"),
    Refinement(_LEFT_EYE, "keep"),
    Refinement(_RIGHT_EYE, "keep"),
    Refinement(list(range(468, 473)), _LEFT_EYE[:_EYE_CONTOUR]),
    Refinement(list(range(473, 478)), _RIGHT_EYE[:_EYE_CONTOUR]),
)
_EYE_CORNERS = 33, 263


class FaceLandmarker:
    """Landmarks of the face in a rectangle: 468, or 478 with `refine`. `presence` 0..1 is that of the last one."""

    def __init__(
        self, *, refine: bool = False, min_presence: float = 0.5, delegate: DelegateName = "auto", threads: int = 1
    ) -> None:
        name = "face_landmark_with_attention" if refine else "face_landmark"
        self._stage = Stage(name, keep_aspect=False, delegate=delegate, threads=threads)
        self._refine = refine
        self.presence = 0.0
        self._least = (
            math.log(min_presence / (1 - min_presence))
            if 0 < min_presence < 1
            else math.copysign(math.inf, min_presence - 0.5)
        )

    def __call__(self, image: Image, rect: Rect) -> Landmarks | None:
        """The landmarks, normalised to the picture, or None where the model sees no face."""
        self._stage(image, rect)
        flag = self._stage.outputs[-1].reshape(-1)[:1]
        self.presence = float(sigmoid(flag)[0])
        if float(flag[0]) <= self._least:
            return None
        landmarks = decode_landmarks(self._stage.outputs[0], _MESH, self._stage.input_size)
        if self._refine:
            landmarks = self._refined(landmarks)
        return project_landmarks(landmarks, rect)

    def _refined(self, mesh: Landmarks) -> Landmarks:
        """The mesh with the fine places of lips, eyes and irises; depths stay the mesh's."""
        fine = [
            decode_landmarks(values, len(refinement.index), self._stage.input_size)
            for values, refinement in zip(self._stage.outputs[1:6], _REFINEMENTS[1:], strict=True)
        ]
        return refine_landmarks([mesh, *fine], _REFINEMENTS)

    def close(self) -> None:
        """Release the engine."""
        self._stage.close()


def face_rect(landmarks: Landmarks, size: Size) -> Rect:
    """Where to look for the same face in the next frame (MediaPipe: `FaceLandmarkLandmarksToRoi`)."""
    points = landmarks.points
    rotation = rotation_between(points[_EYE_CORNERS[0]], points[_EYE_CORNERS[1]], 0.0, size)
    return transform_rect(rect_around(points, rotation), size, 1.5)
