"""Pruning to a latency: which sparsity each layer gets so that the model keeps a time budget at the least error.

Two tables are measured, what each layer takes at each sparsity in the engine and what that does to the outputs; then
dynamic programming spends the budget (as in SPDY, Frantar & Alistarh, arXiv 2201.13096). The choice is timed as a
whole, and where that differs from the sum of its layers the budget is corrected and spent again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pocketgraph.convert.prune.budget import Budget, milliseconds
from pocketgraph.convert.prune.clock import Clock, Timing
from pocketgraph.convert.prune.distribution import curve
from pocketgraph.convert.prune.knapsack import cheapest_within
from pocketgraph.convert.prune.layers import PrunableLayer
from pocketgraph.convert.prune.masks import Matrix
from pocketgraph.convert.prune.sensitivity import LEVELS
from pocketgraph.convert.prune.timetable import GRID, LADDER, TimeTable, masked
from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import Model
from pocketgraph.runtime.bench.ratios import ratio

_TRIES = 3
_BELOW, _ABOVE = 0.03, 0.01  # of the budget: close enough not to try again
TOLERANCE = 0.1
"""Of the budget: a result that is farther off is said to have missed it."""


@dataclass(frozen=True)
class LayerTime:
    """One layer's sparsity, its seconds before and after, and the error it alone makes at the outputs, relative to
    their variance."""

    name: str
    sparsity: float
    dense: float
    seconds: float
    error: float


@dataclass(frozen=True)
class LatencyProfile:
    """How a latency budget was spent. Times are in seconds.

    `budget` is what `asked` came to and `predicted` the sum over the table; `dense` and `measured` are medians of one
    run in which both took turns, `speedup` is their ratio with its 95 % interval, and `measured_on` what was timed.
    `least` is the fastest that pruning could have made the model, `dense_then` what the dense model took when the table
    was made.
    """

    engine: str
    threads: int
    asked: str
    budget: float
    dense: float
    least: float
    predicted: float
    measured: float
    speedup: tuple[float, float, float]
    layers: list[LayerTime]
    dense_then: float = 0.0
    measured_on: str = "the pruned graph"
    tries: list[float] = field(default_factory=list)

    @property
    def slower(self) -> float:
        """How much longer the dense model took in the end than when the table was made: the machine is busier."""
        return self.dense / self.dense_then if self.dense_then else 1.0

    @property
    def off(self) -> float:
        """How far the measured latency is above the budget, as a part of it; below zero where it is under."""
        return self.measured / self.budget - 1

    def remeasured(self, dense: Timing, written: Timing, what: str) -> LatencyProfile:
        """The profile with the times of what was made of it in the end, `what`, and of the dense model in turns."""
        layers = [
            replace(
                layer,
                dense=dense.steps.get(layer.name, layer.dense),
                seconds=written.steps.get(layer.name, layer.seconds),
            )
            for layer in self.layers
        ]
        return replace(
            self,
            budget=Budget.parse(self.asked).of(dense.whole),
            dense=dense.whole,
            measured=written.whole,
            speedup=ratio(dense.runs, written.runs),
            layers=layers,
            measured_on=what,
        )


def check_budget(budget: Budget, table: TimeTable, where: str) -> None:
    """Refuse a budget that pruning cannot reach, or that the dense model keeps already. Raises `UsageError`."""
    wanted = budget.of(table.dense)
    if wanted >= table.dense:
        raise UsageError(
            f"the latency asked for, {_asked(budget, wanted)}, is not below what the dense model takes,"
            f" {milliseconds(table.dense)} {where}: nothing needs to be pruned"
        )
    if wanted < table.least:
        raise UsageError(
            f"the latency asked for, {_asked(budget, wanted)}, cannot be reached: with {LADDER[-1]:.0%} zeros in every"
            f" layer that may be pruned the model still takes {milliseconds(table.least)} of"
            f" {milliseconds(table.dense)} {where}; ask for no less than that, name further layers to prune (--layer),"
            " or take a smaller model"
        )


def _asked(budget: Budget, seconds: float) -> str:
    return budget.text if budget.share is None else f"{budget.text} = {milliseconds(seconds)}"


def spend(
    model: Model,
    layers: Sequence[PrunableLayer],
    keys: Sequence[Matrix],
    errors: Mapping[PrunableLayer, Matrix],
    table: TimeTable,
    budget: Budget,
    *,
    block: int,
    engine: str,
    threads: int,
    clock: Clock,
    begin: Callable[[str], None],
    written: Callable[[Model], Model],
) -> LatencyProfile:
    """Choose a sparsity for each free layer of `layers`, and set it.

    `keys` say what goes first in each layer, `errors` what each does to the outputs at `LEVELS`. `written` makes of a
    pruned model what will run: that has to keep the budget.
    """
    free = [layer for layer in layers if layer.sparsity is None]
    times = [table.at(layer.name) for layer in free]
    costs = [curve(LEVELS, errors[layer], GRID) for layer in free]
    wanted = budget.of(table.dense)
    target, tries, best = wanted, [], None
    for attempt in range(_TRIES):
        begin(f"profile {attempt + 1} in {engine}")
        chosen = cheapest_within(times, costs, target - table.rest) or [int(options.argmin()) for options in times]
        given = dict(zip(free, chosen, strict=True))
        shares = [float(GRID[given[layer]]) if layer in given else 0.0 for layer in layers]
        runs = written(masked(model, layers, keys, block, shares))
        dense, pruned = clock.measure([model, runs], lambda *_: None)
        took = pruned.whole * table.dense / dense.whole  # as when the table was made, should the machine be slower now
        off = took / wanted - 1
        tries.append(off)
        if best is None or abs(off) < abs(best[0]):
            best = off, chosen, dense, pruned
        if -_BELOW <= off <= _ABOVE:
            break
        target += wanted - took
    assert best is not None
    _, chosen, dense, pruned = best
    found = []
    for layer, option, seconds, cost in zip(free, chosen, times, costs, strict=True):
        layer.sparsity = float(GRID[option])
        found.append(LayerTime(layer.name, layer.sparsity, seconds[0], seconds[option], float(cost[option])))
    first = LatencyProfile(
        engine=engine,
        threads=threads,
        asked=budget.text,
        budget=budget.of(dense.whole),
        dense=dense.whole,
        least=table.least,
        predicted=table.rest + sum(layer.seconds for layer in found),
        measured=pruned.whole,
        speedup=(1.0, 1.0, 1.0),
        layers=found,
        dense_then=table.dense,
        tries=tries,
    )
    return first.remeasured(dense, pruned, first.measured_on)
