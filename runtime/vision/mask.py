"""Segmentation masks: from a model's input back to the picture, and blended over time."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pocketgraph.runtime.vision.image_to_tensor import Border
from pocketgraph.runtime.vision.landmarks import sigmoid
from pocketgraph.runtime.vision.rect import Size

FloatArray = npt.NDArray[np.float32]
_BORDERS = {"zero": cv2.BORDER_CONSTANT, "replicate": cv2.BORDER_REPLICATE}

# 1 - (1 - entropy in bits)^2 of a probability p, as a polynomial in (p - 0.5)^2 without constant term, from
# MediaPipe's SegmentationSmoothingCalculator
_CERTAINTY = (5.68842, -0.748699, -57.8051, 291.309, -624.717)


def probabilities(logits: FloatArray) -> FloatArray:
    """Logits `[height, width]` as probabilities, 0..1. MediaPipe: `TensorsToSegmentationCalculator` with SIGMOID."""
    return sigmoid(logits)


def softmax(logits: FloatArray, layer: int = 1) -> FloatArray:
    """The probability of `layer` among two, from logits `[height, width, 2]`. MediaPipe: the same with SOFTMAX."""
    return sigmoid(logits[..., layer] - logits[..., 1 - layer])


def resize_mask(mask: FloatArray, size: Size) -> FloatArray:
    """`mask` stretched to a picture of `size` (width, height), bilinear."""
    return np.asarray(cv2.resize(mask, size), np.float32)


def unwarp_mask(mask: FloatArray, matrix: npt.NDArray[np.float64], size: Size) -> FloatArray:
    """The mask `[height, width]` of a crop with this `Crop.matrix`, in a picture of `size`; 0 outside the crop."""
    return warp_affine(mask, np.asarray(np.linalg.inv(matrix), np.float64), size)


def warp_affine(
    image: npt.NDArray[Any],
    matrix: npt.NDArray[np.float64],
    size: Size,
    border: Border = "zero",
    *,
    cubic: bool = False,
) -> npt.NDArray[Any]:
    """A picture of `size` (width, height), each of its points fetched from where `matrix` takes it in `image`.

    `matrix` `[4, 4]` takes normalised coordinates of the result to those of `image`; beside it is `border`. MediaPipe:
    `WarpAffineCalculator`, whose pixels are corners, not centres.
    """
    height, width = image.shape[:2]
    rows = matrix[:2, [0, 1, 3]] * np.array([[width], [height]])
    rows[:, :2] /= size
    return cv2.warpAffine(
        image,
        rows.astype(np.float32),
        size,
        flags=(cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP,
        borderMode=_BORDERS[border],
    )


def blend_masks(mask: FloatArray, previous: FloatArray, ratio: float) -> FloatArray:
    """`mask` blended with the one before, most where it is undecided; as it is where they differ in size.

    `ratio` (0..1) is the part of the old mask where the new one says 0.5. MediaPipe: `SegmentationSmoothingCalculator`.
    """
    if previous.shape != mask.shape:
        return mask
    square = np.square(mask - np.float32(0.5))
    certainty = np.zeros_like(square)
    for factor in reversed(_CERTAINTY):
        certainty = (certainty + np.float32(factor)) * square
    return mask + (previous - mask) * ((1 - np.minimum(certainty, 1)) * np.float32(ratio))


class MaskSmoothing:
    """Blends each mask with the one before (see `blend_masks`).

    MediaPipe's pose graph asks for a ratio of 0.7, but masks of the 0.10.21 wheel show 0, its calculator's default: no
    blending.
    """

    def __init__(self, ratio: float = 0.7) -> None:
        self._ratio = ratio
        self._previous: FloatArray | None = None

    def reset(self) -> None:
        """Forget the past."""
        self._previous = None

    def __call__(self, mask: FloatArray) -> FloatArray:
        """The blend. A mask of another size starts anew."""
        if self._previous is not None:
            mask = blend_masks(mask, self._previous, self._ratio)
        self._previous = mask
        return mask
