"""The pictures of a folder as frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
from typing_extensions import Self

from pocketgraph.models.errors import FormatError, UsageError
from pocketgraph.runtime.vision.frames import FRAME_US, read_frames
from pocketgraph.runtime.vision.image_to_tensor import Image


class Folder:
    """The pictures in a folder by name, 1/30 s apart; those that cannot be decoded are left out (`skipped`)."""

    live = False
    rate: float | None = None

    def __init__(self, folder: Path) -> None:
        self.pictures = sorted(file for file in folder.iterdir() if file.is_file() and cv2.haveImageReader(str(file)))
        if not self.pictures:
            raise UsageError(f"there is no picture in {folder} that OpenCV can read")
        self.count = len(self.pictures)
        self.skipped = 0

    def __iter__(self) -> Iterator[tuple[int, Image]]:
        for number, file in enumerate(self.pictures):
            try:
                _, picture = next(iter(read_frames(file)))
            except FormatError:
                self.skipped += 1
                continue
            yield number * FRAME_US, picture

    def picture_at(self, timestamp_us: int) -> Path:
        """The picture that a frame came from."""
        return self.pictures[timestamp_us // FRAME_US]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""
