"""Frames of a video, spread evenly over its length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import UsageError


def video_frames(path: Path, limit: int) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    """Yield up to `limit` frames of `path` as (name, RGB `[height, width, 3]`).

    The video is read through twice, once to count: the length that containers claim is often wrong.
    Raises `UsageError` where not one frame can be decoded.
    """
    import cv2

    def frames() -> Iterator[cv2.VideoCapture]:
        capture = cv2.VideoCapture(str(path))
        try:
            while capture.grab():
                yield capture
        finally:
            capture.release()

    count = sum(1 for _ in frames())
    if count == 0:
        raise UsageError(f"no frame of the video {path} can be decoded")
    wanted = {i * count // min(limit, count) for i in range(min(limit, count))}
    for number, capture in enumerate(frames()):
        if number in wanted:
            good, frame = capture.retrieve()
            if good:
                yield f"{path.name} frame {number}", np.ascontiguousarray(frame[..., ::-1]).astype(np.uint8, copy=False)
