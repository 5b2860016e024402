"""`prune_model`: one-shot pruning of a model, without training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pocketgraph.convert.passes.decompress import Decompress
from pocketgraph.convert.prune.calibration import Calibration
from pocketgraph.convert.prune.config import PruneConfig
from pocketgraph.convert.prune.layers import PrunableLayer, check_finite, prunable_layers
from pocketgraph.convert.prune.masks import Mask, block_fill
from pocketgraph.convert.prune.reestimate import set_weights
from pocketgraph.convert.prune.selection import choose_masks, layer_keys
from pocketgraph.convert.prune.walk import Walk, dense_hessians
from pocketgraph.models.errors import UnsupportedError, UsageError
from pocketgraph.models.graph import DType, Graph, Model
from pocketgraph.runtime.litert import CUSTOM_OPS

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class LayerResult:
    """What became of one layer.

    `sparsity` is the fraction of zeros in its weights, `fill` how full its blocks are (1.0 for the pattern 1x1),
    `error` the squared error of its output before the activation function over the dense output's variance, on the
    calibration inputs; None where there were none.
    """

    name: str
    shape: tuple[int, ...]
    sparsity: float
    fill: float
    error: float | None


@dataclass(frozen=True)
class PruneResult:
    """The pruned model and its pruned layers in order."""

    model: Model
    layers: list[LayerResult]

    @property
    def sparsity(self) -> float:
        """The fraction of zeros over all pruned layers."""
        sizes = [np.prod(layer.shape) for layer in self.layers]
        zeros = sum(size * layer.sparsity for size, layer in zip(sizes, self.layers, strict=True))
        return float(zeros / sum(sizes)) if sizes else 0.0


def prune_model(
    model: Model, config: PruneConfig, calibration: Calibration | None = None, progress: Progress | None = None
) -> PruneResult:
    """Remove weights of `model` as `config` says; what is left makes up for them. `model` itself stays as it is.

    The result holds its zeros in dense float32 constants: exporting stores them sparse. `progress(done, total, layer)`
    is called as layers are done. Raises `UsageError` where calibration inputs are needed and absent or a glob matches
    no layer, `UnsupportedError` for a fully integer model, one with custom ops that would have to run, or one whose
    weights are not numbers.
    """
    if config.needs_calibration and (calibration is None or not len(calibration)):
        raise UsageError(
            f"pruning by {config.method}{' with re-estimation' if config.reestimate else ''} needs calibration inputs"
        )
    pruned = model.copy()
    Decompress()(pruned)
    graph = pruned.main
    check_finite(graph)
    _check_runs(graph, needed=config.needs_calibration)
    layers = prunable_layers(graph, config.layers)
    tell = progress or (lambda done, total, text: None)
    total = 2 * len(layers)
    dense = pruned.copy()
    hessians = iter([None] * len(layers))
    inputs = {} if calibration is None else _inputs(dense.main, calibration)
    if config.method == "obc":
        hessians = dense_hessians(
            dense.main,
            {t: inputs[t.name] for t in dense.main.inputs},
            [PrunableLayer(dense.main.ops[p.position], p.position) for p in layers],
        )
    keys = []
    for number, (layer, hessian) in enumerate(zip(layers, hessians, strict=True)):
        tell(number, total, layer.name)
        keys.append(layer_keys(layer, config, hessian))
    masks = choose_masks(layers, keys, config)
    by_position = {layer.position: mask for layer, mask in zip(layers, masks, strict=True)}
    errors: dict[int, float] = {}
    if calibration is None:
        for layer, mask in zip(layers, masks, strict=True):
            set_weights(layer.op, layer.matrix() * mask)
    else:
        names = {layer.position: (number, layer.name) for number, layer in enumerate(layers)}
        walk = Walk(dense.main, graph, inputs, fit=config.method == "obc", reestimate=config.reestimate)

        def done(position: int) -> None:
            number, name = names[position]
            tell(len(layers) + number, total, name)

        errors = walk.run(by_position, done)
    tell(total, total, "done")
    return PruneResult(
        pruned, [_result(p, m, config, errors.get(p.position)) for p, m in zip(layers, masks, strict=True)]
    )


def _result(layer: PrunableLayer, mask: Mask, config: PruneConfig, error: float | None) -> LayerResult:
    weights = layer.matrix()
    sparsity = float(np.count_nonzero(weights == 0) / max(1, weights.size))
    return LayerResult(layer.name, layer.weight.shape, sparsity, block_fill(mask, config.block), error)


def _inputs(graph: Graph, calibration: Calibration) -> dict[str, np.ndarray]:
    missing = [t.name for t in graph.inputs if t.name not in calibration.inputs]
    if missing:
        raise UsageError(
            f"the calibration inputs are for {', '.join(map(repr, calibration.inputs))}:"
            f" the model reads {', '.join(repr(t.name) for t in graph.inputs)}"
        )
    return calibration.inputs


def _check_runs(graph: Graph, *, needed: bool) -> None:
    """Refuse what pruning cannot handle, with what to do instead."""
    custom = sorted({op.custom_code for op in graph.ops if op.kind == "CUSTOM"} - CUSTOM_OPS)
    if custom and needed:
        raise UnsupportedError(
            f"the model has custom ops ({', '.join(custom)}), which cannot be run to calibrate it:"
            " prune by magnitude without re-estimation"
        )
    weights = [op.input(1) for op in graph.ops if op.kind in ("CONV_2D", "FULLY_CONNECTED") and len(op.inputs) > 1]
    integer = {DType.INT8, DType.UINT8, DType.INT16, DType.INT4}
    if weights and all(w.dtype in integer for w in weights):
        raise UnsupportedError(
            "the model computes in integers: prune the float model it was quantised from, or turn it into one first"
            " with the pass Dequantize"
        )
