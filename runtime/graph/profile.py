"""The profiler: run times of each calculator as histograms, stream latencies, and a trace for Chrome's viewer."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgraph.runtime.graph.timestamp import DONE, is_range

if TYPE_CHECKING:
    from pocketgraph.runtime.graph.context import Context
    from pocketgraph.runtime.graph.node import RunningNode

MOST_EVENTS = 200_000
"""Of the trace; the oldest go first, so that a long run does not fill the memory."""
MOST_OPEN_INPUTS = 4096
"""Timestamps whose entry into the graph is remembered for latencies."""


@dataclass
class Histogram:
    """Durations in microseconds, counted in `len(counts)` intervals of `width`; the last takes all longer ones."""

    width: int = 100
    counts: list[int] = field(default_factory=lambda: [0] * 100)
    total: float = 0.0
    count: int = 0
    longest: float = 0.0

    def add(self, microseconds: float) -> None:
        place = min(int(microseconds // self.width), len(self.counts) - 1)
        self.counts[max(0, place)] += 1
        self.total += microseconds
        self.count += 1
        self.longest = max(self.longest, microseconds)

    @property
    def mean(self) -> float:
        """Microseconds; 0 where nothing was counted."""
        return self.total / self.count if self.count else 0.0

    def as_dict(self) -> dict[str, Any]:
        return {
            "interval_us": self.width, "counts": self.counts, "total_us": round(self.total, 3), "count": self.count,
            "longest_us": round(self.longest, 3),
        }  # fmt: skip


@dataclass
class NodeProfile:
    """One node: how long opening and closing took (µs), processing and the latency since the graph's input."""

    name: str
    calculator: str
    open_us: float = 0.0
    close_us: float = 0.0
    process: Histogram = field(default_factory=Histogram)
    latency: Histogram = field(default_factory=Histogram)
    most_waiting: dict[str, int] = field(default_factory=dict)
    """By input stream, the longest its queue was when the node ran."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name, "calculator": self.calculator, "open_us": round(self.open_us, 3),
            "close_us": round(self.close_us, 3), "process": self.process.as_dict(), "latency": self.latency.as_dict(),
            "most_waiting": self.most_waiting,
        }  # fmt: skip


Event = tuple[str, str, int, int, int, int]
"""Of a time line: name, phase, timestamp, thread, begin and end in ns of the performance counter."""


def chrome_trace(events: Iterable[Event], threads: Mapping[int, str], began_ns: int) -> dict[str, Any]:
    """A time line in the JSON format of Chrome's trace viewer and of Perfetto; `threads` are names by identity."""
    numbers = {thread: number for number, thread in enumerate(threads)}
    result: list[dict[str, Any]] = [
        {"ph": "M", "name": "thread_name", "pid": 1, "tid": numbers[thread], "args": {"name": name}}
        for thread, name in threads.items()
    ]
    for name, phase, timestamp, thread, began, ended in events:
        event = {
            "ph": "X", "name": name, "cat": phase, "pid": 1, "tid": numbers[thread],
            "ts": (began - began_ns) / 1000, "dur": (ended - began) / 1000,
        }  # fmt: skip
        result.append(event | ({"args": {"timestamp": int(timestamp)}} if phase == "process" else {}))
    return {"traceEvents": result, "displayTimeUnit": "ms"}


class Profiler:
    """Counts every call of a run; `profiles` are the results, `write_trace` the time line."""

    def __init__(self, *, interval_us: int = 100, intervals: int = 100) -> None:
        self._interval, self._intervals = interval_us, intervals
        self._lock = threading.Lock()
        self._profiles: dict[str, NodeProfile] = {}
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._entered: dict[int, int] = {}
        self._threads: dict[int, str] = {}
        self.paused = False
        self.began_ns = self.ended_ns = 0

    def begin(self, nodes: Sequence[RunningNode]) -> None:
        """Start counting anew, for a run."""
        self.reset()
        for node in nodes:
            self._profiles[node.name] = self._new(node)
        self.began_ns = time.perf_counter_ns()

    def _new(self, node: RunningNode) -> NodeProfile:
        def histogram() -> Histogram:
            return Histogram(self._interval, [0] * self._intervals)

        return NodeProfile(node.name, node.kind, process=histogram(), latency=histogram())

    def end(self) -> None:
        self.ended_ns = time.perf_counter_ns()

    def reset(self) -> None:
        """Forget what was counted."""
        with self._lock:
            self._profiles.clear()
            self._events.clear()
            self._entered.clear()

    def pause(self) -> None:
        """Count nothing until `resume`."""
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def called(self, node: RunningNode, context: Context | None, began: int, ended: int) -> None:
        """Count one call, in nanoseconds of the performance counter."""
        if self.paused:
            return
        took = (ended - began) / 1000
        with self._lock:
            profile = self._profiles.get(node.name)
            if profile is None:
                profile = self._profiles[node.name] = self._new(node)
            timestamp = 0
            if context is None:
                phase, profile.open_us = "open", took
            elif context.timestamp == DONE:
                phase, profile.close_us = "close", took
            else:
                phase, timestamp = "process", context.timestamp
                profile.process.add(took)
                self._count_latency(profile, timestamp, began, ended)
                for stream in node.inputs:
                    waiting = len(stream.queue)
                    if waiting > profile.most_waiting.get(stream.name, -1):
                        profile.most_waiting[stream.name] = waiting
            thread = threading.get_ident()
            self._threads.setdefault(thread, threading.current_thread().name)
            self._events.append((node.name, phase, timestamp, thread, began, ended))

    def _count_latency(self, profile: NodeProfile, timestamp: int, began: int, ended: int) -> None:
        if is_range(timestamp):
            first = self._entered.setdefault(timestamp, began)
            profile.latency.add((ended - first) / 1000)
            if len(self._entered) > MOST_OPEN_INPUTS:
                del self._entered[next(iter(self._entered))]

    @property
    def profiles(self) -> list[NodeProfile]:
        """One a node, in topological order."""
        return list(self._profiles.values())

    def as_dict(self) -> dict[str, Any]:
        """All profiles, ready for JSON."""
        return {"nodes": [profile.as_dict() for profile in self.profiles]}

    def trace(self) -> dict[str, Any]:
        """The time line in the JSON format of Chrome's trace viewer and of Perfetto."""
        return chrome_trace(self._events, self._threads, self.began_ns)

    def write_trace(self, file: str | Path) -> None:
        """Write `trace` as a file."""
        Path(file).write_text(json.dumps(self.trace()))
