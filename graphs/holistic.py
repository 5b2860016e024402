"""Body, hands and face of one person: 543 landmarks, each part found where the body's landmarks say it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pocketgraph.graphs.closing import Closing
from pocketgraph.graphs.holistic_parts import FacePart, HandPart
from pocketgraph.graphs.lane import Lane
from pocketgraph.graphs.pose import Pose, PoseResult
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.image_to_tensor import Image, as_picture
from pocketgraph.runtime.vision.landmarks import Landmarks

FACE, HAND, BODY = 468, 21, 33
_AHEAD = 3  # frames
_Begun = tuple[PoseResult | None, dict[str, Future[Landmarks | None]]]
"""A frame whose pose is known and whose parts are on their way."""


@dataclass(frozen=True)
class HolisticResult:
    """What one frame shows; parts that were not found or not asked for are None.

    Landmarks are normalised to the picture: `pose` 33 with visibility, `left_hand` and `right_hand` 21, `face` 468 (478
    refined). `world` are the pose's in metres. `mask` `[height, width]`, 0..1, is the person's.
    """

    pose: Landmarks | None = None
    world: Landmarks | None = None
    left_hand: Landmarks | None = None
    right_hand: Landmarks | None = None
    face: Landmarks | None = None
    mask: npt.NDArray[np.float32] | None = None


class Holistic(Closing):
    """Pose, then both hands and the face side by side. MediaPipe: `solutions.holistic` with `model_complexity` 1.

    Hands: region from the pose, re-cropped by a small model, tracked by their own landmarks as long as those agree.
    Face: region from the pose, a face detector inside it, tracked likewise. `hands` and `face` switch parts off. With
    `static` the pose of each picture stands on its own; hands and face are still tracked where they agree with it, as
    upstream does: call `reset` between pictures for independence. Call an instance from one thread at a time.
    """

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
        self._parts: dict[str, HandPart | FacePart] = {}
        if hands:
            self._parts["left_hand"] = HandPart("left", delegate)
            self._parts["right_hand"] = HandPart("right", delegate)
        if face:
            self._parts["face"] = FacePart(refine=refine_face, delegate=delegate)
        self._workers = ThreadPoolExecutor(threads, "holistic") if threads > 1 else None

    def reset(self) -> None:
        """Forget everything seen so far."""
        self._pose.reset()
        for part in self._parts.values():
            part.reset()

    def __call__(self, image: Image, timestamp_us: int | None = None) -> HolisticResult:
        """The landmarks of the next frame. Without `timestamp_us` frames count as 1/30 s apart."""
        image = as_picture(image)
        pose = self._pose(image, timestamp_us)
        if pose is None or self._workers is None:
            landmarks = None if pose is None else pose.landmarks
            return _result(pose, {name: part(image, landmarks) for name, part in self._parts.items()})
        return _gather(
            pose, {name: self._workers.submit(part, image, pose.landmarks) for name, part in self._parts.items()}
        )

    def stream(self, frames: Iterable[Image]) -> Iterator[HolisticResult]:
        """The results of `frames` in order, fastest: later poses are found beside this frame's hands and face.

        Results equal those of calling the instance frame by frame; up to three frames are read ahead. Frames count as
        1/30 s apart and must not change while they are worked on.
        """
        if self._workers is None:
            yield from map(self, frames)
            return
        poses = Lane(self._workers, stays=True)
        lanes = {name: Lane(self._workers) for name in self._parts}

        def begin(image: Image) -> _Begun:
            pose = self._pose(image)
            landmarks = None if pose is None else pose.landmarks
            return pose, {name: lanes[name].submit(part, image, landmarks) for name, part in self._parts.items()}

        ahead: deque[Future[_Begun]] = deque()
        try:
            for image in frames:
                ahead.append(poses.submit(begin, as_picture(image)))
                if len(ahead) > _AHEAD:
                    yield _gather(*ahead.popleft().result())
            while ahead:
                yield _gather(*ahead.popleft().result())
        finally:  # whoever stops listening finds no engine at work
            wait(ahead)
            wait([part for begun in ahead if not begun.exception() for part in begun.result()[1].values()])

    def close(self) -> None:
        """Release the engines."""
        if self._workers is not None:
            self._workers.shutdown()
        self._pose.close()
        for part in self._parts.values():
            part.close()


def _gather(pose: PoseResult | None, parts: dict[str, Future[Landmarks | None]]) -> HolisticResult:
    wait(parts.values())  # an error in one leaves none of the others running
    return _result(pose, {name: part.result() for name, part in parts.items()})


def _result(pose: PoseResult | None, parts: dict[str, Landmarks | None]) -> HolisticResult:
    if pose is None:
        return HolisticResult()
    return HolisticResult(pose.landmarks, pose.world, mask=pose.mask, **parts)
