"""Stride-2 convolutions get the padding that sparse kernels know: the same on all sides, spelled out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pocketgraph.convert.passes._edit import constant, insert_before, value
from pocketgraph.convert.passes._windows import CONVOLUTIONS, Sliding, Window, slide_over, sliding
from pocketgraph.models.graph import Array, Graph, Model, Op


class PadStride2:
    """PAD by (kernel - 1) / 2 on all sides, then VALID, wherever that samples the same pixels.

    XNNPACK's sparse path takes stride-2 convolutions only so. SAME padding at stride 2 pads an even size by (0, 1): a
    depthwise 3x3 is then set into a 5x5 kernel of zeros (padding 2), which samples the very same pixels; a 1x1 of
    stride 2 becomes a depthwise 3x3 of stride 2 that picks the pixel, and a 1x1 of stride 1. Where neither works, an
    ordinary 3x3 padded (0, 1), the op stays (see `Mirror`). Outputs stay equal bit for bit but for the order of sums.
    """

    def __call__(self, model: Model) -> list[str]:
        """Edit `model` in place; one line per convolution."""
        notes: list[str] = []
        for graph in model.graphs:
            for op in [op for op in graph.ops if op.kind in CONVOLUTIONS]:
                slide = sliding(graph, op)
                if slide is None or (slide.rows.stride, slide.columns.stride) != (2, 2):
                    continue
                note = _pick(graph, op, slide) if op.kind == "CONV_2D" and _is_1x1(op) else _pad(graph, op, slide)
                if note:
                    notes.append(note)
            graph.prune_dead()
        return notes


def _is_1x1(op: Op) -> bool:
    return tuple(op.input(1).shape[1:3]) == (1, 1)


def fitted(window: Window, kernel: int) -> tuple[Window, int] | None:
    """`window` with a larger `kernel` padded by half of it, and where the old kernel sits in it; None if it cannot."""
    pad = (kernel - 1) // 2
    place = pad - window.begin
    count = (window.size + 2 * pad - kernel) // window.stride + 1
    if place < 0 or place + window.kernel > kernel or count != window.count:
        return None
    return replace(window, begin=pad, kernel=kernel), place


def _pad(graph: Graph, op: Op, slide: Sliding) -> str | None:
    sizes = (3, 5) if op.kind == "DEPTHWISE_CONV_2D" else (slide.rows.kernel,)
    for size in sizes:
        rows, columns = fitted(slide.rows, size), fitted(slide.columns, size)
        if rows is None or columns is None or size % 2 == 0:
            continue
        half = (size - 1) // 2
        same = _is_padded(op, slide, half)
        if same and size == slide.rows.kernel:
            return None
        filters = op.input(1)
        if size != slide.rows.kernel or size != slide.columns.kernel:
            if not filters.is_constant:
                return None
            op.inputs[1] = constant(
                graph, f"{filters.name}/in_{size}x{size}", _embed(filters.dense(), size, rows[1], columns[1])
            )
        slide_over(graph, op, slide.source, rows[0], columns[0])
        _even_padding(graph, op, half)
        grown = (
            f", {slide.rows.kernel}x{slide.columns.kernel} kernel set into {size}x{size}"
            if size != slide.rows.kernel
            else ""
        )
        return f"{op.kind} {op.name!r}: padded by {half} on all sides{grown}"
    return None


def _is_padded(op: Op, slide: Sliding, half: int) -> bool:
    """Whether the op has this explicit padding already."""
    if op.attrs.get("padding", "SAME") == "SAME" or slide.pad is None:
        return False
    return bool((slide.pad.input(1).dense()[1:3] == half).all())


def _embed(filters: Array, size: int, row: int, column: int) -> Array:
    count, height, width, channels = filters.shape
    larger = np.zeros((count, size, size, channels), filters.dtype)
    larger[:, row : row + height, column : column + width] = filters
    return larger


def _even_padding(graph: Graph, op: Op, half: int) -> None:
    """Pad as much behind as before, though the last window of an even size does not read it."""
    pad = graph.producers().get(op.input(0))
    if pad is None or pad.kind != "PAD":
        return
    amounts = np.array([(0, 0), (half, half), (half, half), (0, 0)], np.int32)
    pad.inputs[1] = constant(graph, f"{op.name}/padding", amounts)
    n, height, width, channels = pad.input(0).shape
    pad.outputs[0].shape = (n, height + 2 * half, width + 2 * half, channels)


def _pick(graph: Graph, op: Op, slide: Sliding) -> str | None:
    rows, columns = fitted(slide.rows, 3), fitted(slide.columns, 3)
    if rows is None or columns is None or slide.source.shape[3] != op.input(1).shape[3]:
        return None
    channels = slide.source.shape[3]
    one = np.zeros((1, 3, 3, channels), np.float32)
    one[:, rows[1], columns[1]] = 1
    picked = value(
        graph, f"{op.name}/picked", (slide.source.shape[0], *op.outputs[0].shape[1:3], channels), slide.source
    )
    weights = constant(graph, f"{op.name}/pick", one)
    bias = constant(graph, f"{op.name}/pick_bias", np.zeros(channels, np.float32))
    attrs = {"padding": "VALID", "stride_h": 2, "stride_w": 2, "depth_multiplier": 1}
    pick = Op("DEPTHWISE_CONV_2D", [slide.source, weights, bias], [picked], attrs)
    insert_before(graph, op, pick)
    slide_over(graph, pick, slide.source, rows[0], columns[0])
    _even_padding(graph, pick, 1)
    op.inputs[0] = picked
    op.attrs |= {"padding": "SAME", "stride_h": 1, "stride_w": 1}
    return f"{op.kind} {op.name!r}: stride 2 moved into a depthwise convolution that picks pixels"
