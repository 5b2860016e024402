"""Bodies, hands and faces of several people."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Literal

from pocketgraph.graphs.holistic import HolisticResult, gathered
from pocketgraph.graphs.holistic_parts import FaceEngines, FacePart, HandEngines, HandPart, PartSmoothing
from pocketgraph.graphs.people import People
from pocketgraph.graphs.streaming import Streaming, size_of
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.image_to_tensor import Image, as_picture


@dataclass
class _Parts:
    """What is followed of one person besides the pose."""

    left: HandPart | None
    right: HandPart | None
    face: FacePart | None
    smoothing: dict[str, PartSmoothing] = field(default_factory=dict)


class HolisticPeople(Streaming[list[HolisticResult]]):
    """What `Holistic` tells of one person, of up to `num_people` in the picture.

    Each call gives a list, one result a person, in the order of their `id`. An id stays with its person for as long as
    that one is followed, and is given back to who was lost for less than two seconds; `reset` starts again at 0. All
    people share one set of engines: the time of a frame grows with the number of people seen, and while fewer are seen
    than asked for one detector runs besides. Options are those of `Holistic`.
    """

    kind = "people"

    def __init__(
        self,
        num_people: int = 2,
        *,
        static: bool = False,
        smooth: bool = True,
        segmentation: bool = False,
        refine_face: bool = False,
        hands: bool = True,
        face: bool = True,
        hand_model: Literal["full", "lite"] = "full",
        recrop: bool = True,
        hand_confidence: bool = False,
        smooth_hands: bool = False,
        smooth_face: bool = False,
        min_detection_confidence: float = 0.5,
        min_tracking_confidence: float = 0.5,
        delegate: DelegateName = "auto",
        threads: int = 2,
    ) -> None:
        self._people = People(
            num_people,
            static=static,
            smooth=smooth,
            segmentation=segmentation,
            min_detection_confidence=min_detection_confidence,
            min_tracking_confidence=min_tracking_confidence,
            delegate=delegate,
            threads=threads,
        )
        self._hands: list[HandEngines] = []
        if hands:
            self._hands = [
                HandEngines(model=hand_model, recrop=recrop, sides=hand_confidence, delegate=delegate) for _ in range(2)
            ]
        self._face = FaceEngines(refine=refine_face, delegate=delegate) if face else None
        self._hand_confidence = hand_confidence
        smoothed = {"left_hand": smooth_hands, "right_hand": smooth_hands, "face": smooth_face}
        self._smoothed = [name for name, wanted in smoothed.items() if wanted]
        self._parts: dict[int, _Parts] = {}
        self._static = static
        self._workers = ThreadPoolExecutor(threads, "people")

    def reset(self) -> None:
        """Forget everyone."""
        self._people.reset()
        self._parts = {}

    def __call__(self, image: Image, timestamp_us: int | None = None) -> list[HolisticResult]:
        """Everyone in the next frame. Without `timestamp_us` frames count as 1/30 s apart."""
        image = as_picture(image)
        timestamp = self._time(timestamp_us)
        poses = self._people(image, timestamp)
        known = {} if self._static else self._parts
        self._parts = {number: known.get(number) or self._meet() for number, _ in poses}
        everyone = [(self._parts[number], pose.landmarks) for number, pose in poses]
        # one engine serves one thread at a time: a worker takes one part of all people
        lefts = self._workers.submit(lambda: [one.left(image, pose) if one.left else None for one, pose in everyone])
        rights = self._workers.submit(lambda: [one.right(image, pose) if one.right else None for one, pose in everyone])
        faces = self._workers.submit(lambda: [one.face(image, pose) if one.face else None for one, pose in everyone])
        begun: tuple[Future[Any], ...] = (lefts, rights, faces)
        wait(begun)  # an error in one leaves none of the others running
        found = zip(poses, everyone, lefts.result(), rights.result(), faces.result(), strict=True)
        return [
            gathered(
                size_of(image),
                timestamp,
                pose,
                left,
                right,
                face,
                parts.smoothing,
                sides=self._hand_confidence,
                number=number,
            )
            for (number, pose), (parts, _), left, right, face in found
        ]

    def _look(self, image: Image, timestamp_us: int) -> list[HolisticResult]:
        return self(image, timestamp_us)

    def _meet(self) -> _Parts:
        left = right = face = None
        if self._hands:
            left, right = HandPart("left", self._hands[0]), HandPart("right", self._hands[1])
        if self._face is not None:
            face = FacePart(self._face)
        return _Parts(left, right, face, {name: PartSmoothing() for name in self._smoothed})

    def close(self) -> None:
        """Release the engines."""
        super().close()
        self._workers.shutdown()
        self._people.close()
        for engines in (*self._hands, self._face):
            if engines is not None:
                engines.close()
