"""A TFLite graph as XNNPACK sees it: which ops it takes, in which partitions, with which padding.

The facts are those of TensorFlow Lite's XNNPACK delegate and of XNNPACK's subgraph fusion: constants behind DENSIFY
and DEQUANTIZE are unpacked before the run, SAME padding becomes explicit at stride 1 and stays a flag otherwise, and a
zero PAD with a single reader joins the convolution behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pocketgraph.models.graph import Array, DType, Graph, Op, Tensor

UNARY = frozenset(
    [
        "ABS",
        "CEIL",
        "COS",
        "DEQUANTIZE",
        "ELU",
        "EXP",
        "FLOOR",
        "GELU",
        "HARD_SWISH",
        "LEAKY_RELU",
        "LOGISTIC",
        "NEG",
        "QUANTIZE",
        "RELU",
        "RELU6",
        "RELU_N1_TO_1",
        "ROUND",
        "RSQRT",
        "SIN",
        "SQRT",
        "SQUARE",
        "TANH",
    ]
)
BINARY = frozenset(["ADD", "DIV", "MAXIMUM", "MINIMUM", "MUL", "PRELU", "SQUARED_DIFFERENCE", "SUB"])
OTHER = frozenset(
    [
        "AVERAGE_POOL_2D",
        "BATCH_MATMUL",
        "CONCATENATION",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "DEPTH_TO_SPACE",
        "EXPAND_DIMS",
        "FULLY_CONNECTED",
        "MAX_POOL_2D",
        "MEAN",
        "PAD",
        "REDUCE_MAX",
        "REDUCE_MIN",
        "RESHAPE",
        "RESIZE_BILINEAR",
        "SLICE",
        "SOFTMAX",
        "SPACE_TO_DEPTH",
        "SPLIT",
        "STRIDED_SLICE",
        "SUM",
        "TRANSPOSE",
        "TRANSPOSE_CONV",
    ]
)
CUSTOM = frozenset({"Convolution2DTransposeBias", "MaxPoolingWithArgmax2D", "MaxUnpooling2D"})
# operands that must be constants for the delegate to take the op
_STATIC = {"PAD": 1, "MEAN": 1, "SUM": 1, "RESIZE_BILINEAR": 1, "RESHAPE": 1, "TRANSPOSE": 1}

Padding = tuple[int, int, int, int]  # top, right, bottom, left


@dataclass(eq=False)
class Node:
    """An op as XNNPACK runs it: `inputs` are computed values only; `padding` is None where TF's SAME stays a flag."""

    op: Op
    index: int
    partition: int
    inputs: list[Tensor]
    padding: Padding | None = (0, 0, 0, 0)


@dataclass(eq=False)
class Delegated:
    """The nodes XNNPACK runs, in order, and what it knows of values.

    `outside`: ops it does not take. `external`: values that cross a partition's border, or are graph inputs or
    outputs. `constants`: tensors with known data, by the tensor that holds it. `fused`: PAD ops taken into the next.
    `hinted`: partitions in which a weight comes from a DENSIFY op.
    """

    nodes: list[Node]
    outside: list[tuple[int, Op]]
    external: set[Tensor]
    constants: dict[Tensor, Tensor]
    fused: set[Op] = field(default_factory=set)
    hinted: set[int] = field(default_factory=set)

    def array(self, tensor: Tensor) -> Array | None:
        """The dense stored values of a constant, or None for a computed tensor."""
        source = self.constants.get(tensor)
        return None if source is None else source.dense()


def delegate(graph: Graph) -> Delegated:
    """Translate `graph` for XNNPACK."""
    constants, densified, unpacking = _constants(graph)
    order = [(i, op) for i, op in enumerate(graph.ops) if op not in unpacking]
    taken = {op: _is_taken(op, constants) for _, op in order}
    partition = _partitions(order, taken, constants, graph)
    outside = [(i, op) for i, op in order if not taken[op]]
    nodes = [
        Node(op, i, partition[op], [t for t in op.inputs if t is not None and t not in constants], _padding(op))
        for i, op in order
        if taken[op]
    ]
    result = Delegated(nodes, outside, _external(graph, order, partition), constants)
    result.hinted = {node.partition for node in nodes if any(t in densified for t in node.op.inputs)}
    _fuse_pads(result)
    return result


