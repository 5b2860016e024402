"""Which ops compute the mirrored result from a mirrored map, and what of theirs has to be flipped for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pocketgraph.convert.passes._edit import constant, only_consumer
from pocketgraph.convert.passes._windows import CONVOLUTIONS, Window, same_begin, slide_over, sliding, zero_padding
from pocketgraph.models.graph import DType, Graph, Op, Tensor

Axes = tuple[int, ...]

_ELEMENTWISE = frozenset(
    (
        "ABS",
        "ADD",
        "CEIL",
        "COS",
        "DIV",
        "ELU",
        "EXP",
        "FLOOR",
        "GELU",
        "HARD_SWISH",
        "LEAKY_RELU",
        "LOG",
        "LOGISTIC",
        "MAXIMUM",
        "MINIMUM",
        "MUL",
        "NEG",
        "POW",
        "PRELU",
        "RELU",
        "RELU6",
        "RELU_0_TO_1",
        "RELU_N1_TO_1",
        "ROUND",
        "RSQRT",
        "SIN",
        "SQRT",
        "SQUARE",
        "SQUARED_DIFFERENCE",
        "SUB",
        "TANH",
    )
)


def mirror_op(graph: Graph, op: Op, mirrored: set[Tensor], axes: Axes) -> bool:
    """Make `op` work on mirrored inputs; False, with nothing changed, where it cannot."""
    if op.kind in _ELEMENTWISE:
        return _elementwise(graph, op, mirrored, axes)
    if op.kind in CONVOLUTIONS:
        return _convolution(graph, op, axes)
    if op.kind in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"):
        return _reduction(op, axes)
    if op.kind in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        return _pooling(op)
    if op.kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        return _resize(op)
    if op.kind == "PAD":
        return _pad(graph, op, axes)
    if op.kind == "CONCATENATION":
        return op.attrs.get("axis", 0) in (3, -1) and _all_turned(op, mirrored, axes)
    if op.kind == "SOFTMAX":
        return len(op.input(0).shape) == 4
    if op.kind == "DEPTH_TO_SPACE":
        return _depth_to_space(graph, op, axes)
    if op.kind == "TRANSPOSE_CONV":
        return _transposed(graph, op, axes)
    return False


def _is_flat(tensor: Tensor, axes: Axes) -> bool:
    """Whether mirroring leaves `tensor` as it is: it has one sample along each axis, counted from the channels."""
    return all(len(tensor.shape) < 4 - a or tensor.shape[a - 4] == 1 for a in axes)


def _all_turned(op: Op, mirrored: set[Tensor], axes: Axes) -> bool:
    return all(t is None or t in mirrored or _is_flat(t, axes) for t in op.inputs)


def _flip(graph: Graph, tensor: Tensor, axes: Axes) -> Tensor:
    return constant(graph, f"{tensor.name}/mirrored", np.flip(tensor.dense(), axes))


def _elementwise(graph: Graph, op: Op, mirrored: set[Tensor], axes: Axes) -> bool:
    if len(op.outputs[0].shape) != 4:
        return False
    if not all(t is None or t in mirrored or t.is_constant or _is_flat(t, axes) for t in op.inputs):
        return False
    for place, tensor in enumerate(op.inputs):
        if tensor is not None and tensor.is_constant and not _is_flat(tensor, axes):
            counted = tuple(a - 4 for a in axes if len(tensor.shape) >= 4 - a)
            op.inputs[place] = _flip(graph, tensor, counted)
    return True


def _turn(rows: Window, columns: Window, axes: Axes) -> tuple[Window, Window] | None:
    """Both windows seen in the mirror; None where samples are left over, which would then be the first ones."""
    turned = []
    for axis, window in ((1, rows), (2, columns)):
        if axis in axes and window.end < 0:
            return None
        turned.append(replace(window, begin=window.end) if axis in axes else window)
    return turned[0], turned[1]


def _convolution(graph: Graph, op: Op, axes: Axes) -> bool:
    filters = op.input(1)
    slide = sliding(graph, op)
    if slide is None or not filters.is_constant:
        return False
    source, turned = slide.source, _turn(slide.rows, slide.columns, axes)
    if slide.pad is not None and turned is None:
        # the PAD in front has been mirrored on its own: only this op's own padding is left to turn
        source, begin = op.input(0), _own_begin(op)
        rows = replace(slide.rows, size=source.shape[1], begin=begin[0])
        turned = _turn(rows, replace(slide.columns, size=source.shape[2], begin=begin[1]), axes)
    if turned is None:
        return False
    op.inputs[1] = _flip(graph, filters, axes)
    slide_over(graph, op, source, *turned)
    return True


def _own_begin(op: Op) -> tuple[int, int]:
    if op.attrs.get("padding", "SAME") != "SAME":
        return 0, 0
    strides = int(op.attrs.get("stride_h", 1)), int(op.attrs.get("stride_w", 1))
    shapes = op.input(0).shape, op.input(1).shape
    return same_begin(shapes[0][1], shapes[1][1], strides[0]), same_begin(shapes[0][2], shapes[1][2], strides[1])


def _reduction(op: Op, axes: Axes) -> bool:
    if len(op.input(0).shape) != 4 or not op.input(1).is_constant or op.input(1).dtype is not DType.INT32:
        return False
    over = {int(a) % 4 for a in np.atleast_1d(op.input(1).dense())}
    # either all mirrored axes are summed over, or none is and the result is still a map
    return set(axes) <= over or (not set(axes) & over and len(op.outputs[0].shape) == 4)


def _pooling(op: Op) -> bool:
    same = op.attrs.get("padding", "SAME") == "SAME"
    for axis, letter in ((1, "h"), (2, "w")):
        size, count = op.input(0).shape[axis], op.outputs[0].shape[axis]
        kernel = int(op.attrs.get("filter_height" if letter == "h" else "filter_width", 1))
        stride = int(op.attrs.get(f"stride_{letter}", 1))
        window = Window(size, same_begin(size, kernel, stride) if same else 0, kernel, stride, count)
        if window.end != window.begin:
            return False
    return True


def _resize(op: Op) -> bool:
    if op.attrs.get("align_corners", False) or op.attrs.get("half_pixel_centers", False):
        return op.kind == "RESIZE_BILINEAR"
    before, after = op.input(0).shape, op.outputs[0].shape
    return op.kind == "RESIZE_NEAREST_NEIGHBOR" and all(after[a] % before[a] == 0 for a in (1, 2))


def _pad(graph: Graph, op: Op, axes: Axes) -> bool:
    amounts = zero_padding(op)
    if amounts is None:
        return False
    reader = only_consumer(graph, op.outputs[0])
    slide = sliding(graph, reader) if reader is not None and reader.kind in CONVOLUTIONS else None
    if slide is not None and slide.pad is op and _turn(slide.rows, slide.columns, axes) is not None:
        return True  # the convolution behind turns it with its own window
    turned = amounts.copy()
    turned[list(axes)] = turned[list(axes), ::-1]
    op.inputs[1] = constant(graph, f"{op.input(1).name}/mirrored", turned.astype(np.int32))
    return True


def _depth_to_space(graph: Graph, op: Op, axes: Axes) -> bool:
    maker, block = graph.producers().get(op.input(0)), int(op.attrs.get("block_size", 1))
    if maker is None or maker.kind != "CONV_2D" or only_consumer(graph, op.input(0)) is not op:
        return False
    filters = maker.input(1)
    channels = np.arange(filters.shape[0]).reshape(block, block, -1)
    order = np.flip(channels, tuple(a - 1 for a in axes)).reshape(-1)
    maker.inputs[1] = constant(graph, f"{filters.name}/mirrored", filters.dense()[order])
    if len(maker.inputs) > 2 and maker.inputs[2] is not None:
        bias = maker.inputs[2]
        maker.inputs[2] = constant(graph, f"{bias.name}/mirrored", bias.dense()[order])
    return True


def _transposed(graph: Graph, op: Op, axes: Axes) -> bool:
    filters, source, result = op.input(1), op.input(2), op.outputs[0]
    if not filters.is_constant or len(source.shape) != 4:
        return False
    for axis, letter in ((1, "h"), (2, "w")):
        total = (
            int(op.attrs.get(f"stride_{letter}", 1)) * (source.shape[axis] - 1)
            + filters.shape[axis]
            - result.shape[axis]
        )
        if total < 0 or (axis in axes and total % 2):
            return False
    op.inputs[1] = _flip(graph, filters, axes)
    return True
