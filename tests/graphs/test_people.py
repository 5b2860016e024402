"""Several people: how many are found in real pictures, and that numbers stay with their people where paths cross."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pocketgraph.graphs import HolisticPeople, HolisticResult
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.image_to_tensor import Image

pytestmark = pytest.mark.zoo
_HEIGHT, _WIDTH = 380, 900


def _read(path: Path) -> Image:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def _centers(people: list[HolisticResult], width: int) -> dict[int | None, float]:
    """Where each trunk is, in pixels from the left."""
    return {one.id: float(one.pose.points[[11, 12, 23, 24], 0].mean() * width) for one in people if one.pose}


class Stage:
    """Two people cut from photographs, one walking in front of the other."""

    def __init__(self, people: Path) -> None:
        skier = _read(people / "mmpose_tests_data/coco/000000000785.jpg")[30:420, 300:490]
        batter = _read(people / "mmpose_tests_data/coco/000000196141.jpg")[60:400, 240:425]
        self.front, self.back = (
            cv2.resize(image, (image.shape[1] * 360 // len(image), 360)) for image in (skier, batter)
        )

    def frame(self, front: int, back: int) -> Image:
        """Their left edges at the given places."""
        frame = np.full((_HEIGHT, _WIDTH, 3), 90, np.uint8)
        for image, left in ((self.back, back), (self.front, front)):
            frame[10:370, left : left + image.shape[1]] = image
        return frame


@pytest.mark.data
@pytest.mark.parametrize("step", [20, 40])
def test_numbers_stay_where_people_cross(step: int, shared_data: Path) -> None:
    stage = Stage(shared_data / "people")
    both = 0
    with HolisticPeople(2, hands=False, face=False, delegate="litert") as people:
        places = [(20 + step * i, 690 - step * i) for i in range(680 // step)]
        for number, (front, back) in enumerate(places):
            found = _centers(people(stage.frame(front, back)), _WIDTH)
            middles = {0: front + stage.front.shape[1] / 2, 1: back + stage.back.shape[1] / 2}
            apart = abs(middles[0] - middles[1])
            assert set(found) <= {0, 1}, number
            if apart > 120:
                for who, x in found.items():
                    assert abs(x - middles[who]) < 40, (number, who)
            both += len(found) == 2
        assert len(found) == 2
    assert both >= 0.6 * len(places)


@pytest.mark.data
def test_groups_are_found_with_their_hands_and_faces(shared_data: Path) -> None:
    media = shared_data / "people" / "openpose_media"
    with HolisticPeople(4, static=True, hand_confidence=True, delegate="litert") as people:
        for name, faces, hands in (("241", 3, 4), ("536", 3, 4)):
            found = people(_read(media / f"COCO_val2014_000000000{name}.jpg"))
            assert [one.id for one in found] == [0, 1, 2]
            assert sum(one.face is not None for one in found) >= faces
            confidences = [c for one in found for c in (one.left_hand_confidence, one.right_hand_confidence) if c]
            assert len(confidences) >= hands
            assert all(c.presence > 0.5 and c.side is not None for c in confidences)
        crowd = people(_read(shared_data / "people/mmpose_tests_data/coco/000000197388.jpg"))
        assert len(crowd) == 4


@pytest.mark.data
def test_people_found_are_those_annotated(shared_data: Path) -> None:
    """Ski racers: of six annotated, four large ones are there to be found, each once."""
    image = _read(shared_data / "people/mmpose_tests_data/coco/000000197388.jpg")
    boxes = [(139, 102, 222, 242), (287, 62, 75, 166), (540, 49, 100, 223), (373, 171, 267, 217), (0, 44, 90, 220)]
    with HolisticPeople(8, static=True, hands=False, face=False, delegate="litert") as people:
        found = people(image)
    hit = set()
    for one in found:
        assert one.pose is not None
        x, y = one.pose.points[[11, 12, 23, 24], :2].mean(axis=0) * (image.shape[1], image.shape[0])
        inside = [
            i for i, (left, top, width, height) in enumerate(boxes) if 0 <= x - left <= width and 0 <= y - top <= height
        ]
        assert inside
        hit |= set(inside)
    assert len(hit) == 5


def test_nobody_is_an_empty_list() -> None:
    black = np.zeros((48, 64, 3), np.uint8)
    with HolisticPeople(3, delegate="litert") as people:
        assert people(black) == []
        assert people(black) == []
        (only,) = people.stream([black])
        assert (only.kind, only.found, only.to_json().count("pocketgraph.people")) == ("people", [], 1)
    with pytest.raises(UsageError, match="at least one person"):
        HolisticPeople(0, delegate="litert")


@pytest.mark.data
def test_who_walks_beside_does_not_get_the_number(shared_data: Path) -> None:
    """A street at 5 frames a second: between two frames a region comes to show the woman beside a man."""
    places: dict[int | None, float] = {}
    with HolisticPeople(6, hands=False, face=False, delegate="litert") as people:
        for one in people.stream(shared_data / "people/videos/mmpose_demo.mp4"):
            found = _centers(one.found, 960)
            assert len(found) == 3
            assert all(abs(x - places.get(number, x)) < 30 for number, x in found.items())
            places |= found
    assert len(places) == 4


@pytest.mark.data
def test_one_person_is_one(shared_data: Path) -> None:
    """A signer cut off at the hips: what small parts of the frame look like is no second one."""
    with HolisticPeople(4, hands=False, face=False, delegate="litert") as people:
        for one in people.stream(shared_data / "people/videos/signing_video_9frames.mp4"):
            assert [person.id for person in one.found] == [0]
