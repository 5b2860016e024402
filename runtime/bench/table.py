"""A result in the terminal: one table a model, and what there is to say below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from rich.markup import escape

from pocketgraph.runtime.bench.result import Cell, Result
from pocketgraph.runtime.bench.subjects import Progress

if TYPE_CHECKING:
    from rich.table import Table

HEAD = ("engine", "threads", "zeros", "ms", "10..90 %", "times as fast", "load ms", "memory MB", "file MB")
_NARROW = {"threads": "thr", "load ms": "load", "memory MB": "mem.", "file MB": "file"}
"""The columns of `row`; all but the first are numbers."""


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Bars on stderr, one a stage, with the time that is left; silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<8}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]left[/dim]"),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[detail]}[/dim]"),
    )
    tasks: dict[str, TaskID] = {}
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

        def show(stage: str, done: int, total: int) -> None:
            verb, _, detail = stage.partition(" ")
            if verb not in tasks:
                for task in tasks.values():
                    bars.remove_task(task)
                tasks.clear()
                tasks[verb] = bars.add_task(verb, total=total or None, detail="")
            bars.update(tasks[verb], completed=done, total=total or None, detail=_plain(detail[-48:]))

        yield show


def print_result(result: Result, files: Sequence[str] = ()) -> None:
    """Tables, notes, how it was measured, and the `files` that were written."""
    from rich.console import Console

    console = Console(highlight=False)
    for model in result.models():
        console.print(_title(result, model), soft_wrap=True)
        console.print(_table(result, model))
    for note in result.notes:
        console.print(f"[yellow]note: {_plain(note)}[/yellow]")
    console.print(f"[dim]{_plain(how(result))}[/dim]")
    for file in files:
        console.print(f"  {_plain(file)}", soft_wrap=True)


def how(result: Result) -> str:
    """One sentence on how it was measured, and where."""
    settings, machine = result.settings, result.machine
    engines = ", ".join(
        f"{engine} {version}"
        for engine, found in result.versions.items()
        for version in list(found.values())[:1]
        if engine != "pocketgraph"
    )
    return (
        f"{settings['rounds']} interleaved rounds after {settings['warmup']} to warm up, medians, 95 % intervals of"
        f" ratios, times in ms, memory and file in MB; {machine['processor']}, {machine['cores']} cores,"
        f" {' '.join(machine['flags'])}, load {machine['load']}; Python {machine['python']}; {engines}"
    )


def baseline(result: Result, model: str) -> str:
    """What the ratios of `model` are to, in words."""
    if model not in result.baselines:
        return ""
    engine, sparsity = result.baselines[model]
    return f"{engine}, {sparsity:.0%} zeros" if sparsity else f"{engine}, as given"


def row(cell: Cell) -> list[str]:
    """A cell as texts, one for each of `HEAD`."""
    shown = f"{cell.sparsity:.0%}" if cell.sparsity else "as given" if (cell.zeros or 0) > 0.01 else "dense"
    return [
        cell.engine,
        str(cell.threads),
        shown,
        "failed" if cell.median is None else f"{cell.median:.2f}",
        "" if cell.p10 is None else f"{cell.p10:.2f}..{cell.p90:.2f}",
        ratio_text(cell),
        "" if cell.load_milliseconds is None else f"{cell.load_milliseconds:.0f}",
        "" if cell.peak_bytes is None else f"{cell.peak_bytes / 1e6:.1f}",
        "" if cell.file_bytes is None else f"{cell.file_bytes / 1e6:.2f}",
    ]


def ratio_text(cell: Cell) -> str:
    """`2.13x 2.05..2.20`, or why there is none."""
    if cell.wrong:
        return "wrong outputs"
    if cell.ratio is None:
        return ""
    times, low, high = cell.ratio
    if times == low == high == 1.0:
        return "baseline"
    return f"{times:.2f}x {low:.2f}..{high:.2f}"


def _title(result: Result, model: str) -> str:
    title = f"[bold]{_plain(model)}[/bold]"
    against = baseline(result, model)
    title += f" [dim]against {_plain(against)}[/dim]" if against else ""
    if result.settings.get("pruned_for_timing_only"):
        title += f" [dim](pruned for timing alone, {_plain(str(result.settings['pattern']))})[/dim]"
    return title


def _table(result: Result, model: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    for name in HEAD:
        side: Literal["left", "right"] = "left" if name == "engine" else "right"
        table.add_column(_NARROW.get(name, name), justify=side, overflow="fold", no_wrap=name == "engine")
    cells = result.of(model)
    best = min((cell.median for cell in cells if cell.timed and cell.median), default=None)
    for cell in sorted(cells, key=lambda cell: (cell.threads, cell.sparsity)):
        style = "dim" if not cell.timed else "bold" if cell.median == best else None
        table.add_row(*(escape(text) for text in row(cell)), style=style)
    return table


def _plain(text: str) -> str:
    """`text` from a model or a file name as it is to be printed: no markup in it, and no control characters."""
    return escape("".join(letter if letter.isprintable() else "�" for letter in text))
