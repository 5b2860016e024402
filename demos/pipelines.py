"""The pipelines by name, and what they find in one form: drawn, written and counted alike."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.graphs import FaceDetection, FaceMesh, Hand, Hands, Holistic, HolisticResult, Pose, PoseResult
from pocketgraph.graphs.selfie_segmentation import SelfieSegmentation
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.runtime.vision.landmarks import Landmarks

PARTS = ("pose", "hands", "face", "segmentation")


@dataclass(frozen=True)
class FoundHand:
    """`side` is "left" or "right", `score` how sure that is, `world` in metres; both None where not told."""

    side: str
    landmarks: Landmarks
    score: float | None = None
    world: Landmarks | None = None


@dataclass(frozen=True)
class Found:
    """What one frame shows. Landmarks, boxes and keypoints are normalised; `mask` is `[height, width]`, 0..1."""

    pose: Landmarks | None = None
    world: Landmarks | None = None
    hands: tuple[FoundHand, ...] = ()
    faces: tuple[Landmarks, ...] = ()
    detections: Detections | None = None
    mask: npt.NDArray[np.float32] | None = None

    def counts(self) -> dict[str, int]:
        """How many there are, by part; only parts that are there."""
        faces = len(self.faces) + (0 if self.detections is None else len(self.detections))
        found = {"pose": int(self.pose is not None), "hands": len(self.hands), "face": faces}
        found["segmentation"] = int(self.mask is not None and bool((self.mask > 0.5).any()))
        return {part: count for part, count in found.items() if count}

    def streams(self) -> dict[str, Any]:
        """What there is as plain data, by the name of the stream it is recorded in."""
        hands = [vars(hand) for hand in self.hands]
        named = {"pose": self.pose, "world": self.world, "hands": hands or None, "faces": list(self.faces) or None,
                 "detections": self.detections, "mask": self.mask}  # fmt: skip
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True)
class Settings:
    """How a pipeline is made; `static` treats every picture on its own, `segmentation` asks for masks too."""

    static: bool = False
    segmentation: bool = False
    delegate: DelegateName = "auto"
    threads: int = 2

    def common(self) -> dict[str, Any]:
        return {"delegate": self.delegate, "threads": self.threads}


@dataclass(frozen=True)
class Kind:
    """A pipeline: the parts it finds, how it is made, and its results in the common form."""

    parts: tuple[str, ...]
    make: Callable[[Settings], Any]
    found: Callable[[Any], Found]
    timed: bool = False
    """Whether it takes the frame's timestamp."""
    later: tuple[str, ...] = ()
    """Parts that are found only where `Settings.segmentation` asks for them."""


def _holistic(result: HolisticResult) -> Found:
    sides = (("left", result.left_hand), ("right", result.right_hand))
    hands = tuple(FoundHand(side, hand) for side, hand in sides if hand is not None)
    faces = () if result.face is None else (result.face,)
    return Found(result.pose, result.world, hands, faces, mask=result.mask)


def _pose(result: PoseResult | None) -> Found:
    return Found() if result is None else Found(result.landmarks, result.world, mask=result.mask)


def _hands(result: list[Hand]) -> Found:
    hands = (FoundHand((h.side or "right").lower(), h.landmarks, h.side_score, h.world) for h in result)
    return Found(hands=tuple(hands))


PIPELINES = {
    "holistic": Kind(
        PARTS,
        lambda s: Holistic(static=s.static, segmentation=s.segmentation, **s.common()),
        _holistic,
        timed=True,
        later=("segmentation",),
    ),
    "pose": Kind(
        ("pose", "segmentation"),
        lambda s: Pose(static=s.static, segmentation=s.segmentation, **s.common()),
        _pose,
        timed=True,
        later=("segmentation",),
    ),
    "hands": Kind(("hands",), lambda s: Hands(static=s.static, **s.common()), _hands),
    "face_mesh": Kind(
        ("face",), lambda s: FaceMesh(static=s.static, **s.common()), lambda faces: Found(faces=tuple(faces))
    ),
    "face_detection": Kind(
        ("face",), lambda s: FaceDetection(**s.common()), lambda detections: Found(detections=detections)
    ),
    "selfie_segmentation": Kind(
        ("segmentation",), lambda s: SelfieSegmentation(**s.common()), lambda mask: Found(mask=mask)
    ),
}


class Pipeline:
    """One of `PIPELINES`, called frame by frame. `parts` are those it finds as it is made now."""

    def __init__(self, name: str, settings: Settings) -> None:
        if name not in PIPELINES:
            raise UsageError(f"there is no pipeline {name!r}; there are {', '.join(PIPELINES)}")
        self.name, self._kind, self.settings = name, PIPELINES[name], settings
        self.possible = self._kind.parts
        self._made = self._kind.make(settings)

    @property
    def parts(self) -> Collection[str]:
        left_out = () if self.settings.segmentation else self._kind.later
        return [part for part in self.possible if part not in left_out]

    def __call__(self, image: Image, timestamp_us: int) -> Found:
        """What the next frame shows."""
        result = self._made(image, timestamp_us) if self._kind.timed else self._made(image)
        return self._kind.found(result)

    def reset(self) -> None:
        """Forget what was followed, where the pipeline follows anything."""
        if hasattr(self._made, "reset"):
            self._made.reset()

    def close(self) -> None:
        """Release the engines."""
        self._made.close()
