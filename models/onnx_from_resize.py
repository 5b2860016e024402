"""ONNX resizing and moving between space and depth as graph operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.graph import Array, FloatArray, Tensor
from pocketgraph.models.onnx_build import Builder, integer, text
from pocketgraph.models.onnx_layout import CHANNELS_LAST
from pocketgraph.models.onnx_proto import Node

_MAX_SIDE = 1 << 20


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


LOWERINGS: dict[str, Callable[[Builder, Node], None]] = {
    "Resize": resize,
    "Upsample": resize,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
}
