"""Small charts as HTML with inline SVG: columns per layer, bars for sizes. Colours come from the page's CSS variables.

The SVG holds only shapes and stretches with the page; all text is HTML beside it, so it stays readable at phone width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Column:
    """One column: its height, what it stands for (shown when pointed at), and a CSS class for its colour."""

    value: float
    label: str
    style: str = "accent"


@dataclass(frozen=True)
class Bar:
    """One horizontal bar with its name, its value as text, and a CSS class for its colour."""

    name: str
    value: float
    text: str
    style: str = "accent"


def columns(
    data: Sequence[Column],
    *,
    top: float | None = None,
    percent: bool = False,
    caption: str = "",
    line: float | None = None,
) -> str:
    """A column chart of `data` in order. `top` is the axis' end (default: a round number above the largest value).

    `line` draws a dashed mark across at that value. Values that are not finite or below zero are drawn as nothing.
    """
    heights = [column.value if math.isfinite(column.value) and column.value > 0 else 0.0 for column in data]
    end = top if top is not None else round_up(max(heights, default=0.0))
    width = 10 * max(len(data), 1)
    shapes = [f'<line class="grid" x1="0" x2="{width}" y1="{y}" y2="{y}"/>' for y in (0, 25, 50, 75, 100)]
    for index, (column, height) in enumerate(zip(data, heights, strict=True)):
        tall = 100 * min(height / end, 1.0)
        shapes.append(
            f'<rect class="{column.style}" x="{10 * index + 1}" width="8" y="{100 - tall:.2f}" height="{tall:.2f}">'
            f"<title>{escape(column.label)}</title></rect>"
        )
    if line is not None and line <= end:
        y = 100 * (1 - line / end)
        shapes.append(f'<line class="mark" x1="0" x2="{width}" y1="{y:.2f}" y2="{y:.2f}"/>')
    ticks = "".join(f"<span>{_tick(end * part, percent=percent)}</span>" for part in (1.0, 0.75, 0.5, 0.25, 0.0))
    return (
        f'<figure class="columns"><div class="axis">{ticks}</div>'
        f'<svg viewBox="0 0 {width} 100" preserveAspectRatio="none" role="img" aria-label="{escape(caption)}">'
        f"{''.join(shapes)}</svg><figcaption>{escape(caption)}</figcaption></figure>"
    )


def bars(data: Sequence[Bar]) -> str:
    """Horizontal bars on one scale from 0 to the largest value, each with its name and value."""
    end = max((bar.value for bar in data), default=0.0) or 1.0
    rows = [
        f'<div class="bar"><span class="bar-name">{escape(bar.name)}</span>'
        f'<span class="bar-track"><span class="bar-fill {bar.style}" style="width:{100 * bar.value / end:.2f}%"></span>'
        f'</span><span class="bar-text">{escape(bar.text)}</span></div>'
        for bar in data
    ]
    return f'<div class="bars">{"".join(rows)}</div>'


def round_up(value: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten that is at least `value`; 1 for zero."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 2.5, 5.0, 10.0) if step * power >= value * (1 - 1e-9))


def _tick(value: float, *, percent: bool) -> str:
    if percent:
        return f"{100 * value:.3g}%"
    return f"{value:.3g}"
