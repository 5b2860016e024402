"""Re-estimation: a scale and a bias per output channel that restore the dense model's statistics.

Pruning shrinks a layer's outputs and moves their mean; a model that normalised while it trained does not survive that.
With batch norm folded into the weights, running it again over some inputs becomes a scale and a bias for each output
channel, so that before the activation function its mean and variance are the dense model's again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.convert.prune.moments import Matrix
from pocketgraph.models.graph import Op, Tensor

KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
LARGEST_SCALE = 4.0
_FEW = 32


def restoring_scale(wanted: Matrix, found: Matrix, samples: int) -> Matrix:
    """The factor per channel that turns variance `found` into `wanted`.

    Kept within `LARGEST_SCALE` and its inverse; 1 where a channel hardly varies (below 1e-6 of the layer's mean
    variance), whose ratio would be noise; drawn towards 1 where there are only few samples.
    """
    floor = 1e-6 * max(float(wanted.mean()), float(found.mean()), 1e-30)
    steady = (wanted > floor) & (found > floor)
    ratio = np.sqrt(np.where(steady, wanted, 1) / np.where(steady, found, 1))
    trust = samples / (samples + _FEW)
    result: Matrix = np.clip(ratio, 1 / LARGEST_SCALE, LARGEST_SCALE) ** trust
    return result


def set_weights(op: Op, weights: npt.NDArray[Any]) -> None:
    """Give `op` a weight tensor of its own that holds `weights`."""
    old = op.input(1)
    op.inputs[1] = Tensor(**{**vars(old), "data": np.ascontiguousarray(weights.reshape(old.shape), np.float32)})


def set_bias(op: Op, bias: npt.NDArray[Any]) -> None:
    """Give `op` a bias tensor of its own that holds `bias`, also where it had none."""
    old = op.inputs[2] if len(op.inputs) > 2 else None
    name = old.name if old is not None else f"{op.name}/bias"
    op.inputs[2:] = [Tensor(name, (len(bias),), data=bias.astype(np.float32))]


def bias_of(op: Op) -> npt.NDArray[np.float64]:
    """The bias `[channels]`, zeros where the op has none."""
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    if bias is not None:
        return bias.dense().astype(np.float64)
    return np.zeros(channels(op))


def channels(op: Op) -> int:
    """Output channels of a convolution, depthwise convolution or fully connected op."""
    return op.input(1).shape[-1 if op.kind == "DEPTHWISE_CONV_2D" else 0]


def rescale(op: Op, scale: Matrix, shift: Matrix) -> None:
    """Multiply the op's outputs (before its activation) by `scale` and add `shift`, both `[channels]`."""
    weight = op.input(1).dense().astype(np.float64)
    along = scale if op.kind == "DEPTHWISE_CONV_2D" else scale.reshape(-1, *[1] * (weight.ndim - 1))
    set_weights(op, weight * along)
    set_bias(op, bias_of(op) * scale + shift)
