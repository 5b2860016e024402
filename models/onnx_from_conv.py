"""ONNX convolutions and matrix products as graph operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.graph import Array, Tensor
from pocketgraph.models.onnx_build import Builder, integer, integers, number, text
from pocketgraph.models.onnx_layout import CHANNELS_LAST
from pocketgraph.models.onnx_proto import Node
from pocketgraph.models.same_padding import same_pads

_OHWI = (0, 2, 3, 1)
_DEPTHWISE = (1, 2, 3, 0)
_MAX_WINDOW = 2**31 - 1
Pair = tuple[int, int]


@dataclass
class Window:
    """A kernel moving over height and width: every field is (height, width)."""

    kernel: Pair
    strides: Pair
    dilations: Pair
    before: Pair
    after: Pair

    def padding(self, size: Pair) -> str | None:
        """`"SAME"` or `"VALID"` where that is what the pads amount to for pictures of `size`, else None."""
        if self.before == self.after == (0, 0):
            return "VALID"
        same = [same_pads(size[i], self.kernel[i], self.strides[i], self.dilations[i]) for i in (0, 1)]
        return "SAME" if same == list(zip(self.before, self.after, strict=True)) else None

    def output(self, size: Pair) -> Pair:
        """Height and width of the result."""
        reach = [(self.kernel[i] - 1) * self.dilations[i] + 1 for i in (0, 1)]
        padded = [size[i] + self.before[i] + self.after[i] for i in (0, 1)]
        return tuple((padded[i] - reach[i]) // self.strides[i] + 1 for i in (0, 1))  # type: ignore[return-value]


def window(node: Node, size: Pair, kernel: Sequence[int]) -> Window:
    """The window of a convolution or pooling node; `kernel` has one size (a sequence) or two (pictures).

    A sequence is a picture of height 1. Raises `FormatError` where a size makes no sense.
    """
    dims = len(kernel)
    fill = [1] * (2 - dims)
    kernel = [*fill, *kernel]
    strides = [*fill, *integers(node, "strides", [1] * dims)]
    dilations = [*fill, *integers(node, "dilations", [1] * dims)]
    pads = integers(node, "pads", [0] * (2 * dims))
    before, after = [*([0] * (2 - dims)), *pads[:dims]], [*([0] * (2 - dims)), *pads[dims:]]
    if (
        min(*kernel, *strides, *dilations) < 1
        or min(pads) < 0
        or max(*kernel, *strides, *dilations, *pads) > _MAX_WINDOW
    ):
        raise FormatError(
            f"{node.kind} {node.name!r} has kernel {kernel}, strides {strides}, dilations {dilations}, pads {pads}"
        )
    automatic = text(node, "auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        for axis in (0, 1):
            small, large = same_pads(size[axis], kernel[axis], strides[axis], dilations[axis])
            before[axis], after[axis] = (small, large) if automatic == "SAME_UPPER" else (large, small)
    elif automatic == "VALID":
        before, after = [0, 0], [0, 0]
    return Window(_pair(kernel), _pair(strides), _pair(dilations), _pair(before), _pair(after))


def picture(b: Builder, node: Node) -> Tensor:
    """Input 0 as an N, H, W, C tensor; a sequence (rank 3) becomes a picture of height 1."""
    b.floats(node)
    shape = b.shape(node)
    if len(shape) == 4:
        return b.tensor(node, 0, CHANNELS_LAST)
    if len(shape) == 3:
        sequence = b.tensor(node, 0, (0, 2, 1))
        return b.reshaped(sequence, (shape[0], 1, shape[2], shape[1]))
    raise UnsupportedError(f"{node.kind} {node.name!r} works on shape {list(shape)}; rank 3 and 4 are covered")


def put_picture(b: Builder, node: Node, tensor: Tensor) -> None:
    """`tensor` (N, H, W, C) is the result of `node`, in the rank its input has."""
    if len(b.shape(node)) == 4:
        b.put(node, tensor, CHANNELS_LAST)
    else:
        batch, _, width, channels = tensor.shape
        b.put(node, b.reshaped(tensor, (batch, width, channels)), (0, 2, 1))


def padded(b: Builder, x: Tensor, before: Pair, after: Pair, hint: str, value: float | None = None) -> Tensor:
    """`x` (N, H, W, C) with rows and columns of `value` (default 0) around it."""
    if before == after == (0, 0):
        return x
    amounts = b.ints([(0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0)], hint)
    shape = (x.shape[0], x.shape[1] + before[0] + after[0], x.shape[2] + before[1] + after[1], x.shape[3])
    if value is None:
        return b.op("PAD", [x, amounts], shape, f"{hint}/padded", x.dtype)
    border = b.constant(np.asarray([value], np.float32), f"{hint}/border")
    return b.op("PADV2", [x, amounts, border], shape, f"{hint}/padded", x.dtype)


def conv(b: Builder, node: Node) -> None:
    """Conv; one group for each input channel is a depthwise convolution."""
    x, weights = picture(b, node), _weights(b, node)
    outputs, depth, *kernel = weights.shape
    groups = integer(node, "group", 1)
    if groups < 1 or depth * groups != x.shape[3] or outputs % groups:
        raise FormatError(f"Conv {node.name!r}: {groups} groups, weights {list(weights.shape)}, {x.shape[3]} channels")
    w = window(node, (x.shape[1], x.shape[2]), kernel)
    filters = weights.reshape(outputs, depth, *w.kernel)
    hint = node.outputs[0]
    attrs: dict[str, Any] = {
        "stride_h": w.strides[0],
        "stride_w": w.strides[1],
        "dilation_h_factor": w.dilations[0],
        "dilation_w_factor": w.dilations[1],
        "padding": w.padding((x.shape[1], x.shape[2])),
        "fused_activation_function": "NONE",
    }
    shape = (x.shape[0], *w.output((x.shape[1], x.shape[2])), outputs)
    if attrs["padding"] is None:
        x = padded(b, x, w.before, w.after, hint)
        attrs["padding"] = "VALID"
    bias = _bias(b, node, 2, outputs)
    if depth == 1 and groups > 1:
        kernels = b.arranged(node.inputs[1], filters, _DEPTHWISE)
        attrs["depth_multiplier"] = outputs // groups
        put_picture(b, node, b.op("DEPTHWISE_CONV_2D", [x, kernels, bias], shape, hint, **attrs))
    else:
        kernels = b.arranged(node.inputs[1], filters, _OHWI)
        put_picture(b, node, b.op("CONV_2D", [x, kernels, bias], shape, hint, **attrs))


def conv_transpose(b: Builder, node: Node) -> None:
    """ConvTranspose: TRANSPOSE_CONV, cropped where the pads are not those of padding SAME; groups become zeros."""
    x, weights = picture(b, node), _weights(b, node)
    inputs, depth, *kernel = weights.shape
    groups = integer(node, "group", 1)
    if groups < 1 or inputs != x.shape[3] or inputs % groups:
        raise FormatError(f"ConvTranspose {node.name!r}: {groups} groups, weights {list(weights.shape)}")
    w = window(node, (x.shape[1], x.shape[2]), kernel)
    if w.dilations != (1, 1):
        raise UnsupportedError(f"ConvTranspose {node.name!r} is dilated {w.dilations}, which is not covered")
    dims = len(kernel)
    extra = _pair([*([0] * (2 - dims)), *integers(node, "output_padding", [0] * dims)])
    full = _pair([(x.shape[1 + i] - 1) * w.strides[i] + w.kernel[i] + extra[i] for i in (0, 1)])
    _fit_output(node, w, full, x)
    out = _pair([full[i] - w.before[i] - w.after[i] for i in (0, 1)])
    if min(out) < 1 or min(extra) < 0:
        raise FormatError(f"ConvTranspose {node.name!r} has an empty result of {out}")
    same = all(
        w.before[i] == max(0, (x.shape[1 + i] - 1) * w.strides[i] + w.kernel[i] - out[i]) // 2
        and x.shape[1 + i] == -(-out[i] // w.strides[i])
        for i in (0, 1)
    )
    filters = weights.reshape(inputs, depth, *w.kernel)
    if groups > 1:
        b.spend(filters.size * groups, np.float32, node)
        filters = _block_diagonal(filters, groups)
    outputs = filters.shape[1]
    kernels = b.arranged(f"{node.inputs[1]}/{groups}", filters, (1, 2, 3, 0))
    hint = node.outputs[0]
    shape = (x.shape[0], *(out if same else full), outputs)
    attrs: dict[str, Any] = {"padding": "SAME" if same else "VALID", "stride_h": w.strides[0], "stride_w": w.strides[1]}
    y = b.op("TRANSPOSE_CONV", [b.ints(shape, hint), kernels, x, _bias(b, node, 2, outputs)], shape, hint, **attrs)
    if y.shape[1:3] != out:
        begin, size = b.ints((0, *w.before, 0), hint), (shape[0], *out, outputs)
        y = b.op("SLICE", [y, begin, b.ints(size, hint)], size, f"{hint}/cropped")
    put_picture(b, node, y)


def _fit_output(node: Node, w: Window, full: Pair, x: Tensor) -> None:
    """Pads chosen by `output_shape` or `auto_pad`: what is too much goes, half before and half after."""
    wanted: Sequence[int] | None = None
    automatic = text(node, "auto_pad", "NOTSET")
    if "output_shape" in node.attrs:
        shape = integers(node, "output_shape", [])
        wanted = [1, *shape[-1:]] if len(shape) in (1, 3) else shape[-2:]
    elif automatic in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [x.shape[1 + i] * w.strides[i] for i in (0, 1)]
    if wanted is None:
        return
    if len(wanted) != 2 or any(wanted[i] > full[i] for i in (0, 1)):
        raise UnsupportedError(f"ConvTranspose {node.name!r} asks for an output of {list(wanted)}, at most {full}")
    total = [full[i] - wanted[i] for i in (0, 1)]
    less, more = _pair([t // 2 for t in total]), _pair([t - t // 2 for t in total])
    w.before, w.after = (less, more) if automatic == "SAME_UPPER" else (more, less)


def _block_diagonal(filters: Array, groups: int) -> Array:
    """Weights [in, out / groups, h, w] of a grouped transposed convolution as those of an ungrouped one."""
    inputs, depth = filters.shape[:2]
    whole = np.zeros((inputs, depth * groups, *filters.shape[2:]), np.float32)
    for group in range(groups):
        rows = slice(group * (inputs // groups), (group + 1) * (inputs // groups))
        whole[rows, group * depth : (group + 1) * depth] = filters[rows]
    return whole


def gemm(b: Builder, node: Node) -> None:
    """Gemm: alpha * A B + beta * C, A and B perhaps transposed."""
    b.floats(node)
    if len(b.shape(node, 0)) != 2 or len(b.shape(node, 1)) != 2:
        raise FormatError(f"Gemm {node.name!r} multiplies shapes {list(b.shape(node, 0))} and {list(b.shape(node, 1))}")
    x = b.tensor(node, 0, (1, 0) if integer(node, "transA", 0) else (0, 1))
    columns = (0, 1) if integer(node, "transB", 0) else (1, 0)
    alpha, beta = number(node, "alpha", 1.0), number(node, "beta", 1.0)
    hint = node.outputs[0]
    weights = b.value(node, 1)
    factors = b.tensor(node, 1, columns)
    if isinstance(weights, np.ndarray) and alpha != 1.0:
        b.spend(weights.size, np.float32, node)
        factors, alpha = b.constant(factors.dense() * np.float32(alpha), f"{hint}/weights"), 1.0
    y = _product(b, x, factors, hint, constant=isinstance(weights, np.ndarray))
    if alpha != 1.0:
        y = b.op("MUL", [y, b.constant(np.asarray(alpha, np.float32), hint)], y.shape, f"{hint}/scaled")
    if b.has(node, 2) and beta != 0.0:
        offset = b.tensor(node, 2)
        if beta != 1.0:
            factor = b.constant(np.asarray(beta, np.float32), hint)
            offset = b.op("MUL", [offset, factor], offset.shape, f"{hint}/offset")
        if np.broadcast_shapes(y.shape, offset.shape) != y.shape:
            raise FormatError(f"Gemm {node.name!r} adds {list(offset.shape)} to {list(y.shape)}")
        y = b.op("ADD", [y, offset], y.shape, f"{hint}/sum")
    b.put(node, y)


def matmul(b: Builder, node: Node) -> None:
    """MatMul: FULLY_CONNECTED where the right side is a constant matrix, else BATCH_MATMUL."""
    b.floats(node)
    left, right = b.shape(node, 0), b.shape(node, 1)
    if not left or not right or left[-1] != right[-2 if len(right) > 1 else 0]:
        raise FormatError(f"MatMul {node.name!r} multiplies shapes {list(left)} and {list(right)}")
    if len(left) < 2 or len(right) < 2:
        raise UnsupportedError(f"MatMul {node.name!r} multiplies a vector ({list(left)} by {list(right)})")
    x, hint = b.tensor(node, 0), node.outputs[0]
    constant = isinstance(b.value(node, 1), np.ndarray)
    if constant and len(right) == 2:
        b.put(node, _product(b, x, b.tensor(node, 1, (1, 0)), hint, constant=True))
        return
    shape = (*_broadcast(node, left[:-2], right[:-2]), left[-2], right[-1])
    b.put(node, b.op("BATCH_MATMUL", [x, b.tensor(node, 1)], shape, hint, adj_x=False, adj_y=False))


def _product(b: Builder, x: Tensor, rows: Tensor, hint: str, *, constant: bool) -> Tensor:
    """`x` [..., in] times the transpose of `rows` [out, in]."""
    if x.shape[-1] != rows.shape[1]:
        raise FormatError(f"{hint!r} multiplies rows of {x.shape[-1]} with columns of {rows.shape[1]}")
    shape = (*x.shape[:-1], rows.shape[0])
    if not constant:
        return b.op("BATCH_MATMUL", [x, rows], shape, hint, adj_x=False, adj_y=True)
    bias = b.constant(np.zeros(rows.shape[0], np.float32), f"{hint}/bias")
    attrs: dict[str, Any] = {"keep_num_dims": len(shape) > 2, "fused_activation_function": "NONE"}
    return b.op("FULLY_CONNECTED", [x, rows, bias], shape, hint, **attrs)


def _broadcast(node: Node, *shapes: Sequence[int]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*(tuple(shape) for shape in shapes))
    except ValueError as error:
        raise FormatError(f"{node.kind} {node.name!r} brings together shapes {[list(s) for s in shapes]}") from error


def _weights(b: Builder, node: Node) -> Array:
    weights = b.array(node, 1)
    if weights.ndim != len(b.shape(node)) or weights.dtype.kind != "f" or 0 in weights.shape:
        raise FormatError(f"{node.kind} {node.name!r} has weights {weights.dtype}{list(weights.shape)}")
    return weights


def _bias(b: Builder, node: Node, index: int, count: int) -> Tensor:
    if not b.has(node, index):
        return b.constant(np.zeros(count, np.float32), f"{node.outputs[0]}/bias")
    bias = b.array(node, index)
    if bias.shape != (count,) or bias.dtype.kind != "f":
        raise FormatError(f"{node.kind} {node.name!r} has the bias {bias.dtype}{list(bias.shape)}, expected {count}")
    return b.tensor(node, index)


def _pair(values: Sequence[int]) -> Pair:
    return values[0], values[1]


LOWERINGS: dict[str, Callable[[Builder, Node], None]] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Gemm": gemm,
    "MatMul": matmul,
}
