"""The result in the terminal: who is how fast, what was found, and where our time goes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pocketgraph.demos.graph_bench.bench import GraphResult, Row


def print_graph_result(result: GraphResult, files: Sequence[str] = ()) -> None:
    """Tables, how it was measured, and the `files` that were written."""
    console = Console(highlight=False)
    width, height = result.size
    console.print(
        f"[bold]{result.pipeline}[/bold], {escape(result.video)}, {result.frames} frames of {width}x{height}",
        soft_wrap=True,
    )
    console.print(_speeds(result.rows))
    for row in result.rows:
        if row.agreement:
            console.print(f"found by {row.engine} ({row.mode}): {_agreement(row)}", soft_wrap=True)
    for row in result.rows:
        if row.stages:
            console.print(_stages(row))
    settings, machine = result.settings, result.machine
    for line in (
        f"{settings['rounds']} rounds in turns, {settings['threads']} threads and processors each",
        f"delegate {settings['delegate']}",
        "ms: of a frame, median of rounds, intervals of 95 %; p50, p95: ms from handing over a frame to its result",
        "MB: peak memory beyond before loading",
        f"{machine['processor']}, {machine['cores']} cores, {' '.join(machine['flags'])}, load {machine['load']}",
        *(", ".join(f"{name} {version}" for name, version in found.items()) for found in result.versions.values()),
    ):
        console.print(line, style="dim", markup=False, soft_wrap=True)
    for file in files:
        console.print(f"  {escape(file)}", soft_wrap=True)


def _speeds(rows: Sequence[Row]) -> Table:
    table = Table("engine", "mode", box=None, header_style="dim")
    for name in ("ms", "FPS", "times as fast", "p50", "p95", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio[0]:.2f} [{row.ratio[1]:.2f}, {row.ratio[2]:.2f}]"
        memory = "" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f}"
        fps = row.fps or 0.0
        table.add_row(
            row.engine, row.mode, f"{1e3 / fps:.1f}" if fps else "", f"{fps:.1f}", ratio,
            f"{row.latency_p50:.1f}", f"{row.latency_p95:.1f}", memory,
        )  # fmt: skip
    return table


def _agreement(row: Row) -> str:
    texts = []
    for name, (alike, median, p95) in row.agreement.items():
        text = f"{name} {100 * row.parts.get(name, 0):.0f}% of frames, as in MediaPipe in {100 * alike:.0f}%"
        texts.append(text if median is None else f"{text}, {median:.2f} px apart (95 %: {p95:.2f})")
    return "; ".join(texts)


def _stages(row: Row) -> Table:
    assert row.stages is not None
    total = sum(stage["milliseconds"] for stage in row.stages)
    table = Table("model", box=None, header_style="dim")
    table.add_column("ms a frame", justify="right")
    table.add_column("share", justify="right")
    for stage in sorted(row.stages, key=lambda stage: -stage["milliseconds"]):
        share = stage["milliseconds"] / total if total else 0.0
        table.add_row(stage["name"], f"{stage['milliseconds']:.2f}", f"{100 * share:.0f}%")
    return table
