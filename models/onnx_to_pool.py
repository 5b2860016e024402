"""Pooling, resizing, and moving between space and depth as ONNX nodes."""

from __future__ import annotations

import numpy as np

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.graph import Op, Tensor
from pocketgraph.models.onnx_emit import Emitter
from pocketgraph.models.onnx_layout import CHANNELS_FIRST, Shape, identity
from pocketgraph.models.onnx_to_conv import window


def _pool(emit: Emitter, op: Op, kind: str, **attrs: int) -> None:
    x = op.input(0)
    kernel = (op.attrs.get("filter_height") or 1, op.attrs.get("filter_width") or 1)
    _, height, width, _ = picture(op, x)
    shape = window(op, (height, width), kernel)
    name = emit.get(x, CHANNELS_FIRST)
    if (
        kind == "AveragePool"
        and kernel == (height, width)
        and not any(shape["pads"])
        and op.outputs[0].shape[1:3]
        == (
            1,
            1,
        )
    ):
        emit.finish(op, emit.node("GlobalAveragePool", [name], op.name), CHANNELS_FIRST)
        return
    emit.finish(op, emit.node(kind, [name], op.name, **shape, **attrs), CHANNELS_FIRST)


def average_pool(emit: Emitter, op: Op) -> None:
    """AVERAGE_POOL_2D: padding is left out of the mean."""
    _pool(emit, op, "AveragePool", count_include_pad=0)


def max_pool(emit: Emitter, op: Op) -> None:
    """MAX_POOL_2D."""
    _pool(emit, op, "MaxPool")


def resize_bilinear(emit: Emitter, op: Op) -> None:
    """RESIZE_BILINEAR to the size of its output."""
    _resize(emit, op, mode="linear")


def resize_nearest(emit: Emitter, op: Op) -> None:
    """RESIZE_NEAREST_NEIGHBOR: floor, or, where corners or pixel centres are aligned, round half up."""
    plain = not (op.attrs.get("align_corners", False) or op.attrs.get("half_pixel_centers", False))
    _resize(emit, op, mode="nearest", nearest_mode="floor" if plain else "round_prefer_ceil")


def _resize(emit: Emitter, op: Op, **attrs: str) -> None:
    transform = "asymmetric"
    if op.attrs.get("align_corners", False):
        transform = "align_corners"
    elif op.attrs.get("half_pixel_centers", False):
        transform = "half_pixel"
    batch, height, width, channels = picture(op, op.outputs[0])
    sizes = emit.int64s((batch, channels, height, width), op.name)
    name = emit.node(
        "Resize",
        [emit.get(op.input(0), CHANNELS_FIRST), "", "", sizes],
        op.name,
        coordinate_transformation_mode=transform,
        **attrs,
    )
    emit.finish(op, name, CHANNELS_FIRST)


def depth_to_space(emit: Emitter, op: Op) -> None:
    """DEPTH_TO_SPACE: depth is cut into block rows, block columns, channels (ONNX's DCR)."""
    name = emit.get(op.input(0), CHANNELS_FIRST)
    blocks = {"blocksize": op.attrs.get("block_size") or 1, "mode": "DCR"}
    emit.finish(op, emit.node("DepthToSpace", [name], op.name, **blocks), CHANNELS_FIRST)


def space_to_depth(emit: Emitter, op: Op) -> None:
    """SPACE_TO_DEPTH, the inverse of DEPTH_TO_SPACE."""
    name = emit.get(op.input(0), CHANNELS_FIRST)
    size = op.attrs.get("block_size") or 1
    emit.finish(op, emit.node("SpaceToDepth", [name], op.name, blocksize=size), CHANNELS_FIRST)


