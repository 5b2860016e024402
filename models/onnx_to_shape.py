"""Operators that only move elements (reshape, slice, concatenate, pad, gather) as ONNX nodes, in the layout at hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.graph import DType, Op, Tensor
from pocketgraph.models.onnx_emit import Emitter
from pocketgraph.models.onnx_layout import Layout, identity, place, reshape_through, with_axes, without_axes
from pocketgraph.models.onnx_to_math import normal_axes


def reshape(emit: Emitter, op: Op) -> None:
    """RESHAPE, SQUEEZE and EXPAND_DIMS: to the output's shape, with every element left in place if possible."""
    x, out = op.input(0), op.outputs[0]
    if x.size != out.size:
        raise FormatError(f"{op.kind} {op.name!r} turns shape {list(x.shape)} into {list(out.shape)}")
    for have in emit.layouts(x):
        layout = reshape_through(x.shape, have, out.shape)
        if layout is not None:
            break
    else:
        have, layout = identity(len(x.shape)), identity(len(out.shape))
    name = emit.get(x, have)
    emit.finish(op, emit.reshape(name, place(out.shape, layout), op.name), layout)


def transpose(emit: Emitter, op: Op) -> None:
    """TRANSPOSE: nothing is computed, the layout takes it in."""
    x = op.input(0)
    order = normal_axes(op, emit.constant(op, 1).reshape(-1).tolist(), len(x.shape))
    if len(order) != len(x.shape):
        raise FormatError(f"TRANSPOSE {op.name!r} has the permutation {order} for a tensor of rank {len(x.shape)}")
    layout = emit.layout(x)
    emit.put(op.outputs[0], emit.get(x, layout), tuple(order.index(axis) for axis in layout))


def concatenate(emit: Emitter, op: Op) -> None:
    """CONCATENATION along an axis."""
    tensors = [t for t in op.inputs if t is not None]
    rank = len(op.outputs[0].shape)
    (axis,) = normal_axes(op, [op.attrs.get("axis", 0)], rank)
    layout = emit.best_layout(tensors) or identity(rank)
    names = [emit.get(t, layout) for t in tensors]
    emit.finish(op, emit.node("Concat", names, op.name, axis=layout.index(axis)), layout)


def pad(emit: Emitter, op: Op) -> None:
    """PAD, PADV2 and MIRROR_PAD."""
    x = op.input(0)
    amounts = emit.constant(op, 1).reshape(-1, 2).tolist()
    if len(amounts) != len(x.shape):
        raise FormatError(f"{op.kind} {op.name!r} pads {len(amounts)} axes of a tensor of rank {len(x.shape)}")
    layout = emit.layout(x)
    ends = emit.int64s([amounts[a][0] for a in layout] + [amounts[a][1] for a in layout], op.name)
    operands, attrs = [emit.get(x, layout), ends], {}
    if op.kind == "MIRROR_PAD":
        if op.attrs.get("mode", "REFLECT") != "REFLECT":
            emit.finish(op, _repeated(emit, op, operands[0], amounts, layout), layout)
            return
        attrs["mode"] = "reflect"
    elif op.kind == "PADV2":
        value = emit.get(op.input(2))
        operands.append(value if op.input(2).shape == () else emit.reshape(value, [], op.name))
    emit.finish(op, emit.node("Pad", operands, op.name, **attrs), layout)


def _repeated(emit: Emitter, op: Op, name: str, amounts: list[list[int]], layout: Layout) -> str:
    """`name` mirrored with the border itself repeated (SYMMETRIC), which ONNX has no padding mode for."""
    for axis, (before, after) in enumerate(amounts):
        size = op.input(0).shape[axis]
        if max(before, after) > size:
            raise FormatError(f"MIRROR_PAD {op.name!r} mirrors {max(before, after)} of {size} elements")
        if before or after:
            index = [*range(before - 1, -1, -1), *range(size), *range(size - 1, size - 1 - after, -1)]
            name = emit.node("Gather", [name, emit.int64s(index, op.name)], op.name, axis=layout.index(axis))
    return name


