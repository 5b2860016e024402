"""Rules for ops with a sliding window: depthwise convolution and pooling, and how any window meets its padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketgraph.models.graph import DType, Op, Tensor
from pocketgraph.models.same_padding import same_pads
from pocketgraph.runtime.chw import _core
from pocketgraph.runtime.chw.builder import Builder
from pocketgraph.runtime.chw.operands import (
    NONE,
    Activation,
    bias,
    finish,
    is_picture,
    limits,
    why_not_bias,
    why_not_fused,
)
from pocketgraph.runtime.chw.pixel_rules import mean

Pair = tuple[int, int]
_LANES = 16  # of the widest vectors
_MOST_PADDED = 1 << 27  # values of a plane with its padding written out


class Sliding:
    """The window of a convolution or pooling over its input; padding that a PAD op before it adds counts as its own."""

    def __init__(self, op: Op, source: Tensor, kernel: Pair, inner: Pair = (0, 0)) -> None:
        """`inner` are the rows and columns that a folded PAD put before the picture `source`."""
        self.size: Pair = (source.shape[1], source.shape[2])
        self.out: Pair = (op.outputs[0].shape[1], op.outputs[0].shape[2])
        self.kernel = kernel
        self.stride: Pair = (int(op.attrs.get("stride_h") or 1), int(op.attrs.get("stride_w") or 1))
        self.dilation: Pair = (
            int(op.attrs.get("dilation_h_factor") or 1),
            int(op.attrs.get("dilation_w_factor") or 1),
        )
        self.pad: Pair = inner
        if op.attrs.get("padding", "SAME") == "SAME":
            self.pad = (self._same(0), self._same(1))

    def _same(self, axis: int) -> int:
        return same_pads(self.size[axis], self.kernel[axis], self.stride[axis], self.dilation[axis])[0]

    @property
    def is_pixelwise(self) -> bool:
        """Whether each output pixel reads the input pixel at its place and no other."""
        return self.kernel == self.stride == (1, 1) and self.pad == (0, 0) and self.size == self.out

    @property
    def is_flat(self) -> bool:
        """Whether it is 3x3 or 5x5, stride 1, centred, and gives as many pixels as it reads."""
        side = self.kernel[0]
        return (
            self.kernel in ((3, 3), (5, 5))
            and self.size != (1, 1)  # margins would part channels that lie side by side
            and self.stride == self.dilation == (1, 1)
            and self.pad == (side // 2, side // 2)
            and self.size == self.out
        )

    def make(self) -> Any:
        return _core.Window(
            list(self.size), list(self.out), list(self.kernel), list(self.stride), list(self.dilation), list(self.pad)
        )


def why_not_window(op: Op, kernel: Pair) -> str:
    """Why the window of `op` cannot be taken: shapes that do not follow from one another."""
    source, result = op.input(0), op.outputs[0]
    if not is_picture(source) or not is_picture(result):
        return "it is not one picture [1, height, width, channels]"
    padded = 1
    for axis, (side, name) in enumerate(zip(kernel, ("h", "w"), strict=True)):
        stride = int(op.attrs.get(f"stride_{name}") or 1)
        dilation = int(op.attrs.get(f"dilation_{name}_factor") or 1)
        size, out = source.shape[1 + axis], result.shape[1 + axis]
        span = (side - 1) * dilation + 1
        if min(side, stride, dilation) < 1 or max(side, stride, span, size, out) > 1 << 15:
            return "its window or picture is too large, or its stride is not positive"
        expected = -(-size // stride) if op.attrs.get("padding", "SAME") == "SAME" else (size - span) // stride + 1
        if out != expected:
            return f"its result has {out} rows or columns where {expected} follow from its window"
        padded *= (out + _LANES) * stride + span
    return "" if padded <= _MOST_PADDED else "its padded picture is too large"


def unpadded(builder: Builder, tensor: Tensor) -> tuple[Tensor, Pair]:
    """The tensor before a PAD that was left to its readers, and the zeros that PAD puts above and to the left."""
    source, (top, _, left, _) = builder.padded.get(tensor, (tensor, (0, 0, 0, 0)))
    return source, (top, left)


def _why_not_depthwise(op: Op) -> str:
    filters = op.input(1)
    if not filters.is_constant or filters.dtype is not DType.FLOAT32 or len(filters.shape) != 4:
        return "its weights are not a float32 constant"
    _, height, width, channels = filters.shape
    if problem := why_not_window(op, (height, width)):
        return problem
    if channels % op.input(0).shape[3] or channels != op.outputs[0].shape[3]:
        return f"its weights have {channels} channels, its input {op.input(0).shape[3]}"
    return why_not_bias(op, 2, channels) or why_not_fused(op)


class Depthwise:
    """A depthwise convolution with the activation behind it: what its steps need, whichever they are."""

    def __init__(self, builder: Builder, op: Op) -> None:
        """Takes an activation that alone reads the result into the step."""
        filters = op.input(1)
        self.op, self.channels = op, filters.shape[3]
        self.source, inner = unpadded(builder, op.input(0))
        self.window = Sliding(op, self.source, (filters.shape[1], filters.shape[2]), inner)
        self.weights = np.ascontiguousarray(filters.dense()[0].transpose(2, 0, 1), np.float32).ravel()
        self.bias = bias(op, 2, self.channels)
        self.act, self.result = Activation.fused(op), op.outputs[0]
        reader = builder.sole_reader(self.result)
        if self.act.kind == NONE and reader is not None:
            alone = Activation.alone(reader, self.channels)
            if alone is not None:
                builder.absorbed.add(reader)
                self.act, self.result = alone, reader.outputs[0]

    @property
    def keeps_channels(self) -> bool:
        return self.source.shape[3] == self.channels


def _depthwise(builder: Builder, op: Op) -> None:
    from pocketgraph.runtime.chw.matrix_rules import separable

    found = Depthwise(builder, op)
    value = builder.value(found.source)
    if (
        found.window.is_flat
        and found.keeps_channels
        and value.planes
        and not value.shared
        and separable(builder, found, value)
    ):
        return
    if not value.planes:
        value = _pictured(builder, op, found.source)
    made = builder.result(found.result)
    flat = found.window.is_flat and found.keeps_channels and not value.shared
    if flat:
        value.reach = max(value.reach, found.window.kernel[0] // 2)

    def emit(p: Any) -> None:
        act = finish(found.act)
        p.depthwise(value.as_planes(), made.as_planes(), found.window.make(), found.weights, found.bias, act, flat)

    builder.task(op, [value], [made], emit)


def _why_not_pool(op: Op) -> str:
    kernel = int(op.attrs.get("filter_height") or 1), int(op.attrs.get("filter_width") or 1)
    if problem := why_not_window(op, kernel):
        return problem
    return why_not_fused(op) if op.outputs[0].shape[3] == op.input(0).shape[3] else "its channels differ"


def _pool(builder: Builder, op: Op) -> None:
    source = op.input(0)
    kernel = int(op.attrs.get("filter_height") or 1), int(op.attrs.get("filter_width") or 1)
    window = Sliding(op, source, kernel)
    value, made = builder.value(source), builder.result(op.outputs[0])
    if value.data is not None:
        value = _pictured(builder, op, source)
    kind = 0 if op.kind == "MAX_POOL_2D" else 1
    low, high = limits(op)
    plain = Activation.fused(op).kind == NONE
    if kind and window.kernel == window.size and window.out == (1, 1) and window.pad == (0, 0) and plain:
        mean(builder, op, value, made, [1, 2])
        return
    builder.task(
        op, [value], [made], lambda p: p.pool(value.as_planes(), made.as_planes(), window.make(), kind, low, high)
    )


def _pictured(builder: Builder, op: Op, tensor: Tensor) -> Any:
    """A constant picture as planes."""
    value, planes = builder.value(tensor), builder.scratch(tensor.shape)
    builder.copy(op, value, planes)
    return planes


RULES = {
    "AVERAGE_POOL_2D": (_why_not_pool, _pool),
    "DEPTHWISE_CONV_2D": (_why_not_depthwise, _depthwise),
    "MAX_POOL_2D": (_why_not_pool, _pool),
}
