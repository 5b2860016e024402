"""What Holistic offers beyond the original: off by default, and doing what it says when on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketgraph.graphs import Holistic, HolisticResult
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.frames import read_frames
from pocketgraph.runtime.vision.landmarks import Landmarks

pytestmark = [pytest.mark.data, pytest.mark.zoo]


@pytest.fixture(scope="module")
def video() -> list[tuple[int, np.ndarray]]:
    shared = Path(__file__).resolve().parents[3] / "shared" / "data"
    return list(read_frames(shared / "people/videos/signing_video_9frames.mp4"))


@pytest.fixture(scope="module")
def plain(video: list) -> list[HolisticResult]:
    with Holistic(delegate="litert") as holistic:
        return list(holistic.stream(video))


def _shake(results: list[HolisticResult], part: str) -> float:
    """How much a part trembles: the median second difference, as a part of its extent."""
    parts = [getattr(result, part) for result in results]
    values = [
        np.hypot(*(a.points - 2 * b.points + c.points)[:, :2].T).mean() / np.ptp(b.points[:, :2], axis=0).max()
        for a, b, c in zip(parts, parts[1:], parts[2:], strict=False)
        if isinstance(a, Landmarks) and isinstance(b, Landmarks) and isinstance(c, Landmarks)
    ]
    return float(np.median(values))


def test_confidence_is_told(video: list, plain: list[HolisticResult]) -> None:
    for result in plain:
        for part in ("left_hand", "right_hand", "face"):
            sure = getattr(result, f"{part}_confidence")
            assert (sure is None) == (getattr(result, part) is None)
            if sure is not None:
                assert 0.5 < sure.presence <= 1
                assert sure.side is None
    with Holistic(face=False, hand_confidence=True, delegate="litert") as holistic:
        sides = [
            sure.side
            for result in holistic.stream(video)
            for sure in (result.left_hand_confidence, result.right_hand_confidence)
            if sure is not None
        ]
    assert len(sides) >= 16
    assert np.mean([side > 0.8 for side in sides]) > 0.8  # a signer whose hands are what they seem


def test_smoothing_steadies_what_is_told_and_nothing_else(video: list, plain: list[HolisticResult]) -> None:
    with Holistic(smooth_hands=True, smooth_face=True, delegate="litert") as holistic:
        smooth = list(holistic.stream(video))
        holistic.reset()
        again = holistic(video[0][1], 0)
    for part, least in (("face", 0.9), ("left_hand", 0.95)):
        assert _shake(smooth, part) < least * _shake(plain, part)
    for before, after in zip(plain, smooth, strict=True):
        assert before.pose is not None
        assert after.pose is not None
        np.testing.assert_array_equal(before.pose.points, after.pose.points)
        assert before.left_hand_confidence == after.left_hand_confidence  # the model saw the same
    assert again.face is not None
    assert smooth[0].face is not None
    np.testing.assert_array_equal(again.face.points, smooth[0].face.points)


def test_parts_can_be_lighter_or_left_out(video: list, plain: list[HolisticResult]) -> None:
    for options in ({"hand_model": "lite"}, {"recrop": False}):
        with Holistic(face=False, delegate="litert", **options) as holistic:
            result = holistic(video[0][1])
        assert result.face is None
        assert result.left_hand is not None
        assert plain[0].left_hand is not None
        away = np.hypot(*((result.left_hand.points - plain[0].left_hand.points)[:, :2] * (1280, 720)).T)
        assert 0.1 < away.mean() < 15
    with Holistic(
        hands=False, palm_fallback=True, hand_confidence=True, smooth_hands=True, delegate="litert"
    ) as holistic:
        result = holistic(video[0][1])
    assert result.left_hand is None
    assert result.left_hand_confidence is None
    assert result.face is not None
    with pytest.raises(UsageError, match="hand model"):
        Holistic(hand_model="heavy", delegate="litert")  # type: ignore[arg-type]


def test_the_fallback_changes_nothing_where_both_hands_are_found(video: list, plain: list[HolisticResult]) -> None:
    with Holistic(face=False, palm_fallback=True, delegate="litert") as holistic:
        for before, after in zip(plain, holistic.stream(video), strict=True):
            for part in ("left_hand", "right_hand"):
                if getattr(before, part) is not None:
                    np.testing.assert_allclose(getattr(after, part).points, getattr(before, part).points, atol=1e-4)
