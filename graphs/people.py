"""Several people followed through a video: each by the region of the own pose, each with a number that stays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from pocketgraph.graphs.detector import Detector
from pocketgraph.graphs.pose import PoseResult, PoseTrack
from pocketgraph.graphs.pose_landmarker import PoseLandmarker, RawPose, pose_rect
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.runtime.vision.rect import WHOLE, Rect, Size

FloatArray = npt.NDArray[np.float32]

_TRUNK = [0, 11, 12, 23, 24]  # nose, shoulders and hips: what tells where a body is
_SAME = 0.25  # of a body's radius: two whose trunks, as far as both show, lie nearer in the mean are one
_SMALL = 0.45  # of another body's radius: who is so small and where that one is, is a hand or foot of that one
_MEMORY_US = 2_000_000  # for how long a person who is not seen keeps the number
_STEP, _PACE, _REACH = (
    0.3,
    1.5,
    1.5,
)  # how far from where they are expected people may be: radii at once, a second, most
_SEARCH = 4.0  # how wide to look for such a person, in radii
_STEADY = 0.7  # of the speed is kept from one frame to the next


class _Person:
    """Someone known: the number, where the trunk was last (pixels), how fast it moved, how large the body is."""

    def __init__(self, number: int, track: PoseTrack, raw: RawPose, timestamp_us: int, size: Size) -> None:
        self.number, self.track = number, track
        self.raw, self.seen_us = raw, timestamp_us
        self.place, self.radius = _place(raw, size), _radius(raw, size)
        self.speed: FloatArray = np.zeros(2, np.float32)  # pixels a second

    def expected(self, timestamp_us: int) -> FloatArray:
        """Where the trunk should be now."""
        return np.asarray(self.place + self.speed * np.float32((timestamp_us - self.seen_us) / 1e6), np.float32)

    def away(self, place: FloatArray, timestamp_us: int) -> float:
        """How far `place` is from what was expected; above 1 it is too far for the time that has passed."""
        distance = min(float(np.hypot(*(place - at))) for at in (self.place, self.expected(timestamp_us)))
        allowed = min(_STEP + _PACE * (timestamp_us - self.seen_us) / 1e6, _REACH)
        return distance / (allowed * max(self.radius, 1.0))

    def move(self, raw: RawPose, timestamp_us: int, size: Size) -> None:
        """Note where the person is now."""
        place = _place(raw, size)
        if timestamp_us > self.seen_us:
            speed = (place - self.place) / np.float32((timestamp_us - self.seen_us) / 1e6)
            self.speed = np.asarray(_STEADY * self.speed + (1 - _STEADY) * speed, np.float32)
        self.raw, self.place, self.radius, self.seen_us = raw, place, _radius(raw, size), timestamp_us


class People:
    """The poses of up to `num_people` people, each with a number that no other person gets.

    The detector of poses finds who is large in what it looks at. In the first frame, and in every one with `static`, it
    looks at the whole frame, at squares of its shorter side and at squares of half of that; later, while fewer people
    are known than asked for, at one of these a frame, in turns, and at where those lost should be. Where two regions
    lead to one body, the person who was expected there keeps it; who is lost for up to two seconds gets the number back
    when found near the expected place.
    """

    def __init__(
        self,
        num_people: int,
        *,
        static: bool = False,
        smooth: bool = True,
        segmentation: bool = False,
        min_detection_confidence: float = 0.5,
        min_tracking_confidence: float = 0.5,
        delegate: DelegateName = "auto",
        threads: int = 1,
    ) -> None:
        if num_people < 1:
            raise UsageError(f"at least one person must be looked for, got {num_people}")
        self._most, self._static, self._smooth = num_people, static, smooth
        self._detector = Detector("pose", min_detection_confidence, delegate, threads)
        self._landmarker = PoseLandmarker(
            segmentation=segmentation, min_presence=min_tracking_confidence, delegate=delegate, threads=threads
        )
        self.reset()

    def reset(self) -> None:
        """Forget everyone; numbers start again."""
        self._people: list[_Person] = []
        self._next_number, self._turn = 0, -1

    def __call__(self, image: Image, timestamp_us: int) -> list[tuple[int, PoseResult]]:
        """Number and pose of everyone seen in the next frame, lowest numbers first."""
        size = image.shape[1], image.shape[0]
        if self._static:
            self.reset()
        seen = self._follow(image, timestamp_us, size)
        if len(seen) < self._most:
            seen += self._search(image, timestamp_us, size, seen)
        seen = [person for person in seen if not any(_is_limb(person.raw, other.raw, size) for other in seen)]
        seen.sort(key=lambda person: person.number)
        lost = [person for person in self._people if person.track.rect is None and person not in seen]
        self._people = [*seen, *(person for person in lost if timestamp_us - person.seen_us <= _MEMORY_US)]
        return [(person.number, person.track(person.raw, timestamp_us, size)) for person in seen]

    def _follow(self, image: Image, timestamp_us: int, size: Size) -> list[_Person]:
        """Those whose regions still show them."""
        found: list[tuple[float, _Person, RawPose]] = []
        for person in self._people:
            raw = None if person.track.rect is None else self._landmarker(image, person.track.rect)
            away = math.inf if raw is None else person.away(_place(raw, size), timestamp_us)
            if raw is None or away > 1:  # nobody, or the person beside
                person.track.lose()
            else:
                found.append((away, person, raw))
        seen: list[_Person] = []
        for _, person, raw in sorted(found, key=lambda entry: entry[0]):
            if any(_same(raw, other.raw, size) for other in seen):
                person.track.lose()
                continue
            person.move(raw, timestamp_us, size)
            seen.append(person)
        return seen

    def _search(self, image: Image, timestamp_us: int, size: Size, seen: list[_Person]) -> list[_Person]:
        """Those who were not followed from the last frame, as many as may be."""
        fresh: list[_Person] = []
        for window in self._windows(timestamp_us, size, alone=not seen):
            detections = self._detector(image, window)
            for keypoints in detections.keypoints:
                known = [person.raw for person in (*seen, *fresh)]
                if len(known) == self._most:
                    return fresh
                raw = self._landmarker(image, pose_rect(keypoints, size))
                if raw is None or any(_same(raw, other, size) or _is_limb(raw, other, size) for other in known):
                    continue
                person = self._recall(raw, timestamp_us, size, (*seen, *fresh))
                if person is None:
                    person = self._meet(raw, timestamp_us, size)
                person.move(raw, timestamp_us, size)
                fresh.append(person)
        return fresh

    def _windows(self, timestamp_us: int, size: Size, *, alone: bool) -> list[Rect]:
        """Where to look for people in this frame."""
        every = [WHOLE, *_squares(size, 1.0), *_squares(size, 0.5)]
        self._turn += 1
        if self._turn == 0:
            return every
        turn = every[self._turn % len(every)]
        lost = [person for person in self._people if person.track.rect is None]
        around = [_around(person.expected(timestamp_us), _SEARCH * max(person.radius, 1.0), size) for person in lost]
        return [*around, *([WHOLE] if alone and turn != WHOLE else []), turn]

    def _recall(self, raw: RawPose, timestamp_us: int, size: Size, seen: tuple[_Person, ...]) -> _Person | None:
        """Who of those not seen was expected nearest to this body."""
        place = _place(raw, size)
        lost = [person for person in self._people if person not in seen]
        nearest = min(lost, key=lambda person: person.away(place, timestamp_us), default=None)
        return nearest if nearest is not None and nearest.away(place, timestamp_us) <= 1 else None

    def _meet(self, raw: RawPose, timestamp_us: int, size: Size) -> _Person:
        track = PoseTrack(follow=not self._static, smooth=self._smooth)
        person = _Person(self._next_number, track, raw, timestamp_us, size)
        self._next_number += 1
        self._people.append(person)
        return person

    def close(self) -> None:
        """Release the engines."""
        self._detector.close()
        self._landmarker.close()


def _squares(size: Size, share: float) -> Iterator[Rect]:
    """Squares of `share` of the picture's shorter side that overlap by a third or more and cover it."""
    side = min(size) * share
    across, down = (1 if length - side < 1 else max(2, math.ceil(1.5 * length / side)) for length in size)
    if across == down == 1:
        return
    for x in np.linspace(side / 2, size[0] - side / 2, across):
        for y in np.linspace(side / 2, size[1] - side / 2, down):
            yield _around((x, y), side, size)


