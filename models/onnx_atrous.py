"""Finds convolutions dilated by way of SPACE_TO_BATCH and BATCH_TO_SPACE, and makes each one dilated convolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketgraph.models.graph import DType, Graph, Op, Tensor
from pocketgraph.models.onnx_layout import Shape
from pocketgraph.models.same_padding import same_pads

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def join_atrous(graph: Graph) -> list[Op]:
    """The ops of `graph` with each such triple as one convolution, behind a PAD where padding SAME will not do.

    The graph stays as it is. A triple whose inner values are used elsewhere, or whose convolution has a stride or
    padding of its own, is left alone.
    """
    readers = graph.consumers()
    done: dict[Op, list[Op]] = {}
    for op in graph.ops:
        if op.kind != "SPACE_TO_BATCH_ND" or len(op.input(0).shape) != 4:
            continue
        inner = _only_reader(graph, readers, op)
        outer = None if inner is None else _only_reader(graph, readers, inner)
        if inner is None or outer is None or outer.kind != "BATCH_TO_SPACE_ND" or not _is_plain(inner):
            continue
        joined = _joined(op, inner, outer)
        if joined is not None:
            done.update({op: [], inner: [], outer: joined})
    return [made for op in graph.ops for made in done.get(op, [op])]


def _only_reader(graph: Graph, readers: dict[Tensor, list[Op]], op: Op) -> Op | None:
    found = readers.get(op.outputs[0], [])
    return found[0] if len(found) == 1 and op.outputs[0] not in graph.outputs else None


def _is_plain(op: Op) -> bool:
    """Whether `op` is a convolution that takes every place once: stride 1, no dilation, padding VALID."""
    numbers = ("stride_h", "stride_w", "dilation_h_factor", "dilation_w_factor")
    unit = all((op.attrs.get(name) or 1) == 1 for name in numbers)
    return op.kind in _CONVOLUTIONS and unit and op.attrs.get("padding", "SAME") == "VALID"


@dataclass(frozen=True)
class _Blocks:
    sizes: list[int]
    ends: list[list[int]]


def _blocks(op: Op) -> _Blocks | None:
    sizes, ends = op.input(1), op.input(2)
    if not (sizes.is_constant and ends.is_constant) or sizes.size != 2 or ends.size != 4:
        return None
    return _Blocks(sizes.dense().reshape(-1).tolist(), ends.dense().reshape(2, 2).tolist())


def _joined(cut: Op, conv: Op, join: Op) -> list[Op] | None:
    pads, crops = _blocks(cut), _blocks(join)
    if pads is None or crops is None or pads.sizes != crops.sizes:
        return None
    ends = [[p - c for p, c in zip(*pair, strict=True)] for pair in zip(pads.ends, crops.ends, strict=True)]
    if min(min(pair) for pair in ends) < 0:
        return None
    x, weights = cut.input(0), conv.input(1)
    attrs = {**conv.attrs, "dilation_h_factor": pads.sizes[0], "dilation_w_factor": pads.sizes[1]}
    same = [same_pads(x.shape[1 + i], weights.shape[1 + i], 1, pads.sizes[i]) for i in (0, 1)]
    if [tuple(pair) for pair in ends] == same:
        attrs["padding"] = "SAME"
        return [Op(conv.kind, [x, *conv.inputs[1:]], join.outputs, attrs)]
    amounts = np.array([(0, 0), *ends, (0, 0)], np.int32)
    shape: Shape = (x.shape[0], x.shape[1] + sum(ends[0]), x.shape[2] + sum(ends[1]), x.shape[3])
    wide = Tensor(f"{x.name}/padded", shape, x.dtype, quantization=x.quantization)
    pad = Op("PAD", [x, Tensor(f"{x.name}/pads", amounts.shape, DType.INT32, amounts)], [wide])
    return [pad, Op(conv.kind, [wide, *conv.inputs[1:]], join.outputs, attrs)]
