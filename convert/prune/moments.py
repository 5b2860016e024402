"""First and second moments of a layer's inputs and outputs: all that reconstruction and re-estimation need to know."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import UnsupportedError
from pocketgraph.models.graph import Op

Array = npt.NDArray[Any]
Matrix = npt.NDArray[np.float64]


class Moments:
    """Running sums of x `[samples, inputs]` and, where given, of the outputs y `[samples, channels]` wanted with it.

    They are kept around the mean of the first rows, so that what hardly varies around a large mean is not lost in
    rounding.
    """

    def __init__(self, inputs: int, channels: int = 0) -> None:
        self.count = 0
        self._at_x: Array = np.zeros(inputs, np.float32)
        self._at_y: Array = np.zeros(channels, np.float32)
        self._x = np.zeros(inputs)
        self._y = np.zeros(channels)
        self._xx = np.zeros((inputs, inputs))
        self._yx = np.zeros((channels, inputs))
        self._yy = np.zeros(channels)

    def add(self, x: Array, y: Array | None = None) -> None:
        """Count in rows of float32 samples."""
        if len(x) == 0:
            return
        if self.count == 0:
            self._at_x = x.mean(axis=0, dtype=np.float64).astype(np.float32)
            if y is not None:
                self._at_y = y.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.count += len(x)
        x = x - self._at_x
        self._x += x.sum(axis=0, dtype=np.float64)
        self._xx += x.T @ x
        if y is not None:
            y = y - self._at_y
            self._y += y.sum(axis=0, dtype=np.float64)
            self._yy += np.square(y, dtype=np.float64).sum(axis=0)
            self._yx += y.T @ x

    def merge(self, other: Moments) -> None:
        """Count in what `other` has counted."""
        if self.count == 0:
            self._at_x, self._at_y = other._at_x, other._at_y
        x, y = (np.subtract(o, s, dtype=np.float64) for o, s in ((other._at_x, self._at_x), (other._at_y, self._at_y)))
        self.count += other.count
        self._xx += other._xx + np.outer(other._x, x) + np.outer(x, other._x) + other.count * np.outer(x, x)
        self._yx += other._yx + np.outer(other._y, x) + np.outer(y, other._x) + other.count * np.outer(y, x)
        self._yy += other._yy + 2 * other._y * y + other.count * y * y
        self._x += other._x + other.count * x
        self._y += other._y + other.count * y

    @property
    def mean_x(self) -> Matrix:
        return self._at_x + self._x / self.count

    @property
    def mean_y(self) -> Matrix:
        return self._at_y + self._y / self.count

    @property
    def hessian(self) -> Matrix:
        """Covariance of x, `[inputs, inputs]`: the Hessian of the squared error when the bias is refitted, halved."""
        mean = self._x / self.count
        result: Matrix = self._xx / self.count - np.outer(mean, mean)
        return result

    @property
    def cross(self) -> Matrix:
        """Covariance of y and x, `[channels, inputs]`."""
        result: Matrix = self._yx / self.count - np.outer(self._y, self._x) / self.count**2
        return result

    @property
    def variance_y(self) -> Matrix:
        """Variance of each output channel."""
        return np.maximum(self._yy / self.count - np.square(self._y / self.count), 0)


def samples_of(op: Op, x: Array) -> Array:
    """What each output position of a layer reads, `[samples, inputs]`, from its input `[batch, 1, height, width, in]`.

    For a convolution the kernel's window, zeros where it hangs over the edge, in the order of the weights.
    """
    weight = op.input(1)
    if op.kind == "FULLY_CONNECTED":
        return x.reshape(-1, weight.shape[-1])
    x = x.reshape(-1, *x.shape[-3:])
    kernel = weight.shape[1:3]
    strides = (int(op.attrs.get("stride_h", 1)), int(op.attrs.get("stride_w", 1)))
    dilation = (int(op.attrs.get("dilation_h_factor", 1)), int(op.attrs.get("dilation_w_factor", 1)))
    if 0 in strides or 0 in dilation:
        raise UnsupportedError(f"convolution {op.name!r} has a stride or dilation of zero: the model is damaged")
    if kernel == (1, 1):
        return np.ascontiguousarray(x[:, :: strides[0], :: strides[1]]).reshape(-1, x.shape[-1])
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if op.attrs.get("padding", "SAME") == "SAME":
        around = [(0, 0)]
        for size, stride, span in zip(x.shape[1:3], strides, reach, strict=True):
            total = max(0, (-(-size // stride) - 1) * stride + span - size)
            around.append((total // 2, total - total // 2))
        x = np.pad(x, [*around, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, tuple(reach), axis=(1, 2))
    windows = windows[:, :: strides[0], :: strides[1], :, :: dilation[0], :: dilation[1]]
    return np.ascontiguousarray(windows.transpose(0, 1, 2, 4, 5, 3)).reshape(-1, weight.size // weight.shape[0])
