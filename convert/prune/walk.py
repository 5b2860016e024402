"""The walk through a model that is being pruned: each layer is fitted to what the dense model computes at that place.

Two copies of the model are walked side by side, dense and pruned. A pruned layer sees the inputs that the pruned layers
above it really produce and is fitted to the outputs of the dense model, so errors do not pile up. Where its output is
added to a shortcut, it is fitted to what the sum needs: it makes up for the error of the shortcut too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from pocketgraph.convert.prune.activations import Activations, probe
from pocketgraph.convert.prune.damping import choose_damping
from pocketgraph.convert.prune.masks import Mask
from pocketgraph.convert.prune.moments import Matrix, Moments, samples_of
from pocketgraph.convert.prune.obc import reconstruct
from pocketgraph.convert.prune.reestimate import (
    KINDS,
    bias_of,
    channels,
    rescale,
    restoring_scale,
    set_bias,
    set_weights,
)
from pocketgraph.models.graph import Array, Graph, Op, Tensor

_LEAST_SAMPLES = 64
_ROWS = 100_000
_ROWS_PER_INPUT = 60


def samples_needed(op: Op, inputs: int) -> int:
    """How many samples give enough rows for a layer with `inputs` inputs at each of its output positions."""
    positions = max(1, int(np.prod(op.outputs[0].shape[:-1])))
    return max(_LEAST_SAMPLES, -(-max(_ROWS, _ROWS_PER_INPUT * inputs) // positions))


def dense_hessians(graph: Graph, inputs: Mapping[Tensor, Array], positions: Sequence[int]) -> Iterator[Matrix]:
    """The Hessian of the layers at `positions` (ascending) of the dense graph, one after the other."""
    activations = Activations(graph, inputs)
    for position in positions:
        activations.advance(position)
        op = graph.ops[position]
        x, weight = op.input(0), op.input(1)
        moments = Moments(weight.size // weight.shape[0])
        for _, values in activations.chunks([x], samples=samples_needed(op, weight.size // weight.shape[0])):
            moments.add(samples_of(op, values[x]))
        yield moments.hessian


class Walk:
    """Walks `dense` and its copy `pruned`, whose ops correspond one to one, and changes the constants of `pruned`."""

    def __init__(
        self, dense: Graph, pruned: Graph, inputs: Mapping[Tensor, Array], *, fit: bool, reestimate: bool
    ) -> None:
        self._dense = Activations(dense, inputs)
        self._pruned = Activations(
            pruned, {new: inputs[old] for old, new in zip(dense.inputs, pruned.inputs, strict=True)}
        )
        self._fit = fit
        self._reestimate = reestimate

    def run(self, masks: Mapping[int, Mask], begin: Callable[[int], None]) -> dict[int, float]:
        """Prune the ops at the positions of `masks`; re-estimate what follows. Returns each layer's relative error."""
        errors: dict[int, float] = {}
        for position, op in enumerate(self._dense.graph.ops):
            if position in masks:
                self._dense.advance(position)
                self._pruned.advance(position)
                begin(position)
                errors[position] = self._prune(position, masks[position])
            elif errors and self._reestimate and op.kind in KINDS and _has_own_constants(op):
                self._dense.advance(position)
                self._pruned.advance(position)
                self._restore(position)
        return errors

    def _prune(self, position: int, mask: Mask) -> float:
        op = self._pruned.graph.ops[position]
        weights = op.input(1).dense().reshape(mask.shape).astype(np.float64)
        halves, variance = self._moments(position, mask.shape)
        moments = Moments(mask.shape[1], mask.shape[0])
        for half in halves:
            moments.merge(half)
        hessian = moments.hessian
        if self._fit:
            fitted = reconstruct(weights, mask, hessian, moments.cross, choose_damping(weights, mask, halves))
        else:
            fitted = weights * mask
        found = np.einsum("ij,jk,ik->i", fitted, hessian, fitted, optimize=True)
        bias = moments.mean_y - fitted @ moments.mean_x if self._fit or self._reestimate else bias_of(op)
        if self._reestimate:
            scale = restoring_scale(variance, found, moments.count)
            fitted *= scale[:, None]
            bias = moments.mean_y - fitted @ moments.mean_x
        set_weights(op, fitted)
        set_bias(op, bias)
        offset = moments.mean_y - fitted @ moments.mean_x - bias
        both = np.einsum("ij,jk,ik->i", fitted, hessian, fitted, optimize=True)
        error = moments.variance_y + both - 2 * (fitted * moments.cross).sum(axis=1) + offset**2
        return float(max(error.sum(), 0.0) / max(moments.variance_y.sum(), 1e-30))

    def _moments(self, position: int, shape: tuple[int, int]) -> tuple[list[Moments], Matrix]:
        """What the layer reads and is to compute, on every other sample and on those in between; and the variance of
        what the dense layer computes by itself."""
        dense, pruned = self._dense.graph.ops[position], self._pruned.graph.ops[position]
        before = probe(dense)
        target, x = before.outputs[0], pruned.input(0)
        shortcut = self._shortcut(position)
        halves = [Moments(shape[1], shape[0]) for _ in range(2)]
        own = np.zeros((2, shape[0]))
        count = samples_needed(dense, shape[1])
        wanted = self._dense.chunks([target, *shortcut[:1]], [before], count)
        seen = self._pruned.chunks([x, *shortcut[1:]], samples=count)
        for (_, a), (_, b) in zip(wanted, seen, strict=True):
            y = a[target] + (a[shortcut[0]] - b[shortcut[1]]) if shortcut else a[target]
            for which, half in enumerate(halves):
                half.add(samples_of(pruned, b[x][which::2]), y[which::2].reshape(-1, shape[0]))
            alone = a[target].reshape(-1, shape[0]).astype(np.float64)
            own += [alone.sum(axis=0), np.square(alone).sum(axis=0)]
        mean, square = own / sum(half.count for half in halves)
        return halves, np.maximum(square - mean**2, 0)

    def _shortcut(self, position: int) -> list[Tensor]:
        """What the op's output is added to and nothing else reads, in the dense and the pruned graph, or nothing."""
        ops = self._dense.graph.ops
        op = ops[position]
        output = op.outputs[0]
        readers = [i for i, o in enumerate(ops) if output in o.inputs]
        if op.attrs.get("fused_activation_function", "NONE") != "NONE" or len(readers) != 1:
            return []
        add = ops[readers[0]]
        others = [i for i, t in enumerate(add.inputs) if t is not output]
        if add.kind != "ADD" or len(others) != 1 or output in self._dense.graph.outputs:
            return []
        other = add.input(others[0])
        known = set(self._dense.graph.inputs).union(*(o.outputs for o in ops[:position]))
        if other not in known or other.shape != output.shape:
            return []
        return [other, self._pruned.graph.ops[readers[0]].input(others[0])]

    def _restore(self, position: int) -> None:
        dense, pruned = self._dense.graph.ops[position], self._pruned.graph.ops[position]
        size = channels(dense)
        count = samples_needed(dense, 1)
        sums = []
        rows = 0
        for activations, op in ((self._dense, dense), (self._pruned, pruned)):
            before = probe(op)
            total = np.zeros((2, size))
            rows = 0
            for _, values in activations.chunks(before.outputs, [before], count):
                y = values[before.outputs[0]].reshape(-1, size).astype(np.float64)
                total += [y.sum(axis=0), np.square(y).sum(axis=0)]
                rows += len(y)
            sums.append(total / rows)
        (mean, square), (mean_now, square_now) = sums
        scale = restoring_scale(square - mean**2, square_now - mean_now**2, rows)
        rescale(pruned, scale, mean - scale * mean_now)


def _has_own_constants(op: Op) -> bool:
    weight = op.input(1)
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    return weight.is_constant and (bias is None or bias.is_constant)
