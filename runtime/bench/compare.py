"""Two results next to each other: how each cell's time changed, with an interval, and what else changed meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.bench.ratios import change
from pocketgraph.runtime.bench.result import Cell, Key, Result

if TYPE_CHECKING:
    from rich.table import Table

_MACHINE = ("processor", "flags", "cores", "cores_usable", "system", "architecture", "python")
_SETTINGS = ("pattern", "rounds", "warmup", "untimed_before_each", "seed")


@dataclass(frozen=True)
class Change:
    """One cell in both results. `times` is median before / after with its 95 % interval: over 1 is faster now.

    `against_baseline` is the same for the ratios to the first result's baseline, None where one has not timed that; it
    holds where the machine as a whole was faster or slower.
    """

    key: Key
    before: float
    after: float
    times: tuple[float, float, float]
    against_baseline: float | None

    @property
    def verdict(self) -> str:
        """`faster`, `slower`, or `no change seen` where the interval holds 1."""
        _, low, high = self.times
        return "faster" if low > 1 else "slower" if high < 1 else "no change seen"


def changes(before: Result, after: Result) -> list[Change]:
    """The cells that both results timed, in the order of `before`. Raises `UsageError` where there is none."""
    earlier = {cell.key: cell for cell in before.cells if cell.timed}
    later = {cell.key: cell for cell in after.cells if cell.timed}
    found = []
    for key, cell in earlier.items():
        if key in later:
            engine, sparsity = before.baselines.get(key[0], ("", 0.0))
            base: Key = (key[0], engine, key[2], sparsity)
            found.append(_change(cell, later[key], earlier.get(base), later.get(base)))
    if not found:
        raise UsageError("the two results have no cell in common: no model, engine, threads and sparsity alike")
    return found


def _change(before: Cell, after: Cell, base_before: Cell | None, base_after: Cell | None) -> Change:
    assert before.median
    assert after.median
    relative = None
    if base_before is not None and base_after is not None and base_before.median and base_after.median:
        relative = (base_after.median / after.median) / (base_before.median / before.median)
    return Change(before.key, before.median, after.median, change(before.milliseconds, after.milliseconds), relative)


def differences(before: Result, after: Result) -> list[str]:
    """What else differs between two results, one line each: machine, versions, settings, cells of one alone."""
    lines = []
    for what, names, first, second in (
        ("machine", _MACHINE, before.machine, after.machine),
        ("setting", _SETTINGS, before.settings, after.settings),
    ):
        for name in names:
            if first.get(name) != second.get(name):
                shown = f"{_show(first.get(name))} before, {_show(second.get(name))} after"
                lines.append(f"{what} differs: {name.replace('_', ' ')} {shown}")
    for engine in [name for name in before.versions if name in after.versions]:
        one, other = before.versions[engine], after.versions[engine]
        lines += [
            f"version differs: {package} {one.get(package)} before, {other.get(package)} after"
            for package in sorted(set(one) | set(other))
            if one.get(package) != other.get(package)
        ]
    for where, here, there in (("before", before, after), ("after", after, before)):
        alone = len({cell.key for cell in here.cells if cell.timed} - {cell.key for cell in there.cells if cell.timed})
        if alone:
            lines.append(f"{alone} cell{'s' * (alone > 1)} only {where}")
    return lines


def table_of(found: list[Change], model: str) -> Table:
    """The changes of `model` as a table."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    for name in ("engine", "thr", "zeros", "before", "after", "times as fast", "to baseline", ""):
        table.add_column(name, justify="left" if name in {"engine", ""} else "right", no_wrap=True)
    styles = {"faster": "green", "slower": "red"}
    for item in found:
        name, engine, threads, sparsity = item.key
        times, low, high = item.times
        if name == model:
            table.add_row(
                escape(engine),
                str(threads),
                f"{sparsity:.0%}" if sparsity else "dense",
                f"{item.before:.2f}",
                f"{item.after:.2f}",
                f"{times:.2f}x {low:.2f}..{high:.2f}",
                "" if item.against_baseline is None else f"{item.against_baseline:.2f}x",
                item.verdict,
                style=styles.get(item.verdict),
            )
    return table


def _show(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
