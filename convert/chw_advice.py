"""What to change so that a model runs faster in our CHW engine: what goes to LiteRT, and what zeros would bring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pocketgraph.convert.explanation import NodeReport
from pocketgraph.convert.prune.clock import ChwClock, Timing
from pocketgraph.convert.prune.config import PruneConfig
from pocketgraph.convert.prune.layers import PrunableLayer, prunable_layers
from pocketgraph.convert.prune.selection import layer_keys
from pocketgraph.convert.prune.timetable import masked
from pocketgraph.models.decompress import Decompress
from pocketgraph.models.errors import UnsupportedError
from pocketgraph.models.graph import Model
from pocketgraph.runtime.chw.delegate import PartTime
from pocketgraph.runtime.chw.rules import why_not

_WORTH = 0.01  # of the whole: smaller steps get no advice
_GAIN = 0.9  # of the dense time: what is called faster
LEVELS = (0.3, 0.5, 0.7, 0.9)
"""The sparsities at which dense layers are tried to see what zeros would bring."""
_TYPICAL = 0.7


def about_litert(parts: Sequence[PartTime], total: float) -> list[str]:
    lent = [part for part in parts if part.plan is None]
    if not lent:
        return []
    seconds, ops = sum(part.steps[0] for part in lent), [op for part in lent for op in part.graph.ops]
    kinds = ", ".join(dict.fromkeys(op.custom_code or op.kind for op in ops if why_not(op)))
    said = (
        f"{len(ops)} of {sum(len(part.graph.ops) for part in parts)} nodes go to LiteRT in {len(lent)}"
        f" part{'s' * (len(lent) > 1)}, {1e6 * seconds:,.0f} µs with handing over, {seconds / max(total, 1e-12):.0%} of"
        " a run"
    )
    return [f"{said}; what has no kernel there: {kinds}" if kinds else said]


@dataclass(frozen=True)
class _Trial:
    """What the step of a dense layer takes as it is, and with the zeros of each of `LEVELS`."""

    dense: float
    seconds: list[float]

    def worth(self) -> float | None:
        """The first of `LEVELS` from which on the step is faster than dense."""
        for i, level in enumerate(LEVELS):
            if all(s < _GAIN * self.dense for s in self.seconds[i:]):
                return level
        return None


def about_zeros(
    model: Model, reports: list[NodeReport], total: float, progress: Callable[[int, int], None]
) -> list[str]:
    """Advice for dense layers that hold much of the time, and what pruning all that can be pruned would bring."""
    slow = {r.name: r for r in reports if r.packing is not None and not r.sparse and (r.share or 0) >= _WORTH}
    layers = [layer for layer in _layers(model) if layer.name in slow]
    if not layers:
        return []
    now, *tried = _with_zeros(model, layers, progress)
    for layer in layers:
        report = slow[layer.name]
        trial = _Trial(now.steps.get(layer.name, 0.0), [timing.steps.get(layer.name, 0.0) for timing in tried])
        if (level := trial.worth()) is not None:
            at = max(level, _TYPICAL)
            report.rule = "too few zeros to skip" if report.zeros else "no zeros"
            then = 1e6 * trial.seconds[LEVELS.index(at)]
            report.fix = f"from {level:.0%} on it runs faster here: with {at:.0%} zeros {then:,.0f} µs"
        elif not report.rule:
            report.rule = f"zeros would not make it faster here, even {LEVELS[-1]:.0%} of them"
    held = sum(slow[layer.name].microseconds or 0 for layer in layers) / max(1e6 * total, 1e-9)
    names = sorted(layers, key=lambda layer: -(slow[layer.name].share or 0))[:3]
    listed = ", ".join(f"{slow[layer.name].index} ({slow[layer.name].share:.0%})" for layer in names)
    pruned = tried[LEVELS.index(_TYPICAL)]
    gain = sum(now.steps.get(layer.name, 0.0) - pruned.steps.get(layer.name, 0.0) for layer in layers)
    speedup = now.whole / max(now.whole - gain, 1e-12)
    many = f"{len(layers)} dense layers hold" if len(layers) > 1 else "1 dense layer holds"
    first = f"{many} {held:.0%} of the time, nodes {listed} first"
    return [f"{first}; with {_TYPICAL:.0%} zeros in each a run would be {speedup:.2f}x as fast"]


def _layers(model: Model) -> list[PrunableLayer]:
    plain = model.copy()
    Decompress()(plain)
    try:
        return prunable_layers(plain.main, {})
    except UnsupportedError:
        return []


def _with_zeros(model: Model, layers: list[PrunableLayer], progress: Callable[[int, int], None]) -> list[Timing]:
    """Times of the model as it is, and with zeros in `layers`, in turns."""
    plain = model.copy()
    Decompress()(plain)
    config = PruneConfig(method="magnitude")
    keys = [layer_keys(layer, config, None) for layer in layers]
    variants = [masked(plain, layers, keys, 1, [level] * len(layers)) for level in LEVELS]
    return ChwClock(1).measure([plain, *variants], progress)
