"""Gives sparse clusters sound ends: values that leave one are handed over in the usual layout."""

from __future__ import annotations

import numpy as np

from pocketgraph.convert.passes._edit import constant, insert_before, value
from pocketgraph.convert.xnnpack_nodes import Delegated, Node, delegate
from pocketgraph.convert.xnnpack_rules import Fit, judge
from pocketgraph.models.graph import Graph, Model, Op, Tensor


class CloseClusters:
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH, each other's inverse, where a map leaves a channels-first cluster.

    XNNPACK returns to the usual layout at a pooling or DEPTH_TO_SPACE only; a map that leaves by another way spoils the
    cluster (a skip connection, a tap for a second head, a graph output) or comes out wrong (a 1x1 convolution before a
    concatenation or PRELU). The pair of ops changes no value and is such an end. Channels that are no multiple of 4 are
    widened first by an identity 1x1 convolution, whose zeros cost nothing when run sparse. Outputs stay equal.
    """

    def __call__(self, model: Model) -> list[str]:
        """Edit the main graph of `model` in place; one line per map."""
        graph = model.main
        delegated = delegate(graph)
        notes = []
        for tensor, outside in _leaving(graph, delegated):
            _hand_over(graph, tensor, outside)
            notes.append(f"{tensor.name!r} leaves the sparse part through DEPTH_TO_SPACE and back")
        return notes


def _leaving(graph: Graph, delegated: Delegated) -> list[tuple[Tensor, list[Op]]]:
    """Maps made in a possible cluster and wanted outside, with the ops there that read them."""
    fits = {node: judge(node, delegated).fit for node in delegated.nodes}
    maker = {tensor: node for node in delegated.nodes for tensor in node.op.outputs}
    reached: set[Node] = set()
    for node in delegated.nodes:
        behind = [maker.get(tensor) for tensor in node.inputs]
        if fits[node] is Fit.START or (fits[node] & Fit.INSIDE and behind and all(m in reached for m in behind)):
            reached.add(node)
    ending = {n for n in delegated.nodes if Fit.END in fits[n] and all(maker.get(t) in reached for t in n.inputs)}
    inside = {node.op for node in reached | ending} | delegated.fused
    found = []
    for node in delegated.nodes:
        tensor = node.op.outputs[0]
        if node not in reached or len(tensor.shape) != 4 or tensor.shape[1] * tensor.shape[2] == 1:
            continue
        outside = [op for op in graph.ops if any(t is tensor for t in op.inputs) and op not in inside]
        if outside or tensor in graph.outputs:
            found.append((tensor, outside))
    return found


def _hand_over(graph: Graph, tensor: Tensor, outside: list[Op]) -> None:
    ops = graph.ops
    maker = graph.producers()[tensor]
    anchor = ops[ops.index(maker) + 1] if ops.index(maker) + 1 < len(ops) else None
    inner, result = tensor, value(graph, f"{tensor.name}/outside", tensor.shape, tensor)
    if tensor in graph.outputs:  # the output keeps its tensor, the cluster gets a new one
        inner, result = result, tensor
        for op in ops:
            op.outputs = [inner if t is tensor else t for t in op.outputs]
            if op not in outside:
                op.inputs = [inner if t is tensor else t for t in op.inputs]
    else:
        for op in outside:
            op.inputs = [result if t is tensor else t for t in op.inputs]
    new = _widening(graph, inner) if tensor.shape[3] % 4 else []
    wide = new[-1].outputs[0] if new else inner
    n, height, width, channels = wide.shape
    spread = value(graph, f"{tensor.name}/spread", (n, 2 * height, 2 * width, channels // 4), tensor)
    back = value(graph, f"{tensor.name}/wide", wide.shape, tensor) if new else result
    new.append(Op("DEPTH_TO_SPACE", [wide], [spread], {"block_size": 2}))
    new.append(Op("SPACE_TO_DEPTH", [spread], [back], {"block_size": 2}))
    if back is not result:
        begin = constant(graph, f"{tensor.name}/begin", np.zeros(4, np.int32))
        size = constant(graph, f"{tensor.name}/size", np.array(tensor.shape, np.int32))
        new.append(Op("SLICE", [back, begin, size], [result]))
    for op in new:
        if anchor is None:
            ops.append(op)
        else:
            insert_before(graph, anchor, op)


def _widening(graph: Graph, tensor: Tensor) -> list[Op]:
    channels = tensor.shape[3]
    count = -(-channels // 4) * 4
    weights = constant(graph, f"{tensor.name}/identity", np.eye(count, channels, dtype=np.float32)[:, None, None])
    bias = constant(graph, f"{tensor.name}/no_bias", np.zeros(count, np.float32))
    wide = value(graph, f"{tensor.name}/widened", (*tensor.shape[:3], count), tensor)
    return [Op("CONV_2D", [tensor, weights, bias], [wide], {"padding": "VALID", "stride_h": 1, "stride_w": 1})]
