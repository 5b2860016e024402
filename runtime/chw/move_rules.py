"""Rules for ops that only move values: each becomes strided copies, or nothing where the floats can stay."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pocketgraph.models.graph import Op, Tensor
from pocketgraph.runtime.chw.builder import Builder, copy_views
from pocketgraph.runtime.chw.operands import integers, is_picture
from pocketgraph.runtime.chw.values import Value, view

_WINDOWED = ("CONV_2D", "DEPTHWISE_CONV_2D")
_LARGEST_BLOCK = 64  # each of its places is a step of its own
Args = tuple[int, tuple[int, ...], tuple[int, ...], int]


def _part(value: Value, begin: list[int], shape: tuple[int, ...], step: list[int] | None = None) -> Args:
    """A view of the block of `value` that starts at `begin`."""
    steps = step or [1] * len(begin)
    offset = value.first + sum(b * s for b, s in zip(begin, value.strides, strict=True))
    return offset, shape, tuple(s * k for s, k in zip(value.strides, steps, strict=True)), 0


# ---- the same floats under another shape


def _why_not_reshape(op: Op) -> str:
    if op.input(0).size != op.outputs[0].size:
        return f"its result has {op.outputs[0].size} values, its operand {op.input(0).size}"
    return ""


def _reshape(builder: Builder, op: Op) -> None:
    value = builder.value(op.input(0))
    target = Value.of(op.outputs[0].shape)
    if value.data is None and value.is_flat and target.is_flat and not builder.is_output(op.input(0)):
        builder.result(op.outputs[0], alias=value)
        return
    made = builder.result(op.outputs[0])
    flat = value
    if not value.is_flat:
        flat = Value(value.shape, planes=False)
        builder.copy(op, value, flat)

    def emit(p: Any) -> None:
        rows = Value(made.shape, planes=False).strides
        copy_views(p, (flat.first, made.shape, rows, 0), made.view_args())

    builder.task(op, [flat], [made], emit)


# ---- padding


def _pads(op: Op) -> list[tuple[int, int]] | None:
    given, rank = integers(op, 1), len(op.input(0).shape)
    if given is None or len(given) != 2 * rank or min(given, default=0) < 0:
        return None
    return [(given[2 * axis], given[2 * axis + 1]) for axis in range(rank)]


def _why_not_pad(op: Op) -> str:
    pads = _pads(op)
    if pads is None:
        return "its padding is not a constant of zero or more"
    shape = tuple(n + a + b for n, (a, b) in zip(op.input(0).shape, pads, strict=True))
    if shape != op.outputs[0].shape:
        return f"its result has shape {list(op.outputs[0].shape)} where {list(shape)} follows from its padding"
    if op.kind == "PADV2" and (len(op.inputs) < 3 or not op.input(2).is_constant or op.input(2).size != 1):
        return "its value is not constant"
    if op.kind == "MIRROR_PAD" and any(
        max(a, b) >= n + (op.attrs.get("mode") == "SYMMETRIC")
        for n, (a, b) in zip(op.input(0).shape, pads, strict=True)
    ):
        return "it mirrors more than there is"
    return ""


def _pad(builder: Builder, op: Op) -> None:
    pads = _pads(op)
    assert pads is not None
    fill = _fill(op)
    if left_to_readers(builder, op):
        return
    value, made = builder.value(op.input(0)), builder.result(op.outputs[0])

    def emit(p: Any) -> None:
        for axis, (before, behind) in enumerate(pads):
            for start, count in ((0, before), (made.shape[axis] - behind, behind)):
                if count:
                    begin = [0] * len(pads)
                    begin[axis] = start
                    offset, shape, strides, _ = _part(made, begin, made.shape)
                    p.fill(view(offset, (*shape[:axis], count, *shape[axis + 1 :]), strides), fill)
        copy_views(p, value.view_args(), _part(made, [a for a, _ in pads], value.shape))

    builder.task(op, [value], [made], emit)


def _fill(op: Op) -> float:
    return float(op.input(2).dense().ravel()[0]) if op.kind == "PADV2" else 0.0


def left_to_readers(builder: Builder, op: Op) -> bool:
    """Whether PAD `op` puts zeros around a picture that only convolutions read: they become part of their windows."""
    from pocketgraph.runtime.chw.rules import why_not

    pads = _pads(op)
    assert pads is not None
    source, result = op.input(0), op.outputs[0]
    readers = builder.readers(result)
    if _fill(op) or builder.is_output(result) or not readers or not is_picture(source) or any(pads[0] + pads[3]):
        return False
    if source in builder.padded:
        return False
    for reader in readers:
        alone = reader.input(0) is result and all(tensor is not result for tensor in reader.inputs[1:])
        if (
            reader.kind not in _WINDOWED
            or not alone
            or reader.attrs.get("padding", "SAME") != "VALID"
            or why_not(reader)
            or not _starts_inside(reader, source, (pads[1][0], pads[2][0]))
        ):
            return False
    builder.padded[result] = (source, (*pads[1], *pads[2]))
    return True


def _starts_inside(reader: Op, source: Tensor, before: tuple[int, int]) -> bool:
    """Whether no window of `reader` starts behind the picture `source`, in the zeros that follow it."""
    strides = (int(reader.attrs.get(name) or 1) for name in ("stride_h", "stride_w"))
    sizes = zip(reader.outputs[0].shape[1:3], strides, before, source.shape[1:3], strict=True)
    return all((out - 1) * stride - zeros < size for out, stride, zeros, size in sizes)


def _mirror(builder: Builder, op: Op) -> None:
    pads = _pads(op)
    assert pads is not None
    edge = 0 if op.attrs.get("mode") == "SYMMETRIC" else 1
    value, made = builder.value(op.input(0)), builder.result(op.outputs[0])

    def emit(p: Any) -> None:
        copy_views(p, value.view_args(), _part(made, [a for a, _ in pads], value.shape))
        for axis, (before, behind) in enumerate(pads):  # axes before this one are whole by now
            size = value.shape[axis]
            begin = [0 if i < axis else a for i, (a, _) in enumerate(pads)]
            full = [made.shape[i] if i < axis else n for i, n in enumerate(value.shape)]
            for count, source, target in (
                (before, before + edge + before - 1, 0),
                (behind, before + size - 1 - edge, before + size),
            ):
                if not count:
                    continue
                shape = (*full[:axis], count, *full[axis + 1 :])
                step = [-1 if i == axis else 1 for i in range(len(pads))]
                from_, to = ([*begin[:axis], place, *begin[axis + 1 :]] for place in (source, target))
                copy_views(p, _part(made, from_, shape, step), _part(made, to, shape))

    builder.task(op, [value], [made], emit)


# ---- blocks out of and into larger tensors


def _why_not_slice(op: Op) -> str:
    begin, size = integers(op, 1), integers(op, 2)
    shape, result = op.input(0).shape, op.outputs[0].shape
    if begin is None or size is None or not len(begin) == len(size) == len(shape) == len(result):
        return "its bounds are not constant"
    if any(b < 0 or b + n > s for b, n, s in zip(begin, result, shape, strict=True)):
        return f"it takes {list(result)} from {begin} of {list(shape)}"
    return ""


def _slice(builder: Builder, op: Op) -> None:
    begin = integers(op, 1)
    assert begin is not None
    value, made = builder.value(op.input(0)), builder.result(op.outputs[0])
    builder.task(op, [value], [made], lambda p: copy_views(p, _part(value, begin, made.shape), made.view_args()))


def _strided_bounds(op: Op) -> tuple[list[int], list[int], list[int]] | None:
    """Begin, step and size along each axis of the operand; None where that is not constant or not plain."""
    begin, end, step = integers(op, 1), integers(op, 2), integers(op, 3)
    shape = op.input(0).shape
    masks = {name: int(op.attrs.get(name) or 0) for name in ("begin_mask", "end_mask", "shrink_axis_mask")}
    if begin is None or end is None or step is None or op.attrs.get("ellipsis_mask") or op.attrs.get("new_axis_mask"):
        return None
    if op.attrs.get("offset") or not len(begin) == len(end) == len(step) <= len(shape) or 0 in step:
        return None
    starts, steps, sizes = [0] * len(shape), [1] * len(shape), list(shape)
    for axis, given in enumerate(step):
        stride = given
        bit, size = 1 << axis, shape[axis]
        start = None if masks["begin_mask"] & bit else begin[axis]
        stop = None if masks["end_mask"] & bit else end[axis]
        if masks["shrink_axis_mask"] & bit:
            if not -size <= begin[axis] < size:
                return None
            start, stop, stride = begin[axis] % size, begin[axis] % size + 1, 1
        chosen = range(size)[start:stop:stride]
        if not chosen:
            return None
        starts[axis], steps[axis], sizes[axis] = chosen[0], stride, len(chosen)
    return starts, steps, sizes


def _why_not_strided_slice(op: Op) -> str:
    bounds = _strided_bounds(op)
    if bounds is None:
        return "its bounds are not constant and plain"
    if math.prod(bounds[2]) != op.outputs[0].size:
        return f"its result has shape {list(op.outputs[0].shape)}, which does not follow from its bounds"
    return ""


def _strided_slice(builder: Builder, op: Op) -> None:
    bounds = _strided_bounds(op)
    assert bounds is not None
    starts, steps, sizes = bounds
    value, made = builder.value(op.input(0)), builder.result(op.outputs[0])
    direct = tuple(sizes) == made.shape
    target = made if direct else Value(tuple(sizes), planes=False)
    builder.task(
        op, [value], [target], lambda p: copy_views(p, _part(value, starts, target.shape, steps), target.view_args())
    )
    if not direct:
        rows = Value(made.shape, planes=False)
        builder.task(
            op, [target], [made], lambda p: copy_views(p, (target.first, made.shape, rows.strides, 0), made.view_args())
        )


def _joined(op: Op) -> tuple[list[Tensor], int]:
    tensors = [tensor for tensor in op.inputs if tensor is not None]
    return tensors, int(op.attrs.get("axis") or 0) % max(1, len(op.outputs[0].shape))


def _why_not_concatenation(op: Op) -> str:
    tensors, axis = _joined(op)
    result = op.outputs[0].shape
    if op.attrs.get("fused_activation_function") not in (None, "NONE"):
        return "it has a fused activation"
    if not result:
        return "its result has no axis"
    for tensor in tensors:
        same = len(tensor.shape) == len(result) and all(
            a == b for i, (a, b) in enumerate(zip(tensor.shape, result, strict=True)) if i != axis
        )
        if not same:
            return f"{tensor.name!r} has shape {list(tensor.shape)}, its result {list(result)}"
    if not tensors or sum(tensor.shape[axis] for tensor in tensors) != result[axis]:
        return f"its operands do not make up the {result[axis]} of its result"
    return ""


def _concatenation(builder: Builder, op: Op) -> None:
    tensors, axis = _joined(op)
    values = [builder.value(tensor) for tensor in tensors]
    made = builder.result(op.outputs[0])

    def emit(p: Any) -> None:
        place = 0
        for value in values:
            begin = [place if i == axis else 0 for i in range(len(made.shape))]
            copy_views(p, value.view_args(), _part(made, begin, value.shape))
            place += value.shape[axis]

    builder.task(op, values, [made], emit)


def _split_axis(op: Op) -> tuple[Tensor, int] | None:
    source, axes = (op.input(1), integers(op, 0)) if op.kind == "SPLIT" else (op.input(0), integers(op, 2))
    if axes is None or len(axes) != 1 or not source.shape or not -len(source.shape) <= axes[0] < len(source.shape):
        return None
    return source, axes[0] % len(source.shape)


def _why_not_split(op: Op) -> str:
    found = _split_axis(op)
    if found is None:
        return "its axis is not constant"
    source, axis = found
    for result in op.outputs:
        if len(result.shape) != len(source.shape) or any(
            a != b for i, (a, b) in enumerate(zip(result.shape, source.shape, strict=True)) if i != axis
        ):
            return f"its result {result.name!r} has shape {list(result.shape)}"
    if sum(result.shape[axis] for result in op.outputs) != source.shape[axis]:
        return "its results do not make up its operand"
    return ""


def _split(builder: Builder, op: Op) -> None:
    found = _split_axis(op)
    assert found is not None
    source, axis = found
    value, made = builder.value(source), [builder.result(result) for result in op.outputs]

    def emit(p: Any) -> None:
        place = 0
        for result in made:
            begin = [place if i == axis else 0 for i in range(len(result.shape))]
            copy_views(p, _part(value, begin, result.shape), result.view_args())
            place += result.shape[axis]

    builder.task(op, [value], made, emit)


# ---- axes and blocks


def _why_not_transpose(op: Op) -> str:
    order = integers(op, 1)
    shape = op.input(0).shape
    if order is None or sorted(order) != list(range(len(shape))):
        return "its order of axes is not constant"
    if tuple(shape[axis] for axis in order) != op.outputs[0].shape:
        return f"its result has shape {list(op.outputs[0].shape)}"
    return ""


def _transpose(builder: Builder, op: Op) -> None:
    order = integers(op, 1)
    assert order is not None
    value, made = builder.value(op.input(0)), builder.result(op.outputs[0])
    builder.task(
        op,
        [value],
        [made],
        lambda p: copy_views(
            p, (value.first, made.shape, tuple(value.strides[axis] for axis in order), 0), made.view_args()
        ),
    )


def _why_not_blocks(op: Op) -> str:
    block = int(op.attrs.get("block_size") or 0)
    deep, wide = (op.input(0), op.outputs[0]) if op.kind == "DEPTH_TO_SPACE" else (op.outputs[0], op.input(0))
    if not is_picture(deep) or not is_picture(wide) or not 1 <= block <= _LARGEST_BLOCK:
        return f"it is not one picture [1, height, width, channels] in blocks of 1 to {_LARGEST_BLOCK}"
    _, height, width, channels = deep.shape
    if wide.shape != (1, height * block, width * block, channels // (block * block)) or channels % (block * block):
        return f"its shapes {list(deep.shape)} and {list(wide.shape)} do not go with blocks of {block}"
    return ""


def _blocks(builder: Builder, op: Op) -> None:
    block = int(op.attrs["block_size"])
    value = builder.value(op.input(0))
    if not value.planes:
        planes = builder.scratch(op.input(0).shape)
        builder.copy(op, value, planes)
        value = planes
    made = builder.result(op.outputs[0])
    deep, wide = (value, made) if op.kind == "DEPTH_TO_SPACE" else (made, value)
    _, height, width, _ = deep.shape
    channels = wide.shape[3]

    def emit(p: Any) -> None:
        for y in range(block):
            for x in range(block):
                shape = (1, height, width, channels)
                start = deep.first + (y * block + x) * channels * deep.stride
                packed = (start, shape, (0, width, 1, deep.stride), 0)
                row = wide.shape[2]
                spread = (wide.first + y * row + x, shape, (0, row * block, block, wide.stride), 0)
                copy_views(p, *((packed, spread) if wide is made else (spread, packed)))

    builder.task(op, [value], [made], emit)


def _reversed_axes(op: Op) -> list[int] | None:
    given, rank = integers(op, 1), len(op.input(0).shape)
    if not given or any(not -rank <= axis < rank for axis in given):
        return None
    return sorted({axis % rank for axis in given})


def _why_not_reverse(op: Op) -> str:
    if _reversed_axes(op) is None:
        return "its axes are not constant"
    if op.input(0).shape != op.outputs[0].shape:
        return f"its result has shape {list(op.outputs[0].shape)}, its operand {list(op.input(0).shape)}"
    return ""


def _reverse(builder: Builder, op: Op) -> None:
    axes = _reversed_axes(op)
    assert axes is not None
    value, made = builder.value(op.input(0)), builder.result(op.outputs[0])
    steps = [-1 if axis in axes else 1 for axis in range(len(value.shape))]
    begin = [size - 1 if step < 0 else 0 for size, step in zip(value.shape, steps, strict=True)]
    builder.task(
        op, [value], [made], lambda p: copy_views(p, _part(value, begin, value.shape, steps), made.view_args())
    )


# ---- resizing


def _why_not_resize(op: Op) -> str:
    if not is_picture(op.input(0)) or not is_picture(op.outputs[0]):
        return "it is not one picture [1, height, width, channels]"
    if op.input(0).shape[3] != op.outputs[0].shape[3]:
        return "its channels differ"
    if op.attrs.get("align_corners") and op.attrs.get("half_pixel_centers"):
        return "it has both aligned corners and half-pixel centres"
    return ""


def _places(size: int, out: int, op: Op) -> tuple[list[int], list[int], np.ndarray[Any, np.dtype[np.float32]]]:
    """For each output pixel along an axis the two input pixels between which it lies, and how far along."""
    corners, centres = bool(op.attrs.get("align_corners")), bool(op.attrs.get("half_pixel_centers"))
    scale = np.float32((size - 1) / (out - 1)) if corners and out > 1 else np.float32(size / out)
    where = np.arange(out, dtype=np.float32)
    if op.kind == "RESIZE_NEAREST_NEIGHBOR":
        at = (where + np.float32(0.5)) * scale if centres else where * scale
        rounded = np.floor(at + np.float32(0.5)) if corners else np.floor(at)
        nearest = np.clip(rounded, 0, size - 1).astype(int).tolist()
        return nearest, nearest, np.zeros(out, np.float32)
    at = (where + np.float32(0.5)) * scale - np.float32(0.5) if centres else where * scale
    low = np.floor(at)
    first = np.clip(low, 0, size - 1).astype(int)
    second = np.clip(low + 1, 0, size - 1).astype(int)
    return first.tolist(), second.tolist(), (at - low).astype(np.float32)


def _resize(builder: Builder, op: Op) -> None:
    value = builder.value(op.input(0))
    if not value.planes:
        planes = builder.scratch(op.input(0).shape)
        builder.copy(op, value, planes)
        value = planes
    made = builder.result(op.outputs[0])
    rows, columns = (_places(value.shape[axis], made.shape[axis], op) for axis in (1, 2))
    builder.task(op, [value], [made], lambda p: p.resize(value.as_planes(), made.as_planes(), *rows, *columns))


# ---- repeating and stacking


def _why_not_tile(op: Op) -> str:
    shape, result = op.input(0).shape, op.outputs[0].shape
    if op.kind == "TILE":
        times = integers(op, 1)
        if (
            times is None
            or len(times) != len(shape)
            or tuple(n * t for n, t in zip(shape, times, strict=True)) != result
        ):
            return "its multiples are not constant or do not fit"
        return ""
    if len(shape) > len(result) or any(
        n not in (1, m) for n, m in zip(shape, result[len(result) - len(shape) :], strict=True)
    ):
        return f"{list(shape)} does not broadcast to {list(result)}"
    return ""


def _tile(builder: Builder, op: Op) -> None:
    value, made = builder.value(op.input(0)), builder.result(op.outputs[0])

    def emit(p: Any) -> None:
        if op.kind == "BROADCAST_TO":
            offset, strides = value.broadcast(made.shape)
            copy_views(p, (offset, made.shape, strides, 0), made.view_args())
            return
        # each axis becomes two: which repetition, and where in it
        shape = tuple(n for old, new in zip(value.shape, made.shape, strict=True) for n in (new // old, old))
        read = tuple(n for stride in value.strides for n in (0, stride))
        written = tuple(
            n for old, stride in zip(value.shape, made.strides, strict=True) for n in (old * stride, stride)
        )
        copy_views(p, (value.first, shape, read, 0), (made.first, shape, written, 0))

    builder.task(op, [value], [made], emit)


def _why_not_pack(op: Op) -> str:
    many, one = (op.inputs, op.outputs[0]) if op.kind == "PACK" else (op.outputs, op.input(0))
    axis = int(op.attrs.get("axis") or 0)
    if not -len(one.shape) <= axis < len(one.shape):
        return f"its axis is {axis}"
    rest = list(one.shape)
    count = rest.pop(axis % len(one.shape))
    if count != len(many) or any(tensor is None or list(tensor.shape) != rest for tensor in many):
        return "its shapes do not go together"
    return ""


def _pack(builder: Builder, op: Op) -> None:
    packs = op.kind == "PACK"
    many = [builder.value(t) for t in op.inputs if t is not None] if packs else [builder.result(t) for t in op.outputs]
    one = builder.result(op.outputs[0]) if packs else builder.value(op.input(0))
    axis = int(op.attrs.get("axis") or 0) % len(one.shape)

    def emit(p: Any) -> None:
        for place, value in enumerate(many):
            offset = one.first + place * one.strides[axis]
            strides = one.strides[:axis] + one.strides[axis + 1 :]
            row = (offset, value.shape, strides, 0)
            copy_views(p, *((value.view_args(), row) if packs else (row, value.view_args())))

    builder.task(op, many if packs else [one], [one] if packs else many, emit)


RULES = {
    "BROADCAST_TO": (_why_not_tile, _tile),
    "CONCATENATION": (_why_not_concatenation, _concatenation),
    "DEPTH_TO_SPACE": (_why_not_blocks, _blocks),
    "EXPAND_DIMS": (_why_not_reshape, _reshape),
    "MIRROR_PAD": (_why_not_pad, _mirror),
    "PACK": (_why_not_pack, _pack),
    "PAD": (_why_not_pad, _pad),
    "PADV2": (_why_not_pad, _pad),
    "RESHAPE": (_why_not_reshape, _reshape),
    "RESIZE_BILINEAR": (_why_not_resize, _resize),
    "RESIZE_NEAREST_NEIGHBOR": (_why_not_resize, _resize),
    "REVERSE_V2": (_why_not_reverse, _reverse),
    "SLICE": (_why_not_slice, _slice),
    "SPACE_TO_DEPTH": (_why_not_blocks, _blocks),
    "SPLIT": (_why_not_split, _split),
    "SPLIT_V": (_why_not_split, _split),
    "SQUEEZE": (_why_not_reshape, _reshape),
    "STRIDED_SLICE": (_why_not_strided_slice, _strided_slice),
    "TILE": (_why_not_tile, _tile),
    "TRANSPOSE": (_why_not_transpose, _transpose),
    "UNPACK": (_why_not_pack, _pack),
}
