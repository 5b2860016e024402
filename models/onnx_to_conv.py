"""Convolutions and matrix products of the graph as ONNX nodes."""

from __future__ import annotations

import struct

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.graph import Op, Tensor
from pocketgraph.models.onnx_emit import Emitter
from pocketgraph.models.onnx_layout import CHANNELS_FIRST, identity
from pocketgraph.models.same_padding import same_pads

_OIHW = (0, 3, 1, 2)
_DEPTHWISE = (3, 0, 1, 2)
_IOHW = (3, 0, 1, 2)


def window(op: Op, size: tuple[int, int], kernel: tuple[int, int]) -> dict[str, list[int]]:
    """ONNX's kernel_shape, strides, dilations and explicit pads of a convolution or pooling over pictures of `size`."""
    strides = [op.attrs.get("stride_h") or 1, op.attrs.get("stride_w") or 1]
    dilations = [op.attrs.get("dilation_h_factor") or 1, op.attrs.get("dilation_w_factor") or 1]
    pads = [0, 0, 0, 0]
    if op.attrs.get("padding", "SAME") == "SAME":
        top, bottom = same_pads(size[0], kernel[0], strides[0], dilations[0])
        left, right = same_pads(size[1], kernel[1], strides[1], dilations[1])
        pads = [top, left, bottom, right]
    attrs = {"kernel_shape": list(kernel), "strides": strides, "pads": pads}
    return attrs if dilations == [1, 1] else {**attrs, "dilations": dilations}


