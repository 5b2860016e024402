"""Sources that misbehave: cameras that vanish and return, frames that are none, time that goes back, slow readers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pocketgraph.models.errors import FormatError, UsageError
from pocketgraph.runtime.vision.camera import Camera, Clip, is_live, open_source


def frame(number: int) -> np.ndarray:
    return np.full((4, 6, 3), number, np.uint8)


class FakeCamera:
    """What `read_frames` is for a camera: each opening plays the next script, of frames and errors."""

    def __init__(self, *scripts: list[Any]) -> None:
        self.scripts = list(scripts)
        self.opened = 0
        self.taken = threading.Semaphore(1)
        """Released by the test for each further frame that may come."""

    def __call__(self, _source: Any) -> Iterator[tuple[int, Any]]:
        self.opened += 1
        script = self.scripts.pop(0) if self.scripts else [UsageError("cannot be opened")]
        for number, item in enumerate(script):
            if isinstance(item, Exception):
                raise item
            self.taken.acquire()
            yield number * 1000, item


def watch(camera: Camera, fake: FakeCamera, most: int | None = None) -> list[tuple[int, int]]:
    """What comes out, each frame taken before the next one may come."""
    seen = []
    for timestamp, picture in camera:
        seen.append((timestamp, int(picture[0, 0, 0])))
        if len(seen) == most:
            break
        fake.taken.release()
    return seen


def test_a_camera_that_vanishes_and_returns_goes_on_with_rising_timestamps() -> None:
    said: list[str] = []
    fake = FakeCamera(
        [frame(1), frame(2)], [UsageError("no such device")], [frame(3), FormatError("lost"), frame(9)], [frame(4)]
    )
    with Camera(0, fake, first_wait=0.01, say=said.append) as camera:
        seen = watch(camera, fake, 4)
    assert [number for _, number in seen] == [1, 2, 3, 4]
    times = [timestamp for timestamp, _ in seen]
    assert times[0] == 0
    assert times == sorted(set(times))
    assert camera.returns == 2
    assert said[:4] == [
        "camera 0 is gone (it ended); attempt 1 of 8 in 0.01 s",
        "camera 0 is gone (no such device); attempt 2 of 8 in 0.02 s",
        "camera 0 is back",
        "camera 0 is gone (lost); attempt 1 of 8 in 0.01 s",
    ]


def test_a_camera_that_stays_away_is_given_up() -> None:
    said: list[str] = []
    fake = FakeCamera([frame(1)])
    camera = Camera(2, fake, tries=3, first_wait=0.001, longest_wait=0.002, say=said.append)
    with (
        camera,
        pytest.raises(UsageError, match="camera 2 is gone and did not come back in 3 attempts: cannot be opened"),
    ):
        watch(camera, fake)
    assert fake.opened == 4
    assert [text.rpartition("in ")[2] for text in said] == ["0.001 s", "0.002 s", "0.002 s"]


def test_a_camera_that_is_not_there_is_told_at_once() -> None:
    fake = FakeCamera()
    with Camera(7, fake, first_wait=60) as camera, pytest.raises(UsageError, match="camera 7 gives no frame"):
        watch(camera, fake)
    assert fake.opened == 1


def test_frames_that_are_no_pictures_are_left_out_and_counted() -> None:
    fake = FakeCamera([None, frame(1), np.zeros((0, 6, 3), np.uint8), np.zeros((4, 6), np.uint8), frame(2)])
    for _ in range(9):
        fake.taken.release()
    with Camera(0, fake, tries=0) as camera:
        with pytest.raises(UsageError, match="gone"):
            list(camera)
        assert camera.skipped == 3


def test_the_newest_frame_wins() -> None:
    go, arrived, let_go = threading.Event(), threading.Event(), threading.Event()

    def play(_source: Any) -> Iterator[tuple[int, Any]]:
        yield 0, frame(0)
        go.wait(30)
        for number in range(1, 50):
            yield number, frame(number)
        arrived.set()
        let_go.wait(30)

    with Camera(0, play) as camera:
        frames = iter(camera)
        assert int(next(frames)[1][0, 0, 0]) == 0
        go.set()
        assert arrived.wait(30)
        assert int(next(frames)[1][0, 0, 0]) == 49
        assert camera.passed_over == 48
        camera.stop()
        let_go.set()
        assert list(frames) == []


@pytest.mark.parametrize("act", [Camera.stop, Camera.close])
def test_whoever_waits_for_a_frame_comes_to_the_end_when_the_camera_is_stopped(act: Callable[[Camera], None]) -> None:
    let_go = threading.Event()

    def silent(_source: Any) -> Iterator[tuple[int, Any]]:
        let_go.wait(30)
        yield from ()

    camera = Camera(0, silent)
    seen: list[Any] = []
    reader = threading.Thread(target=lambda: seen.extend(camera))
    reader.start()
    timer = threading.Timer(0.1, let_go.set)
    timer.start()
    act(camera)
    reader.join(10)
    assert not reader.is_alive()
    assert seen == []
    timer.join()
    camera.close()


def test_a_clip_drops_what_is_no_picture_and_what_goes_back_in_time() -> None:
    times = [(0, frame(0)), (10, frame(1)), (10, frame(2)), (5, frame(3)), (11, None), (20, frame(4))]
    clip = Clip("somewhere.mp4", lambda _: iter(times))
    assert [(time, int(picture[0, 0, 0])) for time, picture in clip] == [(0, 0), (10, 1), (20, 4)]
    assert clip.skipped == 3


def _video(file: Path, count: int = 40) -> None:
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 48))
    rng = np.random.default_rng(0)
    for _ in range(count):
        writer.write(rng.integers(0, 255, (48, 64, 3), np.uint8))
    writer.release()


def test_a_clip_knows_its_rate_and_length(tmp_path: Path) -> None:
    _video(tmp_path / "a.mp4")
    clip = open_source(tmp_path / "a.mp4")
    assert (clip.rate, clip.count, clip.live) == (25, 40, False)
    times = [timestamp for timestamp, _ in clip]
    assert len(times) == 40
    assert times == sorted(set(times))


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_video_with_damaged_frames_is_read_on_behind_them(tmp_path: Path, share: float) -> None:
    _video(tmp_path / "a.mp4")
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    middle = int(len(data) * share)
    data[middle : middle + 4000] = np.random.default_rng(1).integers(0, 255, 4000, np.uint8).tobytes()
    (tmp_path / "a.mp4").write_bytes(data)
    clip = Clip(tmp_path / "a.mp4")
    frames = list(clip)
    assert clip.skipped >= 1
    assert len(frames) + clip.skipped == 40
    assert all(picture.shape == (48, 64, 3) for _, picture in frames)


@pytest.mark.parametrize(
    ("source", "live"),
    [
        (0, True),
        ("1", True),
        ("rtsp://camera/stream", True),
        ("HTTP://x/y", True),
        ("a.mp4", False),
        ("dir/rtsp", False),
    ],
)
def test_what_is_live_is_told_from_its_name(source: Any, live: bool) -> None:
    assert is_live(source) is live
