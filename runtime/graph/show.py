"""Draws a graph as SVG: nodes in layers from inputs to outputs, streams between them, back edges dashed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any

from pocketgraph.runtime.graph.registry import find_calculator, find_subgraph
from pocketgraph.runtime.graph.subgraphs import node_names
from pocketgraph.runtime.graph.tags import parse_entry, parse_tag_index

_CHARACTER = 7.6
_ROW, _COLUMN, _HEIGHT, _MARGIN, _BEND = 96, 28, 40, 24, 32
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1b2a33; text-anchor: middle }
text.stream, .sub { font-size: 10px; fill: #5b6b75 } text.stream { stroke: #fff; stroke-width: 3; paint-order: stroke }
rect { fill: #eaf2f7; stroke: #5c8aa8; rx: 6 } .edge rect { fill: #f3f3ee; stroke: #a8a37a; rx: 18 }
.subgraph rect { fill: #efeaf7; stroke: #7d68a8 } .unknown rect { fill: #faecea; stroke: #c06a5c }
path { fill: none; stroke: #5c8aa8; stroke-width: 1.3 } .back { stroke: #c06a5c; stroke-dasharray: 5 4 }
.side { stroke: #a8a37a; stroke-dasharray: 2 3 }
"""


@dataclass(eq=False)
class _Box:
    """One node, one input or output of the graph, or a place where a stream passes beside the nodes of a layer."""

    title: str
    kind: str
    subtitle: str = ""
    inputs: list[tuple[str, str]] = field(default_factory=list)
    """The streams it reads, each with its kind: stream, back, side."""
    layer: int = 0
    x: float = 0.0
    y: float = 0.0
    above: list[_Box] = field(default_factory=list)
    """What its lines come from."""

    @property
    def width(self) -> float:
        return max(len(self.title), len(self.subtitle) * 0.85) * _CHARACTER + 24 if self.kind != "way" else 0.0


@dataclass
class _Line:
    """One stream from the box that writes it to one that reads it, through the places in between."""

    name: str
    kind: str
    boxes: list[_Box]


def draw(config: Any) -> str:
    """The graph as the text of an SVG file. Names nobody registered are drawn red, subgraphs violet."""
    boxes, writers = _boxes(config)
    _put_in_layers(boxes, writers)
    lines = _lines(boxes, writers)
    width, height = _place([*boxes, *{way: None for line in lines for way in line.boxes[1:-1]}])
    title = escape(config.type or "graph")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">\n<title>{title}</title>\n<style>{_STYLE}</style>\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" style="fill:#5c8aa8;stroke:none"/></marker></defs>\n'
        f"{''.join(_drawn_lines(lines))}{''.join(_drawn(box) for box in boxes)}</svg>\n"
    )


def _name(text: str) -> str:
    return parse_entry(text)[2]


def _boxes(config: Any) -> tuple[list[_Box], dict[str, int]]:
    """All boxes, and by stream the place of the one that writes it; side packets are called `side:name`."""
    boxes: list[_Box] = []
    writers: dict[str, int] = {}
    for texts, side in ((config.input_stream, ""), (config.input_side_packet, "side:")):
        for text in texts:
            writers[side + _name(text)] = len(boxes)
            boxes.append(_Box(text, "edge", "side packet" if side else "input"))
    for node, name in zip(config.node, node_names(config), strict=True):
        kind = "node" if find_calculator(node.calculator, config.package) else "unknown"
        kind = "subgraph" if find_subgraph(node.calculator, config.package) else kind
        box = _Box(name, kind, node.calculator if node.name else "")
        back = {parse_tag_index(info.tag_index) for info in node.input_stream_info if info.back_edge}
        number = 0
        for text in node.input_stream:
            tag, index, stream = parse_entry(text)
            if index == -1:
                index, number = number, number + 1
            box.inputs.append((stream, "back" if (tag, index) in back else "stream"))
        box.inputs += [(f"side:{_name(text)}", "side") for text in node.input_side_packet]
        for texts, side in ((node.output_stream, ""), (node.output_side_packet, "side:")):
            writers.update({side + _name(text): len(boxes) for text in texts})
        boxes.append(box)
    for texts, side in ((config.output_stream, ""), (config.output_side_packet, "side:")):
        kind = "side" if side else "stream"
        boxes += [_Box(text, "edge", "output", [(side + _name(text), kind)]) for text in texts]
    return boxes, writers


def _put_in_layers(boxes: list[_Box], writers: dict[str, int]) -> None:
    """Each box below all it reads from, back edges left out; a cycle of others ends after as many rounds as boxes."""
    for _ in boxes:
        moved = False
        for box in boxes:
            above = [boxes[writers[name]].layer for name, kind in box.inputs if kind != "back" and name in writers]
            layer = max(above, default=-1) + 1
            if layer > box.layer and layer <= len(boxes):
                box.layer, moved = layer, True
        if not moved:
            break


