"""ONNX operators that move elements (reshape, transpose, slice, concatenate, pad, gather) as graph operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.graph import Tensor
from pocketgraph.models.onnx_build import Builder, Placed, axes_of, axis_of, integer, integers, number, text
from pocketgraph.models.onnx_from_math import broadcast_shape
from pocketgraph.models.onnx_layout import Shape, identity, place, reshape_through, without_axes
from pocketgraph.models.onnx_proto import Array, Node

_FAR = 2**31 - 1
_MAX_LIST = 4096


def _to_shape(b: Builder, node: Node, target: Shape) -> None:
    """Output 0 is input 0 with the logical shape `target`; elements stay where they are if the layout allows."""
    shape, layout = b.shape(node), b.layout(node)
    if math.prod(shape) != math.prod(target) or any(size < 1 for size in target):
        raise FormatError(f"{node.kind} {node.name!r} turns shape {list(shape)} into {list(target)}")
    found = reshape_through(shape, layout, target)
    source = b.tensor(node, 0, identity(len(shape)) if found is None else layout)
    new = identity(len(target)) if found is None else found
    b.put(node, b.reshaped(source, place(target, new), node.outputs[0]), new)


def reshape(b: Builder, node: Node) -> None:
    """Reshape: 0 keeps a size, -1 is what is left."""
    shape = b.shape(node)
    wanted = integers(node, "shape", []) if "shape" in node.attrs else _whole(b, node, 1)
    if not integer(node, "allowzero", 0):
        wanted = [shape[i] if size == 0 and i < len(shape) else size for i, size in enumerate(wanted)]
    if wanted.count(-1) == 1:
        known = -math.prod(wanted)
        wanted = [math.prod(shape) // known if size == -1 and known > 0 else size for size in wanted]
    _to_shape(b, node, tuple(wanted))


def flatten(b: Builder, node: Node) -> None:
    """Flatten to two axes."""
    shape = b.shape(node)
    axis = integer(node, "axis", 1)
    axis = len(shape) if axis == len(shape) else axis_of(node, axis, len(shape))
    _to_shape(b, node, (math.prod(shape[:axis]), math.prod(shape[axis:])))


def squeeze(b: Builder, node: Node) -> None:
    """Squeeze: drop axes of size 1."""
    shape = b.shape(node)
    axes = axes_of(b, node, 1, len(shape), default=[i for i, size in enumerate(shape) if size == 1])
    _to_shape(b, node, tuple(size for i, size in enumerate(shape) if i not in axes))


def unsqueeze(b: Builder, node: Node) -> None:
    """Unsqueeze: axes of size 1 at places of the result."""
    shape = b.shape(node)
    count = len(integers(node, "axes", [])) if "axes" in node.attrs else b.array(node, 1).size
    rank = len(shape) + count
    axes = axes_of(b, node, 1, rank, default=[])
    if len(axes) != count:
        raise FormatError(f"Unsqueeze {node.name!r} names an axis twice")
    left = iter(shape)
    _to_shape(b, node, tuple(1 if i in axes else next(left) for i in range(rank)))


def transpose(b: Builder, node: Node) -> None:
    """Transpose: nothing is computed, the layout takes it in."""
    rank = len(b.shape(node))
    order = integers(node, "perm", list(range(rank))[::-1])
    if sorted(order) != list(range(rank)):
        raise FormatError(f"Transpose {node.name!r} has the permutation {order} for a value of rank {rank}")
    layout = b.layout(node)
    b.put(node, b.tensor(node, 0, layout), tuple(order.index(axis) for axis in layout))


def concat(b: Builder, node: Node) -> None:
    """Concat along an axis."""
    shapes = [b.shape(node, index) for index in range(len(node.inputs))]
    if not shapes:
        raise FormatError(f"Concat {node.name!r} has no inputs")
    rank = len(shapes[0])
    axis = axis_of(node, integer(node, "axis", 0), rank)
    if any(
        (*s[:axis], *s[axis + 1 :]) != (*shapes[0][:axis], *shapes[0][axis + 1 :]) or len(s) != rank for s in shapes
    ):
        raise FormatError(f"Concat {node.name!r} joins shapes {[list(s) for s in shapes]} along axis {axis}")
    layout = b.best_layout(node.inputs, rank)
    tensors = [b.tensor(node, index, layout) for index in range(len(shapes))]
    shape = (*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])
    attrs = {"axis": layout.index(axis), "fused_activation_function": "NONE"}
    y = b.op("CONCATENATION", tensors, place(shape, layout), node.outputs[0], tensors[0].dtype, **attrs)
    b.put(node, y, layout)


def split(b: Builder, node: Node) -> None:
    """Split into given or equal sizes."""
    shape = b.shape(node)
    axis = axis_of(node, integer(node, "axis", 0), len(shape))
    if "split" in node.attrs:
        sizes = integers(node, "split", [])
    elif b.has(node, 1):
        sizes = _whole(b, node, 1)
    else:
        count = integer(node, "num_outputs", len(node.outputs))
        if not 0 < count <= len(node.outputs):
            raise FormatError(f"Split {node.name!r} makes {count} parts and has {len(node.outputs)} outputs")
        step = -(-shape[axis] // count)
        sizes = [min(step, shape[axis] - step * i) for i in range(count)]
    if sum(sizes) != shape[axis] or len(sizes) != len(node.outputs) or min(sizes) < 1:
        raise FormatError(f"Split {node.name!r} cuts {shape[axis]} elements into {sizes}")
    layout = b.layout(node)
    x, at, hint = b.tensor(node, 0, layout), layout.index(axis), node.name
    shapes = [(*x.shape[:at], size, *x.shape[at + 1 :]) for size in sizes]
    operands = [x, b.ints(sizes, hint), b.ints(np.asarray(at), hint)]
    parts = b.op_many("SPLIT_V", operands, shapes, [n or hint for n in node.outputs], x.dtype, num_splits=len(sizes))
    for index, part in enumerate(parts):
        b.put(node, part, layout, index)


def slice_(b: Builder, node: Node) -> None:
    """Slice with steps of either sign."""
    shape = b.shape(node)
    if "starts" in node.attrs:
        starts, ends = integers(node, "starts", []), integers(node, "ends", [])
        axes, steps = integers(node, "axes", []) or list(range(len(starts))), [1] * len(starts)
    else:
        starts, ends = _whole(b, node, 1), _whole(b, node, 2)
        axes = _whole(b, node, 3) if b.has(node, 3) else list(range(len(starts)))
        steps = _whole(b, node, 4) if b.has(node, 4) else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise FormatError(f"Slice {node.name!r} has starts {starts}, ends {ends}, axes {axes}, steps {steps}")
    cuts = [slice(0, size, 1) for size in shape]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        at = axis_of(node, axis, len(shape))
        cuts[at] = slice(*slice(start, end, step).indices(shape[at]))
    sizes = tuple(len(range(cut.start, cut.stop, cut.step)) for cut in cuts)
    layout = b.layout(node)
    b.put(node, _cut(b, node, b.tensor(node, 0, layout), [cuts[a] for a in layout], place(sizes, layout)), layout)


def _cut(b: Builder, node: Node, x: Tensor, cuts: Sequence[slice], shape: Shape) -> Tensor:
    """`x[cuts]`; an end before the first element is said by a mask, since -1 would mean the last one."""
    hint = node.outputs[0]
    if shape == x.shape and all(cut.step in (1, -1) for cut in cuts):
        back = [axis for axis, cut in enumerate(cuts) if cut.step == -1]
        if not back:
            return x
        if len(back) == back[-1] - back[0] + 1:  # LiteRT reverses neighbouring axes only
            return b.op("REVERSE_V2", [x, b.ints(back, hint)], shape, hint, x.dtype)
    operands = [x, *(b.ints([getattr(cut, field) for cut in cuts], hint) for field in ("start", "stop", "step"))]
    mask = sum(1 << i for i, cut in enumerate(cuts) if cut.stop < 0)
    attrs = {"begin_mask": 0, "end_mask": mask, "ellipsis_mask": 0, "new_axis_mask": 0, "shrink_axis_mask": 0}
    return b.op("STRIDED_SLICE", operands, shape, hint, x.dtype, **attrs)


def pad(b: Builder, node: Node) -> None:
    """Pad with a constant, by reflection, or by repeating the edge; negative pads crop."""
    shape = b.shape(node)
    rank = len(shape)
    pads = integers(node, "pads", []) if "pads" in node.attrs else _whole(b, node, 1)
    axes = axes_of(b, node, 3, rank) if b.has(node, 3) else list(range(rank))
    if len(pads) != 2 * len(axes) or any(abs(p) > _FAR for p in pads):
        raise FormatError(f"Pad {node.name!r} has pads {pads} for shape {list(shape)}")
    ends = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        ends[axis] = (pads[i], pads[i + len(axes)])
    layout = b.layout(node)
    x = b.tensor(node, 0, layout)
    if any(p < 0 for pair in ends for p in pair):
        cuts = [slice(max(0, -e[0]), size - max(0, -e[1]), 1) for e, size in zip(ends, shape, strict=True)]
        if any(cut.stop <= cut.start for cut in cuts):
            raise FormatError(f"Pad {node.name!r} crops {pads} from shape {list(shape)}")
        x = _cut(b, node, x, [cuts[a] for a in layout], tuple(cuts[a].stop - cuts[a].start for a in layout))
        ends = [(max(0, low), max(0, high)) for low, high in ends]
    b.put(node, _bordered(b, node, x, [ends[a] for a in layout]), layout)


def _bordered(b: Builder, node: Node, x: Tensor, ends: list[tuple[int, int]]) -> Tensor:
    mode, hint = text(node, "mode", "constant"), node.outputs[0]
    shape = tuple(low + size + high for (low, high), size in zip(ends, x.shape, strict=True))
    if shape == x.shape:
        return x
    if mode == "constant":
        value = np.asarray(number(node, "value", 0.0))
        if b.has(node, 2):
            value = b.array(node, 2).reshape(-1)
            if value.size != 1:
                raise FormatError(f"Pad {node.name!r} fills with {value.size} values, expected one")
        operands = [x, b.ints(ends, hint)]
        if value.reshape(-1)[0] == 0:
            return b.op("PAD", operands, shape, hint, x.dtype)
        border = b.constant(value.reshape(1), f"{hint}/border", x.dtype.numpy)
        return b.op("PADV2", [*operands, border], shape, hint, x.dtype)
    if mode == "reflect":
        if any(max(pair) >= size for pair, size in zip(ends, x.shape, strict=True)):
            raise FormatError(f"Pad {node.name!r} reflects more than there is: {ends} for {list(x.shape)}")
        return b.op("MIRROR_PAD", [x, b.ints(ends, hint)], shape, hint, x.dtype, mode="REFLECT")
    if mode == "edge":
        for axis, ((low, high), size) in enumerate(zip(ends, x.shape, strict=True)):
            if low or high:
                b.spend(size + low + high, np.int64, node)
                x = _taken(b, x, axis, np.clip(np.arange(-low, size + high), 0, size - 1), hint)
        return x
    raise UnsupportedError(f"Pad {node.name!r} has the mode {mode!r}; constant, reflect and edge are covered")


def _taken(b: Builder, x: Tensor, axis: int, index: Array, hint: str) -> Tensor:
    shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    return b.op("GATHER", [x, b.ints(index, hint)], shape, hint, x.dtype, axis=axis, batch_dims=0)


def gather(b: Builder, node: Node) -> None:
    """Gather along an axis; negative constant indices count from the end."""
    shape = b.shape(node)
    axis = axis_of(node, integer(node, "axis", 0), len(shape))
    indices = b.value(node, 1)
    if isinstance(indices, Placed):
        x, where = b.tensor(node, 0), b.tensor(node, 1)
        if where.dtype.value not in ("int32", "int64"):
            raise UnsupportedError(f"Gather {node.name!r} takes indices of type {where.dtype.value}")
        target = (*x.shape[:axis], *where.shape, *x.shape[axis + 1 :])
        b.put(node, b.op("GATHER", [x, where], target, node.outputs[0], x.dtype, axis=axis, batch_dims=0))
        return
    size = shape[axis]
    if indices.dtype.kind not in "iu" or (indices.size and not -size <= indices.min() <= indices.max() < size):
        raise FormatError(f"Gather {node.name!r} takes {indices.reshape(-1)[:8].tolist()} of {size} elements")
    b.spend(indices.size, np.int64, node)
    indices = indices.astype(np.int64)
    layout = b.layout(node) if indices.ndim <= 1 else identity(len(shape))
    y = _taken(
        b, b.tensor(node, 0, layout), layout.index(axis), np.where(indices < 0, indices + size, indices), node.name
    )
    if indices.ndim == 1:
        b.put(node, y, layout)
    elif indices.ndim == 0:
        b.put(node, y, without_axes(layout, [axis]))
    else:
        b.put(node, y)


def gather_nd(b: Builder, node: Node) -> None:
    """GatherND without batch dimensions."""
    if integer(node, "batch_dims", 0):
        raise UnsupportedError(f"GatherND {node.name!r} has batch dimensions, which are not covered")
    shape, at = b.shape(node, 0), b.shape(node, 1)
    if not at or at[-1] > len(shape):
        raise FormatError(f"GatherND {node.name!r} takes indices {list(at)} of shape {list(shape)}")
    x = b.tensor(node, 0)
    target = (*at[:-1], *shape[at[-1] :])
    b.put(node, b.op("GATHER_ND", [x, b.tensor(node, 1)], target, node.outputs[0], x.dtype))


def expand(b: Builder, node: Node) -> None:
    """Expand: broadcast to a shape."""
    wanted = tuple(_whole(b, node, 1))
    if any(size < 1 for size in wanted):
        raise FormatError(f"Expand {node.name!r} has the shape {list(wanted)}")
    shape = broadcast_shape(node, [b.shape(node), wanted])
    layout = b.best_layout(node.inputs[:1], len(shape))
    x, target = b.tensor(node, 0, layout), place(shape, layout)
    y = x if x.shape == target else b.op("BROADCAST_TO", [x, b.ints(target, node.name)], target, node.name, x.dtype)
    b.put(node, y, layout)


def tile(b: Builder, node: Node) -> None:
    """Tile by constant counts."""
    counts, layout = _whole(b, node, 1), b.layout(node)
    if len(counts) != len(layout) or any(count < 1 for count in counts):
        raise FormatError(f"Tile {node.name!r} repeats {counts} times a value of rank {len(layout)}")
    x = b.tensor(node, 0, layout)
    repeats = place(counts, layout)
    shape = [size * count for size, count in zip(x.shape, repeats, strict=True)]
    b.put(node, b.op("TILE", [x, b.ints(repeats, node.name)], shape, node.outputs[0], x.dtype), layout)


def shape_of(b: Builder, node: Node) -> None:
    """Shape: known, hence a constant."""
    shape = b.shape(node)
    start, end, _ = slice(integer(node, "start", 0), integer(node, "end", _FAR)).indices(len(shape))
    b.alias(node, np.asarray(shape[start:end], np.int64))


def size_of(b: Builder, node: Node) -> None:
    """Size: the number of elements, a constant."""
    b.alias(node, np.asarray(math.prod(b.shape(node)), np.int64))


def _whole(b: Builder, node: Node, index: int) -> list[int]:
    """A constant operand that lists whole numbers."""
    array = b.array(node, index)
    if array.dtype.kind not in "iu" or array.size > _MAX_LIST:
        raise FormatError(f"{node.kind} {node.name!r} has {array.dtype}{list(array.shape)} as input {index}")
    return [int(value) for value in array.reshape(-1)]


LOWERINGS: dict[str, Callable[[Builder, Node], None]] = {
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Pad": pad,
    "Gather": gather,
    "GatherND": gather_nd,
    "Expand": expand,
    "Tile": tile,
    "Shape": shape_of,
    "Size": size_of,
}
