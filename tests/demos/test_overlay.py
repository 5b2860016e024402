"""Landmarks drawn over pictures and frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pocketgraph.demos.holistic_overlay import frames_of, main, overlay
from pocketgraph.graphs.holistic import HolisticResult
from pocketgraph.models.errors import FormatError, UsageError
from pocketgraph.runtime.vision.landmarks import Landmarks


def _line(count: int, x: float) -> Landmarks:
    points = np.zeros((count, 3), np.float32)
    points[:, 0], points[:, 1] = x, np.linspace(0.1, 0.9, count)
    return Landmarks(points, np.ones(count, np.float32))


def test_every_part_is_drawn_at_its_place_and_the_picture_is_kept() -> None:
    picture = np.full((200, 400, 3), 128, np.uint8)
    pose, hand, other, face = _line(33, 0.2), _line(21, 0.4), _line(21, 0.6), _line(468, 0.8)
    drawn = overlay(picture, HolisticResult(pose, None, hand, other, face))
    assert (picture == 128).all()
    changed = (drawn != 128).any(axis=(0, 2))
    for x in (0.2, 0.4, 0.6, 0.8):
        assert changed[round(x * 400)]
    for x in (0.05, 0.3, 0.5, 0.7, 0.95):
        assert not changed[round(x * 400)]
    np.testing.assert_array_equal(overlay(picture, HolisticResult()), picture)


def test_what_the_body_hides_is_left_out() -> None:
    picture = np.full((200, 400, 3), 128, np.uint8)
    hidden = Landmarks(_line(33, 0.5).points, np.zeros(33, np.float32))
    np.testing.assert_array_equal(overlay(picture, HolisticResult(hidden)), picture)


def test_files_that_are_no_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(FormatError, match="neither a picture nor a video"):
        frames_of(tmp_path / "no.png")
    with pytest.raises(UsageError, match="picture"):
        main([])


@pytest.mark.data
@pytest.mark.zoo
@pytest.mark.parametrize("file", ["openpose_media/COCO_val2014_000000000241.jpg", "videos/signing_video_9frames.mp4"])
def test_a_picture_and_a_frame_are_drawn(file: str, shared_data: Path, tmp_path: Path) -> None:
    main([str(shared_data / "people" / file), str(tmp_path / "out.png")])
    drawn = cv2.imread(str(tmp_path / "out.png"))
    plain = cv2.cvtColor(frames_of(shared_data / "people" / file)[-1], cv2.COLOR_RGB2BGR)
    assert drawn.shape == plain.shape
    assert 0.005 < (drawn != plain).any(axis=2).mean() < 0.3
