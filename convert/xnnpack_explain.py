"""Explains, node by node, what XNNPACK makes of a sparse model."""

from __future__ import annotations

from pocketgraph.convert.explanation import ClusterReport, Explanation, NodeReport, Role
from pocketgraph.convert.xnnpack_clusters import Cluster, Clusters, count_zeros, danger, find_clusters, is_counted
from pocketgraph.convert.xnnpack_nodes import Delegated, Node, delegate
from pocketgraph.convert.xnnpack_rules import THRESHOLD, Fit
from pocketgraph.models.graph import Array, Graph, Model
from pocketgraph.models.operands import check_operands

_UNPACKING = ("DENSIFY", "DEQUANTIZE")


def explain(model: Model) -> Explanation:
    """What XNNPACK does with the main graph of `model` where it has sparse kernels: ARM, wasm, x86 before AVX."""
    check_operands(model)
    graph = model.main
    delegated = delegate(graph)
    clusters = find_clusters(delegated)
    reports = {i: NodeReport(i, op.custom_code or op.kind, op.name) for i, op in enumerate(graph.ops)}
    for index, _ in delegated.outside:
        reports[index].rule = "XNNPACK does not run this op: clusters cannot reach across it"
    for op in delegated.fused:
        reports[graph.ops.index(op)].rule = "joins the convolution behind it"
    numbers = {cluster: i for i, cluster in enumerate(clusters.clusters)}
    for node in delegated.nodes:
        _report(reports[node.index], node, delegated, clusters, numbers)
    for report in reports.values():
        report.runs = _runs(report)
    hidden = {i for i, op in enumerate(graph.ops) if op.kind in _UNPACKING and op.outputs[0] in delegated.constants}
    listed = [_cluster_report(numbers[c], c, clusters) for c in clusters.clusters]
    return Explanation(
        "xnnpack",
        [report for index, report in reports.items() if index not in hidden],
        listed,
        _hints(graph, delegated, clusters),
    )


def _report(
    report: NodeReport, node: Node, delegated: Delegated, clusters: Clusters, numbers: dict[Cluster, int]
) -> None:
    verdict, cluster = clusters.verdicts[node], clusters.of.get(node)
    report.rule, report.fix = verdict.rule, verdict.fix
    if is_counted(node):
        report.zeros, report.weights = count_zeros(node, delegated)
    if cluster is None:
        return
    report.cluster, report.role = numbers[cluster], _role(node, cluster, clusters)
    if cluster.active:
        first = [tensor in clusters.channels_first for tensor in node.inputs]
        last = node.op.outputs[0] in clusters.channels_first
        report.in_cluster = any(first) or last
        report.sparse = is_counted(node) and last
        report.danger = danger(node, clusters)
        if report.sparse:
            filters = delegated.array(node.op.input(1))
            report.block = None if filters is None else engine_block(filters)
    elif not report.rule:
        report.rule, report.fix = _why_inactive(cluster)


def _runs(report: NodeReport) -> str:
    if report.danger:
        what = "wrongly"
    elif report.sparse:
        what = f"sparse, block {report.block}" if report.block and report.block > 1 else "sparse"
    else:
        what = "channels first" if report.in_cluster else "dense"
    return f"{what}, {report.role} {report.cluster}" if report.role in ("start", "end") else what


def _role(node: Node, cluster: Cluster, clusters: Clusters) -> Role:
    if clusters.verdicts[node].fit is Fit.START:
        return "start"
    inside = {tensor for other in cluster.nodes for tensor in other.inputs}
    if Fit.END in clusters.verdicts[node].fit and node.op.outputs[0] not in inside:
        return "end"
    return "inside"


def _why_inactive(cluster: Cluster) -> tuple[str, str]:
    if cluster.reasons:
        rule, fix = cluster.reasons[0]
        return f"its cluster is off: {rule}", fix
    if cluster.dense_enough_to_stop:
        share = f"{cluster.zeros} of {cluster.weights} weights are zero ({cluster.zeros / cluster.weights:.1%})"
        return f"its cluster is off: {share}, more than 66.7 % must be", "prune further, dense heads count as well"
    return (
        "no weight is stored sparse (behind a DENSIFY op), so the engine does not look for zeros",
        "write it as .tflite with convert",
    )


def _cluster_report(number: int, cluster: Cluster, clusters: Clusters) -> ClusterReport:
    roles = {node.index: _role(node, cluster, clusters) for node in cluster.nodes}
    rules = list(cluster.reasons)
    if cluster.dense_enough_to_stop or not cluster.hinted:
        sound = Cluster(cluster.nodes, [], cluster.weights, cluster.zeros, cluster.hinted)
        rules.append(_why_inactive(sound))
    return ClusterReport(
        number,
        sorted(roles),
        [i for i, role in roles.items() if role == "start"],
        [i for i, role in roles.items() if role == "end"],
        cluster.zeros,
        cluster.weights,
        THRESHOLD,
        cluster.active,
        rules,
    )


def engine_block(filters: Array) -> int:
    """The output-channel block that the engine picks for a filter [out, …, in] where it has block kernels.

    Blocks of 4 when they hold 3.6 non-zeros on average, else of 2 at 1.8, else 1; a block counts when any of its
    weights is not zero. Only arm64 and RISC-V vector builds have such kernels.
    """
    rows = filters.reshape(filters.shape[0], -1) != 0
    for size, full in ((4, 3.6), (2, 1.8)):
        whole = rows[: len(rows) // size * size].reshape(-1, size, rows.shape[1])
        blocks = int(whole.any(axis=1).sum())
        if blocks and int(whole.sum()) >= full * blocks:
            return size
    return 1


def _hints(graph: Graph, delegated: Delegated, clusters: Clusters) -> list[str]:
    hints = [
        "XNNPACK runs sparse on ARM and wasm, and on x86 without AVX only: a desktop processor runs this model densely"
    ]
    if any(-1 in (tensor.shape_signature or ()) for tensor in graph.inputs):
        hints.append("an input has an open dimension (-1): browsers refuse it")
    counted = [count_zeros(node, delegated) for node in delegated.nodes if is_counted(node)]
    if not delegated.hinted:
        stored = any(zeros for zeros, _ in counted)
        what = "there are zeros, but they are stored densely" if stored else "no weight is stored sparse"
        hints.append(
            f"{what}: the engine looks for zeros only in a .tflite whose weights come from a DENSIFY op,"
            " as convert writes them"
        )
    zeros, weights = (sum(column) for column in zip(*counted, strict=True)) if counted else (0, 0)
    if weights and zeros <= THRESHOLD * weights:
        hints.append(
            f"{zeros / weights:.1%} of the weights of 1x1 convolutions and fully connected layers are zero: a cluster"
            f" runs densely where not over {THRESHOLD:.1%} of its own are; convert rewrites a model"
            " only where something then runs sparse"
        )
    if not any(Fit.START in verdict.fit for verdict in clusters.verdicts.values()):
        hints.append(
            "no op can start a cluster: it takes a 3x3 convolution of stride 2, padding 1, on 3 channels;"
            " writing a pruned model as .tflite pads convolutions so where it can"
        )
    return hints
