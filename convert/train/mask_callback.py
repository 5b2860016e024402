"""What both pruning callbacks share: masks that hold while a Keras model trains, and survive a restart."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.convert.prune.masks import Mask
from pocketgraph.convert.train.backend import keras, tf
from pocketgraph.convert.train.kernels import Kernel
from pocketgraph.models.errors import FormatError, UsageError
from pocketgraph.models.files import write_atomically


class MaskCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps masked weights of `kernels` at exactly zero; subclasses decide on the masks.

    `step` counts training batches. With `state`, a path, step and masks are written there at the end of each epoch and
    found again by the next run, so that training resumed with the saved weights (`model.load_weights`,
    `keras.callbacks.BackupAndRestore`) goes on as if it had not stopped; delete the file to start afresh.
    """

    def __init__(self, state: str | Path | None) -> None:
        super().__init__()
        self.kernels: list[Kernel] = []
        self.step = 0
        self._state = None if state is None else Path(state)
        self._masks: list[Any] = []
        self._apply: Any = None
        self._pending: dict[str, npt.NDArray[Any]] | None = None

    @property
    def masks(self) -> dict[str, Mask]:
        """Variable path -> boolean array of the kernel's shape, True where a weight stays."""
        return {k.variable.path: m.numpy().astype(bool) for k, m in zip(self.kernels, self._masks, strict=True)}

    def get_state(self) -> dict[str, npt.NDArray[Any]]:
        """Step and masks as arrays, for `set_state`."""
        return {"step": np.array(self.step), **{f"mask_{i}": mask for i, mask in enumerate(self.masks.values())}}

    def set_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from another callback's `get_state`, on a model with the weights it had then."""
        if not self.kernels:
            self._pending = dict(state)
            return
        wanted = {"step": (), **{f"mask_{i}": kernel.shape for i, kernel in enumerate(self.kernels)}}
        found = {name: array.shape for name, array in state.items()}
        if found != wanted:
            raise UsageError(f"the state is of another model: it holds {found}, expected {wanted}")
        self.step = int(state["step"])
        for index, mask in enumerate(self._masks):
            mask.assign(state[f"mask_{index}"].astype(np.float32))

    def begin(self, kernels: list[Kernel], masks: list[Mask]) -> None:
        """Start with these masks, or with those of the state file where there is one."""
        if getattr(self.model, "steps_per_execution", 1) != 1:
            raise UsageError("pruning looks at every batch: compile the model with steps_per_execution=1")
        self.kernels = kernels
        self._masks = [tf.Variable(mask.astype(np.float32), trainable=False) for mask in masks]
        if self._pending is None and self._state is not None and self._state.exists():
            self._pending = _read_state(self._state)
        if self._pending is not None:
            self.set_state(self._pending)
            self._pending = None
            self._check_zeros()
        values = [kernel.variable.value for kernel in kernels]

        def apply() -> None:
            for value, mask in zip(values, self._masks, strict=True):
                value.assign(value * tf.cast(mask, value.dtype))

        self._apply = tf.function(apply, autograph=False)

    def apply_masks(self) -> None:
        """Set masked weights to zero."""
        if self._apply is not None:
            self._apply()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        self.apply_masks()
        if self._state is not None:
            content = io.BytesIO()
            np.savez_compressed(content, **self.get_state())  # type: ignore[arg-type]
            write_atomically(self._state, content.getvalue())

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        self.apply_masks()

    def _check_zeros(self) -> None:
        for kernel, mask in zip(self.kernels, self._masks, strict=True):
            if np.any(kernel.variable.numpy()[mask.numpy() == 0]):
                raise UsageError(
                    f"the pruning state ({self._state or 'given'}) says that weights of {kernel.name!r} are pruned"
                    " which are not zero: load the weights saved with it first, or delete the state to start afresh"
                )


def _read_state(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path} holds no pruning state: {error}; delete it to start afresh") from error