def _constants(graph: Graph) -> tuple[dict[Tensor, Tensor], set[Tensor], set[Op]]:
    constants = {tensor: tensor for tensor in graph.tensors() if tensor.is_constant}
    densified: set[Tensor] = set()
    unpacking: set[Op] = set()
    for op in graph.ops:
        source = op.inputs[0] if op.inputs else None
        if op.kind not in ("DENSIFY", "DEQUANTIZE") or source is None or source not in constants:
            continue
        if op.kind == "DEQUANTIZE" and constants[source].dtype is not DType.FLOAT16:
            continue
        constants[op.outputs[0]] = constants[source]
        unpacking.add(op)
        if op.kind == "DENSIFY" or source in densified:
            densified.add(op.outputs[0])
    return constants, densified, unpacking


def _is_taken(op: Op, constants: dict[Tensor, Tensor]) -> bool:
    if not op.outputs:
        return False
    if op.kind == "CUSTOM":
        return op.custom_code in CUSTOM
    if op.kind not in UNARY | BINARY | OTHER:
        return False
    place = _STATIC.get(op.kind)
    if place is not None and (place >= len(op.inputs) or op.inputs[place] not in constants):
        return op.kind == "RESHAPE" and len(op.inputs) < 2
    if op.kind == "STRIDED_SLICE":
        strides = constants.get(op.input(3)) if len(op.inputs) > 3 else None
        if strides is None or np.any(strides.dense() != 1):
            return False
    if op.attrs.get("fused_activation_function", "NONE") in ("TANH", "SIGN_BIT"):
        return False
    return all(t.dtype is DType.FLOAT32 or _is_quantised(t) for t in op.outputs)


def _is_quantised(tensor: Tensor) -> bool:
    return tensor.dtype in (DType.INT8, DType.UINT8) and tensor.quantization is not None


def _partitions(
    order: list[tuple[int, Op]], taken: dict[Op, bool], constants: dict[Tensor, Tensor], graph: Graph
) -> dict[Op, int]:
    """Rounds in which as many ops as possible run on one side, then on the other: TFLite's graph partitioning."""
    ready = set(constants) | set(graph.inputs)
    waiting = [op for _, op in order]
    found: dict[Op, int] = {}
    number, side, idle = 0, taken[waiting[0]] if waiting else True, 0
    while waiting and idle < 2:
        left: list[Op] = []
        for op in waiting:
            if taken[op] is side and all(t is None or t in ready or t.is_variable for t in op.inputs):
                found[op] = number
                ready.update(op.outputs)
            else:
                left.append(op)
        idle = idle + 1 if len(left) == len(waiting) else 0
        waiting, side, number = left, not side, number + 1
    return found | dict.fromkeys(waiting, number)


def _external(graph: Graph, order: list[tuple[int, Op]], partition: dict[Op, int]) -> set[Tensor]:
    external = set(graph.inputs) | set(graph.outputs)
    maker = {tensor: op for _, op in order for tensor in op.outputs}
    for _, op in order:
        for tensor in op.inputs:
            source = maker.get(tensor) if tensor is not None else None
            if source is not None and tensor is not None and partition[source] != partition[op]:
                external.add(tensor)
    return external


def _padding(op: Op) -> Padding | None:
    if op.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D") or op.attrs.get("padding", "SAME") != "SAME":
        return (0, 0, 0, 0)
    if op.attrs.get("stride_h", 1) != 1 or op.attrs.get("stride_w", 1) != 1:
        return None
    _, height, width, _ = op.input(1).shape
    rows = (height - 1) * int(op.attrs.get("dilation_h_factor", 1))
    columns = (width - 1) * int(op.attrs.get("dilation_w_factor", 1))
    return rows // 2, columns - columns // 2, rows - rows // 2, columns // 2


def _fuse_pads(delegated: Delegated) -> None:
    readers: dict[Tensor, list[Node]] = {}
    for node in delegated.nodes:
        for tensor in dict.fromkeys(node.inputs):
            readers.setdefault(tensor, []).append(node)
    kept: list[Node] = []
    for pad in delegated.nodes:
        amounts = delegated.array(pad.op.input(1)) if pad.op.kind == "PAD" else None
        after = readers.get(pad.op.outputs[0], [])
        if amounts is None or len(after) != 1 or pad.op.outputs[0] in delegated.external:
            kept.append(pad)
            continue
        behind = after[0]
        spatial = amounts.shape == (4, 2) and not amounts[[0, 3]].any()
        if not spatial or behind.op.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D") or behind.padding is None:
            kept.append(pad)
            continue
        top, right, bottom, left = behind.padding
        (above, below), (before, beyond) = (map(int, amounts[1]), map(int, amounts[2]))
        behind.padding = (top + above, right + beyond, bottom + below, left + before)
        behind.inputs = [pad.inputs[0] if t is pad.op.outputs[0] else t for t in behind.inputs]
        delegated.fused.add(pad.op)
    delegated.nodes = kept
