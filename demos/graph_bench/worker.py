"""The process that runs one pipeline of pocketgraph or MediaPipe over a video: `python worker.py ENGINE MODEL_WORKER`.

Like the worker of `pocketgraph bench MODEL` (whose file is MODEL_WORKER, and whose way of talking this one shares) it
needs nothing but the standard library, NumPy, OpenCV and the engine, because MediaPipe lives in an interpreter of its
own.

    ->  (started)                                                  <-  {"versions": {"mediapipe": "0.10.21", …}}
    ->  {"do": "load", "pipeline": P, "threads": N, "delegate": D} <-  {"seconds": S, "modes": ["call", "stream"]}
    ->  {"do": "feed", "video": FILE, "frames": N}                 <-  {"size": [width, height]}
    ->  {"do": "run", "mode": "call" or "stream"}                  <-  {"seconds": S, "latencies": [ms of each frame],
                                                                        "peak_bytes": B or null}
    ->  {"do": "found", "file": FILE.npz}                          <-  {}: landmarks of the last run, by part
    ->  {"do": "stages"}                                           <-  {"stages": [{"name", "milliseconds"}] or null}
    ->  {"do": "quit"}                                             <-  {}

A run shows N frames: a shorter video goes to and fro, and every other run starts at the end, so that people move
without jumps and tracking goes on. The process is bound to as many processors as it may use threads. A part that a
frame does not show is NaN.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

_spec = importlib.util.spec_from_file_location("model_worker", sys.argv[2])
assert _spec is not None
assert _spec.loader is not None
model_worker: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(model_worker)

Parts = dict[str, Any]  # name -> [n, 2] or None
POINTS = {"pose": 33, "left_hand": 21, "right_hand": 21, "face": 468, "hand0": 21, "hand1": 21}


class Engine:
    """A pipeline of one package: `call` looks at one frame, `stream` at many; `parts` are the landmarks found."""

    packages: tuple[str, ...] = ()
    modes: tuple[str, ...] = ("call",)

    def versions(self) -> dict[str, str]:
        from importlib.metadata import version

        return {name: version(name) for name in self.packages}

    def load(self, pipeline: str, threads: int, delegate: Any) -> None:
        raise NotImplementedError

    def call(self, frame: Any) -> Any:
        raise NotImplementedError

    def stream(self, frames: Iterator[Any]) -> Iterator[Any]:
        raise NotImplementedError

    def parts(self, result: Any) -> Parts:
        raise NotImplementedError

    def stages(self, frames: list[Any]) -> list[dict[str, Any]] | None:  # noqa: ARG002 - MediaPipe's wheel does not tell
        return None


class Pocketgraph(Engine):
    packages = ("pocketgraph", "numpy", "opencv-python-headless")

    def load(self, pipeline: str, threads: int, delegate: Any) -> None:
        from pocketgraph.graphs.face_mesh import FaceMesh
        from pocketgraph.graphs.hands import Hands
        from pocketgraph.graphs.holistic import Holistic
        from pocketgraph.graphs.pose import Pose

        made: dict[str, Any] = {"holistic": Holistic, "pose": Pose, "hands": Hands, "face_mesh": FaceMesh}
        self._pipeline = made[pipeline](delegate=delegate, threads=threads)
        if pipeline == "holistic":
            self.modes = ("call", "stream")

    def call(self, frame: Any) -> Any:
        return self._pipeline(frame)

    def stream(self, frames: Iterator[Any]) -> Iterator[Any]:
        return self._pipeline.stream(frames)

    def parts(self, result: Any) -> Parts:
        if isinstance(result, list):  # hands, or the landmarks of faces
            one: list[Any] = [getattr(item, "landmarks", item) for item in result]
            names = ["hand0", "hand1"] if any(len(item) == POINTS["hand0"] for item in one) else ["face"]
            return {name: item.points[:, :2] for name, item in zip(names, one)}  # noqa: B905 - Python 3.9
        if result is None:
            return {}
        if hasattr(result, "left_hand"):
            found = {name: getattr(result, name) for name in ("pose", "left_hand", "right_hand", "face")}
        else:
            found = {"pose": result.landmarks}
        return {name: None if item is None else item.points[:, :2] for name, item in found.items()}

    def stages(self, frames: list[Any]) -> list[dict[str, Any]] | None:
        from pocketgraph.graphs.stage import Stage

        taken: dict[str, float] = {}

        def watch(name: str, began: int, ended: int) -> None:
            taken[name] = taken.get(name, 0.0) + (ended - began) / 1e6 / len(frames)

        Stage.watcher = watch
        try:
            for frame in frames:
                self._pipeline(frame)
        finally:
            Stage.watcher = None
        return [{"name": name, "milliseconds": value} for name, value in taken.items()]


class MediaPipe(Engine):
    packages = ("mediapipe", "numpy", "opencv-contrib-python")

    def load(self, pipeline: str, threads: int, delegate: Any) -> None:  # noqa: ARG002 - it has its own
        mediapipe: Any = importlib.import_module("mediapipe")
        module = getattr(mediapipe.solutions, pipeline)
        self._solution = getattr(module, "".join(word.title() for word in pipeline.split("_")))()

    def call(self, frame: Any) -> Any:
        return self._solution.process(frame)

    def parts(self, result: Any) -> Parts:
        def points(item: Any) -> Any:
            return None if item is None else np.array([[p.x, p.y] for p in item.landmark], np.float32)

        if hasattr(result, "multi_hand_landmarks"):
            hands = result.multi_hand_landmarks or []
            return {name: points(item) for name, item in zip(("hand0", "hand1"), hands)}  # noqa: B905
        if hasattr(result, "multi_face_landmarks"):
            faces = result.multi_face_landmarks or [None]
            return {"face": points(faces[0])}
        names = [name for name in ("pose", "left_hand", "right_hand", "face") if hasattr(result, f"{name}_landmarks")]
        return {name: points(getattr(result, f"{name}_landmarks")) for name in names}


class Session:
    """Answers requests; see the file's docstring."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._frames: list[Any] = []
        self._results: list[Any] = []
        self._backwards: dict[str, bool] = {}  # by mode: the turn that comes next
        self._before: int | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        fields = {name: value for name, value in request.items() if name != "do"}
        answer: dict[str, Any] = getattr(self, f"do_{request['do']}")(**fields)
        return answer

    def do_load(self, pipeline: str, threads: int, delegate: str) -> dict[str, Any]:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))
        self._before = model_worker.peak_bytes(reset=True)
        start = time.perf_counter()
        self._engine.load(pipeline, threads, delegate)
        return {"seconds": time.perf_counter() - start, "modes": self._engine.modes}

    def do_feed(self, video: str, frames: int) -> dict[str, Any]:
        import cv2

        capture = cv2.VideoCapture(video)
        while len(self._frames) < frames:
            good, frame = capture.read()
            if not good:
                break
            self._frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        capture.release()
        if not self._frames:
            raise ValueError(f"{video} has no frames that OpenCV can read")
        round_trip = [*self._frames, *self._frames[-2:0:-1]]
        self._frames = [round_trip[i % len(round_trip)] for i in range(frames)]
        height, width = self._frames[0].shape[:2]
        return {"size": [width, height]}

    def do_run(self, mode: str) -> dict[str, Any]:
        backwards = self._backwards.get(mode, False)
        self._backwards[mode] = not backwards
        frames = self._frames[::-1] if backwards else self._frames
        handed: list[float] = []
        latencies: list[float] = []
        self._results = []

        def hand_over() -> Iterator[Any]:
            for frame in frames:
                handed.append(time.perf_counter())
                yield frame

        start = time.perf_counter()
        results = self._engine.stream(hand_over()) if mode == "stream" else map(self._engine.call, hand_over())
        for result in results:
            latencies.append(1e3 * (time.perf_counter() - handed[len(latencies)]))
            self._results.append(result)
        seconds = time.perf_counter() - start
        if backwards:
            self._results.reverse()
        now = model_worker.peak_bytes()
        grown = None if now is None or self._before is None else max(0, now - self._before)
        return {"seconds": seconds, "latencies": latencies, "peak_bytes": grown}

    def do_found(self, file: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for index, result in enumerate(self._results):
            for name, points in self._engine.parts(result).items():
                if name not in found:
                    found[name] = np.full((len(self._results), POINTS[name], 2), np.nan, np.float32)
                if points is not None:
                    found[name][index] = points
        np.savez(file, **found)
        return {}

    def do_stages(self) -> dict[str, Any]:
        return {"stages": self._engine.stages(self._frames)}

    def do_quit(self) -> dict[str, Any]:
        return {}


ENGINES = {"pocketgraph": Pocketgraph, "mediapipe": MediaPipe}

if __name__ == "__main__":
    model_worker.serve(ENGINES[sys.argv[1]], Session)
