"""A rotated rectangle of a picture, warped straight from the full frame into a model's float input.

One bilinear warp a model, no copy of the frame: pixels are fetched where the model wants them, rounded to bytes as
MediaPipe's CPU path does, and spread over the model's range of values.

Places are rounded to 1/32 pixel first. That is what the OpenCV in MediaPipe's wheel does; `warpPerspective` of OpenCV
4.12 and later does not, and while its pixels differ by 0.1 levels on average, the landmarks of the (pruned) pose model
then move by 2 pixels. The result is that of OpenCV's `convertMaps`, `remap` and `LUT`, to the bit, in a fifth of the
time: nothing lies between the frame and the tensor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision import _warp
from pocketgraph.runtime.vision.rect import WHOLE, Rect, Size

Image = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]
Border = Literal["zero", "replicate"]

f32 = np.float32
_MOST_PIXELS = 32_766  # a side
_BORDERS = ("zero", "replicate")


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
        """`[4, 4]`: from normalised coordinates in the model's input to normalised coordinates in the picture.

        Depth is scaled as the rectangle's width is.
        """
        rows = np.array(_to_pixels(self.rect, self.size, (1, 1))) / np.array(self.size, np.float64)[:, None]
        matrix = np.diag([0.0, 0.0, self.rect.width, 1.0])
        matrix[:2, :2] = rows[:, :2]
        matrix[:2, 3] = rows[:, 2]
        return matrix


def as_picture(image: Image) -> Image:
    """`image` if it is an RGB picture, uint8 `[height, width, 3]`; a copy where its pixels do not lie side by side.

    Raises `UsageError` where it is none.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        what = f"{image.dtype}{list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UsageError(f"a picture must be an RGB array, uint8 [height, width, 3], got {what}")
    if image.size == 0 or max(image.shape) > _MOST_PIXELS:
        raise UsageError(f"a picture has sides of 1 to {_MOST_PIXELS} pixels, got {list(image.shape[:2])}")
    # OpenCV copies what is turned or flipped, in every call: once is enough
    return image if image.strides[1:] == (3, 1) and image.strides[0] > 0 else np.ascontiguousarray(image)


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
        self,
        input_size: Size,
        low: float = 0.0,
        high: float = 1.0,
        keep_aspect: bool = False,
        border: Border = "replicate",
    ) -> None:
        if border not in _BORDERS:
            raise UsageError(f"border must be 'zero' or 'replicate', got {border!r}")
        if low >= high:
            raise UsageError(f"the range of values must rise, got {low} to {high}")
        self.input_size = input_size
        self.keep_aspect = keep_aspect
        self.tensor: FloatArray = np.zeros((1, input_size[1], input_size[0], 3), np.float32)
        self._replicate = border == "replicate"
        self._scale, self._low = (high - low) / 255.0, low

    def __call__(self, image: Image, rect: Rect = WHOLE, out: FloatArray | None = None) -> Crop:
        """Fill `tensor`, or `out`, with `rect` of `image`. Raises `UsageError` on an empty or infinite rectangle."""
        size = image.shape[1], image.shape[0]
        if not (rect.width > 0 and rect.height > 0 and all(math.isfinite(v) for v in vars(rect).values())):
            raise UsageError(f"a rectangle needs finite values and sides above 0, got {rect}")
        crop = padded(rect, size, self.input_size) if self.keep_aspect else Crop(rect, size)
        x_row, y_row = _to_pixels(crop.rect, size, self.input_size)
        tensor = self.tensor if out is None else out
        _warp.warp(image, tensor[0], x_row, y_row, self._scale, self._low, self._replicate)
        return crop


def _to_pixels(rect: Rect, size: Size, input_size: Size) -> tuple[tuple[float, float, float], ...]:
    """The two rows that take a point of the input, in units of its pixels, to a point of the picture in pixels.

    Corners are in single precision, as upstream's are.
    """
    x, y = f32(rect.x_center) * f32(size[0]), f32(rect.y_center) * f32(size[1])
    width, height = f32(rect.width) * f32(size[0]), f32(rect.height) * f32(size[1])
    degrees = float(f32(float(f32(rect.rotation) * f32(180)) / math.pi))
    cos, sin = f32(math.cos(math.radians(degrees))) * f32(0.5), f32(math.sin(math.radians(degrees))) * f32(0.5)
    left = float(x + sin * height - cos * width), float(y - cos * height - sin * width)
    below = float(x - sin * height - cos * width), float(y + cos * height - sin * width)
    right = float(f32(2) * x - f32(below[0])), float(f32(2) * y - f32(below[1]))
    return tuple(
        ((right[i] - left[i]) / input_size[0], (below[i] - left[i]) / input_size[1], left[i]) for i in range(2)
    )
