"""How a convolution's window slides over its input along one axis, padding ops before it included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketgraph.convert.passes._edit import constant, insert_before, only_consumer, value
from pocketgraph.models.graph import Graph, Op, Tensor

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


@dataclass(frozen=True)
class Window:
    """Along one axis: window i of `count` covers the `kernel` samples of `size` from stride * i - begin on."""

    size: int
    begin: int
    kernel: int
    stride: int
    count: int

    @property
    def end(self) -> int:
        """Padding that is read behind the last sample; negative where samples are left over."""
        return self.stride * (self.count - 1) + self.kernel - self.size - self.begin


@dataclass(frozen=True)
class Sliding:
    """Both axes of a convolution, what it reads before any zero padding, and the PAD op that may go with it."""

    rows: Window
    columns: Window
    source: Tensor
    pad: Op | None


def sliding(graph: Graph, op: Op) -> Sliding | None:
    """The windows of a convolution without dilation; None for one that is dilated or whose shapes are not 4-D."""
    if op.attrs.get("dilation_h_factor", 1) != 1 or op.attrs.get("dilation_w_factor", 1) != 1:
        return None
    source, filters, result = op.input(0), op.input(1), op.outputs[0]
    if len(source.shape) != 4 or len(filters.shape) != 4 or len(result.shape) != 4:
        return None
    same = op.attrs.get("padding", "SAME") == "SAME"
    strides = int(op.attrs.get("stride_h", 1)), int(op.attrs.get("stride_w", 1))
    begins = [same_begin(source.shape[axis], filters.shape[axis], strides[axis - 1]) if same else 0 for axis in (1, 2)]
    pad = graph.producers().get(source)
    amounts = zero_padding(pad) if pad is not None else None
    if pad is not None and amounts is not None and only_consumer(graph, source) is op:
        begins = [begins[0] + int(amounts[1, 0]), begins[1] + int(amounts[2, 0])]
        source = pad.input(0)
    else:
        pad = None
    windows = [
        Window(source.shape[axis], begins[axis - 1], filters.shape[axis], strides[axis - 1], result.shape[axis])
        for axis in (1, 2)
    ]
    return Sliding(windows[0], windows[1], source, pad)


def same_begin(size: int, kernel: int, stride: int) -> int:
    """What TensorFlow's SAME pads before the first sample."""
    count = -(-size // stride)
    return max(0, (count - 1) * stride + kernel - size) // 2


def zero_padding(op: Op) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]] | None:
    """The amounts [4, 2] of a PAD op that puts zeros around height and width only, else None."""
    if op.kind != "PAD" or len(op.input(0).shape) != 4 or not op.input(1).is_constant:
        return None
    amounts = op.input(1).dense().astype(np.int64)
    if amounts.shape != (4, 2) or amounts[[0, 3]].any() or (amounts < 0).any():
        return None
    return amounts


def slide_over(graph: Graph, op: Op, source: Tensor, rows: Window, columns: Window) -> None:
    """Let the convolution `op` read `source` with these windows: SAME or VALID where one of them says it, else PAD."""
    begins, ends = (rows.begin, columns.begin), (max(0, rows.end), max(0, columns.end))
    op.inputs[0] = source
    op.attrs["padding"] = "VALID"
    if not any(begins) and not any(ends):
        return
    if all(
        (w.stride, w.begin, w.end) == (1, same_begin(w.size, w.kernel, 1), w.kernel - 1 - w.begin)
        for w in (rows, columns)
    ):
        op.attrs["padding"] = "SAME"
        return
    amounts = np.array([(0, 0), (begins[0], ends[0]), (begins[1], ends[1]), (0, 0)], np.int32)
    n, height, width, channels = source.shape
    shape = (n, height + begins[0] + ends[0], width + begins[1] + ends[1], channels)
    padded = value(graph, f"{op.name}/padded", shape, source)
    pad = Op("PAD", [source, constant(graph, f"{op.name}/padding", amounts)], [padded])
    insert_before(graph, op, pad)
    op.inputs[0] = padded
