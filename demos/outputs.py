"""Where frames and results go: a video, pictures, records, a recording. What was written is kept, come what may."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import cv2
from typing_extensions import Self

from pocketgraph.graphs import Timed
from pocketgraph.models.errors import UsageError
from pocketgraph.models.files import write_atomically
from pocketgraph.models.staging import Staging
from pocketgraph.runtime.graph.packet import Packet
from pocketgraph.runtime.graph.recording import Recorder
from pocketgraph.runtime.vision.image_to_tensor import Image

CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
_USUAL_RATE = 30.0
_MOST_REPEATED = 300  # frames by which one gap in a live stream is filled


class Kept:
    """Files written beside their places and moved there at the end of a `with` block, whatever ended it.

    Files that nothing was written to are left as they were.
    """

    def __init__(self, files: list[Path]) -> None:
        doubled = next((file for file in files if files.count(file) > 1), None)
        if doubled is not None:
            raise UsageError(f"two outputs go to the same file {doubled}: give each its own name")
        self._staging = {file: Staging([file]) for file in files}
        self._used: set[Path] = set()

    def temporary(self, file: Path) -> Path:
        """Where to write what becomes `file`."""
        return self._staging[file].temporary(file)

    def use(self, file: Path) -> None:
        """Something worth keeping has been written."""
        self._used.add(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as every:  # one that cannot be put in place costs none of the others
            for file, staging in self._staging.items():
                every.enter_context(staging)
                if file in self._used:
                    every.callback(staging.commit)


@contextmanager
def writing(file: str | Path) -> Iterator[None]:
    """Errors of the disk within the block name `file`."""
    try:
        yield
    except BrokenPipeError:  # whoever reads standard output has had enough
        raise
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror or error}") from error


class VideoFile:
    """An overlay video, as large as its first frame: `live` frames stand as long as they did, others one frame each.

    The codec follows from the suffix (`CODECS`), sides are cut to even numbers, frames of another size are scaled.
    """

    def __init__(self, file: Path, kept: Kept, rate: float | None, *, live: bool) -> None:
        if file.suffix.lower() not in CODECS:
            raise UsageError(f"a video is written as {', '.join(CODECS)}, not as {file.suffix or file.name!r}")
        self._file, self._kept, self._live = file, kept, live
        self._rate = rate or _USUAL_RATE
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._first = self._due = self._written = 0

    def write(self, picture: Image, timestamp_us: int) -> None:
        """Append a frame, or as many as a live one stood for."""
        if self._writer is None:
            self._open(picture)
            self._first = timestamp_us
        assert self._writer is not None
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = _fitted(picture, self._size)
        frame = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        due = 1
        if self._live:
            due = round((timestamp_us - self._first) / 1e6 * self._rate) + 1 - self._due
        for _ in range(min(due, _MOST_REPEATED)):
            self._writer.write(frame)
            self._written += 1
        self._due += max(due, 0)

    def _open(self, picture: Image) -> None:
        self._size = picture.shape[1], picture.shape[0]
        code = cv2.VideoWriter.fourcc(*CODECS[self._file.suffix.lower()])
        self._writer = cv2.VideoWriter(str(self._kept.temporary(self._file)), code, self._rate, self._size)
        if not self._writer.isOpened():
            self._writer = None
            raise UsageError(f"OpenCV cannot write {self._file}: no encoder for {self._size[0]}x{self._size[1]} pixels")

    def close(self) -> None:
        """Finish the file, so that players can open it. Raises `UsageError` where frames are missing from it."""
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        if not _has_frame(self._kept.temporary(self._file), self._written - 1):
            raise UsageError(f"cannot write {self._file}: its last frame cannot be read back; is the disk full?")
        self._kept.use(self._file)


def _has_frame(video: Path, number: int) -> bool:
    """Whether there is such a frame: an encoder tells nobody that the disk is full."""
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG)
    try:
        return (
            capture.isOpened()
            and capture.get(cv2.CAP_PROP_FRAME_COUNT) > number
            and capture.set(cv2.CAP_PROP_POS_FRAMES, number)
            and capture.grab()
        )
    finally:
        capture.release()


def _fitted(picture: Image, size: tuple[int, int]) -> Image:
    """`picture` scaled into `size`, with black beside it."""
    scale = min(size[0] / picture.shape[1], size[1] / picture.shape[0])
    width, height = (max(1, round(side * scale)) for side in (picture.shape[1], picture.shape[0]))
    scaled = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    padding = (top, size[1] - height - top, left, size[0] - width - left)
    return cv2.copyMakeBorder(scaled, *padding, cv2.BORDER_CONSTANT).astype("uint8", copy=False)


class PictureFile:
    """An overlay picture, written whole or not at all."""

    def __init__(self, file: Path) -> None:
        if not cv2.haveImageWriter(str(file)):
            raise UsageError(f"OpenCV writes no pictures called {file.name}; use .png or .jpg")
        self._file = file

    def write(self, picture: Image, timestamp_us: int) -> None:  # noqa: ARG002 - as a video takes it
        """Write the picture."""
        good, data = cv2.imencode(self._file.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        if not good:
            raise UsageError(f"OpenCV cannot write {self._file}")
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._file, data.tobytes())

    def close(self) -> None:
        """Nothing is left to finish."""


class RecordFile:
    """The frames and their records, for `pocketgraph replay`; `about` is what the pipeline was made with."""

    def __init__(self, file: Path, kept: Kept, about: Mapping[str, Any]) -> None:
        self._file, self._kept = file, kept
        with writing(file):
            self._recorder = Recorder(kept.temporary(file), about)

    def write(self, seen: Timed[Any], record: str) -> None:
        """Append a frame."""
        with writing(self._file):
            self._recorder.write("image", Packet(seen.image, seen.timestamp_us))
            self._recorder.write("record", Packet(record, seen.timestamp_us))
        self._kept.use(self._file)

    def close(self) -> None:
        """Close the file."""
        with writing(self._file):
            self._recorder.close()


class JsonLines:
    """One record a line and frame, on disk as soon as it is written; `-` is standard output."""

    def __init__(self, file: str, kept: Kept) -> None:
        self._file, self._kept = file, kept
        self._stream: TextIO = sys.stdout if file == "-" else kept.temporary(Path(file)).open("w", encoding="utf-8")

    def write(self, record: str) -> None:
        """Append a record."""
        with writing(self._file):
            self._stream.write(record + "\n")
            self._stream.flush()
        if self._file != "-":
            self._kept.use(Path(self._file))

    def close(self) -> None:
        """Close the file."""
        if self._file != "-":
            with writing(self._file):
                self._stream.close()
