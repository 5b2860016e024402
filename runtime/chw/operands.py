"""Small questions that several rules ask of an op."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pocketgraph.models.graph import DType, Op, Tensor
from pocketgraph.runtime.chw import _core
from pocketgraph.runtime.chw.values import Floats, Value

NONE, LIMITS, PRELU, HARD_SWISH = 0, 1, 2, 3
_RANGES = {
    "NONE": None,
    "RELU": (0.0, float("inf")),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "RELU_0_TO_1": (0.0, 1.0),
}


@dataclass
class Activation:
    """What is done to a sum: nothing, limits, a slope per channel below zero, or hard swish."""

    kind: int = NONE
    low: float = -float("inf")
    high: float = float("inf")
    slope: list[float] = field(default_factory=list)

    @classmethod
    def fused(cls, op: Op) -> Activation:
        """The activation in the op's options; `why_not_fused` has said that there is a kernel for it."""
        limits = _RANGES[op.attrs.get("fused_activation_function") or "NONE"]
        return cls() if limits is None else cls(LIMITS, *limits)

    @classmethod
    def alone(cls, op: Op, channels: int) -> Activation | None:
        """The activation that an op of its own stands for, where a step before it can take it in."""
        limits = _RANGES.get(op.kind)
        if limits is not None:
            return cls(LIMITS, *limits)
        if op.kind == "HARD_SWISH":
            return cls(HARD_SWISH)
        if op.kind == "PRELU" and op.input(1).is_constant and op.input(1).dtype is DType.FLOAT32:
            slope = op.input(1).dense()
            per_channel = slope.size in (1, channels) and slope.shape[-1:] == (slope.size,)
            if per_channel and op.outputs[0].shape[-1] == channels:
                return cls(PRELU, slope=np.broadcast_to(slope.ravel(), channels).tolist())
        return None


def finish(act: Activation, residual: Value | None = None, after: Activation | None = None) -> Any:
    """The kernel's `Finish`."""
    found = _core.Finish()
    found.act, found.low, found.high, found.slope = act.kind, act.low, act.high, act.slope
    if residual is not None:
        found.add_residual(residual.as_planes())
    if after is not None:
        found.after, found.after_low, found.after_high = after.kind, after.low, after.high
        found.after_slope = after.slope
    return found


def limits(op: Op) -> tuple[float, float]:
    act = Activation.fused(op)
    return act.low, act.high


def why_not_fused(op: Op) -> str:
    name = op.attrs.get("fused_activation_function") or "NONE"
    return "" if name in _RANGES else f"its fused activation {name} has no kernel"


def is_picture(tensor: Tensor) -> bool:
    """Whether the tensor lies as planes."""
    return len(tensor.shape) == 4 and tensor.shape[0] == 1


def bias(op: Op, place: int, channels: int) -> Floats:
    tensor = op.inputs[place] if place < len(op.inputs) else None
    if tensor is None:
        return np.zeros(channels, np.float32)
    return np.ascontiguousarray(tensor.dense(), np.float32).ravel()


def why_not_bias(op: Op, place: int, channels: int) -> str:
    tensor = op.inputs[place] if place < len(op.inputs) else None
    if tensor is None:
        return ""
    if not tensor.is_constant or tensor.dtype is not DType.FLOAT32 or tensor.size != channels:
        return "its bias is not a float32 constant with one value per channel"
    return ""


def integers(op: Op, place: int) -> list[int] | None:
    """The values of an integer operand, None where it is not constant."""
    tensor = op.inputs[place] if place < len(op.inputs) else None
    if tensor is None or not tensor.is_constant or tensor.dtype not in (DType.INT32, DType.INT64):
        return None
    return [int(n) for n in tensor.dense().ravel()]
