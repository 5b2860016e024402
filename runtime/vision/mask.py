"""Segmentation masks: from a model's input back to the picture, and blended over time."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pocketgraph.runtime.vision.image_to_tensor import Crop
from pocketgraph.runtime.vision.landmarks import sigmoid

FloatArray = npt.NDArray[np.float32]

# 1 - (1 - entropy in bits)^2 of a probability p, as a polynomial in (p - 0.5)^2 without constant term, from
# MediaPipe's SegmentationSmoothingCalculator
_CERTAINTY = (5.68842, -0.748699, -57.8051, 291.309, -624.717)


def probabilities(logits: FloatArray) -> FloatArray:
    """Logits `[height, width]` as probabilities, 0..1. MediaPipe: `TensorsToSegmentationCalculator` with SIGMOID."""
    return sigmoid(logits)


def resize_mask(mask: FloatArray, size: tuple[int, int]) -> FloatArray:
    """`mask` stretched to a picture of `size` (width, height), bilinear."""
    return np.asarray(cv2.resize(mask, size), np.float32)


def unwarp_mask(mask: FloatArray, crop: Crop) -> FloatArray:
    """The mask `[height, width]` of a crop, in a picture of the crop's size; 0 outside the crop.

    MediaPipe: `InverseMatrixCalculator` and `WarpAffineCalculator`, whose pixels are corners, not centres.
    """
    height, width = mask.shape
    forward = np.vstack([crop.matrix(), [0.0, 0.0, 1.0]])
    to_input = np.linalg.inv(forward)[:2]
    to_input[0] *= width
    to_input[1] *= height
    to_input[:, 0] /= crop.size[0]
    to_input[:, 1] /= crop.size[1]
    return np.asarray(
        cv2.warpAffine(
            mask,
            to_input.astype(np.float32),
            crop.size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        ),
        np.float32,
    )


class MaskSmoothing:
    """Blends a mask with the one before, most where the new one is undecided.

    `ratio` (0..1) is the part of the old mask where the new one says 0.5. MediaPipe: `SegmentationSmoothingCalculator`;
    its pose graph asks for 0.7, but masks of the 0.10.21 wheel show 0, the calculator's default: no blending.
    """

    def __init__(self, ratio: float = 0.7) -> None:
        self._ratio = np.float32(ratio)
        self._previous: FloatArray | None = None

    def reset(self) -> None:
        """Forget the past."""
        self._previous = None

    def __call__(self, mask: FloatArray) -> FloatArray:
        """The blend. A mask of another size starts anew."""
        previous = self._previous
        if previous is not None and previous.shape == mask.shape:
            square = np.square(mask - np.float32(0.5))
            certainty = np.zeros_like(square)
            for factor in reversed(_CERTAINTY):
                certainty = (certainty + np.float32(factor)) * square
            mask = mask + (previous - mask) * ((1 - np.minimum(certainty, 1)) * self._ratio)
        self._previous = mask
        return mask
