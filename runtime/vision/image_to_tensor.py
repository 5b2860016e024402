"""A rotated rectangle of a picture, warped straight from the full frame into a model's float input.

One bilinear warp a model, no copy of the frame: pixels are fetched where the model wants them, rounded to bytes as
MediaPipe's CPU path does, and spread over the model's range of values by table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.rect import WHOLE, Rect, Size

Image = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]
Border = Literal["zero", "replicate"]

_BORDERS = {"zero": cv2.BORDER_CONSTANT, "replicate": cv2.BORDER_REPLICATE}


@dataclass(frozen=True)
class Crop:
    """What was cut out: `rect` is the rectangle the model saw, padding included.

    `padding` is the part of the model's input that lies beside the rectangle asked for, at the left and right each, and
    at the top and bottom each (0 where the aspect ratios agree or are not kept).
    """

    rect: Rect
    size: Size
    padding: tuple[float, float] = (0.0, 0.0)

    def matrix(self) -> npt.NDArray[np.float64]:
        """`[2, 3]`: from normalised coordinates in the model's input to normalised coordinates in the picture."""
        return np.array(_to_pixels(self.rect, self.size, (1, 1))) / np.array(self.size, np.float64)[:, None]


def check_image(image: Image) -> None:
    """Raise `UsageError` unless `image` is an RGB picture: uint8 `[height, width, 3]`, not empty."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        what = f"{image.dtype}{list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UsageError(f"a picture must be an RGB array, uint8 [height, width, 3], got {what}")
    if image.size == 0:
        raise UsageError(f"the picture is empty: {list(image.shape)}")


def padded(rect: Rect, size: Size, input_size: Size) -> Crop:
    """`rect` grown around its centre to the aspect ratio of a model's input (width, height)."""
    wanted = input_size[1] / input_size[0]
    width, height = rect.width * size[0], rect.height * size[1]
    given = height / width
    if wanted > given:
        grown = Rect(rect.x_center, rect.y_center, rect.width, width * wanted / size[1], rect.rotation)
        return Crop(grown, size, (0.0, (1.0 - given / wanted) / 2.0))
    grown = Rect(rect.x_center, rect.y_center, height / wanted / size[0], rect.height, rect.rotation)
    return Crop(grown, size, ((1.0 - wanted / given) / 2.0, 0.0))


class ImageToTensor:
    """Fills a model's input from pictures. MediaPipe: `ImageToTensorCalculator` on the CPU.

    `tensor` is the input to give to the model, float32 `[1, height, width, 3]`, overwritten by each call; values span
    `low` (byte 0) to `high` (byte 255). `keep_aspect` pads a rectangle to the input's aspect ratio instead of
    stretching it. Outside the picture values are `border`: zero bytes or the nearest pixel.
    """

    def __init__(
        self, input_size: Size, low: float = 0.0, high: float = 1.0, keep_aspect: bool = False, border: Border = "replicate"
    ) -> None:
        if border not in _BORDERS:
            raise UsageError(f"border must be 'zero' or 'replicate', got {border!r}")
        if low >= high:
            raise UsageError(f"the range of values must rise, got {low} to {high}")
        self.input_size = input_size
        self.keep_aspect = keep_aspect
        self.tensor: FloatArray = np.zeros((1, input_size[1], input_size[0], 3), np.float32)
        self._bytes: Image = np.zeros((input_size[1], input_size[0], 3), np.uint8)
        self._border = _BORDERS[border]
        scale = np.float32((high - low) / 255.0)
        self._table: FloatArray = np.arange(256, dtype=np.float32) * scale + np.float32(low)

    def __call__(self, image: Image, rect: Rect = WHOLE) -> Crop:
        """Fill `tensor` with `rect` of `image`. Raises `UsageError` on an empty or infinite rectangle."""
        size = image.shape[1], image.shape[0]
        if not (rect.width > 0 and rect.height > 0 and all(math.isfinite(v) for v in vars(rect).values())):
            raise UsageError(f"a rectangle needs finite values and sides above 0, got {rect}")
        crop = padded(rect, size, self.input_size) if self.keep_aspect else Crop(rect, size)
        matrix = np.array(_to_pixels(crop.rect, size, self.input_size) + ((0.0, 0.0, 1.0),))
        cv2.warpPerspective(
            image,
            matrix,
            self.input_size,
            dst=self._bytes,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=self._border,
        )
        cv2.LUT(self._bytes, self._table, dst=self.tensor[0])
        return crop


def _to_pixels(rect: Rect, size: Size, input_size: Size) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The two rows that take a point of the input, in units of its pixels, to a point of the picture in pixels."""
    width, height = rect.width * size[0], rect.height * size[1]
    cos, sin = math.cos(rect.rotation), math.sin(rect.rotation)
    x, y = rect.x_center * size[0], rect.y_center * size[1]
    across, down = width / input_size[0], height / input_size[1]
    return (
        (across * cos, -down * sin, x - 0.5 * width * cos + 0.5 * height * sin),
        (across * sin, down * cos, y - 0.5 * width * sin - 0.5 * height * cos),
    )
