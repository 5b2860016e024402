"""One run of a pipeline over many frames: what it found, how long it took, and where the time went."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np
from typing_extensions import Self

from pocketgraph.demos.pipelines import Found, Pipeline, Settings
from pocketgraph.graphs.stage import Stage
from pocketgraph.runtime.graph.profile import MOST_EVENTS, Event, chrome_trace
from pocketgraph.runtime.vision.image_to_tensor import Image

_REMEMBERED = 20_000  # frames whose latency counts, so that a run of weeks does not fill the memory
_RECENT = 30
_PART_OF_MODEL = {"pose": "pose", "palm": "hands", "hand": "hands", "face": "face", "selfie": "segmentation"}


@dataclass
class Used:
    """How often a model ran, and for how long in all."""

    runs: int = 0
    nanoseconds: int = 0


class Session:
    """Runs the pipeline `name` frame by frame; a context, within which every model's runs are timed.

    `shown` are the parts to draw, changed by `toggle`. With `trace` the time line is kept, for `write_trace`.
    """

    def __init__(self, name: str, settings: Settings, *, trace: bool = False) -> None:
        self.pipeline = Pipeline(name, settings)
        self.shown = set(self.pipeline.parts)
        self.frames = 0
        self.seen: Counter[str] = Counter()
        """Frames in which each part was found."""
        self.models: dict[str, Used] = {}
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)
        self._ended: deque[int] = deque(maxlen=_RECENT)
        self._events: deque[Event] | None = deque(maxlen=MOST_EVENTS) if trace else None
        self._threads: dict[int, str] = {}
        self._lock = threading.Lock()
        self._began = time.perf_counter_ns()
        self._timestamp = 0

    def __call__(self, image: Image, timestamp_us: int) -> Found:
        """What the next frame shows."""
        began = time.perf_counter_ns()
        if not self.frames:
            self._began = began
        self._timestamp = timestamp_us
        found = self.pipeline(image, timestamp_us)
        ended = time.perf_counter_ns()
        self.frames += 1
        self.seen.update(found.counts().keys())
        self._latencies.append((ended - began) / 1e6)
        self._ended.append(ended)
        self._note("frame", began, ended)
        return found

    def toggle(self, part: str) -> None:
        """Show `part`, or no longer; a part that was not looked for so far is from now on, which takes a moment."""
        if part not in self.pipeline.possible:
            return
        if part not in self.pipeline.parts:
            settings = replace(self.pipeline.settings, segmentation=True)
            self.pipeline.close()
            self.pipeline = Pipeline(self.pipeline.name, settings)
        self.shown ^= {part}

    @property
    def rate(self) -> float:
        """Frames a second, of the last ones."""
        if len(self._ended) < 2:
            return 0.0
        return (len(self._ended) - 1) * 1e9 / max(1, self._ended[-1] - self._ended[0])

    @property
    def latency(self) -> float:
        """Milliseconds that the last frame took; 0 before the first."""
        return self._latencies[-1] if self._latencies else 0.0

    def _ran(self, model: str, began: int, ended: int) -> None:
        with self._lock:
            used = self.models.setdefault(model, Used())
            used.runs += 1
            used.nanoseconds += ended - began
        self._note(model, began, ended)

    def _note(self, name: str, began: int, ended: int) -> None:
        if self._events is not None:
            thread = threading.get_ident()
            with self._lock:
                self._threads.setdefault(thread, threading.current_thread().name)
                self._events.append((name, "process", self._timestamp, thread, began, ended))

    def write_trace(self, file: Path) -> None:
        """Write the time line for Chrome's trace viewer and Perfetto."""
        file.write_text(json.dumps(chrome_trace(self._events or (), self._threads, self._began)))

    def summary(self) -> list[str]:
        """Lines that say what came of the run."""
        if not self.frames:
            return ["no frame"]
        seconds = ((self._ended[-1] if self._ended else self._began) - self._began) / 1e9
        median, slow = np.percentile(list(self._latencies), [50, 95])
        count = f"{self.frames} frame{'s' * (self.frames != 1)}, {self.frames / max(seconds, 1e-9):.1f} a second"
        lines = [f"{count}; {self.pipeline.name} takes {median:.1f} ms (median), {slow:.1f} ms (95th percentile)"]
        parts: Counter[str] = Counter()
        for model, used in self.models.items():
            parts[_PART_OF_MODEL[model.partition("_")[0]]] += used.nanoseconds
        total = max(1, parts.total())
        shares = ", ".join(f"{part} {time_ / total:.0%}" for part, time_ in parts.most_common())
        lines.append(f"time in models: {shares}")
        found = ", ".join(
            f"{part} in {self.seen[part]}" for part in self.pipeline.parts if self.seen[part]
        )  # in the order of the parts
        lines.append(f"found: {found}" if found else "found nothing")
        return lines

    def close(self) -> None:
        """Release the engines."""
        self.pipeline.close()

    def __enter__(self) -> Self:
        Stage.watcher = self._ran
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        Stage.watcher = None
        self.close()
