"""`prune_model`: one-shot pruning of a model, without training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from pocketgraph.convert.prune.budget import Budget
from pocketgraph.convert.prune.calibration import Calibration
from pocketgraph.convert.prune.clock import CLOCKS
from pocketgraph.convert.prune.config import PruneConfig
from pocketgraph.convert.prune.latency import LatencyProfile, check_budget, spend
from pocketgraph.convert.prune.layers import PrunableLayer, check_finite, prunable_layers
from pocketgraph.convert.prune.masks import Matrix
from pocketgraph.convert.prune.reestimate import set_weights
from pocketgraph.convert.prune.reorder import reorder
from pocketgraph.convert.prune.selection import choose_masks, layer_keys
from pocketgraph.convert.prune.sensitivity import LEVELS, sensitivities
from pocketgraph.convert.prune.timetable import TimeTable, time_table
from pocketgraph.convert.prune.walk import Walk, dense_hessians
from pocketgraph.models.decompress import Decompress
from pocketgraph.models.errors import UnsupportedError, UsageError
from pocketgraph.models.graph import Array, DType, Graph, Model, Tensor
from pocketgraph.runtime.litert import CUSTOM_OPS

Progress = Callable[[int, int, str], None]
_INTEGER = frozenset({DType.INT8, DType.UINT8, DType.INT16, DType.INT4})


@dataclass(frozen=True)
class LayerResult:
    """What became of one layer.

    `sparsity` is the fraction of zeros in its weights; `error` the squared error of its output before the activation
    function over the dense output's variance, on the calibration inputs, None where there were none.
    """

    name: str
    shape: tuple[int, ...]
    sparsity: float
    error: float | None


@dataclass(frozen=True)
class PruneResult:
    """The pruned model, its pruned layers in order, and a line for each group of channels that was reordered.

    `latency` says how a latency budget was spent, where there was one.
    """

    model: Model
    layers: list[LayerResult]
    notes: list[str] = field(default_factory=list)
    latency: LatencyProfile | None = None

    @property
    def sparsity(self) -> float:
        """The fraction of zeros over all pruned layers."""
        sizes = [math.prod(layer.shape) for layer in self.layers]
        zeros = sum(size * layer.sparsity for size, layer in zip(sizes, self.layers, strict=True))
        return zeros / max(1, sum(sizes))


def prune_model(
    model: Model,
    config: PruneConfig,
    calibration: Calibration | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    written: Callable[[Model], Model] = lambda model: model,
) -> PruneResult:
    """Remove weights of `model` as `config` says; what is left makes up for them. `model` itself stays as it is.

    The result holds its zeros in dense float32 constants: exporting stores them sparse. `progress(done, total, layer)`
    is called as layers are done. A latency is measured in an engine with so many `threads`, of what `written` makes of
    the pruned model. Raises `UsageError` where calibration inputs are needed and absent, a glob matches no layer, or a
    latency cannot be reached or is kept already, `UnsupportedError` for a fully integer model, one with custom ops that
    would have to run, or one whose weights are not numbers.
    """
    if config.needs_calibration and not calibration:
        how = "to a latency" if config.latency else f"by {config.method}"
        again = " with re-estimation" if config.reestimate and not config.latency else ""
        raise UsageError(f"pruning {how}{again} needs calibration inputs")
    pruned = model.copy()
    Decompress()(pruned)
    graph = pruned.main
    check_finite(graph)
    _check_runs(graph, needed=config.needs_calibration)
    layers = prunable_layers(graph, config.layers)
    notes = _reorder(graph, layers, config)
    tell = progress or _silent
    if calibration is None:
        masks = choose_masks(layers, [layer_keys(layer, config, None) for layer in layers], config)
        for layer, mask in zip(layers, masks, strict=True):
            set_weights(layer.op, layer.matrix() * mask)
        errors: dict[int, float] = {}
        latency = None
    else:
        errors, latency = _with_inputs(pruned, layers, config, calibration, tell, threads, written)
    tell(1, 1, "done")
    found = [_result(layer, errors.get(layer.position)) for layer in layers]
    return PruneResult(pruned, found, notes, latency)


def _with_inputs(
    pruned: Model,
    layers: list[PrunableLayer],
    config: PruneConfig,
    calibration: Calibration,
    tell: Progress,
    threads: int,
    written: Callable[[Model], Model],
) -> tuple[dict[int, float], LatencyProfile | None]:
    """Choose masks and walk the model with them; each layer's error, and how a latency budget was spent."""
    dense = pruned.copy().main
    inputs = _inputs(dense, calibration)
    budget = config.budget
    table = None if budget is None else _timed(pruned, layers, config, budget, tell, threads)
    free = [layer for layer in layers if layer.sparsity is None] if config.measures_errors else []
    total = 2 * len(layers) + len(free)
    done = 0

    def begin(layer: PrunableLayer) -> None:
        nonlocal done
        tell(done, total, layer.name)
        done += 1

    hessians: Iterator[Matrix | None] = iter([None] * len(layers))
    if config.method == "obc":
        hessians = dense_hessians(dense, inputs, [layer.position for layer in layers])
    keys = []
    for layer, hessian in zip(layers, hessians, strict=True):
        begin(layer)
        keys.append(layer_keys(layer, config, hessian))
    errors = sensitivities(pruned.main, _inputs(pruned.main, calibration), free, config, begin) if free else {}
    latency = None
    if budget is not None and table is not None:
        latency = spend(
            pruned,
            layers,
            keys,
            errors,
            table,
            budget,
            block=config.block,
            engine=config.engine,
            threads=threads,
            clock=CLOCKS[config.engine](threads),
            begin=lambda what: tell(done, total, what),
            written=written,
        )
    masks = choose_masks(layers, keys, config, (LEVELS, errors))
    by_position = {layer.position: layer for layer in layers}
    walk = Walk(dense, pruned.main, inputs, fit=config.method == "obc", reestimate=config.reestimate)
    by_mask = {layer.position: mask for layer, mask in zip(layers, masks, strict=True)}
    return walk.run(by_mask, lambda position: begin(by_position[position])), latency


