"""How far a student is from its teacher: outputs, and what the layers in between compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.convert.train.backend import tf
from pocketgraph.convert.train.tf_ops import rule
from pocketgraph.convert.train.trainable import Trainable
from pocketgraph.models.errors import GraphError
from pocketgraph.models.graph import Op, Tensor

Array = npt.NDArray[Any]
_CHUNK = 8
_SHAPERS = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")


class Distillation:
    """The distance between `student` and `teacher`, two versions of one model, on any inputs.

    Outputs: the mean over the graph's outputs of the squared error relative to the teacher's variance; of a softmax
    what goes into it is compared. Features: the same, averaged over every layer with weights (before its activation)
    that both models have under one name and shape; where a pass has reordered a layer's channels the two do not
    correlate and the layer is left out. `samples` `[N, …]` serve to measure the teacher's variances.

    `deviation` maps each of the student's layers that were measured to the standard deviation of its teacher's output
    channels.
    """

    def __init__(self, teacher: Trainable, student: Trainable, samples: Array) -> None:
        self._teacher, self._student = teacher, student
        results = list(zip(_results(teacher), _results(student), strict=False))
        if len(teacher.outputs) != len(student.outputs) or not results:
            raise GraphError(
                f"the pruned model has {len(student.outputs)} outputs, the dense one {len(teacher.outputs)};"
                " recovery needs two versions of one model"
            )
        for ours, theirs in zip(student.outputs, teacher.outputs, strict=True):
            if ours.shape != theirs.shape:
                raise GraphError(f"output {ours.name!r} has shape {list(ours.shape)}, dense {list(theirs.shape)}")
        named = {op.name: op for op in teacher.ops if rule(op).weights and op.kind != "PRELU"}
        layers = [(named[op.name], op) for op in student.ops if op.name in named and _alike(named[op.name], op)]
        pairs = results + layers
        moments = self._measure(pairs, samples)
        self._results = [(*pair, m.spread) for pair, m in zip(results, moments, strict=False)]
        kept = [(pair, m) for pair, m in zip(layers, moments[len(results) :], strict=True) if m.related]
        self._features = [(*pair, m.spread) for pair, m in kept]
        self.deviation: dict[Op, Array] = {pair[1]: m.deviation for pair, m in kept}

    def _measure(self, pairs: Sequence[tuple[Op, Op]], samples: Array) -> list[_Moments]:
        taps = [list(side) for side in zip(*pairs, strict=True)]

        def both(x: Any) -> tuple[list[Any], list[Any]]:
            return self._teacher.run(x, taps[0])[1], self._student.run(x, taps[1])[1]

        both = tf.function(both, autograph=False)
        moments = [_Moments() for _ in pairs]
        for start in range(0, len(samples), _CHUNK):
            for found, theirs, ours in zip(moments, *both(samples[start : start + _CHUNK]), strict=True):
                found.add(theirs.numpy(), ours.numpy())
        return moments

    def loss(self, x: Any, teacher: tuple[Sequence[Any], Sequence[Any]]) -> tuple[Any, Any]:
        """Distance of the outputs and of the features on `x`, given `answers(x)` of the teacher; may be traced."""
        taps = [ours for _, ours, _ in (*self._results, *self._features)]
        found = self._student.run(x, taps)[1]
        results, features = teacher
        count = len(self._results)
        return _distance(found[:count], results, self._results), _distance(found[count:], features, self._features)

    def answers(self, x: Any) -> tuple[Sequence[Any], Sequence[Any]]:
        """The teacher's outputs and features on `x`; may be traced."""
        found = self._teacher.run(x, [theirs for theirs, _, _ in (*self._results, *self._features)])[1]
        return found[: len(self._results)], found[len(self._results) :]


class _Moments:
    """Sums over samples of a teacher's and a student's layer, per channel (the last axis)."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: Array = np.zeros((5, 1))

    def add(self, theirs: Array, ours: Array) -> None:
        t = theirs.reshape(-1, theirs.shape[-1]).astype(np.float64)
        s = ours.reshape(-1, ours.shape[-1]).astype(np.float64)
        self._count += len(t)
        self._sums = self._sums + np.stack([v.sum(axis=0) for v in (t, s, t * t, s * s, t * s)])

    @property
    def _covariances(self) -> tuple[Array, Array, Array]:
        t, s, tt, ss, ts = self._sums / self._count
        return np.maximum(tt - t * t, 0), np.maximum(ss - s * s, 0), ts - t * s

    @property
    def deviation(self) -> Array:
        """The teacher's standard deviation per channel."""
        result: Array = np.sqrt(self._covariances[0])
        return result

    @property
    def spread(self) -> float:
        """The teacher's variance, averaged over channels; never quite zero, so that it may divide."""
        mean_square = float((self._sums[2] / self._count).mean())
        return float(self._covariances[0].mean()) + 1e-2 * mean_square + 1e-12

    @property
    def related(self) -> bool:
        """Whether the student's channels are the teacher's, in their order, as far as correlation tells."""
        own, others, joint = self._covariances
        steady = (own > 1e-12) & (others > 1e-12)
        if not steady.any():
            return False
        return float((joint[steady] / np.sqrt(own[steady] * others[steady])).mean()) > 0.1


def _alike(one: Op, other: Op) -> bool:
    return one.kind == other.kind and one.outputs[0].shape == other.outputs[0].shape


def _distance(found: Sequence[Any], wanted: Sequence[Any], pairs: Sequence[tuple[Op, Op, float]]) -> Any:
    parts = [tf.reduce_mean(tf.square(a - b)) / p[2] for a, b, p in zip(found, wanted, pairs, strict=True)]
    return tf.add_n(parts) / len(parts) if parts else tf.constant(0.0)


def _results(model: Trainable) -> list[Op]:
    """For each output the op to compare it by: its producer, or what is softmaxed and reshaped into it."""
    producers: dict[Tensor, Op] = {tensor: op for op in model.ops for tensor in op.outputs}
    found: list[Op] = []
    for output in model.outputs:
        op = producers.get(output)
        while op is not None and op.kind in (*_SHAPERS, "SOFTMAX") and op.inputs[0] in producers:
            op = producers[op.input(0)]
        if op is not None and len(op.outputs) == 1:
            found.append(op)
    return found
