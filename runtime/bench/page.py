"""A result as one self-contained HTML page: speed-ups, roofline, the table, where time goes, and how to repeat it."""

from __future__ import annotations

from html import escape

from pocketgraph.runtime.bench.plots import Point, Series, roofline, speedups
from pocketgraph.runtime.bench.result import Cell, Result
from pocketgraph.runtime.bench.table import HEAD, baseline, how, ratio_text, row
from pocketgraph.runtime.page import page, section, table

_OPS_SHOWN = 15


def html_page(result: Result) -> str:
    """The page as text; it loads nothing."""
    parts = [_header(result)]
    parts += [_speedups(result, model) for model in result.models()]
    parts += [_roofline(result, peak) for peak in result.peaks]
    parts += [_tables(result), _profiles(result), _repeat(result)]
    return page("pocketgraph bench", "".join(parts))


def _header(result: Result) -> str:
    notes = "".join(f'<p class="small">{escape(note)}</p>' for note in result.notes)
    return (
        f'<header><div class="eyebrow">pocketgraph bench</div><h1>{escape(", ".join(result.models()))}</h1>'
        f'<p class="soft">{escape(how(result))}</p>{notes}</header>'
    )


def _engines(cells: list[Cell]) -> list[str]:
    return list(dict.fromkeys(cell.engine for cell in cells))


def _speedups(result: Result, model: str) -> str:
    cells = [cell for cell in result.of(model) if cell.ratio is not None]
    figures = []
    for threads in sorted({cell.threads for cell in cells}):
        here = [cell for cell in cells if cell.threads == threads]
        lines = [
            Series(engine, tuple(_speedup(cell) for cell in _by_sparsity(here) if cell.engine == engine))
            for engine in _engines(here)
        ]
        caption = f"{threads} thread{'s' * (threads > 1)}, times as fast as {baseline(result, model)}; higher is faster"
        figures.append(speedups(lines, caption))
    if not figures:
        return ""
    return section(f"Speed-up, {model}", "Bars are 95 % intervals of the ratio of medians.", "".join(figures))


def _by_sparsity(cells: list[Cell]) -> list[Cell]:
    return sorted(cells, key=lambda cell: cell.sparsity)


def _speedup(cell: Cell) -> Point:
    assert cell.ratio is not None
    times, low, high = cell.ratio
    return Point(cell.sparsity, times, f"{cell.engine}, {cell.sparsity:.0%} zeros: {ratio_text(cell)}", low, high)


def _roofline(result: Result, peak: dict[str, float]) -> str:
    cells = [cell for cell in result.cells if cell.timed and cell.gflops and cell.threads == peak["threads"]]
    if not cells:
        return ""
    lines = [
        Series(engine, tuple(_speed(cell) for cell in cells if cell.engine == engine)) for engine in _engines(cells)
    ]
    note = (
        "A point is one model at one sparsity. Only operations with weights that are not zero count, and the least"
        " bytes they can move: activations read and written once, weights without zeros. An engine that multiplies"
        " zeros sinks as sparsity grows. The roof is measured on this machine: NumPy's matrix product and a copy on"
        " one thread; a model whose weights stay in the cache can lie above its slope."
    )
    threads = int(peak["threads"])
    caption = f"GFLOP/s, {threads} thread{'s' * (threads > 1)}"
    return section("Roofline", note, roofline(lines, peak["gflops"], peak["gbytes"], caption))


def _speed(cell: Cell) -> Point:
    assert cell.flops
    assert cell.gflops
    assert cell.moved_bytes
    what = f"{cell.engine}, {cell.model}, {cell.sparsity:.0%} zeros: {cell.gflops:.1f} GFLOP/s, {cell.median:.2f} ms"
    return Point(cell.flops / cell.moved_bytes, cell.gflops, what)


def _tables(result: Result) -> str:
    head = [*HEAD, "difference"]
    parts = []
    for model in result.models():
        cells = sorted(result.of(model), key=lambda cell: (cell.threads, cell.sparsity))
        rows = [[*row(cell), "" if cell.difference is None else f"{cell.difference:.1e}"] for cell in cells]
        parts.append(f"<h2>{escape(model)}</h2>")
        parts.append(f'<p class="soft small">against {escape(baseline(result, model) or "nothing")}</p>')
        parts.append(table(head, rows, numbers=range(1, len(head))))
    note = (
        "Times are medians per run. Memory is what the peak of the engine's process grew by from before loading."
        " Difference: the largest of any output from the reference engine's, as part of its largest value."
    )
    return section("All cells", note, "".join(parts))


def _profiles(result: Result) -> str:
    parts = []
    for cell in result.cells:
        if not cell.profile:
            continue
        ops = sorted(cell.profile, key=lambda op: -op["milliseconds"])
        total = sum(op["milliseconds"] for op in ops) or 1.0
        rows = [
            [op["name"], op["kind"], f"{op['milliseconds']:.3f}", f"{op['milliseconds'] / total:.1%}"]
            for op in ops[:_OPS_SHOWN]
        ]
        name = f"{cell.engine}, {cell.model}, {cell.threads} threads, {cell.sparsity:.0%} zeros"
        listing = table(["op", "kind", "ms", "share"], rows, numbers=(2, 3), names=(0,))
        parts.append(
            f"<details><summary>{escape(name)}: the {len(rows)} slowest of {len(ops)}</summary>{listing}</details>"
        )
    if not parts:
        return ""
    return section("Where time goes", "As the engines tell it, in runs of their own.", "".join(parts))


def _repeat(result: Result) -> str:
    rows = [[name.replace("_", " "), _show(value)] for name, value in (result.machine | result.settings).items()]
    rows += [[engine, _show(found)] for engine, found in result.versions.items()]
    body = f"<pre>{escape(result.command)}</pre>" if result.command else ""
    body += f"<details><summary>Machine, settings, versions</summary>{table(['setting', 'value'], rows)}</details>"
    return section("To repeat this", result.created, body)


def _show(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "yes" if value is True else "no" if value is False else str(value)
