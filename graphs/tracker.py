"""Faces or hands followed through a video: a detector finds them, their landmarks say where to look next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.association import associate
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.image_to_tensor import Image, as_picture
from pocketgraph.runtime.vision.rect import Rect, Size

Found = TypeVar("Found")


class Tracker(Generic[Found]):
    """The loop that MediaPipe's hand and face mesh graphs share.

    The detector runs while fewer than `most` objects were followed from the last frame, or always with `static`.
    Regions followed replace detected ones that they overlap.
    """

    def __init__(
        self,
        detect: Callable[[Image], Detections],
        to_rect: Callable[[Detections, int, Size], Rect],
        look: Callable[[Image, Rect], Found | None],
        next_rect: Callable[[Found, Size], Rect],
        *,
        most: int,
        static: bool,
    ) -> None:
        """`to_rect` is the region of a detection, `look` finds the object in it, `next_rect` where to look next."""
        if most < 1:
            raise UsageError(f"at least one must be looked for, got {most}")
        self._detect, self._to_rect, self._look, self._next_rect = detect, to_rect, look, next_rect
        self._most, self._static = most, static
        self._rects: list[Rect] = []

    def reset(self) -> None:
        """Forget what was followed."""
        self._rects = []

    def __call__(self, image: Image) -> list[Found]:
        """The objects in the next frame (or, with `static`, in any picture)."""
        image = as_picture(image)
        size = image.shape[1], image.shape[0]
        detected: list[Rect] = []
        if len(self._rects) < self._most:
            found = self._detect(image)
            detected = [self._to_rect(found, i, size) for i in range(min(len(found), self._most))]
        seen = [self._look(image, rect) for rect in associate(detected, self._rects)]
        objects = [one for one in seen if one is not None]
        self._rects = [] if self._static else [self._next_rect(one, size) for one in objects]
        return objects
