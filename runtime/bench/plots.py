"""Two pictures as inline SVG: speed-up against sparsity, and a roofline. Grid and text take the page's colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 720, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 14, 48
COLOURS = {
    "chw": "#ff7a00",
    "litert": "#2684ff",
    "onnxruntime": "#12a37a",
    "openvino": "#8f5bd9",
    "mnn": "#d6407f",
    "deepsparse": "#a88a00",
}
_OTHERS = ("#4b7f9c", "#9c5a4b", "#6b8f3a", "#7a7a7a")
_TEXT = 'style="fill:var(--soft);font-size:13px"'


@dataclass(frozen=True)
class Point:
    """A value with its interval; `label` is shown when pointed at. `x` and `y` are in data units."""

    x: float
    y: float
    label: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """The points of one engine."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class _Axis:
    """Maps `low` to `high`, both over 0 where `log`, to pixels `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def speedups(series: Sequence[Series], caption: str) -> str:
    """One line an engine: times as fast as the baseline (y) over the share of zeros (x, 0 to 1), intervals as bars."""
    points = [point for line in series for point in line.points]
    top = max([1.0, *(point.high or point.y for point in points)])
    x = _Axis(0.0, max([0.1, *(point.x for point in points)]), _LEFT + 20, _WIDTH - _RIGHT - 20)
    step = _step(top)
    y = _Axis(0.0, step * math.ceil(top / step), _HEIGHT - _BOTTOM, _TOP)
    shapes = _frame(
        x,
        y,
        [(value, f"{value:.0%}") for value in sorted({point.x for point in points})],
        [(step * index, f"{step * index:g}x") for index in range(round(y.high / step) + 1)],
        "share of zeros in 1x1 convolutions",
    )
    one = y.at(1.0)
    shapes.append(
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{one:.1f}" y2="{one:.1f}"'
        ' style="stroke:var(--soft);stroke-dasharray:5 4"/>'
    )
    for line in series:
        colour = colour_of(line.name, [other.name for other in series])
        path = " ".join(f"{x.at(point.x):.1f},{y.at(point.y):.1f}" for point in line.points)
        shapes.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for point in line.points:
            if point.low is not None and point.high is not None:
                at = f"{x.at(point.x):.1f}"
                shapes.append(
                    f'<line x1="{at}" x2="{at}" y1="{y.at(point.low):.1f}" y2="{y.at(point.high):.1f}"'
                    f' stroke="{colour}" stroke-width="5" opacity=".35"/>'
                )
            shapes.append(_dot(x, y, point, colour))
    return _figure(shapes, [line.name for line in series], caption)


def roofline(series: Sequence[Series], gflops: float, gbytes: float, caption: str) -> str:
    """GFLOP/s (y) over FLOP per byte (x), both logarithmic, below the roof that the measured peaks make."""
    points = [point for line in series for point in line.points]
    ridge = gflops / gbytes
    x = _decades([ridge, *(point.x for point in points)], _LEFT, _WIDTH - _RIGHT)
    y = _decades([gflops, *(point.y for point in points)], _HEIGHT - _BOTTOM, _TOP)
    shapes = _frame(x, y, _powers(x), _powers(y), "FLOP per byte moved (weights that are not zero)")
    corner = max(ridge, x.low)
    start = max(x.low, y.low / gbytes)
    roof = [(start, start * gbytes), (corner, min(gflops, corner * gbytes)), (x.high, gflops)]
    path = " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in roof)
    shapes.append(f'<polyline points="{path}" fill="none" style="stroke:var(--soft);stroke-width:2"/>')
    shapes.append(
        f'<text x="{_WIDTH - _RIGHT - 6}" y="{y.at(gflops) - 6:.1f}" text-anchor="end" {_TEXT}>'
        f"{gflops:.0f} GFLOP/s (NumPy sgemm), {gbytes:.0f} GB/s (copy)</text>"
    )
    for line in series:
        colour = colour_of(line.name, [other.name for other in series])
        shapes += [_dot(x, y, point, colour) for point in line.points]
    return _figure(shapes, [line.name for line in series], caption)


def colour_of(name: str, names: Sequence[str]) -> str:
    """The colour of an engine: its own where it is known, else one by its place among the unknown."""
    unknown = [other for other in names if other not in COLOURS]
    return COLOURS[name] if name in COLOURS else _OTHERS[unknown.index(name) % len(_OTHERS)]


def _frame(
    x: _Axis, y: _Axis, x_ticks: Sequence[tuple[float, str]], y_ticks: Sequence[tuple[float, str]], name: str
) -> list[str]:
    shapes = []
    for value, text in y_ticks:
        at = y.at(value)
        shapes.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}" style="stroke:var(--line)"/>'
            f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end" {_TEXT}>{text}</text>'
        )
    for value, text in x_ticks:
        at = x.at(value)
        shapes.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" style="stroke:var(--line)"/>'
            f'<text x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle" {_TEXT}>{text}</text>'
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    shapes.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle" {_TEXT}>{escape(name)}</text>')
    return shapes


def _dot(x: _Axis, y: _Axis, point: Point, colour: str) -> str:
    return (
        f'<circle cx="{x.at(point.x):.1f}" cy="{y.at(point.y):.1f}" r="5" fill="{colour}">'
        f"<title>{escape(point.label)}</title></circle>"
    )


def _figure(shapes: Sequence[str], names: Sequence[str], caption: str) -> str:
    keys = "".join(
        f'<span class="key" style="background:{colour_of(name, names)}"></span>{escape(name)}' for name in names
    )
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" style="width:100%;height:auto" role="img"'
        f' aria-label="{escape(caption)}">{"".join(shapes)}</svg>'
        f'<div class="legend">{keys}</div><figcaption>{escape(caption)}</figcaption></figure>'
    )


def _step(top: float) -> float:
    """A round distance between about five marks from 0 to `top`."""
    power = 10.0 ** math.floor(math.log10(top / 5))
    return next(step * power for step in (1.0, 2.0, 2.5, 5.0, 10.0) if step * power >= top / 5)


def _decades(values: Sequence[float], start: float, end: float) -> _Axis:
    low, high = math.floor(math.log10(min(values))), math.floor(math.log10(max(values))) + 1
    return _Axis(10.0**low, 10.0**high, start, end, log=True)


def _powers(axis: _Axis) -> list[tuple[float, str]]:
    low, high = round(math.log10(axis.low)), round(math.log10(axis.high))
    return [(10.0**power, f"{10.0**power:g}") for power in range(low, high + 1)]
