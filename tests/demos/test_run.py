"""`pocketgraph run`: what it writes, what it says, and that nothing written is lost however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typing_extensions import Self

from pocketgraph.__main__ import main
from pocketgraph.demos import pipeline_options, running
from pocketgraph.demos.outputs import CODECS, JsonLines, Kept, RecordFile, VideoFile
from pocketgraph.demos.pipelines import PIPELINES, Kind, Pipeline, Settings, parts_in, people
from pocketgraph.demos.running import Ended, Job, Signals, run_job
from pocketgraph.demos.session import Session
from pocketgraph.graphs import HolisticResult, Timed
from pocketgraph.graphs.streaming import Streaming, size_of
from pocketgraph.models.errors import UsageError
from pocketgraph.models.staging import Staging
from pocketgraph.runtime.graph.recording import Recording
from pocketgraph.runtime.vision.camera import Camera
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.frames import read_frames


def write_video(file: Path, count: int = 12, size: tuple[int, int] = (160, 120), rate: float = 25) -> Path:
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
    for number in range(count):
        writer.write(np.full((size[1], size[0], 3), number * 8 % 255, np.uint8))
    writer.release()
    return file


def facts(file: Path) -> tuple[int, float, tuple[int, int]]:
    """Frames, rate and size of a video, by reading it through."""
    capture = cv2.VideoCapture(str(file))
    rate = capture.get(cv2.CAP_PROP_FPS)
    size = round(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), round(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    count = sum(1 for _ in iter(capture.grab, False))
    capture.release()
    return count, rate, size


BOX = [0.25, 0.25, 0.75, 0.75]


class FakePipeline:
    """Stands in for `Pipeline`: a face of one box in every frame, or whatever `act` does with it."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name, self.settings = name, settings
        self.possible = self.parts = ("face",)

    def __call__(self, image: Any, timestamp_us: int) -> Timed[Detections]:
        self.act(image, timestamp_us)
        found = Detections(np.float32([BOX]), np.zeros((1, 0, 2), np.float32), np.float32([0.5]))
        return Timed("faces", timestamp_us, found, image, size_of(image))

    def stream(self, frames: Iterable[tuple[int, Any]]) -> Iterator[Timed[Detections]]:
        for timestamp, image in frames:
            yield self(image, timestamp)

    def act(self, image: Any, timestamp_us: int) -> None:
        """For tests to override."""

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakePipeline]:
    class Fake(FakePipeline):
        pass

    monkeypatch.setattr("pocketgraph.demos.session.Pipeline", Fake)
    return Fake


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_command_knows_every_pipeline() -> None:
    assert tuple(PIPELINES) == pipeline_options.PIPELINES


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("suffix", CODECS)
def test_a_video_gives_a_video_of_the_same_rate_and_size(tmp_path: Path, suffix: str) -> None:
    video, out = write_video(tmp_path / "in.mp4", rate=15), tmp_path / f"out{suffix}"
    ended = run_job(Job("face_detection", str(video), out, str(tmp_path / "out.jsonl")))
    assert facts(out) == (12, 15, (160, 120))
    assert f"  {out}" in ended.lines
    found = lines_of(tmp_path / "out.jsonl")
    assert [line["timestamp_us"] for line in found] == [time for time, _ in read_frames(video)]
    assert (found[3]["found"]["boxes"], found[3]["found"]["scores"]) == ([BOX], [0.5])
    assert (found[0]["width"], found[0]["height"]) == (160, 120)
    assert {file.name for file in tmp_path.iterdir()} == {"in.mp4", f"out{suffix}", "out.jsonl"}


