"""`RigL`: a Keras 3 callback that trains a sparse model from the start, moving its connections as it learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pocketgraph.convert.prune.distribution import erk, uniform
from pocketgraph.convert.prune.masks import Mask, block_sizes, expand
from pocketgraph.convert.train.backend import tf
from pocketgraph.convert.train.kernels import Kernel, check_sparsity, find_kernels
from pocketgraph.convert.train.mask_callback import MaskCallback
from pocketgraph.convert.train.regrow import move_connections
from pocketgraph.convert.train.schedule import cosine_drop_fraction
from pocketgraph.models.errors import UsageError


class RigL(MaskCallback):
    """Sparse training with moving connections (Evci et al., "Rigging the Lottery", arXiv 1911.11134).

    Training starts with random masks. Every `delta_t` batches, until `end_fraction` of the training is over, a batch
    does not update the weights but moves connections: in each kernel the share `alpha / 2 * (1 + cos(pi t / T_end))` of
    the weights of smallest magnitude is dropped, and as many grow where the gradient of that batch, taken for all
    weights, is largest. What grows starts at zero and without momentum; the optimizer's gradients of what is not
    connected are zero. The number of connections of a kernel never changes.

    Parameters
    ----------
    sparsity
        Fraction of the weights removed, 0 to below 1.
    distribution
        `"uniform"`: every kernel the same, the first one dense. `"erk"`: Erdos-Renyi kernel, small layers denser (more
        accurate, and about twice the work at equal size).
    delta_t, alpha, end_fraction
        Batches between moves, share of connections moved at first, share of the training after which masks stay.
        `alpha=0` never moves them: the fixed random mask, which is the baseline.
    block
        Output channels that share one mask.
    layers
        Glob over layer names -> sparsity of what it matches, beside the distribution; 0 keeps a layer dense.
    total_steps
        Batches of the whole training; needed only where `fit` cannot know (a generator of unknown length).
    seed
        Of the first masks.
    state
        A file that keeps step and masks between runs, see `MaskCallback`.

    Use: `model.fit(x, y, epochs=20, callbacks=[RigL(0.9)])`, with any optimizer that keeps one slot a weight.
    """

    def __init__(
        self,
        sparsity: float,
        distribution: Literal["uniform", "erk"] = "uniform",
        delta_t: int = 100,
        alpha: float = 0.3,
        end_fraction: float = 0.75,
        block: int = 1,
        layers: Mapping[str, float] | None = None,
        total_steps: int | None = None,
        seed: int = 0,
        state: str | Path | None = None,
    ) -> None:
        super().__init__(state)
        check_sparsity("sparsity", sparsity)
        for glob, value in (layers or {}).items():
            check_sparsity(f"sparsity of {glob!r}", value)
        if distribution not in ("uniform", "erk"):
            raise UsageError(f"distribution is {distribution!r}: choose uniform or erk")
        if delta_t < 1 or block < 1:
            raise UsageError(f"delta_t {delta_t} and block {block}: give 1 or more")
        if not 0 <= alpha <= 1 or not 0 <= end_fraction <= 1:
            raise UsageError(f"alpha {alpha} and end_fraction {end_fraction}: give fractions from 0 to 1")
        self._sparsity, self._distribution, self._layers = sparsity, distribution, dict(layers or {})
        self._delta_t, self._alpha, self._end_fraction = delta_t, alpha, end_fraction
        self._block, self._total, self._seed = block, total_steps, seed
        self._gradients: list[Any] = []
        self._looks = False
        self._functions: list[Any] = []

    @property
    def end_step(self) -> int:
        """The batch from which on masks stay."""
        total = self._total
        if total is None:
            epochs, steps = self.params.get("epochs"), self.params.get("steps")
            if not epochs or not steps:
                raise UsageError("the length of the training is not known: give RigL total_steps")
            total = epochs * steps
        return int(total * self._end_fraction)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        if not self.kernels:
            kernels = self._plan()
            rng = np.random.default_rng(self._seed)
            self.begin(kernels, [self._first_mask(kernel, rng) for kernel in kernels])
            self._gradients = [tf.Variable(tf.zeros(kernel.shape), trainable=False) for kernel in kernels]
        self.apply_masks()
        self._hook()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        due = self.step > 0 and self.step % self._delta_t == 0 and self.step < self.end_step
        self._looks = due and self._alpha > 0
        self.model.train_function = self._functions[self._looks]

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        if self._looks:
            self._move()
        self.step += 1

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        optimizer = _innermost(self.model.optimizer)
        if "apply" in vars(optimizer):
            del optimizer.apply
        self.model.make_train_function(force=True)
        super().on_train_end(logs)

    def _plan(self) -> list[Kernel]:
        """The kernels to prune, each with its share of the sparsity."""
        found = find_kernels(self.model, self._sparsity, self._layers)
        shared = [kernel for kernel in found if not kernel.named]
        parts = (erk if self._distribution == "erk" else uniform)([k.shape for k in shared], self._sparsity)
        if self._distribution == "uniform" and len(found) > 1 and not found[0].named:
            parts[0] = 0.0
        share = dict(zip(shared, parts, strict=True))
        planned = [replace(kernel, sparsity=share.get(kernel, kernel.sparsity)) for kernel in found]
        return [kernel for kernel in planned if kernel.sparsity > 0]

    def _first_mask(self, kernel: Kernel, rng: np.random.Generator) -> Mask:
        rows = kernel.shape[-1]
        slots = (len(block_sizes(rows, self._block)), int(np.prod(kernel.shape[:-1])))
        connected = np.zeros(slots[0] * slots[1], bool)
        connected[rng.permutation(connected.size)[: round(connected.size * (1 - kernel.sparsity))]] = True
        return kernel.unrows(expand(connected.reshape(slots), rows, self._block))

    def _hook(self) -> None:
        """Stand between the gradients and the optimizer: mask them, or keep them and update nothing.

        Which of the two is decided when a train function is traced, so there is one for each.
        """
        optimizer = _innermost(self.model.optimizer)
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        update = type(optimizer).apply
        index = {id(kernel.variable): i for i, kernel in enumerate(self.kernels)}

        def apply(grads: Any, trainable_variables: Any = None) -> None:
            grads = list(grads)
            variables = list(self.model.trainable_variables if trainable_variables is None else trainable_variables)
            places = [(place, index[id(v)]) for place, v in enumerate(variables) if id(v) in index]

            if self._looks:
                for place, i in places:
                    if grads[place] is not None:
                        self._gradients[i].assign(tf.cast(grads[place], tf.float32))
                return
            for place, i in places:
                if grads[place] is not None:
                    grads[place] *= tf.cast(self._masks[i], grads[place].dtype)
            update(optimizer, grads, variables)
            for place, i in places:
                value = variables[place].value
                value.assign(value * tf.cast(self._masks[i], value.dtype))

        optimizer.apply = apply
        self._functions = []
        for _ in range(2):
            self.model.make_train_function(force=True)
            self._functions.append(self.model.train_function)

    def _move(self) -> None:
        fraction = cosine_drop_fraction(self.step, self._alpha, self.end_step)
        optimizer = _innermost(self.model.optimizer)
        for kernel, mask, gradient in zip(self.kernels, self._masks, self._gradients, strict=True):
            weights, before = kernel.variable.numpy(), mask.numpy().astype(bool)
            old, present, slope = (kernel.rows(array) for array in (weights, before, gradient.numpy()))
            after = kernel.unrows(move_connections(old, present, slope, fraction, self._block))
            mask.assign(after.astype(np.float32))
            kernel.variable.assign(weights * after)
            for slot in _slots(optimizer, kernel.variable):
                slot.assign(slot.numpy() * (before & after))


def _innermost(optimizer: Any) -> Any:
    """The optimizer itself, where another one wraps it (loss scaling)."""
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer


def _slots(optimizer: Any, variable: Any) -> list[Any]:
    """The optimizer's variables that hold one value for each of `variable`'s (momentum and the like)."""
    prefix = variable.path.replace("/", "_") + "_"
    return [s for s in optimizer.variables if s.name.startswith(prefix) and tuple(s.shape) == tuple(variable.shape)]
