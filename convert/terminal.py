"""What the convert commands show in a terminal: progress bars on stderr, and the account as tables on stdout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from pocketgraph.convert.explanation import distinct_names
from pocketgraph.convert.latency_views import summary, terminal_table
from pocketgraph.convert.result import ConvertResult, explanation_summary, human_bytes
from pocketgraph.convert.source import Progress

if TYPE_CHECKING:
    from rich.table import Table

_GRADE_STYLE = {"equal": "green", "good": "green", "fair": "yellow", "poor": "red", "unverified": "yellow"}


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Bars on stderr, one a stage, with elapsed and remaining time; silent where stderr is no terminal.

    A stage is told by its first word: `prune conv_3` and `prune conv_4` move the same bar.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(finished_text="[green]✓[/green]"),
        TextColumn("{task.fields[verb]:<8}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]left[/dim]"),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[detail]}[/dim]", table_column=None),
    )
    tasks: dict[str, TaskID] = {}
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

        def show(stage: str, done: int, total: int) -> None:
            verb, _, detail = stage.partition(" ")
            if verb not in tasks:
                for task in tasks.values():
                    _finish(bars, task)
                tasks[verb] = bars.add_task("", total=total or None, verb=verb, detail=_plain(detail[-48:]))
            bars.update(tasks[verb], completed=done, total=total or None, detail=_plain(detail[-48:]))

        yield show


def _finish(bars: object, task: object) -> None:
    """Fill the bar of a stage that another one follows."""
    from rich.progress import Progress as Bars

    assert isinstance(bars, Bars)
    for found in bars.tasks:
        if found.id == task:
            bars.update(found.id, total=found.total or 1, completed=found.total or 1, detail="")


def print_result(result: ConvertResult) -> None:
    """The account as tables: files, then how the layers were pruned, then the verdict."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_files(result))
    pruned = [layer for layer in result.layers if layer.pruned]
    if result.latency is not None:
        console.print(terminal_table(result.latency))
    if pruned:
        console.print(
            f"{len(pruned)} of {len(result.layers)} layers pruned to {result.sparsity:.1%} zeros,"
            f" {result.overall:.1%} of all {result.parameters:,} weights"
        )
        errors = sorted((layer for layer in pruned if layer.error is not None), key=lambda layer: -(layer.error or 0))
        if errors:
            names = distinct_names([layer.name for layer in result.layers])
            worst = ", ".join(f"{names[layer.name]} ({layer.error:.1%})" for layer in errors[:3])
            when = " before recovery" if result.settings.get("recover") else ""
            console.print(f"[dim]largest output errors{when}: {_plain(worst)}[/dim]")
    for output in result.outputs:
        if output.explanation is not None and pruned:
            text = f"{Path(output.path).name} in XNNPACK on ARM and wasm: {explanation_summary(output.explanation)}"
            console.print(f"[dim]{_plain(text)}[/dim]")
    if result.latency is not None:
        console.print(_plain(summary(result.latency)))
    for note in result.notes:
        console.print(f"[yellow]note: {_plain(note)}[/yellow]")
    if result.hint:
        console.print(f"[dim]{_plain(result.hint)}[/dim]")
    console.print(f"\n[{_GRADE_STYLE[result.grade]} bold]{_plain(result.verdict)}[/]")
    for path in [*(output.path for output in result.outputs), *filter(None, (result.report, result.json_file))]:
        console.print(f"  {_plain(path)}", soft_wrap=True)


def _plain(text: str) -> str:
    """`text` from a model or a file name as it is to be printed: no markup in it, and no control characters."""
    return escape("".join(letter if letter.isprintable() else "�" for letter in text))


def _files(result: ConvertResult) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("file", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("of dense", justify="right", no_wrap=True)
    table.add_column("against the dense model", overflow="fold")
    table.add_row(
        f"{_plain(Path(result.source).name)}, as given", human_bytes(result.source_bytes), "", "", style="dim"
    )
    for output in result.outputs:
        row = [f"{_plain(Path(output.path).name)} ({output.dtype})", human_bytes(output.bytes), f"{output.ratio:.2f}×"]
        verification = output.verification
        if verification is None:
            table.add_row(*row, _plain(output.note))
            continue
        random = "\n[dim]on random inputs[/]" if verification.random_inputs else ""
        answer = f"[{_GRADE_STYLE[verification.grade]}]{verification.summary}[/]"
        if verification.measure != "signal to noise" and verification.decibels is not None:
            answer += f", {verification.decibels:.1f} dB"
        engine = verification.engine.rpartition(" ")[0]
        table.add_row(*row, f"{answer} [dim]in {engine}[/]{random}")
    return table
