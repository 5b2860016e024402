"""ONNX pooling, resizing and moving between space and depth as graph operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.graph import Array, FloatArray, Tensor
from pocketgraph.models.onnx_build import Builder, integer, integers, number, text
from pocketgraph.models.onnx_from_conv import Window, padded, picture, put_picture, window
from pocketgraph.models.onnx_layout import CHANNELS_LAST
from pocketgraph.models.onnx_proto import Node

_LOWEST = float(np.finfo(np.float32).min)
_MAX_SIDE = 1 << 20


def _pool_window(b: Builder, node: Node, x: Tensor) -> Window:
    """The window; with `ceil_mode` the pads behind grow until the last, partial step fits."""
    size = (x.shape[1], x.shape[2])
    kernel = integers(node, "kernel_shape", [1] * (len(b.shape(node)) - 2))
    w = window(node, size, kernel)
    if w.dilations != (1, 1):
        raise UnsupportedError(f"{node.kind} {node.name!r} is dilated {w.dilations}, which is not covered")
    if integer(node, "ceil_mode", 0):
        after = list(w.after)
        for axis in (0, 1):
            spare = (size[axis] + w.before[axis] + w.after[axis] - w.kernel[axis]) % w.strides[axis]
            grown = after[axis] + w.strides[axis] - spare if spare else after[axis]
            steps = (size[axis] + w.before[axis] + grown - w.kernel[axis]) // w.strides[axis]
            if spare and steps * w.strides[axis] < size[axis] + w.before[axis]:
                after[axis] = grown
        w.after = (after[0], after[1])
    return w


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
    w = _pool_window(b, node, x)
    padding = w.padding((x.shape[1], x.shape[2]))
    if padding is None:
        x, padding = padded(b, x, w.before, w.after, node.outputs[0], _LOWEST), "VALID"
    put_picture(b, node, _pool(b, node, "MAX_POOL_2D", x, w, padding))


def average_pool(b: Builder, node: Node) -> None:
    """AveragePool; where borders count differently than in the graph's operator, the means are scaled by what counts."""
    x = picture(b, node)
    w = _pool_window(b, node, x)
    size = (x.shape[1], x.shape[2])
    padding = w.padding(size)
    counted = integer(node, "count_include_pad", 0)
    if padding == "VALID" or (padding == "SAME" and not counted):
        put_picture(b, node, _pool(b, node, "AVERAGE_POOL_2D", x, w, padding))
        return
    rows, columns = (
        _counts(
            size[axis], w, axis, pads=integers(node, "pads", [0] * 4) if counted and len(b.shape(node)) == 4 else None
        )
        for axis in (0, 1)
    )
    y = _pool(b, node, "AVERAGE_POOL_2D", padded(b, x, w.before, w.after, node.outputs[0]), w, "VALID")
    scale = np.float32(w.kernel[0] * w.kernel[1]) / np.outer(rows, columns).astype(np.float32)
    if not np.all(scale == 1.0):
        factor = b.constant(scale.reshape(1, *scale.shape, 1), f"{node.outputs[0]}/counts")
        y = b.op("MUL", [y, factor], y.shape, f"{node.outputs[0]}/scaled")
    put_picture(b, node, y)


def _counts(size: int, w: Window, axis: int, pads: Sequence[int] | None) -> Array:
    """For each step along `axis`, how many places of the window count; `pads` are the declared ones that do."""
    steps = (size + w.before[axis] + w.after[axis] - w.kernel[axis]) // w.strides[axis] + 1
    if steps < 1:
        raise FormatError(f"a pooling window of {w.kernel[axis]} does not fit an axis of {size}")
    starts = np.arange(steps) * w.strides[axis] - w.before[axis]
    low, high = (0, size) if pads is None else (-pads[axis], size + pads[axis + 2])
    return np.maximum(1, np.minimum(starts + w.kernel[axis], high) - np.maximum(starts, low))


def global_pool(kind: str) -> Callable[[Builder, Node], None]:
    """GlobalAveragePool and GlobalMaxPool: MEAN or REDUCE_MAX over height and width."""

    def lower(b: Builder, node: Node) -> None:
        rank = len(b.shape(node))
        if rank < 3:
            raise FormatError(f"{node.kind} {node.name!r} works on shape {list(b.shape(node))}, expected rank 3 up")
        layout = (0, *range(2, rank), 1)
        x = b.tensor(node, 0, layout)
        axes = b.ints(range(1, rank - 1), node.outputs[0])
        shape = (x.shape[0], *([1] * (rank - 2)), x.shape[-1])
        b.put(node, b.op(kind, [x, axes], shape, node.outputs[0], keep_dims=True), layout)

    return lower


