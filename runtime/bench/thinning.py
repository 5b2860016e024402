"""Zeros for timing: the smallest weights of 1x1 convolutions go, whatever the model then answers.

A sparse kernel takes about as long with these zeros as with as many well-chosen ones in that pattern, so speed needs no
calibration inputs. `pocketgraph convert` prunes a model that is to be used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.models.decompress import Decompress
from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import DType, Graph, Model, Op, Tensor

PATTERNS = {"1x1": 1, "4x1": 4}
"""How many output channels share one decision."""
_FLOATS = {DType.FLOAT32, DType.FLOAT16}


def thinned(model: Model, sparsity: float, pattern: str = "1x1") -> Model:
    """A copy of `model` with `sparsity` (0 to 1) of the weights of every 1x1 convolution but the first layer zero.

    With the pattern `"4x1"` four neighbouring output channels lose the same weights, those of the smallest norm. Raises
    `UsageError` where there is no such convolution.
    """
    copy = model.copy()
    if any(tensor.sparsity is not None for tensor in copy.main.tensors()):
        Decompress()(copy)  # what was stored sparse will have other zeros
    weights = pointwise_weights(copy.main)
    if not weights:
        raise UsageError("the model has no float 1x1 convolution behind its first layer, so --sparsity has no meaning")
    for tensor in weights:
        dense = tensor.dense()
        kept = mask(dense.reshape(dense.shape[0], -1).astype(np.float32), sparsity, PATTERNS[pattern])
        tensor.data = np.where(kept.reshape(dense.shape), dense, 0).astype(dense.dtype)
    return copy


def mask(weights: npt.NDArray[np.float32], sparsity: float, block: int) -> npt.NDArray[np.bool_]:
    """Which of `weights` [output channels, inputs] stay: all but the share `sparsity` of smallest blocks.

    A block is `block` rows of one column, the last one smaller where rows do not divide. Ties go by position.
    """
    starts = np.arange(0, len(weights), block)
    sizes = np.diff(np.append(starts, len(weights)))
    norms = np.sqrt(np.add.reduceat(np.square(weights, dtype=np.float64), starts, axis=0) / sizes[:, None])
    kept = np.ones(norms.size, bool)
    kept[np.argsort(norms, axis=None, kind="stable")[: round(sparsity * norms.size)]] = False
    return np.repeat(kept.reshape(norms.shape), sizes, axis=0)


def pointwise_weights(graph: Graph) -> list[Tensor]:
    """The constants behind the 1x1 convolutions that do not read a graph input, half floats before their DEQUANTIZE."""
    producers = graph.producers()
    found: dict[Tensor, None] = {}
    for op in graph.ops:
        if op.kind != "CONV_2D" or any(tensor in graph.inputs for tensor in op.inputs):
            continue
        weight = constant_of(op.input(1), producers)
        if weight is not None and weight.shape[1:3] == (1, 1) and weight.dtype in _FLOATS:
            found[weight] = None
    return list(found)


def constant_of(tensor: Tensor, producers: dict[Tensor, Op]) -> Tensor | None:
    """The constant that `tensor` is, or is unpacked from; None where it is computed."""
    while not tensor.is_constant:
        op = producers.get(tensor)
        if op is None or op.kind not in {"DEQUANTIZE", "DENSIFY"}:
            return None
        tensor = op.input(0)
    return tensor


def zeros(tensors: list[Tensor]) -> float:
    """The share of zeros among the values of `tensors`, 0 where there are none."""
    arrays: list[npt.NDArray[Any]] = [tensor.dense() for tensor in tensors]
    size = sum(array.size for array in arrays)
    return 1 - sum(int(np.count_nonzero(array)) for array in arrays) / size if size else 0.0
