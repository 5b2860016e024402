"""What models and each of their layers take in an engine, measured in turns: what a latency budget is kept by."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from pocketgraph.models.graph import Model
from pocketgraph.runtime import RunnableModel
from pocketgraph.runtime.chw import Chw
from pocketgraph.runtime.delegate import Array

_TURNS = 3
_SECONDS, _LEAST, _MOST = 1.5, 8, 200  # of a turn's rounds

Advance = Callable[[int, int], None]
"""`advance(done, total)`: told as models are compiled and rounds are run."""


@dataclass(frozen=True)
class Timing:
    """One model's times in seconds: runs of the whole, and the median of each op's own steps, by the op's name.

    Ops that are part of another one's step, or that the engine does not run itself, have no entry.
    """

    runs: Sequence[float]
    steps: Mapping[str, float]

    @property
    def whole(self) -> float:
        """The median run."""
        return float(np.median(self.runs))


class Clock(Protocol):
    """Measures models in one engine. For tests write one whose times are made up."""

    def measure(self, models: Sequence[Model], advance: Advance) -> list[Timing]:
        """Time `models` in turns, round by round in random order; as many `runs` for each."""


class ChwClock:
    """The CHW engine, its layers packed as measured, on random inputs.

    Layers are timed in place, as parts of runs of the whole net: their inputs then lie in the cache, or do not, as they
    will when it counts. What makes a run slower than others is something else on the machine, or where a model's memory
    happened to come to lie: each model is compiled several times, of which the fastest counts, and of its runs, and of
    those of each step, the faster half.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def measure(self, models: Sequence[Model], advance: Advance) -> list[Timing]:
        total = _TURNS * 2 * len(models)
        turns = [
            self._turn(models, partial(_advance, advance, 2 * len(models) * turn, total)) for turn in range(_TURNS)
        ]
        fastest = [min(timings, key=lambda timing: timing.whole) for timings in zip(*turns, strict=True)]
        shortest = min(len(timing.runs) for timing in fastest)
        return [Timing(timing.runs[:shortest], timing.steps) for timing in fastest]

    def _turn(self, models: Sequence[Model], advance: Callable[[int], None]) -> list[Timing]:
        engines: list[Chw] = []
        for model in models:
            advance(len(engines))
            engines.append(Chw(model, self._threads))
        feeds = [random_feed(engine) for engine in engines]
        steps: list[list[dict[str, float]]] = [[] for _ in engines]
        runs: list[list[float]] = [[] for _ in engines]
        for engine, feed in zip(engines, feeds, strict=True):
            engine.run(feed)
        random, start, rounds = np.random.default_rng(0), time.perf_counter(), 0
        while rounds < _LEAST or (time.perf_counter() - start < _SECONDS and rounds < _MOST):
            for i in random.permutation(len(engines)):
                steps[i].append(_by_name(engines[i].profile(feeds[i], 1)))
                begin = time.perf_counter()
                engines[i].run(feeds[i])
                runs[i].append(time.perf_counter() - begin)
            rounds += 1
            passed = max(rounds / _MOST, min(rounds / _LEAST, (time.perf_counter() - start) / _SECONDS))
            advance(len(models) + int(len(models) * min(passed, 1.0)))
        for engine in engines:
            engine.close()
        return [
            Timing(_quiet(whole), {name: float(np.median(_quiet([one[name] for one in found]))) for name in found[0]})
            for whole, found in zip(runs, steps, strict=True)
        ]


def _advance(advance: Advance, before: int, total: int, done: int) -> None:
    advance(before + done, total)


def _quiet(seconds: Sequence[float]) -> list[float]:
    """The faster half, in the order they came."""
    middle = float(np.median(seconds))
    return [s for s in seconds if s <= middle][: (len(seconds) + 1) // 2]


def random_feed(engine: Chw) -> dict[str, Array]:
    """Inputs that mean nothing: what they are does not change how long a net takes."""
    from pocketgraph.convert.verify import random_samples

    return random_samples(RunnableModel(engine, "chw"), 1, 0)[0]


def _by_name(steps: Sequence[tuple[str, str, float]]) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    for name, kind, seconds in steps:
        if kind not in ("input", "output"):
            found[name] += seconds
    return dict(found)


CLOCKS: dict[str, Callable[[int], Clock]] = {"chw": ChwClock}
"""Engine -> its clock for a number of threads."""