def _around(place: Sequence[float] | FloatArray, side: float, size: Size) -> Rect:
    """A square, from pixels."""
    x, y = place
    return Rect(float(x) / size[0], float(y) / size[1], side / size[0], side / size[1])


def _is_limb(one: RawPose, other: RawPose, size: Size) -> bool:
    """Whether what was taken for a body is more likely a hand or foot of another."""
    radius = _radius(one, size)
    points = other.landmarks.points[:, :2] * np.array(size, np.float32)
    away = np.hypot(*(points - _place(one, size)).T).min()
    return bool(radius < _SMALL * _radius(other, size) and away < radius)


def _same(one: RawPose, other: RawPose, size: Size) -> bool:
    """Whether two poses are of one body."""
    away = np.hypot(*(_trunk(one, size) - _trunk(other, size)).T)
    shown, also = one.landmarks.presence, other.landmarks.presence
    assert shown is not None
    assert also is not None
    weights = np.minimum(shown, also)[_TRUNK] + 1e-6  # hips below the frame are guesses
    return bool(np.average(away, weights=weights) < _SAME * max(_radius(one, size), _radius(other, size)))


def _trunk(raw: RawPose, size: Size) -> FloatArray:
    return raw.landmarks.take(_TRUNK).pixels(size)


def _place(raw: RawPose, size: Size) -> FloatArray:
    """The middle of the trunk, in pixels."""
    return np.asarray(_trunk(raw, size).mean(axis=0), np.float32)


def _radius(raw: RawPose, size: Size) -> float:
    """Of the circle around the body, in pixels."""
    center, edge = raw.alignment.pixels(size)[:2]
    return float(np.hypot(*(edge - center)))
