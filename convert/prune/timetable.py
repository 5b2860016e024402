"""What every layer takes at every sparsity, measured once: the table that a latency budget is spent by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pocketgraph.convert.prune.clock import Advance, Clock
from pocketgraph.convert.prune.layers import PrunableLayer
from pocketgraph.convert.prune.masks import Matrix, mask_from_keys
from pocketgraph.convert.prune.reestimate import set_weights
from pocketgraph.models.graph import Model

LADDER = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""The sparsities at which layers are timed. Below the second one nothing is gained: they run densely."""
GRID = np.concatenate([[0.0], np.linspace(LADDER[1], LADDER[-1], 27).round(3)])
"""The sparsities that a layer may get: dense, or in steps of a fortieth."""


@dataclass(frozen=True)
class TimeTable:
    """Seconds in one engine.

    `layers` has each layer's own steps at the sparsities of `LADDER`; a layer without steps of its own there (LiteRT
    runs it) takes the same whatever its sparsity. `rest` is everything else, `dense` the dense model as a whole.
    """

    layers: Mapping[str, Matrix]
    rest: float
    dense: float

    def at(self, name: str) -> Matrix:
        """Seconds of a layer at the sparsities of `GRID`, straight lines between what was measured."""
        return np.interp(GRID, LADDER, self.layers[name])

    @property
    def least(self) -> float:
        """The fastest that pruning can make the model."""
        return self.rest + float(sum(np.min(seconds) for seconds in self.layers.values()))


def time_table(
    model: Model, layers: Sequence[PrunableLayer], keys: Sequence[Matrix], block: int, clock: Clock, advance: Advance
) -> TimeTable:
    """Time `model` with its free `layers` at each sparsity of `LADDER`, all of them at once, and take it apart.

    Layers with a sparsity of their own have that throughout.
    """
    variants = [masked(model, layers, keys, block, [level] * len(layers)) for level in LADDER]
    dense, *timings = clock.measure([model, *variants], advance)
    free = [layer.name for layer in layers if layer.sparsity is None]
    seconds = {name: np.array([timing.steps.get(name, 0.0) for timing in timings]) for name in free}
    rests = [timing.whole - sum(float(seconds[name][i]) for name in free) for i, timing in enumerate(timings)]
    return TimeTable(seconds, float(np.median(rests)), dense.whole)


def masked(
    model: Model, layers: Sequence[PrunableLayer], keys: Sequence[Matrix], block: int, sparsities: Sequence[float]
) -> Model:
    """A copy of `model` with the weights of `layers` that matter least removed, and nothing made up for.

    A layer's own sparsity goes before that of `sparsities`.
    """
    copied = model.copy()
    for layer, key, sparsity in zip(layers, keys, sparsities, strict=True):
        weights = layer.matrix()
        share = sparsity if layer.sparsity is None else layer.sparsity
        if share:
            mask = mask_from_keys(key, len(weights), block, round(weights.size * share))
            set_weights(copied.main.ops[layer.position], weights * mask)
    return copied
