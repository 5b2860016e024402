"""The palm fallback: which hand goes to which side, never one to both, and when the detector is asked at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketgraph.graphs import Holistic, palm_fallback
from pocketgraph.graphs.hand_landmarker import Hand
from pocketgraph.graphs.palm_fallback import PalmFallback, same_hand, side_score
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.runtime.vision.landmarks import Landmarks
from pocketgraph.runtime.vision.rect import WHOLE, Rect

SIZE = 200, 200
FRAME = np.zeros((200, 200, 3), np.uint8)
_OUTLINE = np.random.default_rng(1).random((21, 2)) - 0.5


def _hand(x: float, y: float, side: str = "left", score: float = 0.95) -> Hand:
    """A hand 20 pixels large with its wrist at x, y (pixels)."""
    shape = _OUTLINE - _OUTLINE[0]
    points = np.concatenate([(np.array([x, y]) + 20 * shape) / SIZE, np.zeros((21, 1))], axis=1).astype(np.float32)
    # the model takes the picture for a mirror's
    return Hand(Landmarks(points), 0.9, None, "Right" if side == "left" else "Left", score)


def _pose(
    left: tuple[float, float] = (140, 120), right: tuple[float, float] = (60, 120), seen: float = 1.0
) -> Landmarks:
    """A body facing the camera: shoulders 40 pixels apart, wrists where told."""
    points = np.zeros((33, 3), np.float32)
    points[[11, 12, 23, 24], :2] = np.array([[120, 60], [80, 60], [115, 130], [85, 130]]) / 200
    points[[15, 16], :2] = np.array([left, right]) / 200
    return Landmarks(points, np.full(33, seen, np.float32))


class Scene:
    """Plays palm detector and hand model: hands at known places, seen where a region's middle is near."""

    def __init__(self) -> None:
        self.hands: list[Hand] = []
        self.searched: list[Rect] = []

    def detector(self, *_: object) -> Callable[..., Detections]:
        def detect(_image: Image, window: Rect) -> Detections:
            self.searched.append(window)
            low = np.array([window.x_center - window.width / 2, window.y_center - window.height / 2])
            high = low + np.array([window.width, window.height])
            wrists = np.array([hand.landmarks.points[0, :2] for hand in self.hands]).reshape(-1, 2)
            wrists = wrists[((wrists > low) & (wrists < high)).all(axis=1)].astype(np.float32)
            boxes = np.concatenate([wrists - 0.02, wrists + 0.02], axis=1)
            return Detections(boxes, np.repeat(wrists[:, None], 7, 1), np.ones(len(boxes), np.float32))

        return detect

    def landmarker(self, *_: object, **__: object) -> Callable[..., Hand | None]:
        def look(_image: Image, rect: Rect) -> Hand | None:
            middle = np.array([rect.x_center, rect.y_center])
            return next((h for h in self.hands if np.hypot(*(h.landmarks.points[0, :2] - middle)) < 0.1), None)

        return look


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    scene = Scene()
    monkeypatch.setattr(palm_fallback, "Detector", scene.detector)
    monkeypatch.setattr(palm_fallback, "HandLandmarker", scene.landmarker)
    return scene


def test_hands_go_to_their_sides(scene: Scene) -> None:
    left, right = _hand(142, 118, "left"), _hand(58, 121, "right")
    scene.hands = [right, left]
    assert PalmFallback()(FRAME, _pose(), None, None) == (left, right)


def test_crossed_arms_keep_their_hands(scene: Scene) -> None:
    left, right = _hand(92, 118, "left"), _hand(110, 121, "right")
    scene.hands = [left, right]
    assert PalmFallback()(FRAME, _pose((90, 120), (110, 120)), None, None) == (left, right)


def test_what_was_found_stays_and_only_what_is_missing_is_looked_for(scene: Scene) -> None:
    left, right = _hand(140, 120, "left"), _hand(60, 120, "right")
    fallback = PalmFallback()
    assert fallback(FRAME, _pose(), left, right) == (left, right)
    assert scene.searched == []
    scene.hands = [right]
    assert fallback(FRAME, _pose(), left, None) == (left, right)
    assert len(scene.searched) == 1  # around the wrist


def test_one_hand_is_not_given_to_both_sides(scene: Scene) -> None:
    hand, twin = _hand(140, 120, "left"), _hand(141, 121, "left")
    assert PalmFallback()(FRAME, _pose(), hand, twin) == (hand, None)
    scene.hands = [twin]
    assert PalmFallback()(FRAME, _pose(), hand, None) == (hand, None)
    assert PalmFallback()(FRAME, _pose((140, 120), (138, 120)), None, None) == (twin, None)


