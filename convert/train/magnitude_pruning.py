"""`MagnitudePruning`: a Keras 3 callback that raises a model's sparsity step by step while it trains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pocketgraph.convert.prune.masks import Mask
from pocketgraph.convert.train.kernels import Array, Kernel, check_sparsity, find_kernels
from pocketgraph.convert.train.mask_callback import MaskCallback
from pocketgraph.convert.train.schedule import polynomial_sparsity
from pocketgraph.models.errors import UsageError


class MagnitudePruning(MaskCallback):
    """Prune the weights of smallest magnitude, more and more of them (Zhu and Gupta, arXiv 1710.01878).

    Batches are counted from 1. At batch `begin_step` and every `frequency` batches until `end_step` each kernel's mask
    is set anew, before the batch, so that the sparsity follows `final + (initial - final) * (1 - progress) ** power`;
    in between and after it masks stay. Between two such batches pruned weights are zero whenever they can be seen. The
    masks equal those of tensorflow-model-optimization's `PolynomialDecay` on a tf-keras twin, which lets a pruned
    weight come back where its last update before a change of masks made it large enough; so does this.

    Parameters
    ----------
    initial_sparsity, final_sparsity
        Fraction of each kernel's weights removed at first and in the end, 0 to below 1.
    begin_step, end_step
        First and last batch that changes masks.
    frequency, power
        Batches between changes; exponent of the ramp.
    block
        `(inputs, outputs)` that share one mask, by the mean of their magnitudes: `(1, 4)` is pattern 4x1 of the
        command line. A kernel counts as a matrix [kernel positions * inputs, outputs]; its last blocks are smaller
        where they do not divide it (tfmot takes the means of shifted blocks there).
    layers
        Glob over layer names -> final sparsity of what it matches; 0 keeps a layer dense. By default every dense and
        every convolution layer, depthwise ones excepted, is pruned.
    state
        A file that keeps step and masks between runs, see `MaskCallback`.

    Use: `model.fit(x, y, callbacks=[MagnitudePruning(0.0, 0.8, begin_step=200, end_step=2000)])`.
    """

    def __init__(
        self,
        initial_sparsity: float,
        final_sparsity: float,
        begin_step: int,
        end_step: int,
        frequency: int = 100,
        power: float = 3,
        block: tuple[int, int] = (1, 1),
        layers: Mapping[str, float] | None = None,
        state: str | Path | None = None,
    ) -> None:
        super().__init__(state)
        check_sparsity("initial_sparsity", initial_sparsity)
        check_sparsity("final_sparsity", final_sparsity)
        for glob, value in (layers or {}).items():
            check_sparsity(f"sparsity of {glob!r}", value)
        if not 0 <= begin_step < end_step:
            raise UsageError(f"steps {begin_step} to {end_step}: begin_step is to be 0 or more and below end_step")
        if frequency < 1 or min(block) < 1:
            raise UsageError(f"frequency {frequency} and block {block}: give 1 or more")
        self._initial, self._final = initial_sparsity, final_sparsity
        self._begin, self._end, self._frequency, self._power = begin_step, end_step, frequency, power
        self._block = block
        self._layers = dict(layers or {})
        self._withheld: list[Array] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        if self.kernels:
            return
        kernels = [k for k in find_kernels(self.model, self._final, self._layers) if k.sparsity > 0]
        self.begin(kernels, [np.ones(kernel.shape, bool) for kernel in kernels])
        self.apply_masks()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        self.step += 1
        if self._changes(self.step):
            self._update()
        self._withheld = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        if self._changes(self.step + 1):
            self._withheld = [kernel.variable.numpy() for kernel in self.kernels]
        self.apply_masks()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._withheld = None
        super().on_epoch_end(epoch, logs)

    def _changes(self, step: int) -> bool:
        return self._begin <= step <= self._end and (step - self._begin) % self._frequency == 0

    def _update(self) -> None:
        for index, (kernel, mask) in enumerate(zip(self.kernels, self._masks, strict=True)):
            weights = kernel.variable.numpy() if self._withheld is None else self._withheld[index]
            sparsity = polynomial_sparsity(
                self.step, min(self._initial, kernel.sparsity), kernel.sparsity, self._begin, self._end, self._power
            )
            kept = magnitude_mask(kernel, weights, sparsity, self._block)
            mask.assign(kept.astype(np.float32))
            kernel.variable.assign(weights * kept)


def magnitude_mask(kernel: Kernel, weights: Array, sparsity: np.float32, block: tuple[int, int]) -> Mask:
    """Which of `weights` stay at `sparsity`: at least one, and all that tie with the smallest of those kept."""
    magnitude = np.abs(weights)
    if block == (1, 1):
        return _largest(magnitude, sparsity)
    matrix = magnitude.reshape(-1, kernel.shape[-1])
    pooled = _pool(_pool(matrix, block[0]).T, block[1]).T
    kept = _largest(pooled, sparsity).repeat(block[0], axis=0).repeat(block[1], axis=1)
    return kept[: matrix.shape[0], : matrix.shape[1]].reshape(kernel.shape)


def _largest(magnitude: Array, sparsity: np.float32) -> Mask:
    kept = int(max(np.round(np.float32(magnitude.size) * (np.float32(1) - sparsity)), 1))
    threshold = np.partition(magnitude, magnitude.size - kept, axis=None)[magnitude.size - kept]
    mask: Mask = magnitude >= threshold
    return mask


def _pool(matrix: Array, size: int) -> Array:
    """The mean of every `size` rows, of fewer in the last group."""
    starts = np.arange(0, len(matrix), size)
    counts = np.diff(np.append(starts, len(matrix)))[:, None].astype(matrix.dtype)
    pooled: Array = np.add.reduceat(matrix, starts, axis=0) / counts
    return pooled