def strided_slice(emit: Emitter, op: Op) -> None:
    """STRIDED_SLICE with its masks."""
    x = op.input(0)
    begin, end, strides = (emit.constant(op, index).reshape(-1).tolist() for index in (1, 2, 3))
    if not len(begin) == len(end) == len(strides) or 0 in strides:
        raise FormatError(f"STRIDED_SLICE {op.name!r} has begin {begin}, end {end}, strides {strides}")
    masks = {
        key: int(op.attrs.get(f"{key}_mask", 0)) for key in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    given = range(len(begin))
    new = [i for i in given if masks["new_axis"] >> i & 1 and not masks["ellipsis"] >> i & 1]
    whole = len(x.shape) - sum(1 for i in given if i not in new and not masks["ellipsis"] >> i & 1)
    if whole < 0 or masks["ellipsis"] & (masks["ellipsis"] - 1):
        raise FormatError(f"STRIDED_SLICE {op.name!r} has {len(begin)} entries for shape {list(x.shape)}")
    bounds: tuple[list[int], list[int], list[int]] = ([], [], [])
    dropped: list[int] = []
    appeared: list[int] = []
    for i in given:
        axis = len(bounds[0])
        if masks["ellipsis"] >> i & 1:
            entries = [(0, size, 1) for size in x.shape[axis : axis + whole]]
        elif i in new:
            appeared.append(axis - len(dropped) + len(appeared))
            continue
        else:
            size, step = x.shape[axis], strides[i]
            start = (0 if step > 0 else size - 1) if masks["begin"] >> i & 1 else begin[i]
            stop = (size if step > 0 else -size - 1) if masks["end"] >> i & 1 else end[i]
            if masks["shrink_axis"] >> i & 1:
                dropped.append(axis)
                start = begin[i] % max(1, size)
                stop, step = start + 1, 1
            entries = [(start, stop, step)]
        for entry in entries:
            for values, value in zip(bounds, entry, strict=True):
                values.append(value)
    layout = emit.layout(x)
    name = _cut(emit, op, emit.get(x, layout), *bounds, layout)
    if dropped or appeared:
        layout = with_axes(without_axes(layout, dropped), appeared)
        name = emit.reshape(name, place(op.outputs[0].shape, layout), op.name)
    emit.finish(op, name, layout)


def slice_(emit: Emitter, op: Op) -> None:
    """SLICE: begin and size, where size -1 means to the end."""
    x = op.input(0)
    begin, sizes = (emit.constant(op, index).reshape(-1).tolist() for index in (1, 2))
    if not len(begin) == len(sizes) == len(x.shape):
        raise FormatError(f"SLICE {op.name!r} has begin {begin}, size {sizes} for {list(x.shape)}")
    end = [b + s if s >= 0 else whole for b, s, whole in zip(begin, sizes, x.shape, strict=True)]
    layout = emit.layout(x)
    emit.finish(op, _cut(emit, op, emit.get(x, layout), begin, end, [1] * len(begin), layout), layout)


def reverse(emit: Emitter, op: Op) -> None:
    """REVERSE_V2: a slice from the last element to the first."""
    x = op.input(0)
    back = normal_axes(op, emit.constant(op, 1).reshape(-1).tolist(), len(x.shape))
    begin = [size - 1 if axis in back else 0 for axis, size in enumerate(x.shape)]
    end = [-size - 1 if axis in back else size for axis, size in enumerate(x.shape)]
    strides = [-1 if axis in back else 1 for axis in range(len(x.shape))]
    layout = emit.layout(x)
    emit.finish(op, _cut(emit, op, emit.get(x, layout), begin, end, strides, layout), layout)


def _cut(emit: Emitter, op: Op, name: str, begin: list[int], end: list[int], strides: list[int], layout: Layout) -> str:
    bounds = (begin, end, [layout.index(axis) for axis in range(len(begin))], strides)
    return emit.node("Slice", [name, *(emit.int64s(values, op.name) for values in bounds)], op.name)


def split(emit: Emitter, op: Op) -> None:
    """SPLIT (axis, input) and SPLIT_V (input, sizes, axis): the sizes are those of the outputs."""
    x, axis_at = (op.input(1), 0) if op.kind == "SPLIT" else (op.input(0), 2)
    (axis,) = normal_axes(op, emit.constant(op, axis_at).reshape(-1)[:1].tolist(), len(x.shape))
    layout = emit.layout(x)
    sizes = emit.int64s((out.shape[axis] for out in op.outputs), op.name)
    hints = [out.name for out in op.outputs]
    names = emit.nodes_out("Split", [emit.get(x, layout), sizes], hints, axis=layout.index(axis))
    for out, name in zip(op.outputs, names, strict=True):
        emit.put(out, name, layout)


def pack(emit: Emitter, op: Op) -> None:
    """PACK: tensors of one shape, stacked along a new axis."""
    tensors = [t for t in op.inputs if t is not None]
    rank = len(op.outputs[0].shape)
    (axis,) = normal_axes(op, [op.attrs.get("axis", 0)], rank)
    wide = [emit.node("Unsqueeze", [emit.get(t), emit.int64s([axis], op.name)], f"{op.name}/part") for t in tensors]
    emit.finish(op, emit.node("Concat", wide, op.name, axis=axis), identity(rank))


def unpack(emit: Emitter, op: Op) -> None:
    """UNPACK: slices of size 1 along an axis, which is dropped."""
    x = op.input(0)
    (axis,) = normal_axes(op, [op.attrs.get("axis", 0)], len(x.shape))
    layout = emit.layout(x)
    position = layout.index(axis)
    sizes = emit.int64s([1] * len(op.outputs), op.name)
    hints = [f"{out.name}/part" for out in op.outputs]
    parts = emit.nodes_out("Split", [emit.get(x, layout), sizes], hints, axis=position)
    for out, part in zip(op.outputs, parts, strict=True):
        name = emit.node("Squeeze", [part, emit.int64s([position], op.name)], out.name)
        emit.put(out, name, without_axes(layout, [axis]))


def gather(emit: Emitter, op: Op) -> None:
    """GATHER along an axis by integer indices."""
    x, indices = op.input(0), op.input(1)
    if op.attrs.get("batch_dims", 0):
        raise UnsupportedError(f"GATHER {op.name!r} has batch dimensions, which are not written to ONNX")
    (axis,) = normal_axes(op, [op.attrs.get("axis", 0)], len(x.shape))
    name = emit.node("Gather", [emit.get(x), _integers(emit, indices)], op.name, axis=axis)
    emit.finish(op, name, identity(len(op.outputs[0].shape)))


def gather_nd(emit: Emitter, op: Op) -> None:
    """GATHER_ND: the last axis of the indices addresses the first axes of the input."""
    indices = emit.cast(_integers(emit, op.input(1)), DType.INT64, op.name)
    emit.finish(
        op, emit.node("GatherND", [emit.get(op.input(0)), indices], op.name), identity(len(op.outputs[0].shape))
    )


def _integers(emit: Emitter, indices: Tensor) -> str:
    name = emit.get(indices)
    return name if indices.dtype in (DType.INT32, DType.INT64) else emit.cast(name, DType.INT32, indices.name)


def tile(emit: Emitter, op: Op) -> None:
    """TILE by constant counts."""
    layout = emit.layout(op.input(0))
    counts = emit.constant(op, 1).reshape(-1).tolist()
    repeats = emit.int64s((counts[axis] for axis in layout), op.name)
    emit.finish(op, emit.node("Tile", [emit.get(op.input(0), layout), repeats], op.name), layout)


def broadcast_to(emit: Emitter, op: Op) -> None:
    """BROADCAST_TO the shape of the output."""
    rank = len(op.outputs[0].shape)
    layout = emit.best_layout([t for t in (op.input(0),) if len(t.shape) == rank]) or identity(rank)
    shape = emit.int64s(place(op.outputs[0].shape, layout), op.name)
    emit.finish(op, emit.node("Expand", [emit.get_broadcast(op.input(0), layout), shape], op.name), layout)


def shape_of(emit: Emitter, op: Op) -> None:
    """SHAPE of a tensor whose shape is known: a constant."""
    out = op.outputs[0]
    name = emit.initializer(np.asarray(op.input(0).shape, out.dtype.numpy), out.name)
    emit.put(out, name, identity(1))


LOWERINGS: dict[str, Callable[[Emitter, Op], None]] = {
    "RESHAPE": reshape,
    "SQUEEZE": reshape,
    "EXPAND_DIMS": reshape,
    "TRANSPOSE": transpose,
    "CONCATENATION": concatenate,
    "PAD": pad,
    "PADV2": pad,
    "MIRROR_PAD": pad,
    "STRIDED_SLICE": strided_slice,
    "SLICE": slice_,
    "REVERSE_V2": reverse,
    "SPLIT": split,
    "SPLIT_V": split,
    "PACK": pack,
    "UNPACK": unpack,
    "GATHER": gather,
    "GATHER_ND": gather_nd,
    "TILE": tile,
    "BROADCAST_TO": broadcast_to,
    "SHAPE": shape_of,
}