def conv(emit: Emitter, op: Op) -> None:
    """CONV_2D; fewer weight channels than input channels mean groups."""
    x, weights = op.input(0), op.input(1)
    _, height, width, channels = _rank4(op, x)
    _, rows, columns, depth = _rank4(op, weights)
    if depth == 0 or channels % depth:
        raise FormatError(f"CONV_2D {op.name!r} has weights of {depth} channels for an input of {channels}")
    attrs = window(op, (height, width), (rows, columns))
    operands = [emit.get(x, CHANNELS_FIRST), emit.get(weights, _OIHW), *_bias(emit, op, 2)]
    emit.finish(op, emit.node("Conv", operands, op.name, group=channels // depth, **attrs), CHANNELS_FIRST)


def depthwise(emit: Emitter, op: Op) -> None:
    """DEPTHWISE_CONV_2D with any multiplier: output channel c * multiplier + m comes from input channel c."""
    x, weights = op.input(0), op.input(1)
    _, height, width, channels = _rank4(op, x)
    _, rows, columns, _ = _rank4(op, weights)
    attrs = window(op, (height, width), (rows, columns))
    operands = [emit.get(x, CHANNELS_FIRST), emit.get(weights, _DEPTHWISE), *_bias(emit, op, 2)]
    emit.finish(op, emit.node("Conv", operands, op.name, group=channels, **attrs), CHANNELS_FIRST)


def transpose_conv(emit: Emitter, op: Op) -> None:
    """TRANSPOSE_CONV: operands output shape, weights, input, bias."""
    strides = (op.attrs.get("stride_h") or 1, op.attrs.get("stride_w") or 1)
    same = op.attrs.get("padding", "SAME") == "SAME"
    _transposed(emit, op, (op.input(2), op.input(1)), _bias(emit, op, 3), strides, same=same)


def custom_transpose_conv_bias(emit: Emitter, op: Op) -> None:
    """MediaPipe's custom op Convolution2DTransposeBias: input, weights, bias; options are three int32
    (padding: 1 is SAME, stride width, stride height).
    """
    if len(op.custom_options) < 12:
        raise FormatError(f"{op.custom_code} {op.name!r} has {len(op.custom_options)} bytes of options, expected 12")
    padding, stride_w, stride_h = struct.unpack_from("<3i", op.custom_options)
    if stride_w < 1 or stride_h < 1:
        raise FormatError(f"{op.custom_code} {op.name!r} has strides {stride_h}x{stride_w}, expected 1 or more")
    bias = _bias(emit, op, 2)
    _transposed(emit, op, (op.input(0), op.input(1)), bias, (stride_h, stride_w), same=padding == 1)


def _transposed(
    emit: Emitter, op: Op, operands: tuple[Tensor, Tensor], bias: list[str], strides: tuple[int, int], *, same: bool
) -> None:
    x, weights = operands
    pads: list[tuple[int, int]] = []
    extra: list[int] = []
    for axis in (1, 2):
        size, kernel, stride = _rank4(op, x)[axis], _rank4(op, weights)[axis], strides[axis - 1]
        full = (size - 1) * stride + kernel
        wanted = _rank4(op, op.outputs[0])[axis]
        before = max(0, full - wanted) // 2 if same else 0
        after = full - wanted - before
        pads.append((before, max(0, after)))
        extra.append(max(0, -after))
    attrs = {
        "kernel_shape": list(weights.shape[1:3]),
        "strides": list(strides),
        "pads": [pads[0][0], pads[1][0], pads[0][1], pads[1][1]],
    }
    if any(extra):
        attrs["output_padding"] = extra
    names = [emit.get(x, CHANNELS_FIRST), emit.get(weights, _IOHW), *bias]
    emit.finish(op, emit.node("ConvTranspose", names, op.name, **attrs), CHANNELS_FIRST)


def fully_connected(emit: Emitter, op: Op) -> None:
    """FULLY_CONNECTED: a product of the last axis, or Gemm on rows of the weights' depth and a reshape."""
    x, weights, out = op.input(0), op.input(1), op.outputs[0]
    if len(weights.shape) != 2 or weights.shape[1] == 0 or x.size % weights.shape[1]:
        raise FormatError(f"FULLY_CONNECTED {op.name!r} has weights {list(weights.shape)} for input {list(x.shape)}")
    if len(out.shape) > 2 and out.shape == (*x.shape[:-1], weights.shape[0]):
        name = emit.node("MatMul", [emit.get(x), emit.get(weights, (1, 0))], f"{op.name}/product")
        for bias in _bias(emit, op, 2):
            name = emit.node("Add", [name, bias], op.name)
        emit.finish(op, name, identity(len(out.shape)))
        return
    rows = (x.size // weights.shape[1], weights.shape[1])
    name = emit.get(x)
    if x.shape != rows:
        name = emit.reshape(name, rows, x.name)
    name = emit.node("Gemm", [name, emit.get(weights), *_bias(emit, op, 2)], op.name, transB=1)
    if out.shape != (rows[0], weights.shape[0]):
        name = emit.reshape(name, out.shape, out.name)
    emit.finish(op, name, identity(len(out.shape)))


def batch_matmul(emit: Emitter, op: Op) -> None:
    """BATCH_MATMUL; an adjoint operand is one whose last two axes are seen the other way round."""
    names = []
    for index, adjoint in enumerate(("adj_x", "adj_y")):
        x = op.input(index)
        rank = len(x.shape)
        if rank < 2:
            raise FormatError(f"BATCH_MATMUL {op.name!r} reads {x.name!r} of shape {list(x.shape)}, expected rank 2 up")
        layout = identity(rank)
        names.append(emit.get(x, (*layout[:-2], rank - 1, rank - 2) if op.attrs.get(adjoint, False) else layout))
    emit.finish(op, emit.node("MatMul", names, op.name), identity(len(op.outputs[0].shape)))


def _bias(emit: Emitter, op: Op, index: int) -> list[str]:
    tensor = op.inputs[index] if index < len(op.inputs) else None
    if tensor is None:
        return []
    name = emit.get(tensor)
    return [name if len(tensor.shape) == 1 else emit.reshape(name, [tensor.size], tensor.name)]


def _rank4(op: Op, tensor: Tensor) -> tuple[int, ...]:
    if len(tensor.shape) != 4:
        raise UnsupportedError(
            f"{op.kind} {op.name!r} reads {tensor.name!r} of shape {list(tensor.shape)}, expected rank 4"
        )
    return tensor.shape


LOWERINGS = {
    "CONV_2D": conv,
    "DEPTHWISE_CONV_2D": depthwise,
    "TRANSPOSE_CONV": transpose_conv,
    "FULLY_CONNECTED": fully_connected,
    "BATCH_MATMUL": batch_matmul,
}
CUSTOM_LOWERINGS = {"Convolution2DTransposeBias": custom_transpose_conv_bias}
