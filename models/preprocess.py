"""How a picture becomes a model's input tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Fit = Literal["stretch", "crop", "letterbox"]


@dataclass(frozen=True)
class Preprocess:
    """Fit an RGB picture to the model's size, then map its 0..255 values to `x * scale + offset`.

    `fit`: `"stretch"` ignores the aspect ratio; `"crop"` takes the central square times `crop_fraction`;
    `"letterbox"` keeps the whole picture between zero borders. `scale` and `offset` are one number, or one per channel.
    """

    fit: Fit = "stretch"
    scale: float | tuple[float, float, float] = 1 / 255
    offset: float | tuple[float, float, float] = 0.0
    crop_fraction: float = 1.0

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value that a pixel becomes."""
        scale, offset = np.atleast_1d(np.asarray(self.scale)), np.atleast_1d(np.asarray(self.offset))
        ends = np.stack([offset + 0 * scale, 255 * scale + offset])
        return float(ends.min()), float(ends.max())

    def __call__(self, rgb: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.float32]:
        """`rgb` [h, w, 3] uint8 to [height, width, 3] float32."""
        pixels = self.resize(rgb, height, width).astype(np.float32)
        scale, offset = np.asarray(self.scale, np.float32), np.asarray(self.offset, np.float32)
        return pixels * scale + offset

    def resize(self, rgb: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[Any]:
        """The picture at the model's size, still uint8: what the model sees, for people to look at."""
        import cv2

        rows, columns = rgb.shape[:2]
        if self.fit == "crop":
            side = max(1, round(min(rows, columns) * self.crop_fraction))
            top, left = (rows - side) // 2, (columns - side) // 2
            rgb = rgb[top : top + side, left : left + side]
        elif self.fit == "letterbox":
            scale = min(height / rows, width / columns)
            inner = cv2.resize(
                rgb, (max(1, round(columns * scale)), max(1, round(rows * scale))), interpolation=cv2.INTER_AREA
            )
            canvas = np.zeros((height, width, 3), np.uint8)
            top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
            canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
            return canvas
        smaller = height < rgb.shape[0] or width < rgb.shape[1]
        return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
