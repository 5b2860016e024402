"""Landmarks drawn over pictures and frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketgraph.demos.overlay import PEOPLE, overlay
from pocketgraph.demos.pipelines import PIPELINES, Pipeline, Settings, parts_in, people
from pocketgraph.graphs import HolisticResult, Timed
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.frames import read_frames
from pocketgraph.runtime.vision.landmarks import Landmarks


def _line(count: int, x: float) -> Landmarks:
    points = np.zeros((count, 3), np.float32)
    points[:, 0], points[:, 1] = x, np.linspace(0.1, 0.9, count)
    return Landmarks(points, np.ones(count, np.float32))


def _seen(**parts: Any) -> Timed[HolisticResult]:
    return Timed("holistic", 0, HolisticResult(**parts))


@pytest.mark.zoo
@pytest.mark.data
def test_a_hand_has_the_side_of_its_person_in_every_pipeline(shared_data: Path) -> None:
    _, frame = next(read_frames(shared_data / "people/videos/signing_video_9frames.mp4"))
    hands, holistic = (Pipeline(name, Settings(static=True)) for name in ("hands", "holistic"))
    (whole,) = people(holistic(frame, 0))
    places = {
        side: getattr(person, side).points[0]
        for person in people(hands(frame, 0))
        for side in ("left_hand", "right_hand")
        if getattr(person, side) is not None
    }
    hands.close()
    holistic.close()
    assert places
    for side, wrist in places.items():
        np.testing.assert_allclose(wrist[:2], getattr(whole, side).points[0, :2], atol=0.03)


def test_every_part_is_drawn_at_its_place_and_the_picture_is_kept() -> None:
    picture = np.full((200, 400, 3), 128, np.uint8)
    pose, hand, other, face = _line(33, 0.2), _line(21, 0.4), _line(21, 0.6), _line(468, 0.8)
    drawn = overlay(picture, _seen(pose=pose, left_hand=hand, right_hand=other, face=face))
    assert (picture == 128).all()
    changed = (drawn != 128).any(axis=(0, 2))
    for x in (0.2, 0.4, 0.6, 0.8):
        assert changed[round(x * 400)]
    for x in (0.05, 0.3, 0.5, 0.7, 0.95):
        assert not changed[round(x * 400)]
    np.testing.assert_array_equal(overlay(picture, _seen()), picture)


@pytest.mark.parametrize(("part", "x"), [("pose", 0.2), ("hands", 0.4), ("face", 0.8)])
def test_parts_are_switched_one_by_one(part: str, x: float) -> None:
    picture = np.full((200, 400, 3), 128, np.uint8)
    seen = _seen(pose=_line(33, 0.2), left_hand=_line(21, 0.4), face=_line(468, 0.8))
    columns = np.nonzero((overlay(picture, seen, [part]) != 128).any(axis=(0, 2)))[0]
    assert abs(columns.mean() / 400 - x) < 0.02
    assert np.ptp(columns) < 20


def test_boxes_are_drawn_around_and_the_background_is_darkened() -> None:
    picture = np.full((200, 400, 3), 128, np.uint8)
    box = Detections(np.float32([[0.25, 0.2, 0.5, 0.8]]), np.float32([[[0.4, 0.5]]]), np.float32([0.9]))
    drawn = overlay(picture, Timed("faces", 0, box))
    changed = (drawn != 128).any(axis=2)
    assert changed[100, [100, 160, 200]].all()  # left side, keypoint, right side
    assert not changed[100, [50, 130, 180, 250]].any()
    mask = np.zeros((200, 400), np.float32)
    mask[:, :200] = 1
    drawn = overlay(picture, _seen(mask=mask))
    assert (drawn[10:-10, 10:190] == 128).all()  # within the outline
    assert (drawn[:, 210:] < 60).all()


def test_what_the_body_hides_is_left_out() -> None:
    picture = np.full((200, 400, 3), 128, np.uint8)
    hidden = Landmarks(_line(33, 0.5).points, np.zeros(33, np.float32))
    np.testing.assert_array_equal(overlay(picture, _seen(pose=hidden)), picture)


def test_several_people_have_a_colour_and_a_number_each() -> None:
    picture = np.full((400, 800, 3), 128, np.uint8)
    everyone = [HolisticResult(pose=_line(33, x), left_hand=_line(21, x + 0.1), id=number) for number, x in
                ((0, 0.2), (9, 0.6))]  # fmt: skip
    drawn = overlay(picture, Timed("people", 0, everyone))
    for left, right, colour in ((0, 400, PEOPLE[0]), (400, 800, PEOPLE[1])):
        own = (np.abs(drawn[:, left:right].astype(int) - colour).max(axis=2) < 4).sum(axis=0)
        assert own.max() > 50
        for other in set(PEOPLE) - {colour}:
            assert not (drawn[:, left:right] == other).all(axis=2).any()
    head = drawn[:40]  # above the bodies
    assert (head != 128).any()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e12, -1e30, 1e5])
def test_what_is_no_place_is_left_out(wrong: float) -> None:
    picture = np.full((200, 400, 3), 128, np.uint8)
    pose, hand, face = (_line(count, x) for count, x in ((33, 0.2), (21, 0.4), (468, 0.8)))
    for part in (pose, hand, face):
        part.points[::2] = wrong
    changed = (overlay(picture, _seen(pose=pose, left_hand=hand, face=face)) != 128).any(axis=(0, 2))
    assert changed[[80, 160, 320]].all()
    assert not changed[:60].any()
    box = Detections(*(np.full(shape, wrong, np.float32) for shape in ((1, 4), (1, 6, 2), (1,))))
    np.testing.assert_array_equal(overlay(picture, Timed("faces", 0, box)), picture)
    overlay(picture, _seen(mask=np.full((200, 400), wrong, np.float32)))


@pytest.mark.data
@pytest.mark.zoo
@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_draws_what_it_finds_in_a_frame(name: str, shared_data: Path) -> None:
    _, frame = next(read_frames(shared_data / "people/videos/signing_video_9frames.mp4"))
    pipeline = Pipeline(name, Settings(True, "segmentation" in PIPELINES[name].options, delegate="litert"))
    try:
        seen = pipeline(frame, 0)
    finally:
        pipeline.close()
    assert parts_in(seen) == set(pipeline.possible)
    changed = (overlay(frame, seen) != frame).any(axis=2).mean()
    assert changed > (0.3 if "segmentation" in pipeline.possible else 0.003)
    assert changed < (0.9 if "segmentation" in pipeline.possible else 0.2)
