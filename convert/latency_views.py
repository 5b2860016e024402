"""How a latency budget was spent, for the terminal and for the report: the figures, every layer, and small bars."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from pocketgraph.convert.explanation import telling_names
from pocketgraph.convert.plots import Bar, Column, bars, columns
from pocketgraph.convert.prune.budget import milliseconds
from pocketgraph.convert.prune.latency import LatencyProfile
from pocketgraph.runtime.page import section, table

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH = 14
_HEAD = ("layer", "zeros", "dense ms", "now", "error")


def summary(profile: LatencyProfile) -> str:
    """The result in one sentence."""
    factor, low, high = profile.speedup
    asked = "" if profile.asked.endswith("s") else f" ({profile.asked})"
    side = "over" if profile.off > 0 else "under"
    return (
        f"{profile.measured_on} takes {milliseconds(profile.measured)} in {profile.engine} with {profile.threads}"
        f" thread{'s' * (profile.threads > 1)}, {abs(profile.off):.1%} {side} the budget of"
        f" {milliseconds(profile.budget)}{asked}; dense {milliseconds(profile.dense)}, {factor:.2f}x as fast"
        f" [{low:.2f}, {high:.2f}]; the table said {milliseconds(profile.predicted)}"
    )


def terminal_table(profile: LatencyProfile) -> Table:
    """Every layer that shared the budget. A bar is as long as the dense step took, filled as far as it takes now."""
    from rich import box
    from rich.markup import escape as plain
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for number, name in enumerate(_HEAD):
        shown.add_column(name, justify="left" if number == 0 else "right", no_wrap=True)
    shown.add_column("time", no_wrap=True)
    longest = max((max(layer.dense, layer.seconds) for layer in profile.layers), default=0.0) or 1.0
    for row, layer in zip(_rows(profile, 24), profile.layers, strict=True):
        whole, left = (round(_WIDTH * seconds / longest) for seconds in (layer.dense, layer.seconds))
        bar = f"[green]{'█' * left}[/green][dim]{'░' * max(whole - left, 0)}[/dim]"
        shown.add_row(*(plain(cell) for cell in row), bar)
    return shown


def html_section(profile: LatencyProfile) -> str:
    """The report's section: bars of dense, budget, predicted and measured, then times and sparsities per layer."""
    whole = [
        Bar("dense", profile.dense, milliseconds(profile.dense), "muted"),
        Bar(f"budget ({profile.asked})", profile.budget, milliseconds(profile.budget), "muted"),
        Bar("sum of the table", profile.predicted, milliseconds(profile.predicted), "muted"),
        Bar(profile.measured_on, profile.measured, milliseconds(profile.measured), "accent"),
    ]
    plot = columns(
        [
            Column(layer.sparsity, f"{layer.name}: {layer.sparsity:.1%} zeros, {_times(layer.dense, layer.seconds)}")
            for layer in profile.layers
        ],
        top=1.0,
        percent=True,
        caption="Share of zeros that each layer got, in the order the model runs",
    )
    saved = columns(
        [
            Column(max(layer.dense - layer.seconds, 0.0) * 1e3, f"{layer.name}: {_times(layer.dense, layer.seconds)}")
            for layer in profile.layers
        ],
        caption="Milliseconds that each layer gave",
    )
    listing = table(_HEAD, _rows(profile, 200), numbers=(1, 2, 3, 4), names=(0,))
    body = (
        f"<p>{escape(summary(profile))}.</p>{bars(whole)}{plot}{saved}"
        f"<details><summary>All {len(profile.layers)} layers</summary>{listing}</details>"
        f'<p class="small soft">The least that pruning could reach: {milliseconds(profile.least)}. A layer\'s error is'
        " that of the outputs where it alone is pruned, relative to their variance.</p>"
    )
    note = "Each layer got the sparsity that keeps the budget at the least sum of errors, as measured on this machine."
    return section("Latency", note, body)


def _rows(profile: LatencyProfile, most: int) -> list[list[str]]:
    names = telling_names([layer.name for layer in profile.layers], most)
    return [
        [
            names[layer.name],
            f"{layer.sparsity:.1%}",
            f"{1e3 * layer.dense:.3f}",
            f"{1e3 * layer.seconds:.3f}",
            f"{layer.error:.2%}",
        ]
        for layer in profile.layers
    ]


def _times(before: float, after: float) -> str:
    return f"{milliseconds(before)} to {milliseconds(after)}"
