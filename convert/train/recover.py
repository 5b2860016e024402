"""Fine-tunes a pruned model to the dense model's answers on inputs without labels; its zeros stay, or move by RigL.

With few inputs a model soon learns them by heart. Some are therefore kept out of training, and of the change that
training made only the share is kept that brings the outputs on those closest to the dense model's, or none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pocketgraph.convert.prune.masks import Mask
from pocketgraph.convert.train.augment import augment as vary
from pocketgraph.convert.train.backend import tf
from pocketgraph.convert.train.distill import Distillation
from pocketgraph.convert.train.masked_adam import MaskedAdam
from pocketgraph.convert.train.regrow import move_connections
from pocketgraph.convert.train.schedule import cosine_drop_fraction, cosine_rate
from pocketgraph.convert.train.tf_ops import rule
from pocketgraph.convert.train.trainable import Trainable
from pocketgraph.models.decompress import Decompress
from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import Model, Op, Tensor

Array = npt.NDArray[Any]
Progress = Callable[[int, int, float], None]
_MEASURED = 64
_KEPT_OUT = 8
"""One input in so many is kept out of training, where there are twice as many."""
_JUDGED = 8
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_SPARSE_FROM = 0.05
_MOVES = 15
_MOVE_UNTIL = 0.75
_ALPHA = 0.3
_FEATURES = 10.0
"""Weight of the features beside the outputs: with few pictures the outputs alone are learnt by heart."""


def _silent(_done: int, _total: int, _loss: float) -> None:
    """The progress of a caller who does not want any."""


@dataclass(frozen=True)
class Recovery:
    """The recovered `model`, and how it was judged.

    `before` and `after` are the squared error of the outputs relative to the dense outputs' variance on `inputs` inputs
    that training did not see, None where there were too few to keep any out. `share` is how much of the change that
    training made to the weights was kept, 0..1.
    """

    model: Model
    before: float | None = None
    after: float | None = None
    inputs: int = 0
    share: float = 1.0


def recover(
    dense: Model,
    pruned: Model,
    inputs: Array,
    steps: int,
    *,
    masks: Literal["fixed", "rigl"] = "fixed",
    learning_rate: float = 2e-3,
    batch: int = 16,
    augment: bool = True,
    block: int = 1,
    progress: Progress = _silent,
    seed: int = 0,
) -> Recovery:
    """A copy of `pruned`, trained for `steps` to compute what `dense` computes on variations of `inputs`.

    Parameters
    ----------
    dense, pruned
        The model before and after pruning, with one input. Layers are compared by name.
    inputs
        `[N, *input shape without its batch of one]`, as the model reads them; no labels. From 16 on every eighth is
        kept out of training to judge by.
    steps
        Training steps, each on `batch` inputs. 0 gives back `pruned`.
    masks
        `"fixed"`: what is zero in a kernel stays zero. `"rigl"`: of each sparse kernel connections are dropped and
        grown now and then (RigL, arXiv 1911.11134), their number stays.
    learning_rate
        In units of each output channel's own size, after warm-up; it falls along a cosine.
    augment
        Vary pictures (inputs `[N, h, w, 1 or 3]`): crop, flip, colour, mixing. Other inputs are used as they are.
    block
        Output channels that share one mask, for `"rigl"`.
    progress
        Called with steps done, steps in all and the loss (1 = as far off as a constant).

    Needs the extra `train`. The same seed gives the same result on the same machine up to the order of sums. Raises
    `UsageError` for inputs that do not fit, `UnsupportedError` for models that cannot be rebuilt (custom operators).
    """
    _check(dense, inputs, steps, masks, batch)
    dense, pruned = dense.copy(), pruned.copy()
    for model in (dense, pruned):
        Decompress()(model)
    if steps == 0:
        return Recovery(pruned)
    teacher, student = Trainable(dense), Trainable(pruned)
    rng = np.random.default_rng(seed)
    random = tf.random.Generator.from_seed(seed)
    inputs = np.asarray(inputs, np.float32)
    out = np.arange(len(inputs)) % _KEPT_OUT == _KEPT_OUT - 1
    if len(inputs) < 2 * _KEPT_OUT:
        out[:] = False
    judged, inputs = inputs[out], inputs[~out]
    start = [variable.numpy() for variable in student.variables.values()]
    chosen = np.sort(rng.permutation(len(inputs))[:_MEASURED])
    distillation = Distillation(teacher, student, inputs[chosen])
    weights = _Weights(student, distillation.deviation)
    pictures = augment and inputs.ndim == 4 and inputs.shape[-1] in (1, 3)
    low, high = float(inputs.min()), float(inputs.max())

    def gradients(x: Any) -> tuple[Any, list[Any]]:
        if pictures:
            x = vary(x, low, high, random)
        answers = distillation.answers(x)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights.variables)
            outputs, features = distillation.loss(x, answers)
            loss = outputs + _FEATURES * features
        return outputs, tape.gradient(loss, weights.variables, unconnected_gradients="zero")

    def train(x: Any, rate: Any) -> Any:
        loss, slopes = gradients(x)
        weights.optimizer.apply(slopes, rate)
        return loss

    train = tf.function(train, autograph=False)
    look = tf.function(gradients, autograph=False)
    every = max(1, round(steps * _MOVE_UNTIL / _MOVES))
    order = _endless(rng, len(inputs), steps * batch).reshape(steps, batch)
    for step in range(steps):
        x = tf.constant(inputs[order[step]])
        fraction = cosine_drop_fraction(step, _ALPHA, round(steps * _MOVE_UNTIL))
        if masks == "rigl" and step and step % every == 0 and fraction:
            loss, slopes = look(x)
            weights.move(slopes, fraction, block)
        else:
            rate = cosine_rate(step, steps, learning_rate, warmup=min(20, steps // 10))
            loss = train(x, tf.constant(rate, tf.float32))
        progress(step + 1, steps, float(loss))
    if not len(judged):
        return Recovery(student.model())
    shares = _SHARES if masks == "fixed" else (0.0, 1.0)  # between masks that moved lie weights of both
    errors = _keep_best_share(student, distillation, judged, start, shares)
    best = int(np.argmin(errors))
    return Recovery(student.model(), errors[0], errors[best], len(judged), shares[best])


def _keep_best_share(
    student: Trainable, distillation: Distillation, judged: Array, start: list[Array], shares: Sequence[float]
) -> list[float]:
    """Leave the student, trained from `start`, with the best of `shares` of its change; the error of each."""
    variables = list(student.variables.values())
    end = [variable.numpy() for variable in variables]

    def go(share: float) -> None:
        for variable, a, b in zip(variables, start, end, strict=True):
            variable.assign(b if share == 1 else a + np.float32(share) * (b - a))

    error = tf.function(lambda x: distillation.loss(x, distillation.answers(x))[0], autograph=False)
    parts = np.array_split(judged, -(-len(judged) // _JUDGED))
    errors = []
    for share in shares:
        go(share)
        total = sum(float(error(part)) * len(part) for part in parts) / len(judged)
        errors.append(total if np.isfinite(total) else np.inf)
    go(shares[int(np.argmin(errors))])
    return errors


class _Weights:
    """The student's variables, their scales and masks, and the optimiser over them."""

    def __init__(self, student: Trainable, deviation: dict[Op, Array]) -> None:
        scales: dict[Tensor, Array] = {}
        self._masks: dict[Tensor, Mask] = {}
        for op in student.ops:
            for index in rule(op).weights:
                tensor = op.inputs[index] if index < len(op.inputs) else None
                if tensor is None or tensor not in student.variables:
                    continue
                values = tensor.dense()
                scales[tensor] = _row_scale(op, tensor, values, deviation.get(op))
                if index == 1 and op.kind != "PRELU":
                    self._masks[tensor] = values != 0
        self._tensors = list(scales)
        self.variables = [student.variables[tensor] for tensor in self._tensors]
        self.optimizer = MaskedAdam(
            self.variables, list(scales.values()), [self._masks.get(tensor) for tensor in self._tensors]
        )

    def move(self, slopes: list[Any], fraction: float, block: int) -> None:
        """One RigL update of every kernel that is sparse."""
        for index, tensor in enumerate(self._tensors):
            mask = self._masks.get(tensor)
            if mask is None or mask.mean() > 1 - _SPARSE_FROM:
                continue
            rows = mask.shape[0]
            weights, slope = self.variables[index].numpy().reshape(rows, -1), slopes[index].numpy().reshape(rows, -1)
            after = move_connections(weights, mask.reshape(rows, -1), slope, fraction, block).reshape(mask.shape)
            self._masks[tensor] = after
            self.optimizer.set_mask(index, after)


