"""Pipelines over a video: from whatever gives frames to one result a frame, in three modes."""

from __future__ import annotations

import logging
import os
import time
from abc import abstractmethod
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from pocketgraph.graphs.closing import Closing
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.ahead import Ahead
from pocketgraph.runtime.vision.camera import is_live, open_source
from pocketgraph.runtime.vision.comparable import Comparable
from pocketgraph.runtime.vision.frames import FRAME_US, read_frames
from pocketgraph.runtime.vision.image_to_tensor import Image, as_picture
from pocketgraph.runtime.vision.rect import Size

if TYPE_CHECKING:
    from typing_extensions import Self

_log = logging.getLogger(__name__)
Found = TypeVar("Found")
Mode = Literal["image", "video", "live"]
Video = str | os.PathLike[str] | int | Iterable[Image] | Iterable[tuple[int, Image]]
"""A path, a URL, the number of a camera, RGB frames, or pairs of a timestamp in microseconds and an RGB frame."""

_MODES = "image", "video", "live"
_PATIENCE = 1.0  # seconds to wait at the end for frames that may never come


@dataclass(frozen=True, eq=False)
class Timed(Comparable, Generic[Found]):
    """What a pipeline found in the frame at `timestamp_us`; `image` is that frame where it was asked for.

    `kind` names the pipeline: it decides how `found` is written as JSON (see `pocketgraph.graphs.records`). `size` is
    the frame's width and height in pixels, `source` the file that it came from, for pictures of a folder.
    """

    kind: str
    timestamp_us: int
    found: Found
    image: Image | None = None
    size: Size | None = None
    source: str | None = None

    def to_json(self) -> str:
        """One line of JSON; `image` is left out."""
        from pocketgraph.graphs.records import write_record

        return write_record(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The result that `to_json` wrote. Raises `FormatError` where `text` is none."""
        from pocketgraph.graphs.records import read_record

        return cls(**vars(read_record(text)))


class Watching(Closing):
    """A pipeline that sees one frame after the other: what time it is, and which frames to look at."""

    kind: ClassVar[str]
    _timestamp = -FRAME_US
    _closed = False

    def reset(self) -> None:
        """Forget everything seen so far."""

    def close(self) -> None:
        """Release the engines."""
        self._closed = True

    def _time(self, timestamp_us: int | None) -> int:
        """The time of the next frame."""
        if self._closed:
            raise UsageError(f"this {type(self).__name__} was closed: make another to look at more frames")
        self._timestamp = self._timestamp + FRAME_US if timestamp_us is None else timestamp_us
        return self._timestamp

    def _frames(self, video: Video, mode: Mode) -> Generator[tuple[int | None, Image], None, None]:
        """Time (None where it is not told) and pixels of the frames to look at; forgets where `mode` says so."""
        if mode not in _MODES:
            raise UsageError(f"a mode is one of {', '.join(_MODES)}, got {mode!r}")
        if isinstance(video, (str, os.PathLike, int)):
            self.reset()
        with closing(_newest(video) if mode == "live" else frames_of(video, rising=mode == "video")) as frames:
            for timestamp, image in frames:
                if mode == "image":
                    self.reset()
                yield timestamp, image


class Streaming(Watching, Generic[Found]):
    """A pipeline that is called with one frame after the other, and `stream` for all frames of a video."""

    @abstractmethod
    def __call__(self, image: Image) -> Found:
        """What the next frame shows."""

    def stream(self, video: Video, mode: Mode = "video", *, images: bool = False) -> Iterator[Timed[Found]]:
        """What each frame of `video` shows, in order. A path or camera starts afresh and is closed at the end.

        `mode` "video" looks at every frame and follows what it found; "image" takes each frame as a picture of its own;
        "live" looks at the newest frame whenever it is done with one and drops those in between: a file then plays at
        its own speed, and a camera or network stream that vanishes is opened again (see `Camera`). Frames without a
        timestamp count as 1/30 s apart. With `images` results hold their frames. Raises `UsageError` on what is no
        video, where timestamps do not rise, and where a camera does not come back.
        """
        with closing(self._frames(video, mode)) as frames:
            for told, image in frames:
                timestamp = self._time(told)
                found = self._look(image, timestamp)
                yield Timed(self.kind, timestamp, found, image if images else None, size_of(image))

    def _look(self, image: Image, timestamp_us: int) -> Found:  # noqa: ARG002 - for pipelines that know time
        return self(image)


def size_of(image: Image) -> Size:
    """Width and height."""
    return image.shape[1], image.shape[0]


def frames_of(video: Video, *, rising: bool = True) -> Generator[tuple[int | None, Image], None, None]:
    """Time (None where it is not told) and pixels of each frame. With `rising`, times that do not rise are refused."""
    last: int | None = None
    source: Iterable[Any]
    if isinstance(video, (str, os.PathLike, int)):
        source = read_frames(video)
    elif isinstance(video, Iterable):
        source = video
    else:
        raise UsageError(f"a video is a path, a camera's number or an iterable of frames, got {type(video).__name__}")
    for item in source:
        timestamp, image = item if isinstance(item, tuple) else (None, item)
        if rising and timestamp is not None and last is not None and timestamp <= last:
            raise UsageError(f"timestamps must rise: {timestamp} us comes after {last} us")
        last = timestamp
        yield timestamp, as_picture(image)


def _newest(video: Video) -> Generator[tuple[int | None, Image], None, None]:
    """The newest frame each time that one is asked for, of a camera or stream also after it was gone."""
    if isinstance(video, (str, os.PathLike, int)) and is_live(video):
        with open_source(video, _log.warning) as camera:
            yield from camera
        return
    frames = frames_of(video)
    is_file = isinstance(video, (str, os.PathLike))
    with Ahead(_paced(frames) if is_file else frames, newest=True, patience=_PATIENCE, name="live") as ahead:
        yield from ahead


def _paced(frames: Iterator[tuple[int | None, Image]]) -> Iterator[tuple[int | None, Image]]:
    """`frames` of a file, each held back until its time has come."""
    started: float | None = None
    for timestamp, image in frames:
        if timestamp is not None:
            now = time.monotonic()
            started = now - timestamp / 1e6 if started is None else started
            time.sleep(max(0.0, started + timestamp / 1e6 - now))
        yield timestamp, image
