"""Pipelines over videos: what a video may be, what the three modes do, and that nothing is left open or running."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pocketgraph.graphs import (
    FaceDetection,
    FaceMesh,
    Hands,
    Holistic,
    HolisticPeople,
    Pose,
    SelfieSegmentation,
    Timed,
    streaming,
)
from pocketgraph.graphs.streaming import Streaming
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.camera import Camera
from pocketgraph.runtime.vision.image_to_tensor import Image


def _frame(number: int) -> Image:
    return np.full((8, 8, 3), number % 256, np.uint8)


def _reader_ends() -> None:
    """Wait for the threads that read live videos."""
    for thread in threading.enumerate():
        if thread.name == "live":
            thread.join(60)
            assert not thread.is_alive()


class Counting(Streaming[int]):
    """Finds a frame's number; remembers when it was told to forget."""

    kind = "counting"

    def __init__(self) -> None:
        self.resets = 0

    def __call__(self, image: Image) -> int:
        return int(image[0, 0, 0])

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        pass


def test_frames_may_come_with_and_without_times() -> None:
    count = Counting()
    untold = list(count.stream(_frame(i) for i in range(3)))
    assert [(one.timestamp_us, one.found) for one in untold] == [(0, 0), (33_333, 1), (66_666, 2)]
    assert all(one.image is None for one in untold)
    told = list(count.stream([(5, _frame(7)), (9, _frame(8))], images=True))
    assert [(one.timestamp_us, one.found, one.image[0, 0, 0]) for one in told] == [(5, 7, 7), (9, 8, 8)]
    assert count.resets == 0


def test_pictures_are_forgotten_one_by_one() -> None:
    count = Counting()
    times = [4, 4, 2]  # of pictures nobody expects an order
    assert [one.found for one in count.stream([(t, _frame(i)) for i, t in enumerate(times)], "image")] == [0, 1, 2]
    assert count.resets == 3