def _timed(
    model: Model, layers: list[PrunableLayer], config: PruneConfig, budget: Budget, tell: Progress, threads: int
) -> TimeTable:
    """What layers take in the engine, for a budget that can be kept. Which weights go hardly matters to that: the
    smallest do."""
    plain = replace(config, method="magnitude")
    keys = [layer_keys(layer, plain, None) for layer in layers]
    clock = CLOCKS[config.engine](threads)
    table = time_table(
        model, layers, keys, config.block, clock, lambda done, total: tell(done, total, f"timing in {config.engine}")
    )
    check_budget(budget, table, f"in the engine {config.engine} with {threads} thread{'s' * (threads > 1)} here")
    return table


def _reorder(graph: Graph, layers: list[PrunableLayer], config: PruneConfig) -> list[str]:
    """Bring channels that would lose the same weights together before their blocks get a common mask."""
    if config.block == 1 or not config.reorder:
        return []
    alone = replace(config, pattern="1x1", method="magnitude")
    masks = choose_masks(layers, [layer_keys(layer, alone, None) for layer in layers], alone)
    moved = reorder(graph, {layer.op: mask for layer, mask in zip(layers, masks, strict=True)}, config.block)
    return [
        f"{op.name}: channels reordered, {config.pattern} blocks {before:.1%} -> {after:.1%} alike"
        for op, (before, after) in moved.items()
    ]


def _result(layer: PrunableLayer, error: float | None) -> LayerResult:
    weights = layer.matrix()
    sparsity = float(np.count_nonzero(weights == 0) / max(1, weights.size))
    return LayerResult(layer.name, layer.weight.shape, sparsity, error)


def _inputs(graph: Graph, calibration: Calibration) -> dict[Tensor, Array]:
    missing = [t.name for t in graph.inputs if t.name not in calibration.inputs]
    if missing:
        raise UsageError(
            f"the calibration inputs are for {', '.join(map(repr, calibration.inputs))}:"
            f" the model reads {', '.join(repr(t.name) for t in graph.inputs)}"
        )
    return {t: calibration.inputs[t.name] for t in graph.inputs}


def _check_runs(graph: Graph, *, needed: bool) -> None:
    """Refuse what pruning cannot handle, with what to do instead."""
    custom = sorted({op.custom_code for op in graph.ops if op.kind == "CUSTOM"} - CUSTOM_OPS)
    if custom and needed:
        raise UnsupportedError(
            f"the model has custom ops ({', '.join(custom)}), which cannot be run to calibrate it:"
            " prune by magnitude without re-estimation"
        )
    kinds = [op.input(1).dtype for op in graph.ops if op.kind in ("CONV_2D", "FULLY_CONNECTED") and len(op.inputs) > 1]
    if kinds and all(kind in _INTEGER for kind in kinds):
        raise UnsupportedError(
            "the model computes in integers: prune the float model it was quantised from, or turn it into one first"
            " with the pass Dequantize"
        )


def _silent(_done: int, _total: int, _layer: str) -> None:
    """Progress that nobody watches."""
