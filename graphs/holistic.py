"""Body, hands and face of one person: 543 landmarks, each part found where the body's landmarks say it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pocketgraph.graphs.hand_landmarker import Hand
from pocketgraph.graphs.holistic_parts import Face, FaceEngines, FacePart, HandEngines, HandPart, PartSmoothing
from pocketgraph.graphs.lane import Lane
from pocketgraph.graphs.palm_fallback import HandSide, PalmFallback, side_score
from pocketgraph.graphs.pose import Pose, PoseResult
from pocketgraph.graphs.streaming import Mode, Timed, Video, Watching, size_of
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.comparable import Comparable
from pocketgraph.runtime.vision.image_to_tensor import Image, as_picture
from pocketgraph.runtime.vision.landmarks import Landmarks
from pocketgraph.runtime.vision.rect import Size

Part = Hand | Face | None
_AHEAD = 3  # frames
_Begun = tuple[Image, int, "PoseResult | None", dict[str, "Future[Part]"]]
"""A frame, its time, its pose, and its parts on their way."""


@dataclass(frozen=True)
class Confidence:
    """How sure the models are, 0..1: `presence` that the part is there, `side` that a hand is of that side.

    `side` is None for faces, and for hands without `hand_confidence`.
    """

    presence: float
    side: float | None = None


@dataclass(frozen=True, eq=False)
class HolisticResult(Comparable):
    """What one frame shows; parts that were not found or not asked for are None.

    Landmarks are normalised to the picture: `pose` 33 with visibility, `left_hand` and `right_hand` 21, `face` 468 (478
    refined). `world` are the pose's in metres. `mask` `[height, width]`, 0..1, is the person's. `id` tells one of
    several people from the others. The frame was at `timestamp_us` and of `size` (width, height); `image` is the frame
    itself, where `stream` was asked for it.
    """

    pose: Landmarks | None = None
    world: Landmarks | None = None
    left_hand: Landmarks | None = None
    right_hand: Landmarks | None = None
    face: Landmarks | None = None
    mask: npt.NDArray[np.float32] | None = None
    left_hand_confidence: Confidence | None = None
    right_hand_confidence: Confidence | None = None
    face_confidence: Confidence | None = None
    id: int | None = None
    timestamp_us: int = field(default=0, compare=False)
    image: Image | None = field(default=None, compare=False, repr=False)
    size: Size | None = field(default=None, compare=False)

    def to_json(self) -> str:
        """One line of JSON, as `pocketgraph.graphs.records` tells; `image` is left out."""
        from pocketgraph.graphs.records import write_record

        return write_record(Timed("holistic", self.timestamp_us, self, size=self.size))

    @classmethod
    def from_json(cls, text: str | bytes) -> HolisticResult:
        """The result that `to_json` wrote. Raises `FormatError` where `text` is none."""
        from pocketgraph.graphs.records import read_holistic

        return read_holistic(text)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` of all landmarks: part, index, name, x, y, z, visibility, presence (extra `pandas`)."""
        from pocketgraph.graphs.records import holistic_table

        return holistic_table(self)


