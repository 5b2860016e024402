"""How far off a model's outputs are when one of its layers alone is pruned: what a measured distribution rests on.

Half of the inputs choose and fit what stays of a layer, the other half tell what that does to the outputs. On the
inputs it was fitted to, a wide layer with few samples looks as if it could lose nearly everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pocketgraph.convert.prune.activations import Activations
from pocketgraph.convert.prune.config import PruneConfig
from pocketgraph.convert.prune.damping import MODERATE
from pocketgraph.convert.prune.layers import PrunableLayer
from pocketgraph.convert.prune.masks import Matrix, mask_from_keys
from pocketgraph.convert.prune.moments import Moments, samples_of
from pocketgraph.convert.prune.obc import reconstruct
from pocketgraph.convert.prune.reestimate import bias_of, restoring_scale, set_bias, set_weights
from pocketgraph.convert.prune.selection import layer_keys
from pocketgraph.convert.prune.walk import samples_needed
from pocketgraph.models.graph import Array, Graph, Tensor

LEVELS = (0.35, 0.55, 0.75, 0.9)
"""The sparsities at which each layer is tried."""
_CHECKED = 128
_SHAPERS = frozenset({"RESHAPE", "SQUEEZE", "SOFTMAX"})


def sensitivities(
    graph: Graph,
    inputs: Mapping[Tensor, Array],
    layers: Sequence[PrunableLayer],
    config: PruneConfig,
    begin: Callable[[PrunableLayer], None],
) -> dict[PrunableLayer, Matrix]:
    """For each of `layers` (in order) the error at each of `LEVELS`: of the outputs, relative to their variance.

    `inputs` maps the inputs of `graph` to samples; the graph is as it was when this returns. The error of a softmax is
    that of what goes into it. With a single sample the two halves are the same.
    """
    samples = len(next(iter(inputs.values())))
    first, second = (slice(0, None, 2), slice(1, None, 2)) if samples > 1 else (slice(None), slice(None))
    tuned = Activations(graph, {tensor: array[first] for tensor, array in inputs.items()})
    checked = Activations(graph, {tensor: array[second][:_CHECKED] for tensor, array in inputs.items()})
    outputs = list(dict.fromkeys(_answer(graph, output) for output in graph.outputs))
    wanted = _values(checked, outputs)
    found: dict[PrunableLayer, Matrix] = {}
    for layer in layers:
        begin(layer)
        tuned.advance(layer.position)
        checked.advance(layer.position)
        found[layer] = _one(layer, config, _moments(tuned, layer), lambda: _error(_values(checked, outputs), wanted))
    return found


def _one(layer: PrunableLayer, config: PruneConfig, moments: Moments, error: Callable[[], float]) -> Matrix:
    """`error()` with the layer pruned to each of `LEVELS`."""
    op, weights, hessian = layer.op, layer.matrix().astype(np.float64), moments.hessian
    keys = layer_keys(layer, config, hessian if config.method == "obc" else None)
    variance = np.einsum("ij,jk,ik->i", weights, hessian, weights, optimize=True)
    bias, before = bias_of(op), list(op.inputs)
    errors = []
    for level in LEVELS:
        mask = mask_from_keys(keys, len(weights), config.block, round(weights.size * level))
        fitted = reconstruct(weights, mask, hessian, damping=MODERATE) if config.method == "obc" else weights * mask
        if config.reestimate:
            left = np.einsum("ij,jk,ik->i", fitted, hessian, fitted, optimize=True)
            fitted *= restoring_scale(variance, left, moments.count)[:, None]
        set_weights(op, fitted)
        set_bias(op, bias + (weights - fitted) @ moments.mean_x)
        errors.append(error())
        op.inputs[:] = before
    return np.array(errors)


def _moments(activations: Activations, layer: PrunableLayer) -> Moments:
    inputs = layer.weight.size // layer.weight.shape[0]
    x, moments = layer.op.input(0), Moments(inputs)
    for _, values in activations.chunks([x], samples=samples_needed(layer.op, inputs)):
        moments.add(samples_of(layer.op, values[x]))
    return moments


def _answer(graph: Graph, output: Tensor) -> Tensor:
    """What goes into the softmax that makes `output`, or `output` itself."""
    producers = graph.producers()
    tensor = output
    while (op := producers.get(tensor)) is not None and op.kind in _SHAPERS:
        tensor = op.input(0)
        if op.kind == "SOFTMAX":
            return tensor
    return output


def _values(activations: Activations, tensors: Sequence[Tensor]) -> list[Matrix]:
    """`tensors` on all samples, each `[samples, size]`."""
    parts = [[values[t].reshape(-1, t.size) for t in tensors] for _, values in activations.chunks(tensors)]
    return [np.concatenate(column).astype(np.float64) for column in zip(*parts, strict=True)]


def _error(found: Sequence[Matrix], wanted: Sequence[Matrix]) -> float:
    """The mean over the outputs of the squared error over the variance."""
    errors = [np.square(a - b).mean() / max(float(b.var()), 1e-30) for a, b in zip(found, wanted, strict=True)]
    return float(np.nan_to_num(np.mean(errors), nan=1e30, posinf=1e30))
