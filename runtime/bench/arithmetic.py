"""How much work a model is: operations that count, and the bytes they must move; for the roofline."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pocketgraph.models.graph import Model, Op, Tensor
from pocketgraph.runtime.bench.thinning import constant_of

_VALUE_BYTES = 4
_WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}
_FREE = {"DEQUANTIZE", "DENSIFY", "RESHAPE", "SQUEEZE", "EXPAND_DIMS"}


@dataclass(frozen=True)
class Work:
    """Of one run: `flops` with weights that are not zero, `dense_flops` with all, `bytes` moved at the least.

    Counted are the multiplications and additions of convolutions and fully connected layers, two for each weight used.
    Bytes are each op's inputs read and outputs written once as float32, and its weights without zeros.
    """

    flops: float
    dense_flops: float
    bytes: float

    @property
    def intensity(self) -> float:
        """FLOP per byte."""
        return self.flops / self.bytes if self.bytes else 0.0


def work_of(model: Model) -> Work:
    """The work of one run of `model`'s main graph."""
    graph = model.main
    producers = graph.producers()
    flops = dense = moved = 0.0
    for op in graph.ops:
        if op.kind in _FREE:
            continue
        for index, tensor in enumerate(op.inputs):
            if tensor is None:
                continue
            constant = constant_of(tensor, producers)
            kept = 1.0 if constant is None else _kept(constant)
            moved += _VALUE_BYTES * tensor.size * kept
            if op.kind in _WEIGHTED and index == 1:
                count = 2.0 * _uses(op, tensor) * tensor.size
                dense += count
                flops += count * kept
        moved += sum(_VALUE_BYTES * tensor.size for tensor in op.outputs)
    return Work(flops, dense, moved)


def _kept(tensor: Tensor) -> float:
    if tensor.dtype.numpy is None or not tensor.size:
        return 1.0
    return float(np.count_nonzero(tensor.dense())) / tensor.size


def _uses(op: Op, weight: Tensor) -> float:
    """How often each weight is used: once for every position that its kernel is laid on."""
    if op.kind == "FULLY_CONNECTED":
        return op.outputs[0].size / weight.shape[0]
    positions = op.input(2) if op.kind == "TRANSPOSE_CONV" else op.outputs[0]
    return float(math.prod(positions.shape[:3]))
