"""The pipelines by name, with the options each takes, and what they find of people in one form: drawn and counted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from pocketgraph.graphs import (
    FaceDetection,
    FaceMesh,
    Hands,
    Holistic,
    HolisticPeople,
    HolisticResult,
    Pose,
    SelfieSegmentation,
    Timed,
)
from pocketgraph.graphs.streaming import Mode, size_of
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.image_to_tensor import Image

PARTS = ("pose", "hands", "face", "segmentation")
_ALWAYS = ("static", "delegate", "threads")
_OF_PART = {"palm_fallback": "hands", "hand_confidence": "hands", "hand_model": "hands", "smooth_hands": "hands",
            "smooth_face": "face"}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """How a pipeline is made; `static` treats every picture on its own, the rest is as in `pocketgraph run --help`."""

    static: bool = False
    segmentation: bool = False
    hands: bool = True
    face: bool = True
    num_people: int = 1
    hand_model: Literal["full", "lite"] = "full"
    hand_confidence: bool = False
    palm_fallback: bool = False
    smooth_hands: bool = False
    smooth_face: bool = False
    delegate: DelegateName = "auto"
    threads: int = 2

    def with_part(self, part: str) -> Settings:
        """The same, and `part` is looked for too."""
        return replace(self, **{part: True})  # type: ignore[arg-type]

    def changed(self) -> list[str]:
        """The names of those that are not as by default."""
        return [field.name for field in fields(self) if getattr(self, field.name) != field.default]


@dataclass(frozen=True)
class Kind:
    """A pipeline: the parts it finds, the settings it takes, by name, and what makes it of those."""

    parts: tuple[str, ...]
    options: tuple[str, ...]
    make: Callable[..., Any]
    timed: bool = False
    """Whether it takes the frame's timestamp."""


def _holistic(*, num_people: int, palm_fallback: bool, **options: Any) -> Holistic | HolisticPeople:
    if num_people == 1:
        return Holistic(palm_fallback=palm_fallback, **options)
    if palm_fallback:
        raise UsageError("--palm-fallback completes the hands of one person: leave it out, or --num-people")
    return HolisticPeople(num_people, **options)


def _hands(*, hand_model: Literal["full", "lite"], **options: Any) -> Hands:
    return Hands(model=hand_model, **options)


PIPELINES = {
    "holistic": Kind(
        PARTS, ("static", "segmentation", "hands", "face", "num_people", *_OF_PART), _holistic, timed=True
    ),
    "pose": Kind(("pose", "segmentation"), ("static", "segmentation"), Pose, timed=True),
    "hands": Kind(("hands",), ("static", "hand_model"), _hands),
    "face_mesh": Kind(("face",), ("static",), FaceMesh),
    "face_detection": Kind(("face",), (), FaceDetection),
    "selfie_segmentation": Kind(("segmentation",), (), SelfieSegmentation),
}


class Pipeline:
    """One of `PIPELINES`, as `settings` say; `possible` are the parts it could find.

    Raises `UsageError` for settings that this pipeline does not take, or that contradict each other.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        if name not in PIPELINES:
            raise UsageError(f"there is no pipeline {name!r}; there are {', '.join(PIPELINES)}")
        _check(name, settings)
        self.name, self._kind, self.settings = name, PIPELINES[name], settings
        self.possible = self._kind.parts
        taken = (*self._kind.options, "delegate", "threads")
        self._made = self._kind.make(**{option: getattr(settings, option) for option in taken})

    @property
    def parts(self) -> Collection[str]:
        """The parts it finds as it is made now."""
        return [part for part in self.possible if part not in self._kind.options or getattr(self.settings, part)]

    def __call__(self, image: Image, timestamp_us: int) -> Timed[Any]:
        """What the next frame shows."""
        if self.settings.static:
            self._made.reset()
        found = self._made(image, timestamp_us) if self._kind.timed else self._made(image)
        return Timed(self._made.kind, timestamp_us, found, image, size_of(image))

    def stream(self, frames: Iterable[tuple[int, Image]]) -> Iterator[Timed[Any]]:
        """What each of `frames` shows: the same, but some pipelines are faster where they see the next frames too."""
        mode: Mode = "image" if self.settings.static else "video"
        for seen in self._made.stream(frames, mode, images=True):
            if isinstance(seen, HolisticResult):
                yield Timed(self._made.kind, seen.timestamp_us, seen, seen.image, seen.size)
            else:
                yield seen

    def close(self) -> None:
        """Release the engines."""
        self._made.close()


def _check(name: str, settings: Settings) -> None:
    for option in settings.changed():
        if option not in (*_ALWAYS, *PIPELINES[name].options):
            takers = " and ".join(other for other, kind in PIPELINES.items() if option in kind.options)
            raise UsageError(f"{_flag(option)} is an option of {takers}, not of {name}")
        part = _OF_PART.get(option)
        if part is not None and not getattr(settings, part):
            raise UsageError(f"{_flag(option)} has no effect with {_flag(part)}: leave one of them out")


def _flag(option: str) -> str:
    """How the command calls a setting that is not as by default."""
    return ("--no-" if option in ("hands", "face") else "--") + option.replace("_", "-")


def people(seen: Timed[Any]) -> list[HolisticResult]:
    """What was found of people: one entry a body, or a hand or face where nobody says whose it is; boxes are left out.

    Hands are on the side that they are of, which `Hands` tells as in a mirror.
    """
    found = seen.found
    if seen.kind == "people":
        return list(found)
    if seen.kind == "holistic":
        return [found]
    if seen.kind == "pose":
        return [] if found is None else [HolisticResult(found.landmarks, found.world, mask=found.mask)]
    if seen.kind == "hands":
        return [HolisticResult(**{_SIDES[hand.side]: hand.landmarks}) for hand in found]
    if seen.kind == "face_mesh":
        return [HolisticResult(face=face) for face in found]
    return [HolisticResult(mask=found)] if seen.kind == "mask" else []


_SIDES = {"Right": "left_hand", "Left": "right_hand"}


def parts_in(seen: Timed[Any]) -> set[str]:
    """The parts that were found, of at least one person."""
    parts = {"face"} if seen.kind == "faces" and len(seen.found) else set()
    for person in people(seen):
        there = {
            "pose": person.pose is not None,
            "hands": person.left_hand is not None or person.right_hand is not None,
            "face": person.face is not None,
            "segmentation": person.mask is not None and bool((person.mask > 0.5).any()),
        }
        parts |= {part for part, found in there.items() if found}
    return parts