class Holistic(Watching):
    """Pose, then both hands and the face side by side. MediaPipe: `solutions.holistic` with `model_complexity` 1.

    Hands: region from the pose, re-cropped by a small model, tracked by their own landmarks as long as those agree.
    Face: region from the pose, a face detector inside it, tracked likewise. `hands` and `face` switch parts off. With
    `static` the pose of each picture stands on its own; hands and face are still tracked where they agree with it, as
    upstream does: call `reset` between pictures for independence. Call an instance from one thread at a time.

    What upstream has not is off by default: `smooth_hands` and `smooth_face` steady those parts as `smooth` does the
    pose; `palm_fallback` looks for palms where the pose did not lead to a hand (or there is none), and gives no hand to
    both sides; `hand_confidence` asks the hand model which hand it sees. `hand_model` "lite" is faster, `recrop=False`
    trusts the pose's idea of where the hands are.
    """

    kind = "holistic"

    def __init__(
        self,
        *,
        static: bool = False,
        smooth: bool = True,
        segmentation: bool = False,
        smooth_segmentation: bool = False,
        refine_face: bool = False,
        hands: bool = True,
        face: bool = True,
        hand_model: Literal["full", "lite"] = "full",
        recrop: bool = True,
        palm_fallback: bool = False,
        hand_confidence: bool = False,
        smooth_hands: bool = False,
        smooth_face: bool = False,
        min_detection_confidence: float = 0.5,
        min_tracking_confidence: float = 0.5,
        delegate: DelegateName = "auto",
        threads: int = 2,
        pose_threads: int = 1,
    ) -> None:
        """`threads` is how many parts run beside each other, `pose_threads` how many the pose's engines use.

        More than one for the pose can answer sooner when called frame by frame, but takes from the parts in `stream`;
        and engines other than our own keep their threads spinning when they are done.
        """
        self._pose = Pose(
            static=static,
            smooth=smooth,
            segmentation=segmentation,
            smooth_segmentation=smooth_segmentation,
            min_detection_confidence=min_detection_confidence,
            min_tracking_confidence=min_tracking_confidence,
            delegate=delegate,
            threads=pose_threads,
        )
        sides = hand_confidence or palm_fallback
        self._engines: list[HandEngines | FaceEngines] = []
        self._parts: dict[str, HandPart | FacePart] = {}
        if hands:
            left, right = (
                HandEngines(model=hand_model, recrop=recrop, sides=sides, delegate=delegate) for _ in range(2)
            )
            self._parts |= {"left_hand": HandPart("left", left), "right_hand": HandPart("right", right)}
            self._engines += [left, right]
        if face:
            engines = FaceEngines(refine=refine_face, delegate=delegate)
            self._parts["face"] = FacePart(engines)
            self._engines.append(engines)
        self._fallback = (
            PalmFallback(hand_model, static=static, delegate=delegate, threads=threads)
            if hands and palm_fallback
            else None
        )
        self._hand_confidence = hand_confidence
        smoothed = {"left_hand": smooth_hands, "right_hand": smooth_hands, "face": smooth_face}
        self._smoothing = {name: PartSmoothing() for name, wanted in smoothed.items() if wanted}
        self._workers = ThreadPoolExecutor(threads, "holistic") if threads > 1 else None

    def reset(self) -> None:
        """Forget everything seen so far."""
        self._pose.reset()
        for part in self._parts.values():
            part.reset()
        if self._fallback is not None:
            self._fallback.reset()
        for smoothing in self._smoothing.values():
            smoothing.reset()

    def __call__(self, image: Image, timestamp_us: int | None = None) -> HolisticResult:
        """The landmarks of the next frame. Without `timestamp_us` frames count as 1/30 s apart."""
        image = as_picture(image)
        timestamp = self._time(timestamp_us)
        pose = self._pose(image, timestamp)
        if pose is None or self._workers is None:
            landmarks = None if pose is None else pose.landmarks
            return self._result(
                image, timestamp, pose, {name: part(image, landmarks) for name, part in self._parts.items()}
            )
        begun = {name: self._workers.submit(part, image, pose.landmarks) for name, part in self._parts.items()}
        return self._gather(image, timestamp, pose, begun)

    def stream(self, video: Video, mode: Mode = "video", *, images: bool = False) -> Iterator[HolisticResult]:
        """The results of `video` in order, fastest: later poses are found beside this frame's hands and face.

        `video`, `mode` and `images` are as in `Streaming.stream`. In mode "video" results equal those of calling the
        instance frame by frame, up to three frames are read ahead, and frames must not change while they are worked on.
        """
        with closing(self._frames(video, mode)) as frames:
            results = self._beside(frames) if self._workers is not None and mode == "video" else self._in_turn(frames)
            with closing(results):
                for image, result in results:
                    yield replace(result, image=image) if images else result

    def _in_turn(
        self, frames: Iterator[tuple[int | None, Image]]
    ) -> Generator[tuple[Image, HolisticResult], None, None]:
        for timestamp, image in frames:
            yield image, self(image, timestamp)

    def _beside(
        self, frames: Iterator[tuple[int | None, Image]]
    ) -> Generator[tuple[Image, HolisticResult], None, None]:
        assert self._workers is not None
        poses = Lane(self._workers, stays=True)
        lanes = {name: Lane(self._workers) for name in self._parts}

        def begin(timestamp_us: int, image: Image) -> _Begun:
            pose = self._pose(image, timestamp_us)
            landmarks = None if pose is None else pose.landmarks
            begun = {name: lanes[name].submit(part, image, landmarks) for name, part in self._parts.items()}
            return image, timestamp_us, pose, begun

        ahead: deque[Future[_Begun]] = deque()
        end: Exception | None = None
        try:
            while ahead or end is None:
                try:
                    told, image = next(frames)
                    ahead.append(poses.submit(begin, self._time(told), image))
                except Exception as error:  # noqa: BLE001 - what is not the end is raised after the frames before it
                    end = end or error
                if len(ahead) > _AHEAD or (ahead and end is not None):
                    first = ahead.popleft().result()
                    yield first[0], self._gather(*first)
            if not isinstance(end, StopIteration):
                raise end
        finally:  # whoever stops listening finds no engine at work
            wait(ahead)
            wait([part for begun in ahead if not begun.exception() for part in begun.result()[3].values()])

    def _gather(
        self, image: Image, timestamp_us: int, pose: PoseResult | None, begun: dict[str, Future[Part]]
    ) -> HolisticResult:
        wait(begun.values())  # an error in one leaves none of the others running
        return self._result(image, timestamp_us, pose, {name: part.result() for name, part in begun.items()})

    def _result(
        self, image: Image, timestamp_us: int, pose: PoseResult | None, parts: dict[str, Part]
    ) -> HolisticResult:
        left, right, face = (parts.get(name) for name in ("left_hand", "right_hand", "face"))
        assert not isinstance(left, Face)
        assert not isinstance(right, Face)
        assert not isinstance(face, Hand)
        if self._fallback is not None:
            left, right = self._fallback(image, None if pose is None else pose.landmarks, left, right)
        size, sides = size_of(image), self._hand_confidence
        return gathered(size, timestamp_us, pose, left, right, face, self._smoothing, sides=sides)

    def close(self) -> None:
        """Release the engines."""
        super().close()
        if self._workers is not None:
            self._workers.shutdown()
        self._pose.close()
        for engines in self._engines:
            engines.close()
        if self._fallback is not None:
            self._fallback.close()


def gathered(
    size: Size,
    timestamp_us: int,
    pose: PoseResult | None,
    left: Hand | None,
    right: Hand | None,
    face: Face | None,
    smoothing: dict[str, PartSmoothing],
    *,
    sides: bool = False,
    number: int | None = None,
) -> HolisticResult:
    """One person's parts as one result, steadied by `smoothing`; `sides` tells how sure the sides of hands are."""
    parts = {"left_hand": left, "right_hand": right, "face": face}
    found = {name: None if part is None else part.landmarks for name, part in parts.items()}
    for name, steady in smoothing.items():
        found[name] = steady(found[name], timestamp_us, size)
    return HolisticResult(
        None if pose is None else pose.landmarks,
        None if pose is None else pose.world,
        found["left_hand"],
        found["right_hand"],
        found["face"],
        None if pose is None else pose.mask,
        _hand_sure(left, "left", sides=sides),
        _hand_sure(right, "right", sides=sides),
        None if face is None else Confidence(face.presence),
        number,
        timestamp_us,
        size=size,
    )


def _hand_sure(hand: Hand | None, side: HandSide, *, sides: bool) -> Confidence | None:
    return None if hand is None else Confidence(hand.presence, side_score(hand, side) if sides else None)
