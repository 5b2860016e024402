"""ONNX pooling and local normalisation as graph operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.graph import Array, Tensor
from pocketgraph.models.onnx_build import Builder, integer, integers, number
from pocketgraph.models.onnx_from_conv import Pair, Window, padded, picture, put_picture, window
from pocketgraph.models.onnx_layout import CHANNELS_LAST
from pocketgraph.models.onnx_proto import Node

_LOWEST = float(np.finfo(np.float32).min)
_MAX_PAD = 1 << 12


def _pool_window(b: Builder, node: Node, x: Tensor) -> Window:
    """The window as the node declares it."""
    w = window(node, (x.shape[1], x.shape[2]), integers(node, "kernel_shape", [1] * (len(b.shape(node)) - 2)))
    if w.dilations != (1, 1):
        raise UnsupportedError(f"{node.kind} {node.name!r} is dilated {w.dilations}, which is not covered")
    if max(w.before + w.after) > _MAX_PAD:
        raise FormatError(f"{node.kind} {node.name!r} has the pads {w.before}, {w.after}, expected at most {_MAX_PAD}")
    return w


def _covering(node: Node, w: Window, size: Pair) -> Window:
    """With `ceil_mode`, the window whose pads behind let the last, partial step fit; else `w`."""
    after = list(w.after)
    for axis in (0, 1) if integer(node, "ceil_mode", 0) else ():
        spare = (size[axis] + w.before[axis] + w.after[axis] - w.kernel[axis]) % w.strides[axis]
        grown = after[axis] + w.strides[axis] - spare if spare else after[axis]
        steps = (size[axis] + w.before[axis] + grown - w.kernel[axis]) // w.strides[axis]
        if spare and steps * w.strides[axis] < size[axis] + w.before[axis]:
            after[axis] = grown
    return replace(w, after=(after[0], after[1]))


def _pool(b: Builder, node: Node, kind: str, x: Tensor, w: Window, padding: str) -> Tensor:
    attrs: dict[str, Any] = {
        "padding": padding,
        "stride_h": w.strides[0],
        "stride_w": w.strides[1],
        "filter_height": w.kernel[0],
        "filter_width": w.kernel[1],
        "fused_activation_function": "NONE",
    }
    inner = Window(w.kernel, w.strides, (1, 1), (0, 0), (0, 0))
    size = (x.shape[1], x.shape[2])
    out = inner.output(size) if padding == "VALID" else (-(-size[0] // w.strides[0]), -(-size[1] // w.strides[1]))
    return b.op(kind, [x], (x.shape[0], *out, x.shape[3]), node.outputs[0], **attrs)


def max_pool(b: Builder, node: Node) -> None:
    """MaxPool; pads that padding SAME has no word for become an explicit border of the lowest float."""
    if len(node.outputs) > 1 and node.outputs[1]:
        raise UnsupportedError(f"MaxPool {node.name!r} also gives indices, which are not covered")
    x = picture(b, node)
    size = (x.shape[1], x.shape[2])
    w = _covering(node, _pool_window(b, node, x), size)
    padding = w.padding(size)
    if padding is None:
        x, padding = padded(b, x, w.before, w.after, node.outputs[0], _LOWEST), "VALID"
    put_picture(b, node, _pool(b, node, "MAX_POOL_2D", x, w, padding))


def average_pool(b: Builder, node: Node) -> None:
    """AveragePool; where borders count differently than in the graph's operator, the means are scaled."""
    x = picture(b, node)
    size = (x.shape[1], x.shape[2])
    declared = _pool_window(b, node, x)
    w = _covering(node, declared, size)
    padding = w.padding(size)
    counted = bool(integer(node, "count_include_pad", 0))
    if padding == "VALID" or (padding == "SAME" and not counted):
        put_picture(b, node, _pool(b, node, "AVERAGE_POOL_2D", x, w, padding))
        return
    y = _pool(b, node, "AVERAGE_POOL_2D", padded(b, x, w.before, w.after, node.outputs[0]), w, "VALID")
    b.spend(y.shape[1] * y.shape[2], np.float64, node)
    rows, columns = (_counts(size[i], w, i, declared.after[i] if counted else None) for i in (0, 1))
    scale = np.float32(w.kernel[0] * w.kernel[1]) / np.outer(rows, columns).astype(np.float32)
    if not np.all(scale == 1.0):
        factor = b.constant(scale.reshape(1, *scale.shape, 1), f"{node.outputs[0]}/counts")
        y = b.op("MUL", [y, factor], y.shape, f"{node.outputs[0]}/scaled")
    put_picture(b, node, y)


def _counts(size: int, w: Window, axis: int, after: int | None) -> Array:
    """For each step along `axis`, how many places of the window count: the picture's own, and (`after` not None)
    those of the pads, of which `after` lie behind the picture.
    """
    steps = (size + w.before[axis] + w.after[axis] - w.kernel[axis]) // w.strides[axis] + 1
    starts = np.arange(steps) * w.strides[axis] - w.before[axis]
    low, high = (0, size) if after is None else (-w.before[axis], size + after)
    return np.maximum(1, np.minimum(starts + w.kernel[axis], high) - np.maximum(starts, low))


def global_pool(kind: str) -> Callable[[Builder, Node], None]:
    """GlobalAveragePool and GlobalMaxPool: MEAN or REDUCE_MAX over height and width."""

    def lower(b: Builder, node: Node) -> None:
        b.floats(node)
        rank = len(b.shape(node))
        if rank < 3:
            raise FormatError(f"{node.kind} {node.name!r} works on shape {list(b.shape(node))}, expected rank 3 up")
        layout = (0, *range(2, rank), 1)
        x = b.tensor(node, 0, layout)
        axes = b.ints(range(1, rank - 1), node.outputs[0])
        shape = (x.shape[0], *([1] * (rank - 2)), x.shape[-1])
        b.put(node, b.op(kind, [x, axes], shape, node.outputs[0], keep_dims=True), layout)

    return lower


def local_response(b: Builder, node: Node) -> None:
    """LRN over an odd number of channels."""
    b.floats(node)
    if len(b.shape(node)) != 4:
        raise UnsupportedError(f"LRN {node.name!r} works on shape {list(b.shape(node))}; rank 4 is covered")
    x, size = b.tensor(node, 0, CHANNELS_LAST), integer(node, "size", 1)
    if size < 1 or size % 2 == 0:
        raise UnsupportedError(f"LRN {node.name!r} has size {size}; odd sizes are covered")
    attrs: dict[str, Any] = {
        "radius": size // 2,
        "bias": number(node, "bias", 1.0),
        "alpha": number(node, "alpha", 1e-4) / size,
        "beta": number(node, "beta", 0.75),
    }
    y = b.op("LOCAL_RESPONSE_NORMALIZATION", [x], x.shape, node.outputs[0], **attrs)
    b.put(node, y, CHANNELS_LAST)


LOWERINGS: dict[str, Callable[[Builder, Node], None]] = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_pool("MEAN"),
    "GlobalMaxPool": global_pool("REDUCE_MAX"),
    "LRN": local_response,
}
