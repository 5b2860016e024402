"""Rules for layers that are a matrix product: convolutions, transposed ones and fully connected layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pocketgraph.models.graph import DType, Op, Tensor
from pocketgraph.models.same_padding import same_pads
from pocketgraph.runtime.chw import _core
from pocketgraph.runtime.chw.builder import Builder, copy_views
from pocketgraph.runtime.chw.operands import (
    LIMITS,
    NONE,
    Activation,
    bias,
    finish,
    is_picture,
    limits,
    why_not_bias,
    why_not_fused,
)
from pocketgraph.runtime.chw.values import Floats, Value, view
from pocketgraph.runtime.chw.window_rules import Depthwise, Sliding, unpadded, why_not_window

_SPARSE_ENOUGH = 0.4  # density below which a fully connected layer skips its zeros
_MEDIAPIPE_PADDING = {1: "SAME", 2: "VALID"}
_LARGE_FLOATS = 150_000  # of a result that does not stay in the cache until it is read again
_BAND_FLOATS = 60_000  # of a band that does


class Tail:
    """What follows a layer and can be done before its sums are stored: activation, residual, activation."""

    def __init__(self, builder: Builder, op: Op, channels: int, *, takes_residual: bool = True) -> None:
        self.act, self.after = Activation.fused(op), Activation()
        self.residual: Value | None = None
        self.result: Tensor = op.outputs[0]
        while (reader := builder.sole_reader(self.result)) is not None:
            alone = Activation.alone(reader, channels)
            if alone is not None and self.residual is None and self.act.kind == NONE:
                self.act = alone
            elif alone is not None and self.residual is not None and self.after.kind == NONE:
                self.after = alone
            elif (
                takes_residual
                and self.residual is None
                and (other := _residual(builder, reader, self.result)) is not None
            ):
                self.residual, self.after = builder.value(other), Activation.fused(reader)
            else:
                break
            builder.absorbed.add(reader)
            self.result = reader.outputs[0]

    def finish(self) -> Any:
        return finish(self.act, self.residual, self.after)

    @property
    def reads(self) -> list[Value]:
        return [] if self.residual is None else [self.residual]


def _residual(builder: Builder, add: Op, sum_: Tensor) -> Tensor | None:
    """The other operand of an ADD, where it is a picture of the same shape that is there already."""
    if add.kind != "ADD" or why_not_fused(add) or len(add.inputs) != 2:
        return None
    first, second = add.input(0), add.input(1)
    other = second if first is sum_ else first
    if other is sum_ or other.shape != sum_.shape or add.outputs[0].shape != sum_.shape:
        return None
    return other if builder.is_ready(other) and is_picture(other) else None


def _constant_weights(op: Op, place: int, rank: int) -> str:
    tensor = op.input(place)
    if not tensor.is_constant or tensor.dtype is not DType.FLOAT32 or len(tensor.shape) != rank or not tensor.size:
        return "its weights are not a float32 constant"
    return ""


def _why_not_conv(op: Op) -> str:
    if problem := _constant_weights(op, 1, 4):
        return problem
    channels, height, width, depth = op.input(1).shape
    if problem := why_not_window(op, (height, width)):
        return problem
    if depth != op.input(0).shape[3]:
        return f"its weights have {depth} input channels, its input {op.input(0).shape[3]}: groups have no kernel"
    if channels != op.outputs[0].shape[3]:
        return f"its weights have {channels} channels, its result {op.outputs[0].shape[3]}"
    return why_not_bias(op, 2, channels) or why_not_fused(op)


def _matrix(filters: Floats) -> Floats:
    return np.ascontiguousarray(filters, np.float32).reshape(filters.shape[0], -1)


def _by_rows(weights: Floats, act: Activation) -> bool:
    """Whether a product with one pixel is best done row of weights by row: they are dense, and the result plain."""
    return act.kind in (NONE, LIMITS) and bool(np.count_nonzero(weights) >= _SPARSE_ENOUGH * weights.size)


def _matvec(p: Any, value: Value, made: Value, weights: Floats, given: Floats, low: float, high: float) -> None:
    outputs, inputs = weights.shape
    p.matvec(view(value.first, (inputs,), (1,)), view(made.first, (outputs,), (1,)), weights, given, low, high)


def _picture(builder: Builder, op: Op, tensor: Tensor) -> Value:
    """The tensor as planes, copied where it is a constant that lies row by row."""
    value = builder.value(tensor)
    if value.planes:
        return value
    planes = builder.scratch(tensor.shape)
    builder.copy(op, value, planes)
    return planes


def _conv(builder: Builder, op: Op) -> None:
    filters = op.input(1)
    channels = filters.shape[0]
    source, inner = unpadded(builder, op.input(0))
    window = Sliding(op, source, (filters.shape[1], filters.shape[2]), inner)
    value = _picture(builder, op, source)
    weights, given = _matrix(filters.dense()), bias(op, 2, channels)
    if value.pixels == 1 and window.is_pixelwise and value.is_flat and _by_rows(weights, Activation.fused(op)):
        made, (low, high) = builder.result(op.outputs[0]), limits(op)
        builder.task(op, [value], [made], lambda p: _matvec(p, value, made, weights, given, low, high))
        return
    tail = Tail(builder, op, channels)

    def emit(p: Any, made: Any) -> None:
        if window.is_pixelwise:
            p.product(value.as_planes(), made, weights, given, tail.finish())
        else:
            p.convolution(value.as_planes(), made, window.make(), weights, given, tail.finish())

    _store(builder, op, [value], tail, emit, op.kind)


def separable(builder: Builder, depthwise: Depthwise, value: Value) -> bool:
    """Take the 1x1 convolution that alone reads a depthwise one into one step with it, where there is such a one."""
    from pocketgraph.runtime.chw.rules import why_not

    op = builder.sole_reader(depthwise.result)
    if op is None or op.kind != "CONV_2D" or op.input(0) is not depthwise.result or why_not(op):
        return False
    filters = op.input(1)
    if not Sliding(op, depthwise.result, (filters.shape[1], filters.shape[2])).is_pixelwise:
        return False
    builder.absorbed.add(op)
    weights, given = _matrix(filters.dense()), bias(op, 2, filters.shape[0])
    tail = Tail(builder, op, filters.shape[0])
    side = depthwise.window.kernel[0]
    value.reach = max(value.reach, side // 2)

    def emit(p: Any, made: Any) -> None:
        before = side, depthwise.weights, depthwise.bias, finish(depthwise.act)
        p.separable(value.as_planes(), made, *before, weights, given, tail.finish())

    _store(builder, op, [value], tail, emit, f"{depthwise.op.kind} + CONV_2D")
    return True


def _store(
    builder: Builder, op: Op, reads: list[Value], tail: Tail, emit: Callable[[Any, Any], None], kind: str
) -> None:
    """Add the task of a product: into its result, or in bands where a depthwise convolution alone reads that."""
    reader = _banded_reader(builder, tail)
    if reader is None:
        made = builder.result(tail.result)
        builder.task(op, [*reads, *tail.reads], [made], lambda p: emit(p, made.as_planes()), kind, fills_gaps=True)
        return
    builder.absorbed.add(reader)
    depthwise = Depthwise(builder, reader)
    window = depthwise.window
    _, height, width, channels = tail.result.shape
    out_rows = max(1, _BAND_FLOATS // (channels * width * window.stride[0]))
    out_rows = min(out_rows, window.out[0])
    rows = _core.band_rows(window.make(), out_rows, builder.lanes)
    middle = builder.scratch((1, rows, width, channels * builder.threads))  # one band for each thread
    middle.slack = True
    made = builder.result(depthwise.result)

    def banded(p: Any) -> None:
        emit(p, _core.Planes(_core.UNPLACED, 0, channels, height, width))
        act = finish(depthwise.act)
        whole = depthwise.weights, depthwise.bias, act, out_rows
        p.band(middle.as_planes(), made.as_planes(), window.make(), *whole)

    builder.task(op, reads, [middle, made], banded, f"{kind} + {reader.kind}")


def _banded_reader(builder: Builder, tail: Tail) -> Op | None:
    """The depthwise convolution of stride 2 that alone reads a result too large for the second-level cache."""
    from pocketgraph.runtime.chw.move_rules import left_to_readers
    from pocketgraph.runtime.chw.rules import why_not

    tensor = tail.result
    if tensor.size < _LARGE_FLOATS or tail.residual is not None:
        return None
    reader = builder.sole_reader(tensor)
    if reader is not None and reader.kind == "PAD" and not why_not(reader) and left_to_readers(builder, reader):
        builder.absorbed.add(reader)
        tensor = reader.outputs[0]
        reader = builder.sole_reader(tensor)
    if reader is None or reader.kind != "DEPTHWISE_CONV_2D" or reader.input(0) is not tensor or why_not(reader):
        return None
    filters = reader.input(1)
    source, inner = unpadded(builder, tensor)
    window = Sliding(reader, source, (filters.shape[1], filters.shape[2]), inner)
    fits = window.kernel in ((3, 3), (5, 5)) and window.stride == (2, 2) and window.dilation == (1, 1)
    return reader if fits and window.pad[1] <= 2 and filters.shape[3] == tensor.shape[3] else None


def _why_not_fully_connected(op: Op) -> str:
    if problem := _constant_weights(op, 1, 2):
        return problem
    outputs, inputs = op.input(1).shape
    if op.input(0).size % inputs or op.outputs[0].size != op.input(0).size // inputs * outputs:
        return f"its input of {op.input(0).size} values does not go with weights {[outputs, inputs]}"
    if op.attrs.get("weights_format", "DEFAULT") != "DEFAULT":
        return "its weights are shuffled"
    return why_not_bias(op, 2, outputs) or why_not_fused(op)


def _fully_connected(builder: Builder, op: Op) -> None:
    source = op.input(0)
    weights = _matrix(op.input(1).dense())
    outputs, inputs = weights.shape
    rows = source.size // inputs
    value, given = builder.value(source), bias(op, 2, outputs)
    if not value.is_flat:
        flat = Value(source.shape, planes=False)
        builder.copy(op, value, flat)
        value = flat
    made = builder.result(op.outputs[0])
    low, high = limits(op)
    act = Activation.fused(op)
    if rows == 1:
        target = made if made.is_flat else Value((outputs,), planes=False)

        def emit(p: Any) -> None:
            if _by_rows(weights, act):
                _matvec(p, value, target, weights, given, low, high)
            else:
                a = _core.Planes(value.first, 1, inputs, 1, 1)
                p.product(a, _core.Planes(target.first, 1, outputs, 1, 1), weights, given, finish(act))

        builder.task(op, [value], [target], emit)
        if target is not made:
            builder.task(op, [target], [made], lambda p: _reshaped(p, target, made))
        return
    # rows become pixels: copied to planes, multiplied, and back
    before, after = builder.scratch((1, rows, 1, inputs)), builder.scratch((1, rows, 1, outputs))
    flat_made = Value((rows, outputs), planes=False) if not made.is_flat else made
    builder.task(
        op,
        [value],
        [before],
        lambda p: copy_views(p, (value.first, (1, rows, 1, inputs), (0, inputs, 0, 1), 0), before.view_args()),
    )
    builder.task(
        op, [before], [after], lambda p: p.product(before.as_planes(), after.as_planes(), weights, given, finish(act))
    )
    builder.task(
        op,
        [after],
        [flat_made],
        lambda p: copy_views(p, after.view_args(), (flat_made.first, (1, rows, 1, outputs), (0, outputs, 0, 1), 0)),
    )
    if flat_made is not made:
        builder.task(op, [flat_made], [made], lambda p: _reshaped(p, flat_made, made))


def _reshaped(p: Any, flat: Value, made: Value) -> None:
    rows = Value(made.shape, planes=False)
    copy_views(p, (flat.first, made.shape, rows.strides, 0), made.view_args())


def _transpose_operands(op: Op) -> tuple[Tensor, Tensor, int, str, tuple[int, int]]:
    """Input, weights, place of the bias, padding and strides of either transposed convolution."""
    if op.kind == "CUSTOM":
        padding, wide, high = (int(n) for n in np.frombuffer(op.custom_options[:12], "<i4"))
        return op.input(0), op.input(1), 2, _MEDIAPIPE_PADDING.get(padding, ""), (high, wide)
    strides = int(op.attrs.get("stride_h") or 1), int(op.attrs.get("stride_w") or 1)
    return op.input(2), op.input(1), 3, op.attrs.get("padding", "SAME"), strides


def _why_not_transpose(op: Op) -> str:
    if op.kind == "CUSTOM" and len(op.custom_options) != 12:
        return f"it has {len(op.custom_options)} bytes of options, expected 12"
    source, filters, place, padding, strides = _transpose_operands(op)
    result = op.outputs[0]
    if not filters.is_constant or filters.dtype is not DType.FLOAT32 or len(filters.shape) != 4:
        return "its weights are not a float32 constant"
    if not is_picture(source) or not is_picture(result) or source.dtype is not DType.FLOAT32:
        return "it is not one picture [1, height, width, channels]"
    if filters.shape[3] != source.shape[3] or filters.shape[0] != result.shape[3]:
        return "its weights do not go with its channels"
    if padding not in ("SAME", "VALID"):
        return f"its padding is {padding!r}"
    for axis in (0, 1):
        size, out, side, stride = source.shape[1 + axis], result.shape[1 + axis], filters.shape[1 + axis], strides[axis]
        if min(side, stride) < 1 or max(side, stride, out) > 1 << 15:
            return "its window or result is too large, or its stride is not positive"
        expected = -(-out // stride) if padding == "SAME" else (out - side) // stride + 1
        if size != expected:
            return f"its result has {out} rows or columns, which does not follow from {size} at stride {stride}"
    return why_not_bias(op, place, filters.shape[0]) or why_not_fused(op)


def _transpose(builder: Builder, op: Op) -> None:
    """As a convolution of stride 1, weights turned by 180 degrees, over the input with zeros between its pixels."""
    source, filters, place, padding, strides = _transpose_operands(op)
    value = _picture(builder, op, source)
    channels, height, width, depth = filters.shape
    given = bias(op, place, channels)
    out = op.outputs[0].shape[1:3]
    apart = strides == (height, width) and tuple(out) == (source.shape[1] * height, source.shape[2] * width)
    tail = Tail(builder, op, channels, takes_residual=not apart)
    made = builder.result(tail.result)
    if apart:
        _spread(builder, op, value, made, filters.dense(), given, tail)
        return
    spread, pads = [], []
    for axis, side in enumerate((height, width)):
        before = same_pads(out[axis], side, strides[axis])[0] if padding == "SAME" else 0
        pads.append(side - 1 - before)
        # no window may start behind the picture: where strides are larger than windows, zeros follow
        spread.append(max((source.shape[1 + axis] - 1) * strides[axis] + 1, out[axis] - pads[axis]))
    holed = builder.scratch((1, *spread, depth))
    weights = _matrix(filters.dense()[:, ::-1, ::-1, :])

    def fill(p: Any) -> None:
        p.fill(view(holed.first, (depth, holed.pixels), (holed.stride, 1)), 0.0)
        _, rows, _, planes = holed.strides
        copy_views(p, value.view_args(), (holed.first, value.shape, (0, rows * strides[0], strides[1], planes), 0))

    builder.task(op, [value], [holed], fill)
    window = _core.Window(spread, list(out), [height, width], [1, 1], [1, 1], pads)
    builder.task(
        op,
        [holed, *tail.reads],
        [made],
        lambda p: p.convolution(holed.as_planes(), made.as_planes(), window, weights, given, tail.finish()),
    )


def _spread(builder: Builder, op: Op, value: Value, made: Value, filters: Floats, given: Floats, tail: Tail) -> None:
    """Where windows do not overlap: one product per place in the window, its pixels then spread out."""
    channels, height, width, _ = filters.shape
    weights = _matrix(filters.transpose(1, 2, 0, 3).reshape(height * width * channels, -1))
    parts = builder.scratch((1, value.shape[1], value.shape[2], height * width * channels))
    act = tail.act
    slope = act.slope * (height * width)
    repeated = Activation(act.kind, act.low, act.high, slope)
    builder.task(
        op,
        [value],
        [parts],
        lambda p: p.product(
            value.as_planes(), parts.as_planes(), weights, np.tile(given, height * width), finish(repeated)
        ),
    )

    def emit(p: Any) -> None:
        _, row, _, plane = made.strides
        for y in range(height):
            for x in range(width):
                shape = (1, value.shape[1], value.shape[2], channels)
                start = parts.first + (y * width + x) * channels * parts.stride
                target = (made.first + y * row + x, shape, (0, row * height, width, plane), 0)
                copy_views(p, (start, shape, (0, value.shape[2], 1, parts.stride), 0), target)

    builder.task(op, [parts], [made], emit)


RULES = {
    "CONV_2D": (_why_not_conv, _conv),
    "Convolution2DTransposeBias": (_why_not_transpose, _transpose),
    "FULLY_CONNECTED": (_why_not_fully_connected, _fully_connected),
    "TRANSPOSE_CONV": (_why_not_transpose, _transpose),
}