def _lines(boxes: list[_Box], writers: dict[str, int]) -> list[_Line]:
    """All lines; one that skips layers passes through a place in each, which the lines of a stream share."""
    ways: dict[tuple[str, int], _Box] = {}
    lines = []
    for box in boxes:
        for name, kind in box.inputs:
            if name not in writers:
                continue
            chain = [boxes[writers[name]]]
            for layer in range(chain[0].layer + 1, box.layer if kind != "back" else 0):
                way = ways.setdefault((name, layer), _Box("", "way", layer=layer, above=[chain[-1]]))
                chain.append(way)
            if kind != "back":
                box.above.append(chain[-1])
            lines.append(_Line(name, kind, [*chain, box]))
    return lines


def _place(boxes: list[_Box]) -> tuple[float, float]:
    """Set positions, in each layer in the order of what lines come from; returns width and height."""
    layers: dict[int, list[_Box]] = {}
    for box in boxes:
        layers.setdefault(box.layer, []).append(box)
    width = 0.0
    for row, (_, layer) in enumerate(sorted(layers.items())):
        layer.sort(key=lambda box: sum(other.x for other in box.above) / len(box.above) if box.above else 0.0)
        x = float(_MARGIN)
        for box in layer:
            box.x, box.y = x + box.width / 2, _MARGIN + row * _ROW
            x += box.width + _COLUMN
        width = max(width, x)
    for layer in layers.values():
        shift = (width - max(box.x + box.width / 2 for box in layer) - _MARGIN) / 2
        for box in layer:
            box.x += shift
    return width + _MARGIN, 2 * _MARGIN + _BEND + (len(layers) - 1) * _ROW + _HEIGHT


def _drawn_lines(lines: list[_Line]) -> Iterator[str]:
    """The paths, each with its name once; where lines leave or reach a box at once, they are spread over its side."""
    leaving: dict[_Box, dict[str, float]] = {}
    reaching: dict[_Box, list[tuple[float, int]]] = {}
    for number, line in enumerate(lines):
        leaving.setdefault(line.boxes[0], {}).setdefault(line.name, line.boxes[1].x)
        reaching.setdefault(line.boxes[-1], []).append((line.boxes[-2].x, number))
    named: set[tuple[str, _Box]] = set()
    for number, line in enumerate(lines):
        first, last = line.boxes[0], line.boxes[-1]
        others = sorted(leaving[first].items(), key=lambda item: item[1])
        start = _spread(first, [name for name, _ in others].index(line.name), len(others))
        arrivals = [arrival for _, arrival in sorted(reaching[last])]
        end = _spread(last, arrivals.index(number), len(arrivals))
        points = [(start, first.y + _HEIGHT)]
        for way in line.boxes[1:-1]:
            points += [(way.x, way.y), (way.x, way.y + _HEIGHT)]
        points.append((end, last.y))
        path = f"M{points[0][0]:.0f} {points[0][1]:.0f}"
        for place, ((x0, y0), (x1, y1)) in enumerate(itertools.pairwise(points)):
            bend = _BEND if y1 > y0 or line.kind != "back" else 2 * _BEND
            curve = f"C{x0:.0f} {y0 + bend:.0f} {x1:.0f} {y1 - bend:.0f} {x1:.0f} {y1:.0f}"
            path += curve if place % 2 == 0 else f"L{x1:.0f} {y1:.0f}"
        yield f'<path class="{line.kind}" d="{path}" marker-end="url(#tip)"/>\n'
        if (line.name, line.boxes[1]) not in named:
            named.add((line.name, line.boxes[1]))
            (x0, y0), (x1, y1) = points[:2]
            at = 0.5 if len(line.boxes) == 2 else 0.62
            x, y = x0 + (x1 - x0) * at, y0 + (y1 - y0) * at + 3
            yield f'<text class="stream" x="{x:.0f}" y="{y:.0f}">{escape(line.name.removeprefix("side:"))}</text>\n'


def _spread(box: _Box, number: int, count: int) -> float:
    """Where, along the side of a box, the line of this number of so many begins or ends."""
    return box.x + box.width * ((number + 1) / (count + 1) - 0.5)


def _drawn(box: _Box) -> str:
    left, middle = box.x - box.width / 2, box.y + _HEIGHT / 2
    title_y = middle - 2 if box.subtitle else middle + 4
    sub = (
        f'<text class="sub" x="{box.x:.0f}" y="{middle + 12:.0f}">{escape(box.subtitle)}</text>' if box.subtitle else ""
    )
    return (
        f'<g class="{box.kind}"><rect x="{left:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{_HEIGHT}"/>'
        f'<text x="{box.x:.0f}" y="{title_y:.0f}">{escape(box.title)}</text>{sub}</g>\n'
    )
