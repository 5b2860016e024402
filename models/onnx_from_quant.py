"""QuantizeLinear and DequantizeLinear of computed values as the graph's QUANTIZE and DEQUANTIZE."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.graph import Array, DType, Quantization
from pocketgraph.models.onnx_build import Builder, axis_of, integer
from pocketgraph.models.onnx_layout import Layout
from pocketgraph.models.onnx_proto import Node


def quantize(b: Builder, node: Node) -> None:
    """QuantizeLinear to int8 or uint8 (the zero point's type)."""
    layout = b.layout(node)
    x = b.tensor(node, 0, layout)
    point = b.array(node, 2) if b.has(node, 2) else np.zeros((), np.uint8)
    if point.dtype not in (np.int8, np.uint8):
        raise UnsupportedError(f"QuantizeLinear {node.name!r} goes to {point.dtype}; int8 and uint8 are covered")
    y = b.op("QUANTIZE", [x], x.shape, node.outputs[0], DType.of(point))
    y.quantization = _quantization(b, node, layout, point)
    b.put(node, y, layout)


def dequantize(b: Builder, node: Node) -> None:
    """DequantizeLinear of an int8 or uint8 value, which takes on the quantisation if it has none."""
    layout = b.layout(node)
    x = b.tensor(node, 0, layout)
    if x.dtype not in (DType.INT8, DType.UINT8):
        raise UnsupportedError(f"DequantizeLinear {node.name!r} reads {x.dtype.value}; int8 and uint8 are covered")
    point = b.array(node, 2) if b.has(node, 2) else np.zeros((), x.dtype.numpy)
    given = _quantization(b, node, layout, point)
    have = x.quantization
    if have is None:
        x.quantization = given
    elif not (np.array_equal(have.scale, given.scale) and np.array_equal(have.zero_point, given.zero_point)):
        raise UnsupportedError(f"{x.name!r} is read with two different quantisations, which the graph cannot express")
    b.put(node, b.op("DEQUANTIZE", [x], x.shape, node.outputs[0]), layout)


def _quantization(b: Builder, node: Node, layout: Layout, point: Array) -> Quantization:
    scale = b.array(node, 1)
    if scale.dtype.kind != "f" or not np.all(np.isfinite(scale) & (scale > 0)) or scale.size == 0:
        raise FormatError(f"{node.kind} {node.name!r} has the scale {scale.reshape(-1)[:4].tolist()}")
    axis = 0
    if scale.size > 1:
        logical = axis_of(node, integer(node, "axis", 1), len(layout))
        if b.shape(node)[logical] != scale.size:
            raise FormatError(f"{node.kind} {node.name!r} has {scale.size} scales for shape {list(b.shape(node))}")
        axis = layout.index(logical)
    if integer(node, "block_size", 0) or point.size not in (1, scale.size):
        raise UnsupportedError(f"{node.kind} {node.name!r} is quantised in blocks, which is not covered")
    points = np.broadcast_to(point.astype(np.int64).reshape(-1), (scale.size,)).copy()
    return Quantization(scale.astype(np.float32).reshape(-1), points, axis)


LOWERINGS: dict[str, Callable[[Builder, Node], None]] = {
    "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize,
}
