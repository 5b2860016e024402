"""The fixed grid of anchors that SSD detectors place their boxes from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.rect import Size


def ssd_anchors(input_size: Size, strides: Sequence[int], extra_scale: bool = True) -> npt.NDArray[np.float32]:
    """Centres of the anchors of a detector, float32 `[n, 2]`, normalised (x, y), in the order of its outputs.

    Each stride lays a grid over the input; layers of equal stride that follow each other share one grid, each adding an
    anchor to every cell, or two with `extra_scale` (MediaPipe's interpolated scale). All anchors count as size 1: that
    is what `fixed_anchor_size` says for all of MediaPipe's detectors. MediaPipe: `SsdAnchorsCalculator`.
    """
    if not strides or min(strides) < 1:
        raise UsageError(f"strides must be positive numbers, at least one, got {list(strides)}")
    grids = []
    layer = 0
    while layer < len(strides):
        stride = strides[layer]
        same = 1
        while layer + same < len(strides) and strides[layer + same] == stride:
            same += 1
        columns, rows = (-(-side // stride) for side in input_size)
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) + np.float32(0.5)
        centers = np.stack([x / np.float32(columns), y / np.float32(rows)], axis=-1).reshape(-1, 2)
        grids.append(np.repeat(centers, same * (2 if extra_scale else 1), axis=0))
        layer += same
    return np.concatenate(grids)
