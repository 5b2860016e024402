"""Sparse constants as TFLite stores them (TACO encoding): encode, decode, and check.

A tensor of n dimensions, k of them cut into blocks, is walked in `traversal_order` (n + k levels); each level is either
dense, with a size, or compressed (CSR), with segments and indices. Source: tensorflow/lite `SparsityParameters`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Dense:
    """A level stored in full: `size` slots."""

    size: int


@dataclass(frozen=True, eq=False)
class Csr:
    """A compressed level: for parent slot i, the entries `indices[segments[i]:segments[i + 1]]` are present."""

    segments: npt.NDArray[Any]
    indices: npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Sparsity:
    """How a constant's stored values map to its dense shape.

    `traversal_order`: the n + k levels, outermost first; values of n and above are block dimensions.
    `block_map`: for each block dimension, the original dimension it cuts. `levels`: one per entry of the order.
    """

    traversal_order: tuple[int, ...]
    block_map: tuple[int, ...]
    levels: tuple[Dense | Csr, ...]


def decode(values: npt.NDArray[Any], sparsity: Sparsity, shape: Sequence[int]) -> npt.NDArray[Any]:
    """The dense array of `shape`. Raises `FormatError` where the metadata does not fit values and shape."""
    raise NotImplementedError


def encode(array: npt.NDArray[Any], block: Sequence[int] | None = None) -> tuple[npt.NDArray[Any], Sparsity]:
    """The non-zero values (or blocks) of `array` and their metadata, the last dimension compressed."""
    raise NotImplementedError
