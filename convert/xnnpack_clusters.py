"""Which ops XNNPACK would run channels-first together, and whether it does.

Gives the verdicts of `xnn_subgraph_rewrite_for_nchw` in XNNPACK's `src/subgraph.c`. Nodes that may stand in a cluster
are grouped with the nodes that make their inputs. A group is spoilt by a node that reads a value from outside, and by
a value that is read both inside and outside. What leaves a group without being read inside is not checked, which is
how a group can be sound and still compute nonsense. Nothing happens in a partition where no node ends a cluster. Zeros
are counted group by group.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pocketgraph.convert.explanation import short_name
from pocketgraph.convert.xnnpack_nodes import Delegated, Node, delegate
from pocketgraph.convert.xnnpack_rules import Fit, Verdict, judge
from pocketgraph.models.graph import Graph, Tensor


@dataclass(eq=False)
class Cluster:
    """Nodes under one leader. `reasons` (rule, fix) spoil it; empty means it is sound."""

    nodes: list[Node]
    reasons: list[tuple[str, str]]
    weights: int = 0
    zeros: int = 0
    hinted: bool = False

    @property
    def dense_enough_to_stop(self) -> bool:
        """Whether too few weights are zero: two thirds or less."""
        return self.zeros * 3 <= self.weights * 2

    @property
    def active(self) -> bool:
        """Whether the engine runs it channels-first with sparse kernels."""
        return not self.reasons and self.hinted and not self.dense_enough_to_stop


@dataclass(eq=False)
class Clusters:
    """All clusters, each node's verdict and cluster, and the values that are laid out channels-first."""

    verdicts: dict[Node, Verdict]
    clusters: list[Cluster]
    of: dict[Node, Cluster] = field(default_factory=dict)
    channels_first: set[Tensor] = field(default_factory=set)


def find_clusters(delegated: Delegated) -> Clusters:
    """Run the engine's analysis, partition by partition."""
    verdicts = {node: judge(node, delegated) for node in delegated.nodes}
    result = Clusters(verdicts, [])
    for partition in sorted({node.partition for node in delegated.nodes}):
        nodes = [node for node in delegated.nodes if node.partition == partition]
        _Analysis(nodes, delegated, result).run(hinted=partition in delegated.hinted)
    return result


def is_counted(node: Node) -> bool:
    """Whether the weights of `node` count towards the threshold: 1x1 convolutions and fully connected layers."""
    return node.op.kind == "FULLY_CONNECTED" or (
        node.op.kind == "CONV_2D" and tuple(node.op.input(1).shape[1:3]) == (1, 1)
    )


class _Analysis:
    """One partition: `fits` and `maker` per node and value; `reasons` by node spoil its group."""

    def __init__(self, nodes: list[Node], delegated: Delegated, result: Clusters) -> None:
        self.nodes, self.delegated, self.result = nodes, delegated, result
        self.maker = {tensor: node for node in nodes for tensor in node.op.outputs}
        self.fits = {node: result.verdicts[node].fit for node in nodes}
        self.parent = {node: node for node in nodes}
        self.reasons: dict[Node, list[tuple[str, str]]] = {}
        self.ended = False

    def run(self, *, hinted: bool) -> None:
        inside = [node for node in self.nodes if self.fits[node] & (Fit.INSIDE | Fit.END)]
        for node in inside:
            self._join(node)
        self._check_readers(inside)
        groups: dict[Node, list[Node]] = {}
        for node in self.nodes:
            if self.fits[node]:
                groups.setdefault(self._root(node), []).append(node)
        for members in groups.values():
            self._add(members, hinted=hinted)

    def _root(self, node: Node) -> Node:
        while self.parent[node] is not node:
            self.parent[node] = self.parent[self.parent[node]]
            node = self.parent[node]
        return node

    def _join(self, node: Node) -> None:
        for tensor in node.inputs:
            if tensor in self.delegated.external:
                self._spoil(node, *self._border(node, tensor))
                continue
            maker = self.maker[tensor]
            verdict = self.result.verdicts[maker]
            if verdict.fit & (Fit.START | Fit.INSIDE):
                self.parent[self._root(maker)] = self._root(node)
                self.ended |= Fit.END in self.fits[node]
            else:
                rule = verdict.rule or "it ends a cluster"
                reader, producer = (f"{n.op.kind} {short_name(n.op.name)!r}" for n in (node, maker))
                what = f"{reader} reads {producer}: {rule}"
                self._spoil(node, what, verdict.fix)

    def _spoil(self, node: Node, rule: str, fix: str) -> None:
        self.reasons.setdefault(node, []).append((rule, fix))

    def _border(self, node: Node, tensor: Tensor) -> tuple[str, str]:
        what = f"{node.op.kind} {short_name(node.op.name)!r} reads {short_name(tensor.name)!r}, which"
        if tensor in self.maker:
            return f"{what} is also wanted outside the cluster", "take outputs from behind the end of the cluster only"
        return (
            f"{what} comes from outside the cluster",
            "only a 3x3 convolution of stride 2, padding 1, on 3 channels lets data into a cluster",
        )

    def _check_readers(self, inside: list[Node]) -> None:
        """A value read inside must have all its readers there."""
        members = set(inside)
        outsiders: dict[Tensor, Node] = {}
        for node in self.nodes:
            if node not in members:
                outsiders.update(dict.fromkeys(node.inputs, node))
        for node in inside:
            for tensor in node.inputs:
                other = outsiders.get(tensor)
                if other is not None:
                    verdict = self.result.verdicts[other]
                    what = f"{short_name(tensor.name)!r} is also read by {other.op.kind} {short_name(other.op.name)!r}"
                    self._spoil(node, f"{what}: {verdict.rule}" if verdict.rule else what, verdict.fix)

    def _add(self, members: list[Node], *, hinted: bool) -> None:
        cluster = Cluster(members, [], hinted=hinted)
        for node in members:
            cluster.reasons += [reason for reason in self.reasons.get(node, []) if reason not in cluster.reasons]
            if is_counted(node):
                zeros, weights = count_zeros(node, self.delegated)
                cluster.zeros, cluster.weights = cluster.zeros + zeros, cluster.weights + weights
        if not cluster.weights:
            return
        if not self.ended:
            cluster.reasons.append(_NO_END)
            for node in self.nodes:
                if Fit.END in self.fits[node]:
                    cluster.reasons += [r for r in self.reasons.get(node, []) if r not in cluster.reasons]
        self.result.clusters.append(cluster)
        self.result.of.update(dict.fromkeys(members, cluster))
        if cluster.active:
            readers = [node for node in members if self.fits[node] & (Fit.INSIDE | Fit.END)]
            self.result.channels_first.update(tensor for node in readers for tensor in node.inputs)


