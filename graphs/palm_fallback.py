"""Hands that a body's pose did not lead to, found by their palms: what MediaPipe's Holistic misses."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from pocketgraph.graphs.detector import Detector
from pocketgraph.graphs.hand_landmarker import Hand, HandLandmarker, hand_rect
from pocketgraph.graphs.hands import palm_rect
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.runtime.vision.landmarks import Landmarks
from pocketgraph.runtime.vision.rect import WHOLE, Rect, Size

HandSide = Literal["left", "right"]
Pair = dict[HandSide, Hand | None]
FloatArray = npt.NDArray[np.float32]

_SIDES: tuple[HandSide, HandSide] = ("left", "right")
_SHOULDER: dict[HandSide, int] = {"left": 11, "right": 12}
_WRIST: dict[HandSide, int] = {"left": 15, "right": 16}
_SHOULDERS, _HIPS = [11, 12], [23, 24]
_EVERY = 5  # frames from one search to the next while a hand is missing
_SAME = 0.4  # of a hand's size: two hands whose landmarks lie nearer in the mean are one
_VISIBLE = 0.5
_NEAR_WRIST = 1.0  # how far from a wrist that is seen its hand can lie, in widths of the shoulders
_REACH = 2.5  # how far from the shoulder, where the wrist is not seen
_WINDOW = 2.5  # how wide to look around a wrist
_SIZES = 0.1, 2.0  # of a hand
_LEAST_FIT = 0.2


class PalmFallback:
    """Completes the two hands of a body.

    A hand found at both sides is left to the side that it fits better. For a side without a hand, palms are looked for
    around its wrist and in the whole frame: in the first frame that lacks it, then in every fifth; what was found is
    followed by its own landmarks. A hand goes to the side whose wrist is near and which the model takes it for, if it
    is in the reach and of the size of that body, and never to both. Without a pose the model alone tells the side.
    """

    def __init__(
        self, model: str = "full", *, static: bool = False, delegate: DelegateName = "auto", threads: int = 1
    ) -> None:
        """With `static` each picture stands on its own, and is searched wherever a hand is missing."""
        self._static = static
        self._detector = Detector(f"palm_{model}", 0.5, delegate, threads)
        self._landmarker = HandLandmarker(model, delegate=delegate, threads=threads)
        self.reset()

    def reset(self) -> None:
        """Forget the hands followed so far."""
        self._followed: dict[HandSide, Landmarks] = {}
        self._rest = 0

    def __call__(
        self, image: Image, pose: Landmarks | None, left: Hand | None, right: Hand | None
    ) -> tuple[Hand | None, Hand | None]:
        """Both sides' hands: those given, but one hand only once, and those found besides."""
        if self._static:
            self.reset()
        size = image.shape[1], image.shape[0]
        hands: Pair = {"left": left, "right": right}
        if left is not None and right is not None and same_hand(left, right, size):
            worse = min(_SIDES, key=lambda side: _fit(hands[side], side, pose, size))
            hands[worse] = None
        missing = [side for side in _SIDES if hands[side] is None]
        if not missing:
            self.reset()
            return left, right
        found = [
            self._landmarker(image, hand_rect(self._followed[side], size)) for side in missing if side in self._followed
        ]
        _assign(hands, found, pose, size)
        if any(hands[side] is None for side in missing):
            if self._rest == 0:
                self._search(image, pose, hands)
            self._rest = (self._rest or _EVERY) - 1
        self._followed = {side: hand.landmarks for side in missing if (hand := hands[side]) is not None}
        return hands["left"], hands["right"]

    def _search(self, image: Image, pose: Landmarks | None, hands: Pair) -> None:
        """Look for palms around the wrists of the sides that lack a hand, then in the whole frame."""
        size = image.shape[1], image.shape[0]
        windows: list[Rect] = []
        if pose is not None:
            body = pose.pixels(size)
            windows = [
                _around(body[_WRIST[side]], _WINDOW * _width(body), size) for side in _SIDES if hands[side] is None
            ]
        for window in [*windows, WHOLE]:
            if all(hand is not None for hand in hands.values()):
                return
            palms = self._detector(image, window)
            rects = [palm_rect(palms, i, size) for i in range(len(palms))]
            _assign(hands, [self._landmarker(image, rect) for rect in rects], pose, size)

    def close(self) -> None:
        """Release the engines."""
        self._detector.close()
        self._landmarker.close()


def side_score(hand: Hand, side: HandSide) -> float:
    """How likely, 0..1, the model takes `hand` for the person's `side` hand.

    The model takes pictures for mirrored ones; cameras here are not mirrors.
    """
    return hand.side_score if (hand.side == "Right") == (side == "left") else 1.0 - hand.side_score


def same_hand(one: Hand, other: Hand, size: Size) -> bool:
    """Whether the landmarks of two hands lie on each other."""
    a, b = one.landmarks.pixels(size), other.landmarks.pixels(size)
    return bool(np.hypot(*(a - b).T).mean() < _SAME * max(_extent(a), _extent(b)))


def _assign(hands: Pair, found: list[Hand | None], pose: Landmarks | None, size: Size) -> None:
    """Give the hands found to the sides that lack one, the best fit first."""
    known = [hand for hand in hands.values() if hand is not None]
    fresh = [hand for hand in found if hand is not None and not any(same_hand(hand, other, size) for other in known)]
    fits = [(_fit(hand, side, pose, size), side, hand) for hand in fresh for side in _SIDES if hands[side] is None]
    for fit, side, hand in sorted(fits, key=lambda entry: -entry[0]):
        others = [other for other in hands.values() if other is not None]
        if fit >= _LEAST_FIT and hands[side] is None and not any(same_hand(hand, other, size) for other in others):
            hands[side] = hand


def _fit(hand: Hand | None, side: HandSide, pose: Landmarks | None, size: Size) -> float:
    """How well `hand` fits that side of the body, 0..1; 0 where it cannot be that body's."""
    if hand is None:
        return 0.0
    told = side_score(hand, side)
    if pose is None:
        return told
    body, points = pose.pixels(size), hand.landmarks.pixels(size)
    width = _width(body)
    if not _SIZES[0] * width <= _extent(points) <= _SIZES[1] * width:
        return 0.0
    seen = pose.visibility is None or float(pose.visibility[_WRIST[side]]) >= _VISIBLE
    start, reach = (_WRIST[side], _NEAR_WRIST) if seen else (_SHOULDER[side], _REACH)
    away = float(np.hypot(*(points[0] - body[start]))) / (reach * width)
    return told * max(0.0, 1.0 - away * away)


def _width(body: FloatArray) -> float:
    """The width of the shoulders in pixels, from the length of the trunk where a body is seen from its side."""
    across = float(np.hypot(*np.subtract(*body[_SHOULDERS])))
    along = float(np.hypot(*(body[_SHOULDERS].mean(axis=0) - body[_HIPS].mean(axis=0))))
    return max(across, 0.7 * along, 1.0)


def _around(place: FloatArray, side: float, size: Size) -> Rect:
    return Rect(float(place[0]) / size[0], float(place[1]) / size[1], side / size[0], side / size[1])


def _extent(points: FloatArray) -> float:
    return float(np.ptp(points, axis=0).max())
