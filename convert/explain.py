"""`explain`: whether each node of a model runs sparse in an engine, what stops it, and what to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from pocketgraph.convert import chw_explain, xnnpack_explain
from pocketgraph.convert.explanation import Explanation, NodeReport, short_name
from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import Model

__all__ = ["ENGINES", "Explanation", "explain_model", "render"]

Advance = Callable[[int, int], None]

ENGINES: dict[str, Callable[[Model, Advance], Explanation]] = {
    "chw": chw_explain.explain,
    "xnnpack": lambda model, _: xnnpack_explain.explain(model),
}


def explain_model(model: Model, engine: str = "xnnpack", progress: Advance = lambda *_: None) -> Explanation:
    """Explain the main graph of `model` for `engine`: `"xnnpack"` by its rules, `"chw"` by compiling and timing it.

    `progress(done, total)` is told as times are taken. Raises `UsageError` on another name.
    """
    if engine not in ENGINES:
        raise UsageError(f"no rules for the engine {engine!r}; there are: {', '.join(sorted(ENGINES))}")
    return ENGINES[engine](model, progress)


def render(explanation: Explanation) -> RenderableType:
    """The explanation for a terminal: nodes, clusters, then hints and dangers."""
    parts: list[RenderableType] = [*_node_lines(explanation)]
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


def _node_lines(explanation: Explanation) -> Iterator[RenderableType]:
    """A line for each node, and what stops it under it."""
    timed = explanation.microseconds is not None
    most = 15 if timed else 20
    wide = max([18 if timed else 24, *(len(node.runs) for node in explanation.nodes)]) + 2
    kinds = max([17, *(len(node.kind) for node in explanation.nodes)]) + 1
    head = f"{'#':>4}  {'op':<{kinds}}{'output':<{most + 1}}{'runs in ' + explanation.engine:<{wide}}{'zeros':>6}"
    yield Text(head + (f"{'µs':>7}{'share':>7}" if timed else ""), style="bold")
    for node in explanation.nodes:
        zeros = f"{node.sparsity:.1%}" if node.weights else ""
        line = Text(f"{node.index:>4}  {node.kind:<{kinds}}{short_name(node.name, most):<{most + 1}}")
        line += Text(f"{node.runs:<{wide}}", style=_style(node)) + Text(f"{zeros:>6}")
        if node.microseconds is not None and node.share is not None:
            line += Text(f"{node.microseconds:>7,.0f}{node.share:>7.1%}")
        yield line
        if why := _why(node, explanation):
            yield Padding(Text(why, style="dim"), (0, 0, 0, 6))


def _why(node: NodeReport, explanation: Explanation) -> str:
    """The node's own rule and fix; what stops its whole cluster is told once, under the table."""
    if node.cluster is not None and not explanation.clusters[node.cluster].active:
        return f"cluster {node.cluster} is off, see below"
    return f"{node.rule}; {node.fix}" if node.rule and node.fix else node.rule


def _style(node: NodeReport) -> str:
    if node.danger:
        return "bold red"
    return "green" if node.sparse or node.in_cluster else ""
