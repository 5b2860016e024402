"""`explain`: whether each node of a model runs sparse in an engine, what stops it, and what to change."""

from __future__ import annotations

from collections.abc import Callable

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pocketgraph.convert import xnnpack_explain
from pocketgraph.convert.explanation import Explanation, NodeReport, short_name
from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import Model

__all__ = ["ENGINES", "Explanation", "explain_model", "render"]

ENGINES: dict[str, Callable[[Model], Explanation]] = {"xnnpack": xnnpack_explain.explain}


def explain_model(model: Model, engine: str = "xnnpack") -> Explanation:
    """Explain the main graph of `model` for `engine` (a key of `ENGINES`). Raises `UsageError` on another name."""
    if engine not in ENGINES:
        raise UsageError(f"no rules for the engine {engine!r}; there are: {', '.join(sorted(ENGINES))}")
    return ENGINES[engine](model)


def render(explanation: Explanation) -> RenderableType:
    """The explanation as terminal tables: nodes, clusters, then hints and dangers."""
    parts: list[RenderableType] = [_node_table(explanation)]
    for cluster in explanation.clusters:
        share = cluster.zeros / cluster.weights if cluster.weights else 0.0
        verdict = "runs sparse" if cluster.active else "runs densely"
        parts.append(
            Text(
                f"cluster {cluster.number}: {verdict}; {len(cluster.nodes)} nodes,"
                f" {cluster.zeros} of {cluster.weights} weights zero ({share:.1%}, needs over {cluster.threshold:.1%})",
                style="green" if cluster.active else "yellow",
            )
        )
        for rule, fix in cluster.rules:
            parts.append(Text(f"  stopped by: {rule}" + (f"\n  change: {fix}" if fix else "")))
    parts += [Text(f"danger: {danger}", style="bold red") for danger in explanation.dangers]
    parts += [Text(f"note: {hint}", style="dim") for hint in explanation.hints]
    return Group(*parts)


def _node_table(explanation: Explanation) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), title=f"engine {explanation.engine}")
    table.add_column("#", justify="right", no_wrap=True)
    for name in ("op", "output", "role", "runs"):
        table.add_column(name, no_wrap=True)
    table.add_column("zeros", justify="right", no_wrap=True)
    table.add_column("why, and what to change", overflow="fold", min_width=20)
    for node in explanation.nodes:
        why = _why(node, explanation)
        zeros = f"{node.sparsity:.1%}" if node.weights else ""
        table.add_row(str(node.index), node.kind, short_name(node.name, 20), _place(node), _runs(node), zeros, why)
    return table


def _why(node: NodeReport, explanation: Explanation) -> str:
    """The node's own rule and fix; what stops its whole cluster is told once, under the table."""
    if node.cluster is not None and not explanation.clusters[node.cluster].active:
        return f"cluster {node.cluster} is off, see below"
    return f"{node.rule}; {node.fix}" if node.rule and node.fix else node.rule


def _place(node: NodeReport) -> str:
    return node.role if node.cluster is None else f"{node.role} {node.cluster}"


def _runs(node: NodeReport) -> Text:
    if node.danger:
        return Text("wrongly", style="bold red")
    if node.sparse:
        block = f", block {node.block}" if node.block and node.block > 1 else ""
        return Text(f"sparse{block}", style="green")
    return Text("channels first", style="green") if node.in_cluster else Text("dense")
