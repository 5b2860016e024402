"""A 1x1 convolution moved before a bilinear enlargement that only it reads.

Both are linear and the weights of a bilinear sample add up to one, bias included, so they change places with no change
but for rounding. The convolution then runs on the small picture, and fewer channels are enlarged where it narrows.
"""

from __future__ import annotations

import math

from pocketgraph.models.graph import Graph, Op, Tensor
from pocketgraph.runtime.chw.rules import why_not

_ACTIVATIONS = ("RELU", "RELU6", "RELU_N1_TO_1")


def resize_late(graph: Graph) -> None:
    """Change `graph` (a copy) wherever it pays: fewer pixels to convolve and no more channels to enlarge."""
    producers, consumers = graph.producers(), graph.consumers()
    ops: list[Op] = []
    for op in graph.ops:
        enlarge = producers.get(op.input(0)) if _is_pointwise(op) else None
        if enlarge is None or not _pays(enlarge, op) or len(consumers[op.input(0)]) > 1 or op.input(0) in graph.outputs:
            ops.append(op)
            continue
        ops.remove(enlarge)
        ops += _swapped(enlarge, op)
    graph.ops = ops


def _is_pointwise(op: Op) -> bool:
    if op.kind != "CONV_2D" or why_not(op) or not op.input(1).is_constant:
        return False
    strides = op.attrs.get("stride_h", 1), op.attrs.get("stride_w", 1)
    activation = op.attrs.get("fused_activation_function") or "NONE"
    return (*op.input(1).shape[1:3], *strides) == (1, 1, 1, 1) and activation in ("NONE", *_ACTIVATIONS)


def _pays(enlarge: Op, convolution: Op) -> bool:
    if enlarge.kind != "RESIZE_BILINEAR" or why_not(enlarge):
        return False
    small, large = enlarge.input(0).shape, enlarge.outputs[0].shape
    filters = convolution.input(1).shape
    return math.prod(small[:3]) < math.prod(large[:3]) and filters[0] <= filters[3] == small[3]


def _swapped(enlarge: Op, convolution: Op) -> list[Op]:
    """The convolution, the enlargement and the activation that the convolution had."""
    small, result = enlarge.input(0), convolution.outputs[0]
    channels = result.shape[-1]
    narrow = Tensor(f"{result.name} before resizing", (*small.shape[:3], channels))
    activation = convolution.attrs.get("fused_activation_function") or "NONE"
    wide = result if activation == "NONE" else Tensor(f"{result.name} before {activation}", result.shape)
    attrs = convolution.attrs | {"fused_activation_function": "NONE"}
    ops = [
        Op("CONV_2D", [small, *convolution.inputs[1:]], [narrow], attrs, convolution.version),
        Op("RESIZE_BILINEAR", [narrow, *enlarge.inputs[1:]], [wide], dict(enlarge.attrs), enlarge.version),
    ]
    return ops if wide is result else [*ops, Op(activation, [wide], [result])]
