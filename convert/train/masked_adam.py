"""Adam for pruned models: steps relative to each output channel's size, and none for weights that are masked out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.convert.prune.masks import Mask
from pocketgraph.convert.train.backend import tf

_BETA_1, _BETA_2, _TINY = 0.9, 0.99, 1e-8


class MaskedAdam:
    """Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1) on weights measured in units of `scales`.

    `scales[i]` broadcasts to variable i. A net with folded batch norm has channels of very different size; in units of
    their own size one learning rate fits all. `masks[i]` is None, or boolean of the variable's shape: where it is
    False the weight is zero and stays zero, and has no momentum.
    """

    def __init__(
        self, variables: Sequence[Any], scales: Sequence[npt.NDArray[Any]], masks: Sequence[Mask | None]
    ) -> None:
        self._variables = list(variables)
        self._scales = [tf.constant(scale, tf.float32) for scale in scales]
        self._masks = [
            None if mask is None else tf.Variable(mask.astype(np.float32), trainable=False) for mask in masks
        ]
        self._first = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self._variables]
        self._second = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self._variables]
        self._step = tf.Variable(0.0, trainable=False)

    def apply(self, gradients: Sequence[Any], rate: Any) -> None:
        """One step at learning rate `rate`; may be traced."""
        step = self._step.assign_add(1.0)
        correction_1, correction_2 = 1 - tf.pow(_BETA_1, step), 1 - tf.pow(_BETA_2, step)
        for variable, gradient, scale, mask, first, second in zip(
            self._variables, gradients, self._scales, self._masks, self._first, self._second, strict=True
        ):
            slope = gradient * scale if mask is None else gradient * scale * mask
            mean = first.assign(_BETA_1 * first + (1 - _BETA_1) * slope)
            square = second.assign(_BETA_2 * second + (1 - _BETA_2) * tf.square(slope))
            variable.assign_sub(rate * scale * (mean / correction_1) / (tf.sqrt(square / correction_2) + _TINY))

    def set_mask(self, index: int, mask: Mask) -> None:
        """Give variable `index` another mask: what goes or comes is zero and starts without momentum."""
        held = self._masks[index]
        if held is None:
            raise ValueError(f"variable {index} was given no mask to begin with")
        both = (held.numpy() * mask).astype(np.float32)
        held.assign(mask.astype(np.float32))
        for tensor in (self._variables[index], self._first[index], self._second[index]):
            tensor.assign(tensor * both)