def space_to_batch(emit: Emitter, op: Op) -> None:
    """SPACE_TO_BATCH_ND: pad, cut each spatial axis into (cells, block), bring the blocks before the batch."""
    x, out = op.input(0), op.outputs[0]
    blocks, pads = _blocks(emit, op, x)
    count, rank = len(blocks), len(x.shape)
    name = emit.get(x)
    padded = list(x.shape)
    if any(pad for pair in pads for pad in pair):
        rest = [0] * (rank - count - 1)
        ends = [0, *(p[0] for p in pads), *rest, 0, *(p[1] for p in pads), *rest]
        name = emit.node("Pad", [name, emit.int64s(ends, op.name)], f"{op.name}/padded")
        padded = [x.shape[0], *(s + sum(p) for s, p in zip(x.shape[1:], pads, strict=False)), *x.shape[1 + count :]]
    cut = [size for axis, block in enumerate(blocks, 1) for size in (padded[axis] // block, block)]
    name = emit.reshape(name, [padded[0], *cut, *padded[1 + count :]], op.name)
    order = [*range(2, 2 * count + 1, 2), 0, *range(1, 2 * count, 2), *range(2 * count + 1, rank + count)]
    name = emit.node("Transpose", [name], f"{op.name}/moved", perm=order)
    emit.finish(op, emit.reshape(name, out.shape, out.name), identity(rank))


def batch_to_space(emit: Emitter, op: Op) -> None:
    """BATCH_TO_SPACE_ND: the inverse of SPACE_TO_BATCH_ND, then crops."""
    x, out = op.input(0), op.outputs[0]
    blocks, crops = _blocks(emit, op, x)
    count, rank = len(blocks), len(x.shape)
    batch = x.shape[0] // int(np.prod(blocks))
    name = emit.reshape(emit.get(x), [*blocks, batch, *x.shape[1:]], op.name)
    order = [
        count,
        *(a for axis in range(count) for a in (count + 1 + axis, axis)),
        *range(2 * count + 1, rank + count),
    ]
    name = emit.node("Transpose", [name], f"{op.name}/moved", perm=order)
    whole = [s * b for s, b in zip(x.shape[1:], blocks, strict=False)]
    name = emit.reshape(name, [batch, *whole, *x.shape[1 + count :]], op.name)
    if any(crop for pair in crops for crop in pair):
        starts, ends = [c[0] for c in crops], [size - c[1] for size, c in zip(whole, crops, strict=True)]
        bounds = [emit.int64s(values, op.name) for values in (starts, ends, range(1, 1 + count))]
        name = emit.node("Slice", [name, *bounds], f"{op.name}/cropped")
    emit.finish(op, name, identity(len(out.shape)))


def _blocks(emit: Emitter, op: Op, x: Tensor) -> tuple[list[int], list[tuple[int, int]]]:
    blocks = [int(block) for block in emit.constant(op, 1).reshape(-1)]
    pads = [(int(a), int(b)) for a, b in emit.constant(op, 2).reshape(-1, 2)]
    if not 0 < len(blocks) == len(pads) < len(x.shape) or min(blocks) < 1:
        raise FormatError(f"{op.kind} {op.name!r} has blocks {blocks} and pads {pads} for input {list(x.shape)}")
    return blocks, pads


def picture(op: Op, tensor: Tensor) -> Shape:
    """The shape of a tensor that must have four axes."""
    if len(tensor.shape) != 4:
        raise UnsupportedError(f"{op.kind} {op.name!r} uses {tensor.name!r} of shape {list(tensor.shape)}, not rank 4")
    return tensor.shape


def local_response(emit: Emitter, op: Op) -> None:
    """LOCAL_RESPONSE_NORMALIZATION over `radius` channels on either side; ONNX divides alpha by their number."""
    size = 2 * int(op.attrs.get("radius", 0)) + 1
    factors = {key: float(op.attrs.get(key, 0.0)) for key in ("bias", "alpha", "beta")}
    factors["alpha"] *= size
    name = emit.node("LRN", [emit.get(op.input(0), CHANNELS_FIRST)], op.name, size=size, **factors)
    emit.finish(op, name, CHANNELS_FIRST)


LOWERINGS = {
    "LOCAL_RESPONSE_NORMALIZATION": local_response,
    "AVERAGE_POOL_2D": average_pool,
    "MAX_POOL_2D": max_pool,
    "RESIZE_BILINEAR": resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": resize_nearest,
    "DEPTH_TO_SPACE": depth_to_space,
    "SPACE_TO_DEPTH": space_to_depth,
    "SPACE_TO_BATCH_ND": space_to_batch,
    "BATCH_TO_SPACE_ND": batch_to_space,
}
