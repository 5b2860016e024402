"""What every engine looks like from outside: tensors in by name, tensors out by name.

A delegate is a class in a file of its own that implements `Delegate`; `load_model` finds it by the name it is
registered under in `runtime/model.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model: its name, static shape, element type, and the range of its values where known."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    range: tuple[float, float] | None = None


class Delegate(Protocol):
    """A model compiled by one engine."""

    inputs: list[TensorSpec]
    outputs: list[TensorSpec]

    def run(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """Run once. `inputs` has exactly the names, shapes and types of `self.inputs`.

        Results are fresh arrays, or those of `outputs`, which are writeable, without gaps, and fit `self.outputs`.
        """

    def close(self) -> None:
        """Release the engine's memory; the delegate is not used afterwards."""