def resize(b: Builder, node: Node) -> None:
    """Resize and Upsample of height and width."""
    shape = b.shape(node)
    if len(shape) != 4:
        raise UnsupportedError(f"{node.kind} {node.name!r} resizes shape {list(shape)}; rank 4 is covered")
    scales, sizes = _scales(b, node, shape)
    if sizes[:2] != shape[:2]:
        raise UnsupportedError(
            f"{node.kind} {node.name!r} resizes {list(shape)} to {list(sizes)}: only height and width"
        )
    if min(sizes) < 1 or max(sizes) > _MAX_SIDE:
        raise FormatError(f"{node.kind} {node.name!r} resizes to {list(sizes)}")
    mode = text(node, "mode", "nearest")
    transform = text(node, "coordinate_transformation_mode", "half_pixel" if b.opset >= 11 else "asymmetric")
    x = b.tensor(node, 0, CHANNELS_LAST)
    spots = [_spots(node, transform, shape[axis], sizes[axis], scales[axis]) for axis in (2, 3)]
    if mode == "nearest":
        rounding = text(node, "nearest_mode", "round_prefer_floor" if b.opset >= 11 else "floor")
        y = _resize_nearest(b, node, x, [_rounded(node, rounding, s, x.shape[1 + i]) for i, s in enumerate(spots)])
    elif mode == "linear":
        y = _resize_linear(b, node, x, spots)
    else:
        raise UnsupportedError(f"{node.kind} {node.name!r} has the mode {mode!r}; nearest and linear are covered")
    b.put(node, y, CHANNELS_LAST)


def _scales(b: Builder, node: Node, shape: Sequence[int]) -> tuple[list[float], tuple[int, ...]]:
    """Scale factors and the resulting sizes, whichever the node gives."""
    at = 2 if node.kind == "Resize" and b.opset >= 11 else 1
    if b.has(node, 3):
        given = b.array(node, 3).reshape(-1)
        if given.size != 4 or given.dtype.kind not in "iu" or "axes" in node.attrs:
            raise UnsupportedError(
                f"{node.kind} {node.name!r} has sizes {given.tolist()}; one for each axis is covered"
            )
        sizes = tuple(int(size) for size in given)
        return [new / old for new, old in zip(sizes, shape, strict=True)], sizes
    raw = node.attrs.get("scales") if "scales" in node.attrs else b.array(node, at).reshape(-1).tolist()
    if not isinstance(raw, list) or len(raw) != 4 or not all(0 < s < _MAX_SIDE for s in raw):
        raise UnsupportedError(f"{node.kind} {node.name!r} has scales {raw!r}; one for each axis is covered")
    return [float(s) for s in raw], tuple(math.floor(size * s + 1e-6) for size, s in zip(shape, raw, strict=True))


def _spots(node: Node, transform: str, size: int, new: int, scale: float) -> FloatArray:
    """Where along an axis of `size` each of `new` samples is taken (ONNX operator Resize)."""
    x = np.arange(new, dtype=np.float64)
    if transform == "asymmetric":
        spots = x / scale
    elif transform == "align_corners":
        spots = x * ((size - 1) / (new - 1)) if new > 1 else x
    elif transform in ("half_pixel", "pytorch_half_pixel"):
        spots = (x + 0.5) / scale - 0.5
        if transform == "pytorch_half_pixel" and new == 1:
            spots = x
    elif transform == "half_pixel_symmetric":
        spots = size / 2 * (1 - new / (size * scale)) + (x + 0.5) / scale - 0.5
    elif transform == "tf_half_pixel_for_nn":
        spots = (x + 0.5) / scale
    else:
        raise UnsupportedError(f"{node.kind} {node.name!r} has the coordinate transformation {transform!r}")
    return spots.astype(np.float64)


def _rounded(node: Node, mode: str, spots: FloatArray, size: int) -> Array:
    """The index each of `spots` stands for; float noise around an integer or a half is forgiven."""
    spots = np.round(spots, 6)
    if mode == "floor":
        index = np.floor(spots)
    elif mode == "ceil":
        index = np.ceil(spots)
    elif mode == "round_prefer_floor":
        index = np.ceil(spots - 0.5)
    elif mode == "round_prefer_ceil":
        index = np.floor(spots + 0.5)
    else:
        raise UnsupportedError(f"{node.kind} {node.name!r} has the nearest mode {mode!r}")
    return np.clip(index, 0, size - 1).astype(np.int32)