_NO_END = (
    "nothing ends a cluster",
    "end it with a global average pooling (MEAN over height and width) or DEPTH_TO_SPACE",
)


def count_zeros(node: Node, delegated: Delegated) -> tuple[int, int]:
    """(zeros, weights) of the constant filter of `node`; (0, 0) where it is computed."""
    filters = delegated.array(node.op.input(1))
    return (0, 0) if filters is None else (int(filters.size - np.count_nonzero(filters)), int(filters.size))


def skipped_products(graph: Graph) -> int:
    """Multiplications that sparse weights would spare the engine in one run; -1 where it then computes nonsense."""
    delegated = delegate(graph)
    delegated.hinted = {node.partition for node in delegated.nodes}
    found = find_clusters(delegated)
    if any(danger(node, found) for node in delegated.nodes):
        return -1
    return sum(
        count_zeros(node, delegated)[0] * (node.op.outputs[0].size // max(1, node.op.outputs[0].shape[-1]))
        for cluster in found.clusters
        if cluster.active
        for node in cluster.nodes
        if is_counted(node)
    )


def danger(node: Node, clusters: Clusters) -> str:
    """What the engine gets wrong at a node of an active cluster, else empty.

    It does so where a node reads channels-first data, writes the usual layout, and is no end; and where pooling inside
    a cluster takes the height for the number of channels, which convolutions do not notice and elementwise ops do.
    """
    reads = any(tensor in clusters.channels_first for tensor in node.inputs)
    writes = node.op.outputs[0] in clusters.channels_first
    if reads and writes and node.op.kind in ("MEAN", "SUM") and node.op.input(0).shape[1] != node.op.input(0).shape[3]:
        behind = [n for n in clusters.of[node].nodes if node.op.outputs[0] in n.inputs]
        wrong = next((n for n in behind if n.op.kind not in ("CONV_2D", "FULLY_CONNECTED")), None)
        if wrong is not None:
            return (
                f"hands {wrong.op.kind} {short_name(wrong.op.name)!r} a wrong shape; put a 1x1 convolution between them"
            )
    if not reads or writes or node.op.kind in ("MEAN", "SUM", "DEPTH_TO_SPACE", "FULLY_CONNECTED"):
        return ""
    shape = node.op.outputs[0].shape
    if node.op.kind == "CONV_2D":
        return (
            "ends a cluster without converting the layout back: preparing the run fails and outputs are not computed;"
            " behind a global average pooling make it FULLY_CONNECTED, elsewhere end with DEPTH_TO_SPACE"
        )
    if len(shape) == 4 and shape[1] * shape[2] > 1:
        return "ends a cluster without converting the layout back: its output comes out in the wrong order"
    return ""