@pytest.mark.usefixtures("fake")
def test_a_picture_gives_a_picture(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.jpg"), np.full((90, 120, 3), 99, np.uint8))
    run_job(Job("face_detection", str(tmp_path / "in.jpg"), tmp_path / "new" / "out.png"))
    drawn = cv2.imread(str(tmp_path / "new" / "out.png"))
    assert drawn.shape == (90, 120, 3)
    assert tuple(drawn[45, 30]) != (99, 99, 99)  # the box


def test_a_folder_gives_a_folder_each_picture_on_its_own(tmp_path: Path, fake: type[FakePipeline]) -> None:
    made: list[FakePipeline] = []
    fake.__init__ = lambda self, *settings: (FakePipeline.__init__(self, *settings), made.append(self))[0]  # type: ignore[method-assign]
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("b.png", "a.jpg"):
        cv2.imwrite(str(folder / name), np.full((60, 80, 3), 99, np.uint8))
    (folder / "c.png").write_bytes((folder / "b.png").read_bytes()[:60])
    (folder / "notes.txt").write_text("no picture")
    ended = run_job(Job("face_detection", str(folder), tmp_path / "out", str(tmp_path / "out.jsonl")))
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.jpg", "b.png"]
    assert [line["source"] for line in lines_of(tmp_path / "out.jsonl")] == ["a.jpg", "b.png"]
    assert "left out: 1 damaged frames" in ended.lines
    assert made[0].settings.static


@pytest.mark.zoo
def test_a_recorded_folder_is_replayed_bit_for_bit(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((60, 80, 3), 99, np.uint8))
    run = ["run", "face_detection", "--delegate", "litert", "--input", str(tmp_path)]
    assert main([*run, "--record", str(tmp_path / "a.pgrec"), "--json", str(tmp_path / "a.jsonl")]) == 0
    assert main(["replay", str(tmp_path / "a.pgrec")]) == 0


@pytest.mark.usefixtures("fake")
def test_lines_go_to_standard_output_and_the_rest_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_video(tmp_path / "in.mp4", 3)
    assert main(["run", "face_detection", "--input", str(video), "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["width"] for line in out.splitlines()] == [160] * 3
    assert "3 frames" in err
    assert "face in 3" in err


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "none.mp4"], "there is no file none.mp4"),
        (["--input", "notes.txt"], "cannot be opened as a video"),
        (["--input", "in.mp4", "--output", "out.gif"], "a video is written as .mp4"),
        (["--input", "in.png", "--output", "out.xyz"], "no pictures called out.xyz"),
        (["--input", "in.mp4", "--output", "in.mp4"], "is the input itself"),
        (["--input", "in.mp4", "--json", "in.mp4"], "is the input itself"),
        (["--input", "in.mp4", "--record", "./in.mp4"], "is the input itself"),
        (["--input", "in.mp4", "--trace", "in.mp4"], "is the input itself"),
        (["--input", ".", "--json", "in.png"], "is the input itself"),
        (["--input", "in.mp4", "--output", "x/in.mp4", "--json", "x/in.mp4"], "to the same file"),
        (["--input", "in.png", "--output", "out.png", "--json", "out.png"], "to the same file"),
        (["--input", "empty"], "no picture in empty"),
        (["--input", ""], "the input is empty"),
        (["--input", ".", "--output", "out.mp4"], "a folder of pictures gives a folder"),
        (["--input", "in.mp4", "--output", "empty"], "it is a folder; give the name of a file"),
    ],
)
def test_what_cannot_be_is_told_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(Path("in.mp4"))
    cv2.imwrite("in.png", np.zeros((9, 9, 3), np.uint8))
    Path("notes.txt").write_text("nothing")
    Path("empty").mkdir()
    before = sorted(file.name for file in tmp_path.iterdir())
    assert main(["run", "face_detection", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == before


def test_an_error_in_the_middle_keeps_what_was_written(tmp_path: Path, fake: type[FakePipeline]) -> None:
    def act(self: FakePipeline, image: Any, timestamp_us: int) -> None:  # noqa: ARG001
        if timestamp_us > 200_000:
            raise UsageError("as planned")

    fake.act = act  # type: ignore[method-assign]
    video = write_video(tmp_path / "in.mp4")
    job = Job("face_detection", str(video), tmp_path / "out.mp4", str(tmp_path / "out.jsonl"), tmp_path / "out.pgrec")
    with pytest.raises(UsageError, match="as planned"):
        run_job(job)
    assert facts(tmp_path / "out.mp4")[0] == 6
    assert len(lines_of(tmp_path / "out.jsonl")) == 6
    assert Recording(tmp_path / "out.pgrec").streams() == {"image": 6, "record": 6}


@pytest.mark.usefixtures("fake")
def test_frames_that_change_their_size_fit_into_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [(120, 160), (60, 80), (200, 100), (120, 160)]

    class Changing:
        live, rate, count, skipped = False, 10.0, 4, 0

        def __iter__(self) -> Iterator[tuple[int, Any]]:
            yield from ((number * 100_000, np.full((*size, 3), 200, np.uint8)) for number, size in enumerate(sizes))

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(running, "open_source", lambda *_: Changing())
    run_job(Job("face_detection", "x", tmp_path / "out.mp4", str(tmp_path / "out.jsonl")))
    assert facts(tmp_path / "out.mp4") == (4, 10, (160, 120))
    assert [(line["height"], line["width"]) for line in lines_of(tmp_path / "out.jsonl")] == sizes


def test_a_live_video_lasts_as_long_as_what_it_shows(tmp_path: Path) -> None:
    with Kept([tmp_path / "out.mp4"]) as kept:
        video = VideoFile(tmp_path / "out.mp4", kept, 10, live=True)
        for timestamp in (5_000_000, 5_100_000, 5_120_000, 5_600_000, 6_000_000):
            video.write(np.zeros((48, 64, 3), np.uint8), timestamp)
        video.close()
    assert facts(tmp_path / "out.mp4")[0] == 11


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("suffix", CODECS)
def test_a_video_that_the_disk_has_no_room_for_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    class Full:
        fourcc = cv2.VideoWriter.fourcc

        def __init__(self, file: str, *options: Any, make: Any = cv2.VideoWriter) -> None:
            self.file, self.writer = Path(file), make(file, *options)
            self.write, self.isOpened = self.writer.write, self.writer.isOpened

        def release(self) -> None:
            self.writer.release()
            os.truncate(self.file, self.file.stat().st_size // 2)

    video, out = write_video(tmp_path / "in.mp4", 30), tmp_path / f"out{suffix}"
    out.write_text("mine")
    monkeypatch.setattr("cv2.VideoWriter", Full)
    assert main(["run", "face_detection", "--input", str(video), "--output", str(out)]) == 2
    assert f"cannot write {out}: its last frame cannot be read back" in " ".join(capsys.readouterr().err.split())
    assert out.read_text() == "mine"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_told_with_the_name_of_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Kept, "temporary", lambda *_: Path("/dev/full"))
    seen = FakePipeline("face_detection", Settings())(np.zeros((8, 8, 3), np.uint8), 0)
    with Kept([]) as kept:
        lines = JsonLines("out.jsonl", kept)
        with pytest.raises(UsageError, match=r"cannot write out.jsonl: No space left"):
            lines.write("{}")
        with pytest.raises(UsageError, match=r"cannot write out.jsonl: No space left"):
            lines.close()
        record = RecordFile(Path("out.pgrec"), kept, {})
        with pytest.raises(UsageError, match=r"cannot write out.pgrec: No space left"):
            record.write(seen, "{}")
        with pytest.raises(UsageError, match=r"cannot write out.pgrec: No space left"):
            record.close()
    video = write_video(tmp_path / "in.mp4", 2)
    monkeypatch.setattr("pocketgraph.demos.session.Pipeline", FakePipeline)
    with pytest.raises(UsageError, match=r"cannot write .*trace.json: No space left"):
        run_job(Job("face_detection", str(video), trace=tmp_path / "trace.json"))


@pytest.mark.zoo
def test_a_damaged_video_is_told_in_one_line(tmp_path: Path) -> None:
    data = write_video(tmp_path / "in.mp4").read_bytes()
    (tmp_path / "in.mp4").write_bytes(data[: len(data) // 2])
    command = [sys.executable, "-m", "pocketgraph", "run", "face_detection", "--input", "in.mp4"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("pocketgraph: in.mp4 cannot be opened as a video")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.usefixtures("fake")
def test_a_camera_that_stays_away_ends_the_run_with_what_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shows = [3]

    def reader(_source: Any) -> Iterator[tuple[int, Any]]:
        if not shows:
            raise UsageError("unplugged")
        for number in range(shows.pop()):
            time.sleep(0.05)
            yield number, np.zeros((48, 64, 3), np.uint8)

    said: list[str] = []
    monkeypatch.setattr(running, "open_source", lambda _, say: Camera(0, reader, tries=2, first_wait=0.01, say=say))
    with pytest.raises(UsageError, match="did not come back in 2 attempts: unplugged"):
        run_job(Job("face_detection", "0", json_file=str(tmp_path / "out.jsonl")), say=said.append)
    assert 1 <= len(lines_of(tmp_path / "out.jsonl")) <= 3
    assert len(said) == 2


@pytest.mark.usefixtures("fake")
def test_nothing_of_a_run_without_frames_replaces_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reader(_source: Any) -> Iterator[tuple[int, Any]]:
        raise UsageError("not there")
        yield

    (tmp_path / "out.jsonl").write_text("mine")
    monkeypatch.setattr(running, "open_source", lambda _, say: Camera(0, reader, say=say))
    with pytest.raises(UsageError, match="not there"):
        run_job(Job("face_detection", "0", tmp_path / "out.mp4", str(tmp_path / "out.jsonl"), tmp_path / "a.pgrec"))
    assert [file.name for file in tmp_path.iterdir()] == ["out.jsonl"]
    assert (tmp_path / "out.jsonl").read_text() == "mine"


def test_ctrl_c_speaks_of_files_only_where_there_are_some() -> None:
    with pytest.raises(KeyboardInterrupt, match=r"^interrupted after 3 frames$"):
        Ended(signal=signal.SIGINT, frames=3).leave()
    with pytest.raises(KeyboardInterrupt, match=r"^interrupted after 3 frames; what was written is kept$"):
        Ended(signal=signal.SIGINT, frames=3, files=["a.mp4"]).leave()


@pytest.mark.usefixtures("fake")
def test_ctrl_c_while_files_are_finished_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    close, commit = VideoFile.close, Staging.commit

    def interrupted_close(self: VideoFile) -> None:
        signal.raise_signal(signal.SIGINT)
        close(self)

    def interrupted_commit(self: Staging) -> None:
        signal.raise_signal(signal.SIGINT)
        commit(self)

    monkeypatch.setattr(VideoFile, "close", interrupted_close)
    monkeypatch.setattr(Staging, "commit", interrupted_commit)
    video = write_video(tmp_path / "in.mp4")
    ended = run_job(Job("face_detection", str(video), tmp_path / "out.mp4", str(tmp_path / "out.jsonl")))
    assert ended.signal == signal.SIGINT
    assert facts(tmp_path / "out.mp4")[0] == 12
    assert len(lines_of(tmp_path / "out.jsonl")) == 12


def test_a_file_that_cannot_be_put_in_place_costs_no_other(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("a", "b", "c"))
    kept = Kept([first, second, third])
    for file in (first, second, third):
        kept.temporary(file).write_text("new")
        kept.use(file)
    kept.temporary(second).unlink()
    with pytest.raises(UsageError, match=f"cannot write {second}"), kept:
        pass
    assert (first.read_text(), third.read_text()) == ("new", "new")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "c"]


def test_ctrl_c_before_the_first_frame_and_a_second_one_end_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), Signals():
        signal.raise_signal(signal.SIGINT)
    woken: list[int] = []
    with Signals(lambda: woken.append(1)):
        signal.raise_signal(signal.SIGINT)
        assert woken == [1]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert woken == [1]


@pytest.mark.zoo
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_the_middle_leaves_readable_files_and_nothing_else(tmp_path: Path, number: signal.Signals) -> None:
    video = write_video(tmp_path / "in.mp4", 5000, (320, 240))
    outputs = ["--output", "out.mp4", "--json", "out.jsonl", "--record", "out.pgrec", "--trace", "trace.json"]
    command = [sys.executable, "-m", "pocketgraph", "run", "face_detection", "--delegate", "litert", "--input", video]
    process = subprocess.Popen(
        [*command, *outputs], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if any(file.stat().st_size > 3000 for file in tmp_path.glob(".out.*.jsonl")):
            break
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number, err
    count = len(lines_of(tmp_path / "out.jsonl"))
    assert 10 <= count < 5000
    assert f"{count} frames" in out
    assert facts(tmp_path / "out.mp4")[0] == count
    recording = Recording(tmp_path / "out.pgrec")
    assert recording.streams()["image"] == count
    assert not recording.cut
    names = {event["name"] for event in json.loads((tmp_path / "trace.json").read_text())["traceEvents"]}
    assert {"frame", "face_detection_short_range"} <= names
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "in.mp4",
        "out.jsonl",
        "out.mp4",
        "out.pgrec",
        "trace.json",
    ]
    assert "Traceback" not in err
    if number == signal.SIGINT:
        assert f"interrupted after {count} frames; what was written is kept" in err


@pytest.mark.zoo
@pytest.mark.data
def test_a_recorded_run_is_replayed_bit_for_bit(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = shared_data / "people/videos/signing_video_9frames.mp4"
    file = tmp_path / "run.pgrec"
    assert main(["run", "holistic", "--input", str(video), "--record", str(file), "--delegate", "litert"]) == 0
    counts = Recording(file).streams()
    assert counts == {"image": 9, "record": 9}
    capsys.readouterr()
    assert main(["replay", str(file)]) == 0
    assert "9 packets came out again, bit for bit" in capsys.readouterr().out
    file.write_bytes(file.read_bytes()[:-50_000])
    assert main(["replay", str(file)]) == 0
    assert "cut short" in capsys.readouterr().out


@pytest.mark.zoo
@pytest.mark.data
def test_the_summary_says_what_was_found_and_where_time_went(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = shared_data / "people/videos/signing_video_9frames.mp4"
    assert main(["run", "holistic", "--input", str(video), "--delegate", "litert", "--segmentation"]) == 0
    out = capsys.readouterr().out
    assert "9 frames" in out
    assert "found: pose in 9, hands in 9, face in 9, segmentation in 9" in out
    assert all(f"{part} " in out.partition("time in models:")[2] for part in ("pose", "hands", "face"))


@pytest.mark.zoo
@pytest.mark.data
@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines_cope_with_frames_of_changing_size_and_time_that_goes_back(name: str, shared_data: Path) -> None:
    frames = [frame for _, frame in read_frames(shared_data / "people/videos/signing_video_9frames.mp4")]
    sizes = [(640, 360), (320, 180), (360, 640), (641, 361), (64, 48), *[(640, 360)] * 4]
    times = [0, 40_000, 40_000, 10_000, 80_000, 120_000, 160_000, 200_000, 240_000]
    pipeline = Pipeline(name, Settings(segmentation="segmentation" in PIPELINES[name].options, delegate="litert"))
    try:
        for size, timestamp, frame in zip(sizes, times, frames, strict=False):
            seen = pipeline(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), timestamp)
            assert seen.size == size
            for person in people(seen):
                assert person.mask is None or person.mask.shape == size[::-1]
        assert parts_in(seen)
    finally:
        pipeline.close()


@pytest.mark.zoo
def test_a_part_can_be_switched_on_later() -> None:
    with Session("pose", Settings(delegate="litert")) as session:
        assert session.shown == {"pose"}
        session.toggle("hands")  # it has none
        session.toggle("segmentation")
        assert session.shown == {"pose", "segmentation"}
        assert "segmentation" in session.pipeline.parts
        session.toggle("pose")
        assert session.shown == {"segmentation"}


def test_parts_left_out_can_be_switched_on_later() -> None:
    with Session("holistic", Settings(hands=False, face=False, delegate="litert")) as session:
        assert session.shown == {"pose"}
        session.toggle("face")
        assert session.shown == {"pose", "face"}
        assert not session.pipeline.settings.hands
        assert session.pipeline.settings.face


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pose", "--num-people", "2"], "--num-people is an option of holistic, not of pose"),
        (["face_mesh", "--hand-model", "lite"], "--hand-model is an option of holistic and hands, not of face_mesh"),
        (["hands", "--segmentation"], "--segmentation is an option of holistic and pose, not of hands"),
        (["hands", "--no-face"], "--no-face is an option of holistic, not of hands"),
        (["holistic", "--no-hands", "--smooth-hands"], "--smooth-hands has no effect with --no-hands"),
        (["holistic", "--no-face", "--smooth-face"], "--smooth-face has no effect with --no-face"),
        (["holistic", "--palm-fallback", "--num-people", "3"], "--palm-fallback completes the hands of one person"),
        (["holistic", "--num-people", "0"], "--num-people"),
    ],
)
def test_options_that_do_not_fit_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    video = write_video(tmp_path / "in.mp4", 2)
    assert main(["run", *arguments, "--input", str(video), "--json", str(tmp_path / "out.jsonl")]) == 2
    assert message in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["in.mp4"]


def test_pictures_are_forgotten_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Following(Streaming[list[Any]]):
        kind, resets = "face_mesh", 0

        def __init__(self, **options: Any) -> None:
            assert options == {"static": True, "delegate": "auto", "threads": 2}

        def __call__(self, image: Any) -> list[Any]:  # noqa: ARG002
            return []

        def reset(self) -> None:
            Following.resets += 1

        def close(self) -> None: ...

    monkeypatch.setitem(PIPELINES, "face_mesh", Kind(("face",), ("static",), Following))
    pipeline = Pipeline("face_mesh", Settings(static=True))
    frames = [(0, np.zeros((8, 8, 3), np.uint8))] * 3
    assert [seen.found for seen in pipeline.stream(frames)] == [[], [], []]
    assert Following.resets == 3
    pipeline(frames[0][1], 7)
    assert Following.resets == 4


@pytest.mark.zoo
@pytest.mark.data
@pytest.mark.parametrize(
    "settings",
    [
        Settings(hand_model="lite", hand_confidence=True, palm_fallback=True, smooth_hands=True, smooth_face=True),
        Settings(num_people=2, face=False, segmentation=True),
    ],
)
def test_lines_give_the_results_back(settings: Settings, tmp_path: Path, shared_data: Path) -> None:
    video = shared_data / "people/videos/signing_video_9frames.mp4"
    settings = replace(settings, delegate="litert")
    run_job(Job("holistic", str(video), json_file=str(tmp_path / "out.jsonl"), settings=settings))
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    pipeline = Pipeline("holistic", settings)
    for line, (timestamp, frame) in zip(lines, read_frames(video), strict=True):
        seen, fresh = Timed.from_json(line), pipeline(frame, timestamp)
        assert (seen.timestamp_us, seen.size) == (timestamp, (1280, 720))
        assert line == fresh.to_json()  # streamed or frame by frame, it is the same
        person = people(seen)[0]
        assert person.left_hand is not None
        if settings.num_people == 1:
            assert isinstance(HolisticResult.from_json(line), HolisticResult)
            assert person.left_hand_confidence.side > 0.5
            assert person.mask is None
        else:
            assert (person.id, person.face) == (0, None)
            assert person.mask.shape == (720, 1280)
    pipeline.close()


@pytest.mark.usefixtures("fake")
def test_the_time_line_shows_frames_and_the_summary_their_number(tmp_path: Path) -> None:
    video, trace = write_video(tmp_path / "in.mp4", 5), tmp_path / "trace.json"
    ended = run_job(Job("face_detection", str(video), trace=trace))
    assert ended.frames == 5
    assert ended.lines[0].startswith("5 frames, ")
    events = json.loads(trace.read_text())["traceEvents"]
    frames = [event for event in events if event["name"] == "frame"]
    assert [event["args"]["timestamp"] for event in frames] == [time for time, _ in read_frames(video)]
    for lane in {event["tid"] for event in frames}:  # frames of one lane do not overlap
        row = [(event["ts"], event["ts"] + event["dur"]) for event in frames if event["tid"] == lane]
        assert all(one[1] <= other[0] + 0.01 for one, other in pairwise(row))