@pytest.mark.parametrize(
    ("video", "mode", "words"),
    [
        ([(5, _frame(0)), (5, _frame(1))], "video", "5 us comes after 5 us"),
        ([(5, _frame(0)), (4, _frame(1))], "live", "4 us comes after 5 us"),
        (3.5, "video", "got float"),
        ([_frame(0)[..., 0]], "video", "RGB"),
        ([_frame(0)], "fast", "got 'fast'"),
        ("no such file.mp4", "video", "there is no file"),
    ],
)
def test_what_is_no_video_is_named(video: Any, mode: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        list(Counting().stream(video, mode))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten frames, 50 ms apart."""
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20, (64, 48))
    for i in range(10):
        writer.write(np.full((48, 64, 3), 20 * i, np.uint8))
    writer.release()
    return path


def test_a_file_starts_afresh_and_has_its_times(clip: Path) -> None:
    count = Counting()
    assert [one.timestamp_us for one in count.stream(clip)] == list(range(0, 500_000, 50_000))
    assert count.resets == 1


def test_a_live_file_plays_at_its_own_speed(clip: Path) -> None:
    class Slow(Counting):
        def __call__(self, image: Image) -> int:
            _reader_ends()
            return super().__call__(image)

    started = time.monotonic()
    seen = [one.timestamp_us for one in Slow().stream(str(clip), "live")]
    assert time.monotonic() - started > 0.4
    assert seen[-1] == 450_000  # the newest is not dropped
    assert len(seen) <= 2  # all that came after the first and before the newest is


class Source:
    """Frames from a thread's point of view: given when the test says so."""

    def __init__(self) -> None:
        self.given, self.closed, self.waits = 0, False, True
        self._more = threading.Semaphore(0)
        self._read = threading.Semaphore(0)

    def give(self, count: int) -> None:
        """Give so many more frames and wait until all but the last were taken in."""
        for _ in range(count):
            self._more.release()
            self._read.acquire()

    def frames(self) -> Iterator[Image]:
        try:
            for i in itertools.count():
                if self.waits:
                    self._more.acquire()
                self.given = i
                yield _frame(i)
                self._read.release()
        finally:
            self.closed = True


def test_live_the_newest_frame_wins() -> None:
    source = Source()
    stream = Counting().stream(source.frames(), "live")
    first = threading.Timer(0.05, source.give, [1])
    first.start()
    assert next(stream).found == 0
    first.join()
    source.give(5)
    assert next(stream).found == 5
    source.give(3)
    assert next(stream).found == 8
    later = threading.Timer(0.05, source.give, [1])  # and it waits for the next rather than repeat one
    later.start()
    assert next(stream).found == 9
    later.join()
    source.waits = False
    source.give(1)
    assert [thread.name for thread in threading.enumerate()].count("live") == 1
    stream.close()
    _reader_ends()
    assert source.closed


def test_live_an_error_of_the_source_arrives() -> None:
    def frames() -> Iterator[Image]:
        yield _frame(1)
        raise OSError("the cable is out")

    stream = Counting().stream(frames(), "live")
    with pytest.raises(OSError, match="the cable is out"):
        list(stream)


def test_live_a_camera_that_vanishes_is_opened_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shows = [[1], [2]]
    taken = threading.Semaphore(1)

    def reading(_camera: Any) -> Iterator[tuple[int, Image]]:
        for number in shows.pop(0) if shows else []:
            taken.acquire()
            yield 0, _frame(number)

    camera = Camera(0, reading, tries=1, first_wait=0.01, say=streaming._log.warning)
    monkeypatch.setattr(streaming, "open_source", lambda *_: camera)
    seen = []

    def watch() -> None:
        for one in Counting().stream(0, "live"):
            seen.append(one.found)
            taken.release()

    with pytest.raises(UsageError, match="did not come back in 1 attempts"):
        watch()
    assert seen == [1, 2]
    assert "camera 0 is back" in caplog.text


def test_leaving_a_stream_closes_its_file(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    def reading(path: Any) -> Iterator[tuple[int, Image]]:
        try:
            for i in range(100):
                yield i, _frame(i)
        finally:
            closed.append(path)

    monkeypatch.setattr(streaming, "read_frames", reading)
    for mode in ("video", "image", "live"):
        stream = Counting().stream(clip, mode)
        next(stream)
        stream.close()
        _reader_ends()
        assert closed.pop() == clip


@pytest.mark.zoo
def test_an_error_of_the_source_comes_after_the_results_before_it() -> None:
    def frames() -> Iterator[Image]:
        yield from (_frame(i) for i in range(3))
        raise OSError("the cable is out")

    seen = []
    with Holistic(delegate="litert") as holistic, pytest.raises(OSError, match="the cable is out"):
        seen.extend(holistic.stream(frames()))
    assert len(seen) == 3


@pytest.mark.zoo
def test_every_pipeline_streams(clip: Path) -> None:
    for make in (FaceDetection, FaceMesh, Hands, Pose, SelfieSegmentation):
        with make(delegate="litert") as pipeline:
            seen = list(pipeline.stream(clip, images=True))
        assert [one.timestamp_us for one in seen] == list(range(0, 500_000, 50_000))
        assert seen[0].image.shape == (48, 64, 3)
        assert Timed.from_json(seen[0].to_json()).kind == pipeline.kind
    with Holistic(delegate="litert") as holistic:
        for mode in ("video", "image", "live"):
            results = list(holistic.stream(clip, mode, images=True))
            assert results[-1].timestamp_us == 450_000
            assert results[-1].image is not None
        assert [result.timestamp_us for result in holistic.stream(clip)] == list(range(0, 500_000, 50_000))


@pytest.mark.zoo
@pytest.mark.parametrize("kind", [FaceDetection, FaceMesh, Hands, Holistic, HolisticPeople, Pose, SelfieSegmentation])
def test_a_closed_pipeline_says_so(kind: Any) -> None:
    with kind() as pipeline:
        pass
    with pytest.raises(UsageError, match=f"this {kind.__name__} was closed"):
        next(iter(pipeline.stream([_frame(0)])))
