"""One run of a pipeline over many frames: what it found, how long it took, and where the time went."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from typing_extensions import Self

from pocketgraph.demos.pipelines import Pipeline, Settings, parts_in
from pocketgraph.graphs import Timed
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
    """Runs the pipeline `name` over frames; a context, within which every model's runs are timed.

    `shown` are the parts to draw, changed by `toggle`. With `trace` the time line is kept, for `write_trace`.
    """

    def __init__(self, name: str, settings: Settings, *, trace: bool = False) -> None:
        self.pipeline = Pipeline(name, settings)
        self.shown = set(self.pipeline.parts)
        self.frames = 0
        self.seen: Counter[str] = Counter()
        """Frames in which each part was found."""
        self.people = 0
        """The most in one frame, where several are looked for."""
        self._at_once = 1
        self.models: dict[str, Used] = {}
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)
        self._ended: deque[int] = deque(maxlen=_RECENT)
        self._events: deque[Event] | None = deque(maxlen=MOST_EVENTS) if trace else None
        self._threads: dict[int, str] = {}
        self._lock = threading.Lock()
        self._began = time.perf_counter_ns()

    def __call__(self, image: Image, timestamp_us: int) -> Timed[Any]:
        """What the next frame shows."""
        began = time.perf_counter_ns()
        seen = self.pipeline(image, timestamp_us)
        self._count(seen, began, 0)
        return seen

    def stream(self, frames: Iterable[tuple[int, Image]]) -> Iterator[Timed[Any]]:
        """What each of `frames` shows; several may be worked on at once."""
        begun: deque[tuple[int, int]] = deque()

        def noted() -> Iterator[tuple[int, Image]]:
            for frame in frames:
                lanes = {lane for _, lane in begun}
                begun.append((time.perf_counter_ns(), next(lane for lane in count() if lane not in lanes)))
                self._at_once = max(self._at_once, len(begun))
                yield frame

        for seen in self.pipeline.stream(noted()):
            self._count(seen, *begun.popleft())
            yield seen

    def _count(self, seen: Timed[Any], began: int, lane: int) -> None:
        """A frame is done; frames that are worked on at once have lanes of their own in the time line."""
        ended = time.perf_counter_ns()
        if not self.frames:
            self._began = began
        self.frames += 1
        self.seen.update(parts_in(seen))
        if seen.kind == "people":
            self.people = max(self.people, len(seen.found))
        self._latencies.append((ended - began) / 1e6)
        self._ended.append(ended)
        if self._events is not None:
            with self._lock:
                self._threads.setdefault(-lane, f"frames {lane + 1}")
                self._events.append(("frame", "process", seen.timestamp_us, -lane, began, ended))

    def toggle(self, part: str) -> None:
        """Show `part`, or no longer; a part that was not looked for so far is from now on, which takes a moment."""
        if part not in self.pipeline.possible:
            return
        if part not in self.pipeline.parts:
            settings = self.pipeline.settings.with_part(part)
            before, self.pipeline = self.pipeline, Pipeline(self.pipeline.name, settings)
            before.close()
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
            if self._events is not None:
                thread = threading.get_ident()
                self._threads.setdefault(thread, threading.current_thread().name)
                self._events.append((model, "model", 0, thread, began, ended))

    def write_trace(self, file: Path) -> None:
        """Write the time line for Chrome's trace viewer and Perfetto."""
        file.write_text(json.dumps(chrome_trace(self._events or (), self._threads, self._began)))

    def summary(self) -> list[str]:
        """Lines that say what came of the run."""
        if not self.frames:
            return ["no frame"]
        seconds = ((self._ended[-1] if self._ended else self._began) - self._began) / 1e9
        median, slow = np.percentile(list(self._latencies), [50, 95])
        frames = f"{self.frames} frame{'s' * (self.frames != 1)}, {self.frames / max(seconds, 1e-9):.1f} a second"
        at_once = f", {self._at_once} frames at once" if self._at_once > 1 else ""
        lines = [f"{frames}; results after {median:.1f} ms (median), {slow:.1f} ms (95th percentile){at_once}"]
        parts: Counter[str] = Counter()
        for model, used in self.models.items():
            parts[_PART_OF_MODEL[model.partition("_")[0]]] += used.nanoseconds
        total = max(1, parts.total())
        shares = ", ".join(f"{part} {time_ / total:.0%}" for part, time_ in parts.most_common())
        lines.append(f"time in models: {shares}")
        found = ", ".join(
            f"{part} in {self.seen[part]}" for part in self.pipeline.parts if self.seen[part]
        )  # in the order of the parts
        several = f"; at most {self.people} people in one" if self.people else ""
        lines.append(f"found: {found}{several}" if found else "found nothing")
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
