"""Frames out of a video file, a picture, a network stream or a camera, as RGB with the time of each."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from pocketgraph.models.errors import FormatError, UsageError
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.runtime.vision.picture_size import MOST_PIXELS, claimed_pixels

_log = logging.getLogger(__name__)
FRAME_US = 33_333
"""Microseconds between frames whose time is not told, as MediaPipe's solutions assume: 30 a second."""

_FRAME_RATE = 30.0  # where a container tells none
_MOST_DAMAGED = 1000  # frames in a row of a file that are tried before it counts as ended
_CUT_SHORT = 0.9  # of the frames that a container promises: fewer are worth a warning


def read_frames(
    source: str | os.PathLike[str] | int, on_damage: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, Image]]:
    """Yield `(timestamp_us, frame)` of a file, a URL or the camera with that number, in order.

    Frames are RGB, uint8 `[height, width, 3]`, upright where the file says how it was held, and the caller's to keep.
    Timestamps start near 0 and rise: presentation times of a file, the clock for a camera; a picture is one frame at 0.
    Leaving the loop, or closing the generator, closes the source. A frame of a file that cannot be decoded while later
    ones can is left out, and `on_damage` called for it.

    Raises `UsageError` where there is no such file, folder or camera, `FormatError` where nothing in it can be decoded.
    A file that ends long before its container says so is warned of in the log.
    """
    if isinstance(source, bool) or not isinstance(source, (int, str, os.PathLike)):
        raise UsageError(f"frames come from a path, a URL or the number of a camera, got {type(source).__name__}")
    name = source if isinstance(source, int) else os.fspath(source)
    is_file = isinstance(name, str) and "://" not in name
    if is_file:
        _check_file(Path(str(name)))
        if cv2.haveImageReader(str(name)):
            yield 0, _picture(str(name))
            return
    capture = cv2.VideoCapture(name, cv2.CAP_ANY if isinstance(name, int) else cv2.CAP_FFMPEG)
    try:
        yield from _decoded(capture, name, is_file, on_damage)
    finally:
        capture.release()


def _decoded(
    capture: cv2.VideoCapture, name: str | int, is_file: bool, on_damage: Callable[[], None]
) -> Iterator[tuple[int, Image]]:
    if not capture.isOpened():
        if is_file:
            raise FormatError(
                f"{name} cannot be opened as a video or a picture: damaged, or of a format not known here"
            )
        what = f"camera {name}" if isinstance(name, int) else name
        raise UsageError(f"{what} cannot be opened: is it there, and not in use by another program?")
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    promised = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    step = int(1e6 / (capture.get(cv2.CAP_PROP_FPS) or _FRAME_RATE))
    started = time.monotonic_ns()
    count, timestamp = 0, -step
    damaged, failed = 0, 0  # in all, and since the last good frame
    while True:
        good, frame = capture.read()
        if not good:
            failed += 1
            if is_file and failed <= _MOST_DAMAGED and count + damaged + failed < promised:
                continue
            break
        for _ in range(failed):
            on_damage()
        damaged, failed = damaged + failed, 0
        if isinstance(name, int):
            told = (time.monotonic_ns() - started) / 1000
        else:
            told = capture.get(cv2.CAP_PROP_POS_MSEC) * 1000
        timestamp = int(told) if told > timestamp else timestamp + max(step, 1)
        timestamp = max(timestamp, 0)
        count += 1
        yield timestamp, _rgb(frame)
    if count == 0:
        raise FormatError(f"not one frame of {name} can be decoded")
    if is_file and count + damaged < _CUT_SHORT * promised:
        _log.warning("%s ends after %d of %d frames: it may be damaged", name, count, promised)


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder, expected a video or a picture")
    if not path.exists():
        raise UsageError(f"there is no file {path}")


def _picture(name: str) -> Image:
    claimed = claimed_pixels(Path(name).read_bytes())
    if claimed > MOST_PIXELS:
        raise FormatError(f"the picture {name} cannot be decoded: it claims {claimed} pixels")
    try:
        pixels = cv2.imread(name, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise FormatError(f"the picture {name} cannot be decoded: {error.err}") from error
    if pixels is None:
        raise FormatError(f"the picture {name} cannot be decoded: it is damaged")
    return _rgb(pixels)


def _rgb(pixels: np.ndarray) -> Image:
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