_OPTIONS: tuple[dict[str, bool], ...] = ({}, {"half_pixel_centers": True}, {"align_corners": True})
_TRANSFORMS = ("asymmetric", "half_pixel", "align_corners")


def _resize_nearest(b: Builder, node: Node, x: Tensor, index: Sequence[Array]) -> Tensor:
    """RESIZE_NEAREST_NEIGHBOR with the options that pick the same elements, else a GATHER along each axis."""
    out, hint = (len(index[0]), len(index[1])), node.outputs[0]
    for options, transform in zip(_OPTIONS, _TRANSFORMS, strict=True):
        mode = "floor" if transform == "asymmetric" else "round_prefer_ceil"
        own = [
            _rounded(
                node, mode, _spots(node, transform, x.shape[1 + i], out[i], out[i] / x.shape[1 + i]), x.shape[1 + i]
            )
            for i in (0, 1)
        ]
        if all(np.array_equal(mine, theirs) for mine, theirs in zip(own, index, strict=True)):
            return _resized(b, "RESIZE_NEAREST_NEIGHBOR", x, out, hint, options)
    for axis in (0, 1):
        shape = (*x.shape[: 1 + axis], out[axis], *x.shape[2 + axis :])
        x = b.op("GATHER", [x, b.ints(index[axis], hint)], shape, hint, x.dtype, axis=1 + axis, batch_dims=0)
    return x


def _resize_linear(b: Builder, node: Node, x: Tensor, spots: Sequence[FloatArray]) -> Tensor:
    out = (len(spots[0]), len(spots[1]))
    for options, transform in zip(_OPTIONS, _TRANSFORMS, strict=True):
        own = [_spots(node, transform, x.shape[1 + i], out[i], out[i] / x.shape[1 + i]) for i in (0, 1)]
        gap = max(
            np.abs(np.clip(own[i], 0, x.shape[1 + i] - 1) - np.clip(spots[i], 0, x.shape[1 + i] - 1)).max()
            for i in (0, 1)
        )
        if gap < 1e-4:
            return _resized(b, "RESIZE_BILINEAR", x, out, node.outputs[0], options)
    raise UnsupportedError(f"{node.kind} {node.name!r} samples at places that RESIZE_BILINEAR cannot be told")


def _resized(b: Builder, kind: str, x: Tensor, out: tuple[int, int], hint: str, options: dict[str, bool]) -> Tensor:
    attrs = {"align_corners": False, "half_pixel_centers": False, **options}
    return b.op(kind, [x, b.ints(out, hint)], (x.shape[0], *out, x.shape[3]), hint, x.dtype, **attrs)


def depth_to_space(b: Builder, node: Node) -> None:
    """DepthToSpace; in CRD order the channels are first brought into the graph's order (DCR)."""
    x, size = _blocks(b, node), integer(node, "blocksize", 0)
    batch, height, width, channels = x.shape
    if size < 1 or size > channels or channels % (size * size):
        raise FormatError(f"DepthToSpace {node.name!r} cuts {channels} channels into blocks of {size}x{size}")
    if text(node, "mode", "DCR") != "DCR":
        order = np.arange(channels).reshape(-1, size * size).T.reshape(-1)
        x = b.op("GATHER", [x, b.ints(order, node.name)], x.shape, f"{node.outputs[0]}/order", x.dtype, axis=3)
    shape = (batch, height * size, width * size, channels // (size * size))
    b.put(node, b.op("DEPTH_TO_SPACE", [x], shape, node.outputs[0], x.dtype, block_size=size), CHANNELS_LAST)


def space_to_depth(b: Builder, node: Node) -> None:
    """SpaceToDepth."""
    x, size = _blocks(b, node), integer(node, "blocksize", 0)
    batch, height, width, channels = x.shape
    if size < 1 or height % size or width % size:
        raise FormatError(f"SpaceToDepth {node.name!r} cuts {height}x{width} into blocks of {size}x{size}")
    shape = (batch, height // size, width // size, channels * size * size)
    b.put(node, b.op("SPACE_TO_DEPTH", [x], shape, node.outputs[0], x.dtype, block_size=size), CHANNELS_LAST)


def _blocks(b: Builder, node: Node) -> Tensor:
    if len(b.shape(node)) != 4:
        raise FormatError(f"{node.kind} {node.name!r} works on shape {list(b.shape(node))}, expected rank 4")
    return b.tensor(node, 0, CHANNELS_LAST)


def local_response(b: Builder, node: Node) -> None:
    """LRN over an odd number of channels."""
    x, size = _blocks(b, node), integer(node, "size", 1)
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
    "Resize": resize,
    "Upsample": resize,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "LRN": local_response,
}
