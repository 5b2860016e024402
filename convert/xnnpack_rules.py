"""The rules by which XNNPACK lets an op run channels-first, the layout of its sparse kernels.

Each rule is a fact of `xnn_check_nchw_compatibility` in XNNPACK's `src/subgraph.c`. An op can stand INSIDE a cluster,
START one (it reads the usual layout and writes channels-first), END one (the reverse), or none of these.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pocketgraph.convert.xnnpack_nodes import UNARY, Delegated, Node
from pocketgraph.models.graph import DType, Tensor

THRESHOLD = 2 / 3  # share of zeros that a cluster must exceed


class Fit(enum.Flag):
    """How an op fits into a cluster."""

    NONE = 0
    INSIDE = enum.auto()
    START = enum.auto()
    END = enum.auto()


@dataclass(frozen=True)
class Verdict:
    """How an op fits; where it does not, the `rule` it breaks and the `fix`."""

    fit: Fit
    rule: str = ""
    fix: str = ""


_INSIDE, _BOTH = Verdict(Fit.INSIDE), Verdict(Fit.INSIDE | Fit.END)
_FIX_BREAKER = {
    "PRELU": "train with RELU, RELU6, HARD_SWISH or LEAKY_RELU instead of PRELU",
    "SUB": "write a - b as a + (-b): NEG and ADD may stand in a cluster",
    "DIV": "multiply by the reciprocal",
    "MAX_POOL_2D": "use a depthwise convolution of stride 2 in its place",
    "AVERAGE_POOL_2D": "over the whole map use MEAN; otherwise a depthwise convolution with equal weights",
    "CONCATENATION": "add the branches instead, or convolve each on its own and add the results",
    "RESHAPE": "keep it behind the global average pooling or DEPTH_TO_SPACE that ends the cluster",
    "TRANSPOSE_CONV": "kernel 2x2, stride 2 equals a 1x1 convolution to 4 times the channels and DEPTH_TO_SPACE",
}


def judge(node: Node, delegated: Delegated) -> Verdict:
    """How `node` fits."""
    values = [t for t in [*node.op.inputs, *node.op.outputs] if t is not None]
    wrong = next((t for t in values if _is_integer(delegated.constants.get(t, t))), None)
    if wrong is not None:
        return Verdict(
            Fit.NONE, f"{wrong.name!r} is {wrong.dtype.value}; sparse kernels are float only", "export f32 or f16"
        )
    kind = node.op.kind
    if kind == "CONV_2D":
        return _convolution(node)
    if kind == "DEPTHWISE_CONV_2D":
        return _depthwise(node)
    if kind == "FULLY_CONNECTED":
        if node.op.attrs.get("keep_num_dims", False):
            return _INSIDE
        return Verdict(Fit.NONE, "FULLY_CONNECTED flattens its input first", "")
    if kind in ("ADD", "MUL"):
        return _binary(node, delegated)
    if kind in UNARY or (kind == "AVERAGE_POOL_2D" and _pool(node) == (1, 1)):
        return _four_dimensional(node, _INSIDE)
    if kind in ("MEAN", "SUM"):
        return _four_dimensional(node, _BOTH)
    if kind == "DEPTH_TO_SPACE":
        return Verdict(Fit.END)
    if kind == "RESIZE_BILINEAR":
        _, height, width, _ = node.op.input(0).shape
        if height > 1 and width > 1:
            return _INSIDE
        return Verdict(Fit.NONE, f"resizes a map of {height}x{width}; both must be above 1", "pool less before it")
    return Verdict(Fit.NONE, f"{kind} cannot run channels-first", _FIX_BREAKER.get(kind, "move it out of the cluster"))


def _is_integer(tensor: Tensor) -> bool:
    return tensor.dtype in (DType.INT8, DType.UINT8, DType.INT16) or (
        tensor.dtype is DType.INT32 and tensor.quantization is not None and tensor.quantization.scale.size > 0
    )


def _pool(node: Node) -> tuple[int, int]:
    return int(node.op.attrs.get("filter_height", 0)), int(node.op.attrs.get("filter_width", 0))


def _strides(node: Node) -> tuple[int, int]:
    return int(node.op.attrs.get("stride_h", 1)), int(node.op.attrs.get("stride_w", 1))


def _is_dilated(node: Node) -> bool:
    return node.op.attrs.get("dilation_h_factor", 1) != 1 or node.op.attrs.get("dilation_w_factor", 1) != 1


def _padding_rule(node: Node, wanted: int, kernel: str) -> Verdict | None:
    if node.padding == (wanted,) * 4:
        return None
    fix = f"pad by {wanted} on all sides explicitly (PAD, then VALID); convert does it where outputs stay equal"
    if node.padding is None:
        return Verdict(Fit.NONE, f"{kernel} has TensorFlow's SAME padding at stride 2, which depends on the size", fix)
    top, right, bottom, left = node.padding
    return Verdict(
        Fit.NONE, f"{kernel} is padded by {top}, {right}, {bottom}, {left}; expected {wanted} on all sides", fix
    )


def _convolution(node: Node) -> Verdict:
    _, height, width, channels = node.op.input(1).shape
    strides, kernel = _strides(node), f"{height}x{width} convolution"
    groups = node.op.input(0).shape[3] // max(1, channels)
    if groups != 1:
        return Verdict(
            Fit.NONE, f"{kernel} has {groups} groups; expected 1", "use one group or a depthwise convolution"
        )
    if _is_dilated(node):
        return Verdict(Fit.NONE, f"{kernel} is dilated", "use dilation 1")
    if (height, width) == (1, 1):
        if strides != (1, 1):
            fix = "subsample with a depthwise 3x3 of stride 2 whose only weight is the centre; convert does it"
            return Verdict(Fit.NONE, f"{kernel} has stride {strides[0]}; expected 1", fix)
        if node.padding not in ((0, 0, 0, 0), None):
            return Verdict(Fit.NONE, f"{kernel} is padded", "drop the padding")
        return _INSIDE
    if (height, width) != (3, 3):
        return Verdict(
            Fit.NONE, f"{kernel}: only 1x1 may stand in a cluster, 3x3 may start one", "split it: depthwise and 1x1"
        )
    if strides != (2, 2) or channels != 3:
        rule = f"{kernel} of stride {strides[0]} on {channels} channels; a cluster starts at stride 2 on 3 channels"
        return Verdict(Fit.NONE, rule, "split it: depthwise and 1x1")
    return _padding_rule(node, 1, kernel) or Verdict(Fit.START)


def _depthwise(node: Node) -> Verdict:
    _, height, width, channels = node.op.input(1).shape
    strides, kernel = _strides(node), f"depthwise {height}x{width}"
    multiplier = channels // max(1, node.op.input(0).shape[3])
    if _is_dilated(node):
        return Verdict(Fit.NONE, f"{kernel} is dilated", "use dilation 1")
    if multiplier != 1:
        return Verdict(Fit.NONE, f"{kernel} has multiplier {multiplier}; expected 1", "put a 1x1 convolution before it")
    if strides not in ((1, 1), (2, 2)):
        return Verdict(Fit.NONE, f"{kernel} has strides {strides}; expected 1 or 2 both ways", "use stride 1 or 2")
    if height != width or height not in (3, 5):
        return Verdict(Fit.NONE, f"{kernel}; expected 3x3 or 5x5", "embed the kernel in 3x3 or 5x5")
    return _padding_rule(node, (height - 1) // 2, kernel) or _INSIDE


def _binary(node: Node, delegated: Delegated) -> Verdict:
    first, second = node.op.input(0), node.op.input(1)
    kind = node.op.kind
    if len(first.shape) != 4 or len(second.shape) != 4:
        shapes = f"{list(first.shape)} and {list(second.shape)}"
        return Verdict(
            Fit.NONE, f"{kind} of {shapes}; both must have 4 dimensions", "reshape the constant to [1, 1, 1, C]"
        )
    # For a constant second operand the engine looks at the shape of the first one.
    if (first in delegated.constants or second in delegated.constants) and sum(d != 1 for d in first.shape) > 1:
        if first in delegated.constants:
            return Verdict(
                Fit.NONE, f"{kind} with a constant of shape {list(first.shape)}", "use a constant [1, 1, 1, C]"
            )
        return Verdict(Fit.NONE, f"{kind} has its constant as second operand", "swap the operands; convert does it")
    return _INSIDE


def _four_dimensional(node: Node, verdict: Verdict) -> Verdict:
    shape = node.op.input(0).shape
    if len(shape) == 4:
        return verdict
    return Verdict(Fit.NONE, f"{node.op.kind} of {list(shape)}; a cluster is 4-dimensional", "")
