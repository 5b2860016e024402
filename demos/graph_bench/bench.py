"""Pipelines in turns: every engine sees the same frames, round by round in random order, paused between its turns."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import EngineError, UsageError
from pocketgraph.runtime.bench import environments
from pocketgraph.runtime.bench.client import Worker
from pocketgraph.runtime.bench.engines import engine_named, obstacle
from pocketgraph.runtime.bench.ratios import ratio, spread
from pocketgraph.runtime.machine import describe_machine
from pocketgraph.runtime.vision.frames import read_frames

FORMAT = "pocketgraph bench graph 1"
PIPELINES = ("holistic", "pose", "hands", "face_mesh")
BASELINE = "mediapipe"
Found = dict[str, npt.NDArray[np.float32]]
Agreement = tuple[float, float | None, float | None]
Progress = Callable[[str, int, int], None]
_WORKER = Path(__file__).with_name("worker.py")


@dataclass
class Row:
    """One engine in one mode. `call` hands over a frame when the last one is answered, `stream` reads ahead.

    `milliseconds` has the time a frame took in each round (the round's time over its frames), `latencies` that from
    handing over a frame to its result, of all frames. `ratio` is (times as fast as MediaPipe, low, high). `parts` says
    in which share of the frames a part was found, `agreement` for each part in which share of the frames both engines
    found it or neither, and the median and 95th percentile of the distance of landmarks in pixels, None where no frame
    has it in both.
    """

    engine: str
    mode: str
    threads: int
    milliseconds: list[float] = field(default_factory=list)
    fps: float | None = None
    latency_p50: float | None = None
    latency_p95: float | None = None
    peak_bytes: int | None = None
    load_seconds: float | None = None
    ratio: tuple[float, float, float] | None = None
    parts: dict[str, float] = field(default_factory=dict)
    agreement: dict[str, Agreement] = field(default_factory=dict)
    stages: list[dict[str, Any]] | None = None


@dataclass
class GraphResult:
    """A whole run, as the JSON has it; `size` is the frames' width and height."""

    pipeline: str
    video: str
    frames: int
    size: tuple[int, int]
    rows: list[Row]
    machine: dict[str, Any]
    versions: dict[str, dict[str, str]]
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"format": FORMAT, **asdict(self)}


def run_graph_bench(
    pipeline: str,
    video: Path,
    engines: Sequence[str],
    *,
    threads: int = 2,
    frames: int = 96,
    rounds: int = 8,
    delegate: str = "auto",
    seed: int = 0,
    timeout: float = 300.0,
    progress: Progress = lambda *_: None,
) -> GraphResult:
    """Run `pipeline` in `engines` (of pocketgraph, mediapipe) over `frames` frames of `video`, `rounds` times.

    Raises `UsageError` where something cannot be run, `FormatError` where `video` cannot be decoded, `EngineError`
    where a process fails.
    """
    if not engines or not set(engines) <= {"pocketgraph", BASELINE}:
        raise UsageError(f"engines of pipelines are pocketgraph and {BASELINE}, got {', '.join(engines) or 'none'}")
    if pipeline not in PIPELINES:
        raise UsageError(f"no pipeline {pipeline!r} to measure; there are {', '.join(PIPELINES)}")
    next(read_frames(video))
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(_command(name), name=name, timeout=timeout)) for name in engines}
        rows: list[tuple[Worker, Row]] = []
        shown: dict[str, Any] = {}
        for name, worker in workers.items():
            loaded = worker.ask("load", pipeline=pipeline, threads=threads, delegate=delegate)
            shown = worker.ask("feed", video=str(video.resolve()), frames=frames)
            rows += [(worker, Row(name, mode, threads, load_seconds=loaded["seconds"])) for mode in loaded["modes"]]
            worker.pause()
        latencies = _take_turns(rows, frames, rounds, seed, progress)
        size = (int(shown["size"][0]), int(shown["size"][1]))
        _summarise(rows, latencies, size)
        return GraphResult(
            pipeline,
            video.name,
            frames,
            size,
            [row for _, row in rows],
            describe_machine(),
            {name: worker.versions for name, worker in workers.items()},
            {"threads": threads, "rounds": rounds, "delegate": delegate, "seed": seed},
        )


