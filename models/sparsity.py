"""Sparse constants as TFLite stores them (TACO encoding): encode, decode, and check.

A tensor of n dimensions, k of them cut into blocks, is walked in `traversal_order` (n + k levels); each level is either
dense, with a size, or compressed (CSR), with segments and indices. Source: tensorflow/lite `SparsityParameters`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import FormatError, UsageError

_LARGEST = 2**31 - 1
_ALWAYS_FINE = 2**24
_EMPTIEST = 4096


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


def check(sparsity: Sparsity, shape: Sequence[int], where: str = "the tensor") -> int:
    """How many values a constant of `shape` stores. Raises `FormatError` where the metadata contradicts itself."""
    sizes = _level_sizes(sparsity, shape, where)
    slots = 1
    for level, size in zip(sparsity.levels, sizes, strict=True):
        if isinstance(level, Dense):
            slots *= level.size
        else:
            segments, indices = np.asarray(level.segments, np.int64), np.asarray(level.indices, np.int64)
            if segments.size != slots + 1 or segments[0] != 0 or segments[-1] != indices.size:
                raise FormatError(
                    f"{where}: {segments.size} segments for {slots} rows and {indices.size} indices do not fit"
                )
            if (np.diff(segments) < 0).any():
                raise FormatError(f"{where}: the segments of a compressed dimension go backwards")
            if indices.size and not (indices.min() >= 0 and indices.max() < size):
                raise FormatError(f"{where}: an index of a compressed dimension is outside 0..{size - 1}")
            slots = indices.size
        if slots > _LARGEST:
            raise FormatError(f"{where}: the sparse dimensions claim {slots} values")
    return slots


def decode(values: npt.NDArray[Any], sparsity: Sparsity, shape: Sequence[int]) -> npt.NDArray[Any]:
    """The dense array of `shape`; of values stored for one place the last counts.

    Raises `FormatError` where the metadata does not fit values and shape, and where the dense array would be more than
    16 million elements and 4,096 times as many as are stored.
    """
    stored = check(sparsity, shape)
    if values.size != stored:
        raise FormatError(f"the sparse tensor holds {values.size} values, its metadata describes {stored}")
    size = math.prod(shape)
    if size > _ALWAYS_FINE and size > _EMPTIEST * (stored + 1):
        raise FormatError(f"a sparse tensor of shape {list(shape)} stores {stored} values: too few to be a real weight")
    if stored == 0:
        return np.zeros(tuple(shape), values.dtype)
    sizes = _level_sizes(sparsity, shape, "the tensor")
    rank, order = len(shape), sparsity.traversal_order
    stride = [math.prod(shape[dim + 1 :]) for dim in range(rank)]
    block = {dim: sizes[order.index(rank + i)] for i, dim in enumerate(sparsity.block_map)}
    places = np.zeros(1, np.int64)
    for walked, level, size in zip(order, sparsity.levels, sizes, strict=True):
        step = stride[walked] * block.get(walked, 1) if walked < rank else stride[sparsity.block_map[walked - rank]]
        if isinstance(level, Dense):
            places = (places[:, None] + np.arange(size) * step).reshape(-1)
        else:
            places = np.repeat(places, np.diff(np.asarray(level.segments, np.int64)).astype(np.int64))
            places += np.asarray(level.indices, np.int64) * step
    dense = np.zeros(math.prod(shape), values.dtype)
    dense[places] = values.reshape(-1)
    return dense.reshape(tuple(shape))


def _level_sizes(sparsity: Sparsity, shape: Sequence[int], where: str) -> list[int]:
    rank, order = len(shape), sparsity.traversal_order
    if sorted(order) != list(range(rank + len(sparsity.block_map))) or len(sparsity.levels) != len(order):
        raise FormatError(
            f"{where}: traversal order {list(order)} with {len(sparsity.levels)} levels does not cover"
            f" {rank} dimensions and {len(sparsity.block_map)} blocks"
        )
    if rank == 0:
        raise FormatError(f"{where}: a scalar cannot be sparse")
    if any(not 0 <= dim < rank for dim in sparsity.block_map):
        raise FormatError(f"{where}: block map {list(sparsity.block_map)} names dimensions outside 0..{rank - 1}")
    if len(set(sparsity.block_map)) != len(sparsity.block_map):
        raise FormatError(f"{where}: block map {list(sparsity.block_map)} cuts a dimension twice")
    cut: dict[int, int] = {}
    for i, dim in enumerate(sparsity.block_map):
        level = sparsity.levels[order.index(rank + i)]
        if not isinstance(level, Dense):
            raise FormatError(f"{where}: block dimension {rank + i} is compressed; blocks are stored in full")
        if level.size <= 0 or shape[dim] % level.size:
            raise FormatError(f"{where}: blocks of {level.size} do not divide dimension {dim} of {shape[dim]}")
        cut[dim] = level.size
    sizes = [cut[sparsity.block_map[dim - rank]] if dim >= rank else shape[dim] // cut.get(dim, 1) for dim in order]
    for size, level in zip(sizes, sparsity.levels, strict=True):
        if isinstance(level, Dense) and level.size != size:
            raise FormatError(f"{where}: a dense level has {level.size} slots where the shape asks for {size}")
    return sizes


def encode(array: npt.NDArray[Any], block: Sequence[int] | None = None) -> tuple[npt.NDArray[Any], Sparsity]:
    """The non-zero values (or blocks) of `array` and their metadata: the last dimension compressed, the others dense.

    `block` gives the block's size along each dimension (1 where it is not cut) and must divide the shape: a block is
    stored in full where any of its values is not zero. Raises `UsageError` otherwise.
    """
    block = tuple(block or (1,) * array.ndim)
    if (
        array.ndim == 0
        or len(block) != array.ndim
        or any(b < 1 or s % b for s, b in zip(array.shape, block, strict=True))
    ):
        raise UsageError(f"blocks of {list(block)} do not divide a tensor of shape {list(array.shape)}")
    cut = [dim for dim, size in enumerate(block) if size > 1]
    outer = [size // b for size, b in zip(array.shape, block, strict=True)]
    split = array.reshape([n for pair in zip(outer, block, strict=True) for n in pair])
    split = split.transpose([2 * d for d in range(array.ndim)] + [2 * d + 1 for d in range(array.ndim)])
    blocks = split.reshape(*outer, math.prod(block))
    present = (blocks != 0).any(axis=-1)
    counts = present.reshape(math.prod(outer[:-1]), outer[-1]).sum(axis=1)
    segments = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    levels: list[Dense | Csr] = [Dense(size) for size in outer[:-1]]
    levels.append(Csr(segments, np.nonzero(present)[-1].astype(np.int64)))
    levels += [Dense(block[dim]) for dim in cut]
    order = tuple(range(array.ndim + len(cut)))
    return blocks[present].reshape(-1), Sparsity(order, tuple(cut), tuple(levels))
