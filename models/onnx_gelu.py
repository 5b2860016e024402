"""Finds GELU written out with Erf, as exporters before opset 20 do, and makes it one Gelu node."""

from __future__ import annotations

import math

import numpy as np

from pocketgraph.models.onnx_proto import Net, Node


def join_gelu(net: Net) -> None:
    """Replace 0.5 * x * (1 + erf(x / sqrt 2)), its factors in any order, by Gelu (in place; drops dead nodes)."""
    _Gelu(net).run()
    _drop_dead(net)


class _Gelu:
    def __init__(self, net: Net) -> None:
        self.net = net
        self.makers = {name: node for node in net.nodes for name in node.outputs}
        self.readers: dict[str, list[Node]] = {value.name: [Node("", [], [])] for value in net.outputs}
        for node in net.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)

    def run(self) -> None:
        for node in self.net.nodes:
            if node.kind == "Erf" and len(node.inputs) == len(node.outputs) == 1:
                self.join(node)

    def join(self, erf: Node) -> None:
        source = self.scaled(erf.inputs[0])
        if source is None or not math.isclose(source[1], math.sqrt(0.5), rel_tol=1e-4):
            return
        x, factor, seen = source[0], 1.0, False
        node = self.reader(erf.outputs[0])
        if node is None or node.kind != "Add" or self.number(self.other(node, erf.outputs[0])) != 1.0:
            return
        while not (seen and math.isclose(factor, 0.5, rel_tol=1e-4)):
            name = node.outputs[0]
            following = self.reader(name)
            if following is None or following.kind not in ("Mul", "Div"):
                return
            other, node = self.other(following, name), following
            number = self.number(other)
            product = (x, 1.0) if other == x else self.scaled(other)
            if number is not None:
                factor *= number if node.kind == "Mul" else 1 / number if number else math.inf
            elif node.kind == "Mul" and product is not None and product[0] == x and not seen:
                factor, seen = factor * product[1], True
            else:
                return
        node.kind, node.inputs, node.attrs = "Gelu", [x], {}

    def scaled(self, name: str) -> tuple[str, float] | None:
        """x and c where `name` is c * x with a constant c."""
        node = self.makers.get(name)
        if node is None or node.kind not in ("Mul", "Div") or len(node.inputs) != 2:
            return None
        first, second = (self.number(operand) for operand in node.inputs)
        if second is not None and second != 0:
            return node.inputs[0], second if node.kind == "Mul" else 1 / second
        return (node.inputs[1], first) if node.kind == "Mul" and first is not None else None

    def reader(self, name: str) -> Node | None:
        """The only node that reads `name`."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and len(readers[0].inputs) == 2 and readers[0].outputs else None

    def other(self, node: Node, name: str) -> str:
        return node.inputs[1] if node.inputs[0] == name else node.inputs[0] if node.kind != "Div" else ""

    def number(self, name: str) -> float | None:
        """The constant number `name` stands for."""
        maker = self.makers.get(name)
        array = self.net.initializers.get(name)
        if maker is not None and maker.kind == "Constant":
            array = maker.attrs.get("value", maker.attrs.get("value_float"))
        if array is None or np.size(array) != 1 or np.asarray(array).dtype.kind not in "fi":
            return None
        return float(np.asarray(array).reshape(-1)[0])


def _drop_dead(net: Net) -> None:
    used = {value.name for value in net.outputs}
    kept = []
    for node in reversed(net.nodes):
        if used.intersection(node.outputs):
            used.update(node.inputs)
            kept.append(node)
    net.nodes = kept[::-1]