def _command(engine: str) -> list[str]:
    from pocketgraph.runtime.bench import worker as model_worker

    arguments = [str(_WORKER), engine, str(model_worker.__file__)]
    if engine == "pocketgraph":
        return [sys.executable, *arguments]
    peer = engine_named(engine)
    if (reason := obstacle(peer)) is not None:
        raise UsageError(reason)
    return [str(environments.interpreter(engine)), "-I", *arguments]


def _take_turns(
    rows: list[tuple[Worker, Row]], frames: int, rounds: int, seed: int, progress: Progress
) -> list[list[float]]:
    """Two rounds that do not count, then `rounds` that do; returns the latencies of every row."""
    order = random.Random(seed)  # noqa: S311 - the order of turns, no secret
    latencies: list[list[float]] = [[] for _ in rows]
    for turn in range(rounds + 2):
        progress("measure", turn, rounds + 2)
        for index in order.sample(range(len(rows)), len(rows)):
            worker, row = rows[index]
            worker.resume()
            answer = worker.ask("run", mode=row.mode)
            worker.pause()
            if len(answer["latencies"]) != frames:
                raise EngineError(f"{row.engine}: {len(answer['latencies'])} results for {frames} frames")
            row.peak_bytes = answer["peak_bytes"]
            if turn >= 2:
                row.milliseconds.append(1e3 * float(answer["seconds"]) / frames)
                latencies[index] += answer["latencies"]
    return latencies


def _summarise(rows: list[tuple[Worker, Row]], latencies: list[list[float]], size: tuple[int, int]) -> None:
    baseline = next((row for _, row in rows if row.engine == BASELINE), None)
    founds = [_found(worker, row) for worker, row in rows]
    reference = next((found for found, (_, row) in zip(founds, rows, strict=True) if row is baseline), None)
    for (worker, row), found, times in zip(rows, founds, latencies, strict=True):
        row.fps = 1e3 / spread(row.milliseconds).median
        row.latency_p50, row.latency_p95 = (float(value) for value in np.percentile(times, [50, 95]))
        row.parts = {name: float(_is_there(points).mean()) for name, points in found.items()}
        if baseline is not None:
            row.ratio = ratio(baseline.milliseconds, row.milliseconds)
        if reference is not None and row is not baseline:
            row.agreement = _agreement(found, reference, size)
        if row.mode == "call":
            worker.resume()
            row.stages = worker.ask("stages")["stages"]
            worker.pause()


def _found(worker: Worker, row: Row) -> Found:
    """What the engine finds in this mode: one more run, which has the same direction for all rows."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.npz"
        worker.resume()
        worker.ask("run", mode=row.mode)
        worker.ask("found", file=str(file))
        worker.pause()
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}


def _is_there(points: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isfinite(points).all(axis=(1, 2)))


def _agreement(found: Found, reference: Found, size: tuple[int, int]) -> dict[str, Agreement]:
    result: dict[str, Agreement] = {}
    for name, known in {**found, **reference}.items():
        nowhere = np.full_like(known, np.nan)  # an engine does not name what it saw in no frame
        mine, other = found.get(name, nowhere), reference.get(name, nowhere)
        ours, theirs = _is_there(mine), _is_there(other)
        both = ours & theirs
        away = (mine[both] - other[both]) * np.array(size, np.float32)
        distances = np.hypot(away[..., 0], away[..., 1]).ravel()
        median, p95 = np.percentile(distances, [50, 95]).tolist() if distances.size else (None, None)
        result[name] = (float((ours == theirs).mean()), median, p95)
    return result