def test_hands_of_others_are_left_alone(scene: Scene) -> None:
    scene.hands = [_hand(190, 190, "left"), _hand(10, 20, "right")]
    assert PalmFallback()(FRAME, _pose(), None, None) == (None, None)
    assert WHOLE in scene.searched


def test_a_wrist_that_is_not_seen_gives_way_to_the_reach_of_the_arm(scene: Scene) -> None:
    raised = _hand(150, 30, "left")
    scene.hands = [raised]
    assert PalmFallback()(FRAME, _pose(), None, None) == (None, None)
    assert PalmFallback()(FRAME, _pose(seen=0.1), None, None) == (raised, None)


def test_without_a_body_the_model_tells_the_side(scene: Scene) -> None:
    hand = _hand(30, 30, "right")
    scene.hands = [hand]
    assert PalmFallback()(FRAME, None, None, None) == (None, hand)


def test_the_search_rests_and_what_was_found_is_followed(scene: Scene) -> None:
    fallback = PalmFallback()
    for _ in range(10):
        assert fallback(FRAME, None, None, None) == (None, None)
    assert len(scene.searched) == 2
    scene.hands = [_hand(30, 30, "right"), _hand(150, 40, "left")]
    fallback.reset()
    found = fallback(FRAME, None, None, None)
    assert None not in found
    count = len(scene.searched)
    for step in range(1, 8):
        moved = [_hand(30 + step, 30, "right"), _hand(150, 40 + step, "left")]
        scene.hands = moved
        assert fallback(FRAME, None, None, None) == (moved[1], moved[0])
    assert len(scene.searched) == count
    static = PalmFallback(static=True)
    scene.hands, scene.searched = [], []
    for _ in range(3):
        static(FRAME, None, None, None)
    assert len(scene.searched) == 3


_PLACES = st.tuples(st.floats(0, 200), st.floats(0, 200), st.sampled_from(["left", "right"]), st.floats(0.5, 1))


@given(st.lists(_PLACES, max_size=4), st.lists(_PLACES, max_size=1), st.lists(_PLACES, max_size=1), st.booleans())
def test_no_hand_is_ever_given_twice(places: list, left: list, right: list, alone: bool) -> None:
    scene = Scene()
    scene.hands = [_hand(*place) for place in places]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(palm_fallback, "Detector", scene.detector)
        patch.setattr(palm_fallback, "HandLandmarker", scene.landmarker)
        given_hands = [_hand(*place[0]) if place else None for place in (left, right)]
        found = PalmFallback()(FRAME, None if alone else _pose(), *given_hands)
    if found[0] is not None and found[1] is not None:
        assert not same_hand(found[0], found[1], SIZE)
    for before, after in zip(given_hands, found, strict=True):
        if before is not None and after is None:  # only where both were one
            assert same_hand(*given_hands, SIZE)


def _read(path: Path) -> Image:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


@pytest.mark.data
@pytest.mark.zoo
def test_hands_that_the_pose_misses_are_found_in_real_pictures(shared_data: Path) -> None:
    people = shared_data / "people"
    pictures = {  # which hands are there to be seen, beside those the pose leads to
        "openpose_media/COCO_val2014_000000000294.jpg": ("left_hand", "right_hand"),
        "openpose_media/COCO_val2014_000000000428.jpg": ("left_hand", "right_hand"),
        "openpose_media/COCO_val2014_000000000395.jpg": ("left_hand",),
        "mmpose_tests_data/onehand10k/1402.jpg": ("right_hand",),
    }
    plain = Holistic(static=True, face=False, delegate="litert")
    helped = Holistic(static=True, face=False, palm_fallback=True, hand_confidence=True, delegate="litert")
    with plain, helped:
        for name, expected in pictures.items():
            image = _read(people / name)
            plain.reset()
            helped.reset()
            without, found = plain(image), helped(image)
            hands = ("left_hand", "right_hand")
            assert tuple(part for part in hands if getattr(found, part) is not None) == expected
            assert sum(getattr(without, part) is not None for part in hands) == len(expected) - 1
            for part in hands:
                if getattr(without, part) is not None:
                    np.testing.assert_allclose(getattr(found, part).points, getattr(without, part).points, atol=1e-4)


def test_the_side_is_told_for_a_camera_that_is_no_mirror() -> None:
    assert side_score(_hand(0, 0, "left", 0.9), "left") == pytest.approx(0.9)
    assert side_score(_hand(0, 0, "left", 0.9), "right") == pytest.approx(0.1)