def _row_scale(op: Op, tensor: Tensor, values: Array, deviation: Array | None) -> Array:
    """The unit a weight is trained in: for a kernel's row its root mean square, for a bias the output's deviation."""
    if tensor is op.inputs[1]:
        if op.kind == "PRELU":
            return np.full((1,) * values.ndim, 0.25)
        axes = tuple(range(values.ndim - 1)) if op.kind == "DEPTHWISE_CONV_2D" else tuple(range(1, values.ndim))
        count = np.maximum((values != 0).sum(axis=axes, keepdims=True), 1)
        size = np.sqrt(np.square(values, dtype=np.float64).sum(axis=axes, keepdims=True) / count)
        result: Array = np.maximum(size, 1e-3 * size.max() + 1e-12)
        return result
    if deviation is None:
        return np.full(values.shape, max(float(np.abs(values).mean()), 1e-6))
    return np.maximum(deviation, 1e-3 * deviation.max() + 1e-12)


def _endless(rng: np.random.Generator, count: int, length: int) -> npt.NDArray[np.int64]:
    """`length` indices below `count`: shuffles of all of them, one after the other."""
    rounds = -(-length // count)
    return np.concatenate([rng.permutation(count) for _ in range(rounds)])[:length]


def _check(dense: Model, inputs: Array, steps: int, masks: str, batch: int) -> None:
    if len(dense.main.inputs) != 1:
        raise UsageError(f"recovery trains models with one input, this one has {len(dense.main.inputs)}")
    tensor = dense.main.inputs[0]
    if inputs.shape[1:] != tensor.shape[1:] or len(inputs) == 0:
        raise UsageError(
            f"inputs have shape {list(inputs.shape)}; expected [N, {', '.join(map(str, tensor.shape[1:]))}]"
        )
    if steps < 0:
        raise UsageError(f"the number of steps is {steps}: give 0 or more")
    if batch < 1:
        raise UsageError(f"the batch is {batch}: give 1 or more")
    if masks not in ("fixed", "rigl"):
        raise UsageError(f"masks is {masks!r}: choose fixed or rigl")
