"""A transposed convolution whose windows do not overlap becomes a 1x1 convolution and DEPTH_TO_SPACE."""

from __future__ import annotations

import numpy as np

from pocketgraph.convert.passes._edit import constant, insert_before, value
from pocketgraph.models.graph import Graph, Model, Op, Tensor

# MediaPipe's transposed convolution with a bias: input, weights, bias; its options are TensorFlow Lite's
# TfLiteTransposeConvParams as bytes: padding, stride width, stride height (int32 each).
_WITH_BIAS = "Convolution2DTransposeBias"


class TransposeConvToDepthToSpace:
    """TRANSPOSE_CONV with kernel = stride = k: CONV_2D 1x1 to k * k times the channels, DEPTH_TO_SPACE of block k.

    Each output pixel then comes from one input pixel, so both compute the same products. DEPTH_TO_SPACE ends a sparse
    cluster of XNNPACK, and a MediaPipe custom op becomes two builtin ones. Outputs stay equal but for
    the order of sums.
    """

    def __call__(self, model: Model) -> list[str]:
        """Edit `model` in place; one line per op."""
        notes = []
        for graph in model.graphs:
            for op in list(graph.ops):
                parts = _parts(op)
                if parts is not None:
                    notes.append(
                        f"{op.custom_code or op.kind} {op.name!r}: became a 1x1 convolution and DEPTH_TO_SPACE"
                    )
                    _rewrite(graph, op, *parts)
        return notes


def _parts(op: Op) -> tuple[Tensor, Tensor, Tensor | None, int] | None:
    """(input, weights, bias, block) of an op that can be rewritten."""
    if op.kind == "TRANSPOSE_CONV":
        source, filters = op.input(2), op.input(1)
        bias = op.inputs[3] if len(op.inputs) > 3 else None
        strides = int(op.attrs.get("stride_h", 1)), int(op.attrs.get("stride_w", 1))
    elif op.kind == "CUSTOM" and op.custom_code == _WITH_BIAS and len(op.custom_options) >= 12:
        source, filters = op.input(0), op.input(1)
        bias = op.inputs[2] if len(op.inputs) > 2 else None
        _, wide, high = (int(n) for n in np.frombuffer(op.custom_options[:12], "<i4"))
        strides = high, wide
    else:
        return None
    result = op.outputs[0]
    if not filters.is_constant or len(source.shape) != 4 or len(filters.shape) != 4 or len(result.shape) != 4:
        return None
    block = strides[0]
    fits = (
        block > 1
        and strides == (block, block) == tuple(filters.shape[1:3])
        and tuple(result.shape[1:3]) == (source.shape[1] * block, source.shape[2] * block)
        and filters.shape[3] == source.shape[3]
        and (bias is None or bias.is_constant)
    )
    return (source, filters, bias, block) if fits else None


def _rewrite(graph: Graph, op: Op, source: Tensor, filters: Tensor, bias: Tensor | None, block: int) -> None:
    result = op.outputs[0]
    count, channels = filters.shape[0], filters.shape[3]
    # [out, h, w, in] -> [(h, w, out), 1, 1, in]: DEPTH_TO_SPACE reads its channels as (row, column, channel)
    pointwise = filters.dense().transpose(1, 2, 0, 3).reshape(-1, 1, 1, channels)
    offsets = np.zeros(count, np.float32) if bias is None else bias.dense()
    wide = value(graph, f"{result.name}/channels", (*source.shape[:3], block * block * count), result)
    conv = Op(
        "CONV_2D",
        [
            source,
            constant(graph, f"{filters.name}/pointwise", pointwise),
            constant(graph, f"{result.name}/bias", np.tile(offsets, block * block)),
        ],
        [wide],
        {"padding": "VALID", "stride_h": 1, "stride_w": 1},
    )
    if op.attrs.get("fused_activation_function", "NONE") != "NONE":
        conv.attrs["fused_activation_function"] = op.attrs["fused_activation_function"]
    insert_before(graph, op, conv)
    op.kind, op.inputs, op.attrs = "DEPTH_TO_SPACE", [wide], {"block_size": block}
    op.version, op.custom_code, op.custom_options = 1, "", b""
