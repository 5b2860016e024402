"""Landmarks drawn over pictures and frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketgraph.demos.overlay import overlay
from pocketgraph.demos.pipelines import PIPELINES, Found, FoundHand, Pipeline, Settings
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.frames import read_frames
from pocketgraph.runtime.vision.landmarks import Landmarks


def _line(count: int, x: float) -> Landmarks:
    points = np.zeros((count, 3), np.float32)
    points[:, 0], points[:, 1] = x, np.linspace(0.1, 0.9, count)
    return Landmarks(points, np.ones(count, np.float32))


def test_every_part_is_drawn_at_its_place_and_the_picture_is_kept() -> None:
    picture = np.full((200, 400, 3), 128, np.uint8)
    pose, hand, other, face = _line(33, 0.2), _line(21, 0.4), _line(21, 0.6), _line(468, 0.8)
    found = Found(pose, None, (FoundHand("left", hand), FoundHand("right", other)), (face,))
    drawn = overlay(picture, found)
    assert (picture == 128).all()
    changed = (drawn != 128).any(axis=(0, 2))
    for x in (0.2, 0.4, 0.6, 0.8):
        assert changed[round(x * 400)]
    for x in (0.05, 0.3, 0.5, 0.7, 0.95):
        assert not changed[round(x * 400)]
    np.testing.assert_array_equal(overlay(picture, Found()), picture)


@pytest.mark.parametrize(("part", "x"), [("pose", 0.2), ("hands", 0.4), ("face", 0.8)])
def test_parts_are_switched_one_by_one(part: str, x: float) -> None:
    picture = np.full((200, 400, 3), 128, np.uint8)
    found = Found(_line(33, 0.2), None, (FoundHand("left", _line(21, 0.4)),), (_line(468, 0.8),))
    columns = np.nonzero((overlay(picture, found, [part]) != 128).any(axis=(0, 2)))[0]
    assert abs(columns.mean() / 400 - x) < 0.02
    assert np.ptp(columns) < 20


def test_boxes_are_drawn_around_and_the_background_is_darkened() -> None:
    picture = np.full((200, 400, 3), 128, np.uint8)
    box = Detections(np.float32([[0.25, 0.2, 0.5, 0.8]]), np.float32([[[0.4, 0.5]]]), np.float32([0.9]))
    drawn = overlay(picture, Found(detections=box))
    changed = (drawn != 128).any(axis=2)
    assert changed[100, [100, 160, 200]].all()  # left side, keypoint, right side
    assert not changed[100, [50, 130, 180, 250]].any()
    mask = np.zeros((200, 400), np.float32)
    mask[:, :200] = 1
    drawn = overlay(picture, Found(mask=mask))
    assert (drawn[10:-10, 10:190] == 128).all()  # within the outline
    assert (drawn[:, 210:] < 60).all()


def test_what_the_body_hides_is_left_out() -> None:
    picture = np.full((200, 400, 3), 128, np.uint8)
    hidden = Landmarks(_line(33, 0.5).points, np.zeros(33, np.float32))
    np.testing.assert_array_equal(overlay(picture, Found(hidden)), picture)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e12, -1e30, 1e5])
def test_what_is_no_place_is_left_out(wrong: float) -> None:
    picture = np.full((200, 400, 3), 128, np.uint8)
    pose, hand, face = (_line(count, x) for count, x in ((33, 0.2), (21, 0.4), (468, 0.8)))
    for part in (pose, hand, face):
        part.points[::2] = wrong
    box = Detections(*(np.full(shape, wrong, np.float32) for shape in ((1, 4), (1, 6, 2), (1,))))
    found = Found(pose, None, (FoundHand("left", hand),), (face,), box)
    changed = (overlay(picture, found) != 128).any(axis=(0, 2))
    assert changed[[80, 160, 320]].all()
    assert not changed[:60].any()
    overlay(picture, Found(mask=np.full((200, 400), wrong, np.float32)))


@pytest.mark.data
@pytest.mark.zoo
@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_draws_what_it_finds_in_a_frame(name: str, shared_data: Path) -> None:
    _, frame = next(read_frames(shared_data / "people/videos/signing_video_9frames.mp4"))
    pipeline = Pipeline(name, Settings(static=True, segmentation=True, delegate="litert"))
    try:
        found = pipeline(frame, 0)
    finally:
        pipeline.close()
    assert found.counts().keys() == set(pipeline.possible)
    changed = (overlay(frame, found) != frame).any(axis=2).mean()
    assert changed > (0.3 if "segmentation" in pipeline.possible else 0.003)
    assert changed < (0.9 if "segmentation" in pipeline.possible else 0.2)
