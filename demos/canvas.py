"""A labelled grid of pictures, as the demos write it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Rgb = npt.NDArray[np.uint8]

_PAPER, _INK, _SOFT = (255, 255, 255), (26, 31, 39), (92, 102, 117)
_GAP, _MARGIN, _HEAD, _CAPTION = 12, 24, 34, 34
_SHARPER = 4


class Grid:
    """Rows of pictures below column titles, each row with a caption; every cell is `side` pixels high and wide."""

    def __init__(self, titles: Sequence[str], side: int) -> None:
        self._titles, self._side = list(titles), side
        self._rows: list[tuple[list[Rgb], str]] = []

    def square(self, picture: Rgb) -> Rgb:
        """The square of `picture` that its cell shows: as large as can be, towards the top, where faces are."""
        height, width = picture.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 4, (width - side) // 2
        return np.ascontiguousarray(picture[top : top + side, left : left + side])

    def fit(self, square: Rgb) -> Rgb:
        """A square picture at the size of a cell."""
        import cv2

        method = cv2.INTER_AREA if len(square) > self._side else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(square, (self._side, self._side), interpolation=method), np.uint8)

    def add(self, pictures: Sequence[Rgb], caption: str) -> None:
        """Append a row: one picture of `side` by `side` for each title."""
        self._rows.append((list(pictures), caption))

    def picture(self) -> Rgb:
        """The whole grid."""
        step = self._side + _GAP
        width = 2 * _MARGIN + len(self._titles) * step - _GAP
        height = 2 * _MARGIN + _HEAD + len(self._rows) * (self._side + _CAPTION) - _CAPTION + _CAPTION
        canvas: Rgb = np.full((height, width, 3), _PAPER, np.uint8)
        for column, title in enumerate(self._titles):
            write(canvas, title, _MARGIN + column * step, _MARGIN + 14, 0.62, _INK)
        top = _MARGIN + _HEAD
        for pictures, caption in self._rows:
            for column, picture in enumerate(pictures):
                left = _MARGIN + column * step
                canvas[top : top + self._side, left : left + self._side] = picture
            write(canvas, caption, _MARGIN, top + self._side + 21, 0.5, _SOFT)
            top += self._side + _CAPTION
        return canvas


def write(canvas: Rgb, text: str, left: int, baseline: int, size: float, colour: tuple[int, int, int]) -> None:
    """Draw `text` onto `canvas`, smoothly: drawn larger as a mask, then scaled down."""
    import cv2

    font, scale = cv2.FONT_HERSHEY_SIMPLEX, size * _SHARPER
    (width, height), below = cv2.getTextSize(text, font, scale, _SHARPER + 1)
    pad = _SHARPER * 2
    large = np.zeros((height + below + 2 * pad, width + 2 * pad), np.uint8)
    cv2.putText(large, text, (pad, height + pad), font, scale, 255, _SHARPER + 1, cv2.LINE_AA)
    shape = (large.shape[1] // _SHARPER, large.shape[0] // _SHARPER)
    mask = cv2.resize(large, shape, interpolation=cv2.INTER_AREA).astype(np.float32)[..., None] / 255
    top = baseline - (height + pad) // _SHARPER
    area = canvas[top : top + shape[1], left : left + shape[0]]
    mask = mask[: area.shape[0], : area.shape[1]]
    area[:] = np.clip(area * (1 - mask) + np.asarray(colour, np.float32) * mask, 0, 255).astype(np.uint8)
