"""Frames of what may misbehave: cameras that vanish and return, streams that fall behind, pictures that are none.

`open_source` gives a `Clip` for a file, which is read to its end, and a `Camera` for what is live, where the newest
frame wins. Both count what they left out.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType

import cv2
from typing_extensions import Self

from pocketgraph.models.errors import PocketgraphError, UsageError
from pocketgraph.runtime.vision.ahead import Ahead
from pocketgraph.runtime.vision.frames import read_frames
from pocketgraph.runtime.vision.image_to_tensor import Image, as_picture

Source = str | os.PathLike[str] | int
Reader = Callable[[Source], Iterator[tuple[int, Image]]]
"""What opens a source and yields `(timestamp_us, frame)`: `read_frames`, or a double of it in tests."""
Say = Callable[[str], None]

_LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "udp", "rtp", "srt", "tcp", "http", "https")
_LEAVE = 2.0  # seconds that a thread gets to come back from a driver when a camera is closed


def is_live(source: Source) -> bool:
    """Whether `source` is a camera (a number, also as text) or a network stream."""
    text = os.fspath(source) if not isinstance(source, int) else str(source)
    return text.isdigit() or text.partition("://")[0].lower() in _LIVE_SCHEMES


def open_source(source: Source, say: Say = lambda _: None) -> Clip | Camera:
    """A `Camera` for what is live, a `Clip` for a file. `say` is told of cameras that vanish and return."""
    name = source if isinstance(source, int) else os.fspath(source)
    if isinstance(name, int) or name.isdigit():
        return Camera(int(name), say=say)
    return Camera(name, say=say) if is_live(name) else Clip(name)


class Clip:
    """All frames of a file, in order.

    Frames that cannot be decoded or are no pictures are left out and counted in `skipped`, and so is, as in MediaPipe's
    `OpenCvVideoDecoderCalculator`, a frame whose timestamp does not lie after the one before.
    `rate` is frames a second and `count` how many there are, both as the container says, None where it does not.
    """

    live = False

    def __init__(self, source: str | os.PathLike[str], reader: Reader | None = None) -> None:
        self._source = os.fspath(source)
        self._reader = partial(read_frames, on_damage=self._skip) if reader is None else reader
        self.skipped = 0
        self.rate, self.count = _facts(self._source)

    def __iter__(self) -> Iterator[tuple[int, Image]]:
        last = -1
        for timestamp, frame in self._reader(self._source):
            if timestamp > last and _is_picture(frame):
                last = timestamp
                yield timestamp, frame
            else:
                self._skip()

    def _skip(self) -> None:
        self.skipped += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""


class Camera:
    """The newest frame of a camera or stream, read on a thread of its own: what came in between is in `passed_over`.

    Timestamps are microseconds since the first frame by this machine's clock, so they rise whatever the device says. A
    source that ends or fails is opened again after `first_wait` seconds, then twice as long, at most `longest_wait`;
    after `tries` attempts without a frame iterating raises `UsageError`, as it does at once where the first attempt
    fails. Frames that are no pictures are left out (`skipped`); `returns` counts how often the source came back.
    """

    live = True
    rate: float | None = None
    count: int | None = None

    def __init__(
        self,
        source: Source,
        reader: Reader = read_frames,
        *,
        tries: int = 8,
        first_wait: float = 0.5,
        longest_wait: float = 8.0,
        say: Say = lambda _: None,
    ) -> None:
        self._source, self._reader, self._say = source, reader, say
        self._tries, self._first_wait, self._longest_wait = tries, first_wait, longest_wait
        self.name = f"camera {source}" if isinstance(source, int) else str(source)
        self.skipped = self.returns = 0
        self._leaving = threading.Event()
        self._ahead = Ahead(self._frames(), newest=True, patience=_LEAVE, name="camera")

    @property
    def passed_over(self) -> int:
        """How many frames gave way to newer ones."""
        return self._ahead.passed_over

    def __iter__(self) -> Iterator[tuple[int, Image]]:
        return self._ahead

    def _frames(self) -> Iterator[tuple[int, Image]]:
        """Every frame, whatever becomes of the device meanwhile."""
        failed, wait = 0, self._first_wait
        started: float | None = None
        last = -1
        while not self._leaving.is_set():
            reason = "it ended"
            try:
                for _, frame in self._reader(self._source):
                    if not _is_picture(frame):
                        self.skipped += 1
                        continue
                    if failed:
                        self.returns += 1
                        self._say(f"{self.name} is back")
                    failed, wait = 0, self._first_wait
                    now = time.monotonic()
                    started = now if started is None else started
                    last = max(last + 1, int((now - started) * 1e6))
                    yield last, frame
            except (PocketgraphError, OSError, cv2.error) as error:
                reason = str(error)
            if self._leaving.is_set():
                return
            if started is None:
                raise UsageError(f"{self.name} gives no frame: {reason}")
            failed += 1
            if failed > self._tries:
                raise UsageError(f"{self.name} is gone and did not come back in {self._tries} attempts: {reason}")
            self._say(f"{self.name} is gone ({reason}); attempt {failed} of {self._tries} in {wait:g} s")
            self._leaving.wait(wait)
            wait = min(2 * wait, self._longest_wait)

    def stop(self) -> None:
        """Whoever iterates comes to the end, also one that waits for a frame; may be called by a signal's handler."""
        self._leaving.set()
        self._ahead.stop()

    def close(self) -> None:
        """Let go of the camera."""
        self.stop()
        self._ahead.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _is_picture(frame: Image) -> bool:
    try:
        as_picture(frame)
    except UsageError:
        return False
    return True


def _facts(file: str) -> tuple[float | None, int | None]:
    """Frames a second and their number, as the file itself tells; whether it is one shows when it is read."""
    if not Path(file).is_file() or cv2.haveImageReader(file):
        return None, None
    capture = cv2.VideoCapture(file, cv2.CAP_FFMPEG)
    try:
        rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        capture.release()
    return rate if 0 < rate < 1000 else None, int(count) if count > 0 else None
