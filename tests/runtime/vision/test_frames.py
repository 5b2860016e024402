"""Frames of videos, pictures and cameras: how many, when, which way up, and what is said of what cannot be read."""

from __future__ import annotations

import logging
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from pocketgraph.models.errors import FormatError, UsageError
from pocketgraph.runtime.vision import frames
from pocketgraph.runtime.vision.frames import read_frames

_COUNT, _RATE = 12, 20


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """64x48, 12 frames at 20 a second: red above, blue below, brighter with time."""
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), _RATE, (64, 48))
    for i in range(_COUNT):
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[:24, :, 2] = frame[24:, :, 0] = 100 + 10 * i
        writer.write(frame)
    writer.release()
    return path


def _turn(path: Path) -> None:
    """Say in the track's header that the camera was held a quarter turn off."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def test_a_video_gives_rgb_frames_at_their_times(video: Path) -> None:
    found = list(read_frames(video))
    assert [timestamp for timestamp, _ in found] == [i * 1_000_000 // _RATE for i in range(_COUNT)]
    for i, (_, frame) in enumerate(found):
        assert frame.shape == (48, 64, 3)
        assert frame.dtype == np.uint8
        np.testing.assert_allclose(frame[4, 32], [100 + 10 * i, 0, 0], atol=25)
        np.testing.assert_allclose(frame[44, 32], [0, 0, 100 + 10 * i], atol=25)
    assert found[0][1].mean() < found[-1][1].mean()  # frames are not overwritten by later ones


def test_a_turned_video_comes_upright(video: Path) -> None:
    _turn(video)
    _, frame = next(read_frames(video))
    assert frame.shape == (64, 48, 3)
    assert frame[32, 44, 0] > 60 > frame[32, 4, 0]


def test_a_picture_is_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), np.full((5, 7, 3), (0, 0, 200), np.uint8))
    (only,) = read_frames(str(path))
    assert only[0] == 0
    np.testing.assert_array_equal(only[1], np.full((5, 7, 3), (200, 0, 0)))


@pytest.mark.parametrize("sides", [(100_000, 100_000), (1 << 15, 1 << 15)], ids=["too large for OpenCV", "4 GB"])
def test_a_picture_that_claims_to_be_huge_is_refused(tmp_path: Path, sides: tuple[int, int]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9, 3), np.uint8))
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = struct.pack(">II", *sides)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(FormatError, match=f"cannot be decoded: it claims {sides[0] * sides[1]} pixels"):
        next(read_frames(tmp_path / "a.png"))


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(bytes(1000))
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(b"\xff\xd8\xff" + bytes(100))
    for source, error, words in (
        (tmp_path / "none.mp4", UsageError, "there is no file"),
        (tmp_path, UsageError, "is a folder"),
        (damaged, FormatError, r"damaged\.mp4 cannot be opened"),
        (torn, FormatError, r"torn\.jpg"),
        (None, UsageError, "got NoneType"),
        (True, UsageError, "got bool"),
    ):
        with pytest.raises(error, match=words):
            next(read_frames(source))


class Camera:
    """Plays an OpenCV capture: `good` frames, then none."""

    def __init__(self, good: int, *, opened: bool = True) -> None:
        self.left, self.opened, self.released = good, opened, False

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        return (True, np.zeros((4, 4, 3), np.uint8)) if self.left >= 0 else (False, None)

    def get(self, _property: int) -> float:
        return 0.0

    def set(self, _property: int, _value: float) -> bool:
        return False

    def release(self) -> None:
        self.released = True


def test_a_camera_is_timed_by_the_clock_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Camera(3)
    monkeypatch.setattr(frames.cv2, "VideoCapture", lambda *_: camera)
    times = [timestamp for timestamp, _ in read_frames(0)]
    assert len(times) == 3
    assert times == sorted(set(times))
    assert times[-1] < 5_000_000
    assert camera.released
    camera = Camera(100)
    reading = read_frames(0)
    next(reading)
    assert not camera.released
    reading.close()
    assert camera.released


def test_a_camera_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames.cv2, "VideoCapture", lambda *_: Camera(0, opened=False))
    with pytest.raises(UsageError, match="camera 7 cannot be opened"):
        next(read_frames(7))


@pytest.mark.data
def test_a_real_video_and_half_of_it(shared_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = shared_data / "people" / "videos" / "signing_selfie_test_video.mp4"
    found = list(read_frames(path))
    assert len(found) == 58
    assert 33_000 < found[1][0] - found[0][0] < 34_000
    half = tmp_path / "half.mp4"
    half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING):
        cut = list(read_frames(half))
    assert 0 < len(cut) < 52
    assert "of 58 frames" in caplog.text
