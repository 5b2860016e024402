"""One warp from a picture into a model's input."""

from collections.abc import Sequence
from typing import Annotated

import numpy
from numpy.typing import NDArray


def warp(picture: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), device='cpu', writable=False)], tensor: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], x_row: Sequence[float], y_row: Sequence[float], scale: float, low: float, replicate: bool) -> None:
    """
    Fill `tensor`, float32 [rows, columns, 3], from `picture`, uint8 [height, width, 3], bilinear.

    Pixel (column, row) looks at x = column * x_row[0] + row * x_row[1] + x_row[2] of the picture, y likewise,
    rounded to 1/32 pixel; the result, rounded to a byte, is multiplied by `scale`, and `low` added. Outside the
    picture is its nearest pixel, or with `replicate` False zero. Releases the GIL.
    """
