"""What `pocketgraph run` does: frames in, overlay, records, recording and window out, until the end or Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Protocol

import cv2
from typing_extensions import Self

from pocketgraph.demos.outputs import CODECS, JsonLines, Kept, PictureFile, RecordFile, VideoFile, writing
from pocketgraph.demos.overlay import overlay
from pocketgraph.demos.pipelines import Settings
from pocketgraph.demos.session import Session
from pocketgraph.demos.window import KEYS, Window, with_status
from pocketgraph.graphs import Timed
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.ahead import Ahead
from pocketgraph.runtime.vision.camera import Camera, Clip, open_source
from pocketgraph.runtime.vision.folder import Folder
from pocketgraph.runtime.vision.image_to_tensor import Image

Progress = Callable[[str, int, int], None]
Frames = Clip | Camera | Folder
_ROOM = 2  # frames that wait between the threads that read, look and write


@dataclass(frozen=True)
class Job:
    """What to run on what, and what to write; names as in `pocketgraph run --help`.

    `settings.static` is set for pictures.
    """

    pipeline: str
    source: str
    output: Path | None = None
    json_file: str | None = None
    record: Path | None = None
    trace: Path | None = None
    show: bool = False
    settings: Settings = field(default_factory=Settings)


@dataclass
class Ended:
    """How a run came to its end: lines that say what came of it, the signal that ended it, the files there are."""

    lines: list[str] = field(default_factory=list)
    signal: int | None = None
    frames: int = 0
    files: list[str] = field(default_factory=list)

    def leave(self) -> NoReturn:
        """End the command as the signal asks for."""
        if self.signal == signal.SIGTERM:
            sys.exit(128 + signal.SIGTERM)
        kept = "; what was written is kept" if self.files else ""
        raise KeyboardInterrupt(f"interrupted after {self.frames} frames{kept}")


class Signals:
    """Within its block Ctrl-C and SIGTERM are noted in `got` and `wake` is called; a second one does as before.

    Without a `wake` there is nothing to end yet, and the first does as before too; while `finishing`, none does more
    than be noted.
    """

    def __init__(self, wake: Callable[[], None] | None = None) -> None:
        self.got: int | None = None
        self.wake = wake
        self.finishing = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        first, self.got = self.got is None, number
        if self.finishing:
            return
        if first and self.wake is not None:
            self.wake()
            return
        signal.signal(number, self._before[number])
        signal.raise_signal(number)

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


class Pictures(Protocol):
    """Where overlays go."""

    def write(self, picture: Image, timestamp_us: int) -> None: ...

    def close(self) -> None: ...


class PictureFolder:
    """Writes the overlay of each picture of a folder into another, under its name."""

    def __init__(self, target: Path, frames: Folder) -> None:
        self._target, self._frames = target, frames

    def write(self, picture: Image, timestamp_us: int) -> None:
        PictureFile(self._target / self._frames.picture_at(timestamp_us).name).write(picture, timestamp_us)

    def close(self) -> None:
        """Nothing is left to finish."""


def run_job(job: Job, progress: Progress = lambda *_: None, say: Callable[[str], None] = lambda _: None) -> Ended:
    """Run `job` to its end. `say` is told of cameras that vanish and return. Raises `PocketgraphError`.

    Files are complete and readable up to the last frame whatever ends the run. Frames of files are read, looked at and
    written beside each other; of what is live, and where a window waits for keys, one is done after the other.
    """
    frames = _open(job.source, say)
    is_picture = isinstance(frames, Folder) or _is_picture(job.source)
    written = [Path(file) for file in (job.json_file, job.record, job.trace) if file not in (None, "-")]
    if job.output in written:
        raise UsageError(f"two outputs go to the same file {job.output}: give each its own name")
    inputs = [Path(job.source), *(frames.pictures if isinstance(frames, Folder) else ())]
    _refuse_overwriting(inputs, written if job.output is None else [*written, job.output])
    if job.output is not None and not is_picture:
        written.append(job.output)
    if isinstance(frames, Folder) and job.output is not None and _is_file_name(job.output):
        raise UsageError(f"a folder of pictures gives a folder, got the output {job.output}: name it without a suffix")
    settings = replace(job.settings, static=is_picture)
    ended = Ended()
    with Signals() as signals, ExitStack() as stack:
        kept = stack.enter_context(Kept(written))
        stack.enter_context(frames)
        sinks = _Sinks(job, kept, frames, stack, settings)
        session = stack.enter_context(Session(job.pipeline, settings, trace=job.trace is not None))
        try:
            with ExitStack() as threads:
                source = (
                    frames if isinstance(frames, Camera) else threads.enter_context(Ahead(frames, _ROOM, name="read"))
                )
                results: Iterable[Timed[Any]] = (session(image, timestamp) for timestamp, image in source)
                if not (frames.live or job.show):
                    results = threads.enter_context(Ahead(session.stream(source), _ROOM, name="look"))
                signals.wake = source.stop
                for seen in results:
                    ended.frames += 1
                    progress(f"run {job.pipeline}", ended.frames, max(ended.frames, frames.count or 0))
                    if sinks.take(session, seen):
                        break
        finally:
            signals.finishing = True
            if job.trace is not None and session.frames:
                with writing(job.trace):
                    session.write_trace(kept.temporary(job.trace))
                kept.use(job.trace)
        ended.files = sinks.files()
        ended.lines = [*session.summary(), *_left_out(frames), *(f"  {file}" for file in ended.files)]
    ended.signal = signals.got
    return ended


def _open(source: str, say: Callable[[str], None]) -> Frames:
    if not source:
        raise UsageError("the input is empty: give a camera's number, a file, a folder or a URL")
    return Folder(Path(source)) if Path(source).is_dir() else open_source(source, say)


def _is_picture(source: str) -> bool:
    return Path(source).is_file() and cv2.haveImageReader(source)


def _is_file_name(output: Path) -> bool:
    return not output.is_dir() and (output.suffix.lower() in CODECS or cv2.haveImageWriter(str(output)))


def _refuse_overwriting(inputs: list[Path], outputs: list[Path]) -> None:
    for output in outputs:
        if output.exists() and any(file.exists() and file.samefile(output) for file in inputs):
            raise UsageError(f"the output {output} is the input itself; give it another name")


def _left_out(frames: Frames) -> list[str]:
    lines = [f"left out: {frames.skipped} damaged frames"] if frames.skipped else []
    if isinstance(frames, Camera):
        lines += [f"passed over for newer ones: {frames.passed_over} frames"] if frames.passed_over else []
        lines += [f"the camera came back {frames.returns} times"] if frames.returns else []
    return lines


class _Sinks:
    """Everything a frame and its results go to."""

    def __init__(self, job: Job, kept: Kept, frames: Frames, stack: ExitStack, settings: Settings) -> None:
        self._job, self._frames = job, frames
        self.window = Window(f"pocketgraph {job.pipeline}") if job.show else None
        self.pictures: Pictures | None = None
        if job.output is not None and isinstance(frames, Folder):
            self.pictures = PictureFolder(job.output, frames)
        elif job.output is not None and settings.static:
            self.pictures = PictureFile(job.output)
        elif job.output is not None:
            self.pictures = VideoFile(job.output, kept, frames.rate, live=frames.live)
        self.lines = JsonLines(job.json_file, kept) if job.json_file is not None else None
        about = {"pipeline": job.pipeline, **asdict(settings)}
        self.recorder = RecordFile(job.record, kept, about) if job.record is not None else None
        for sink in (self.window, self.pictures, self.lines, self.recorder):
            if sink is not None:
                stack.callback(sink.close)

    def take(self, session: Session, seen: Timed[Any]) -> bool:
        """Hand a frame on; returns whether the user has had enough."""
        record = seen.to_json() if self.lines is not None or self.recorder is not None else ""
        if self.lines is not None and isinstance(self._frames, Folder):
            name = self._frames.picture_at(seen.timestamp_us).name
            self.lines.write(replace(seen, source=name).to_json())
        elif self.lines is not None:
            self.lines.write(record)
        if self.recorder is not None:
            self.recorder.write(seen, record)
        if self.pictures is None and self.window is None:
            return False
        assert seen.image is not None
        drawn = overlay(seen.image, seen, session.shown)
        if self.pictures is not None:
            self.pictures.write(drawn, seen.timestamp_us)
        return self.window is not None and self._show(self.window, session, drawn)

    def _show(self, window: Window, session: Session, drawn: Image) -> bool:
        pipeline = session.pipeline
        window.show(with_status(drawn, session.rate, session.latency, pipeline.possible, session.shown))
        keys = window.keys()
        for key in keys:
            if key in KEYS:
                session.toggle(KEYS[key])
        return "q" in keys

    def files(self) -> list[str]:
        """The names of what was written."""
        names = (self._job.output, self._job.json_file, self._job.record, self._job.trace)
        return [str(name) for name in names if name not in (None, "-")]
