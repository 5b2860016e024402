"""The kernels of a Keras model that are pruned: which they are, and how they look as matrices of output channels."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.convert.train.backend import keras
from pocketgraph.models.errors import UnsupportedError, UsageError

Array = npt.NDArray[Any]
_LAYERS = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
)


@dataclass(frozen=True, eq=False)
class Kernel:
    """A layer's kernel `[…, inputs, outputs]`, the sparsity it is to reach, 0..1, and whether it was named for that."""

    name: str
    variable: Any
    sparsity: float
    named: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.variable.shape)

    def rows(self, array: Array) -> Array:
        """An array of the kernel's shape as `[outputs, kernel positions * inputs]`."""
        return array.reshape(-1, self.shape[-1]).T

    def unrows(self, matrix: Array) -> Array:
        """The inverse of `rows`."""
        return np.ascontiguousarray(matrix.T).reshape(self.shape)


def find_kernels(model: Any, sparsity: float, layers: Mapping[str, float]) -> list[Kernel]:
    """The kernels of the dense and convolution layers of `model`, nested models included, in order.

    `layers` maps globs over layer names (or variable paths) to the sparsity of what they match, the last match wins;
    0 keeps a layer dense. Raises `UsageError` for a glob that matches nothing and `UnsupportedError` where there is no
    such layer.
    """
    found: list[Kernel] = []
    for layer in model._flatten_layers(include_self=False):  # noqa: SLF001
        if not isinstance(layer, _LAYERS) or isinstance(layer, keras.layers.DepthwiseConv2D):
            continue
        kernel = Kernel(layer.name, layer.kernel, sparsity)
        for glob, value in layers.items():
            if _matches(kernel, glob):
                kernel = replace(kernel, sparsity=value, named=True)
        found.append(kernel)
    for glob in layers:
        if not any(_matches(kernel, glob) for kernel in found):
            raise UsageError(f"no layer matches {glob!r}; the layers are: {', '.join(k.name for k in found)}")
    if not found:
        raise UnsupportedError("the model has no dense or convolution layer to prune")
    return found


def _matches(kernel: Kernel, glob: str) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for name in (kernel.name, kernel.variable.path))


def check_sparsity(what: str, value: float) -> None:
    """Raise `UsageError` unless `value` lies in 0 (included) to 1 (excluded)."""
    if not 0 <= value < 1:
        raise UsageError(f"{what} is {value!r}: give a fraction from 0 (dense) to below 1, e.g. 0.8")
