"""Where the values of a plan lie in its arena: as planes of pixels, or row by row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.runtime.chw import _core

Floats = npt.NDArray[np.float32]
_ALIGN = 16  # floats: one cache line
_SLACK = 64  # floats before and behind a band, whose rows are read a little beyond their ends


@dataclass(eq=False)
class Value:
    """One tensor of the plan.

    A picture `[1, H, W, C]` lies as C planes of H*W pixels. Where a depthwise step reads across the edges of planes,
    `reach` is how many rows and columns it reaches, and zeros lie before, between and behind the planes. Any other
    tensor lies row by row. `offset` is where its room
    in the arena begins, in floats; `data` is set for constants; `slack` gives a band room for reads beyond its ends.
    `alias` is the value whose room this one shares, the same floats under another shape; both are then `shared`.
    """

    shape: tuple[int, ...]
    planes: bool
    reach: int = 0
    offset: int = -1
    data: Floats | None = None
    alias: Value | None = None
    shared: bool = False
    slack: bool = False

    @classmethod
    def of(cls, shape: tuple[int, ...], data: Floats | None = None) -> Value:
        """A value of `shape`; pictures become planes."""
        return cls(shape, len(shape) == 4 and shape[0] == 1, data=data)

    @property
    def room(self) -> Value:
        """The value that owns the floats."""
        return self if self.alias is None else self.alias.room

    @property
    def pixels(self) -> int:
        return self.shape[1] * self.shape[2]

    @property
    def margin(self) -> int:
        """Zeros before the first and behind every plane."""
        return _up(self.reach * self.shape[2] + self.reach) if self.reach else 0

    @property
    def stride(self) -> int:
        """Floats from plane to plane."""
        if self.pixels == 1 and not self.reach:
            return 1
        stride = _up(self.pixels + self.margin)
        return stride + _ALIGN if stride % 512 == 0 else stride  # planes a page apart share cache sets

    @property
    def size(self) -> int:
        """Floats of room."""
        if not self.planes:
            return _up(math.prod(self.shape))
        return _up(self.margin + self.shape[3] * self.stride) + (2 * _SLACK if self.slack else 0)

    @property
    def first(self) -> int:
        """Where the first element lies."""
        return self.room.offset + (self.margin if self.planes else 0) + (_SLACK if self.slack else 0)

    @property
    def strides(self) -> tuple[int, ...]:
        """Floats from index to index along each axis of `shape`."""
        if self.planes:
            return (0, self.shape[2], 1, self.stride)
        return tuple(math.prod(self.shape[axis + 1 :]) for axis in range(len(self.shape)))

    @property
    def is_flat(self) -> bool:
        """Whether the elements lie in the order of their indices without gaps."""
        return not self.planes or (self.stride == 1 and not self.reach) or (self.shape[3] == 1 and not self.reach)

    def view_args(self) -> tuple[int, tuple[int, ...], tuple[int, ...], int]:
        """Offset, shape, strides and base, as `copy_views` takes them."""
        return self.first, self.shape, self.strides, 0

    def as_planes(self) -> Any:
        _, height, width, channels = self.shape
        gap = self.stride - self.pixels if self.reach else 0
        return _core.Planes(self.first, self.stride, channels, height, width, gap)

    def broadcast(self, shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        """Offset and strides to read this value as one of `shape` by NumPy's rules of broadcasting."""
        missing = len(shape) - len(self.shape)
        strides = [0] * missing
        for size, wanted, stride in zip(self.shape, shape[missing:], self.strides, strict=True):
            strides.append(0 if size == 1 and wanted != 1 else stride)
        return self.first, tuple(strides)


def view(offset: int, shape: tuple[int, ...], strides: tuple[int, ...], base: int = 0) -> Any:
    """A strided view of the arena (`base` 0) or an external buffer, its axes in the order that runs fastest.

    The axis along which the written value is contiguous belongs last; callers who copy or compute between several
    views sort them together with `fast_order` first.
    """
    return _core.View(base, offset, list(shape), list(strides))


def fast_order(written: tuple[int, ...], shape: tuple[int, ...]) -> list[int]:
    """Axes sorted so that those along which `written` strides least come last."""
    return sorted(range(len(shape)), key=lambda axis: (-abs(written[axis]) if shape[axis] > 1 else -(1 << 62), axis))


def _up(count: int) -> int:
    return -(-count // _ALIGN) * _ALIGN
