"""Writes a graph as an ONNX file: `write_onnx`.

Each operator has one lowering in the tables of the `onnx_to_*` modules. Layouts move with the values, so a
convolutional net gets one transpose where its input becomes channels first and one where a picture leaves it.
Constants stored as float16 stay so, behind a Cast; quantised tensors become QuantizeLinear / DequantizeLinear pairs.
"""

from __future__ import annotations

from collections.abc import Callable

from pocketgraph.models import onnx_to_conv, onnx_to_math, onnx_to_pool, onnx_to_shape
from pocketgraph.models.errors import UnsupportedError
from pocketgraph.models.graph import Graph, Model, Op
from pocketgraph.models.onnx_atrous import join_atrous
from pocketgraph.models.onnx_emit import Emitter
from pocketgraph.models.onnx_layout import identity
from pocketgraph.models.onnx_proto import Net, Node, Value, encode

LOWERINGS: dict[str, Callable[[Emitter, Op], None]] = {
    **onnx_to_conv.LOWERINGS,
    **onnx_to_math.LOWERINGS,
    **onnx_to_pool.LOWERINGS,
    **onnx_to_shape.LOWERINGS,
}
"""Operator kind -> the function that adds its ONNX nodes."""


def write_onnx(model: Model, *, sparse: bool = False) -> bytes:
    """The bytes of an .onnx file (opset 17, static shapes) that computes what `model`'s main graph does.

    Inputs and outputs keep their names, shapes and types. With `sparse`, constants that are mostly zeros are stored as
    `sparse_initializer`. Raises `UnsupportedError` naming the operator that cannot be written.
    """
    return encode(lower(model.main, model.description), sparse=sparse)


def lower(graph: Graph, description: str = "") -> Net:
    """The ONNX graph for `graph`, as plain data."""
    emit = Emitter(graph)
    for tensor in graph.inputs:
        emit.put_raw(tensor, tensor.name, identity(len(tensor.shape)))
    for op in join_atrous(graph):
        _lowering(op)(emit, op)
    _name_outputs(emit, graph)
    inputs = [Value(t.name, t.shape, t.dtype) for t in graph.inputs]
    outputs = [Value(t.name, t.shape, t.dtype) for t in graph.outputs]
    nodes, used = _live(emit.nodes, {t.name for t in graph.outputs})
    initializers = {name: array for name, array in emit.initializers.items() if name in used}
    return Net(graph.name or "main", inputs, outputs, nodes, initializers, description=description)


def _lowering(op: Op) -> Callable[[Emitter, Op], None]:
    if op.kind == "CUSTOM" and op.custom_code in onnx_to_conv.CUSTOM_LOWERINGS:
        return onnx_to_conv.CUSTOM_LOWERINGS[op.custom_code]
    if op.kind not in LOWERINGS:
        what = f"custom operator {op.custom_code!r}" if op.kind == "CUSTOM" else op.kind
        raise UnsupportedError(f"{what} ({op.name!r}) has no counterpart in ONNX; remove or replace it first")
    return LOWERINGS[op.kind]


def _name_outputs(emit: Emitter, graph: Graph) -> None:
    """Give the value behind each graph output the output's own name."""
    made = {name: node for node in emit.nodes for name in node.outputs}
    renamed: dict[str, str] = {}
    given = {tensor.name for tensor in graph.inputs}
    for tensor in dict.fromkeys(graph.outputs):
        before = len(emit.nodes)
        name = emit.raw(tensor)
        made.update((out, node) for node in emit.nodes[before:] for out in node.outputs)
        if tensor.name in given:
            if name != tensor.name:
                raise UnsupportedError(f"an input and an output are both named {tensor.name!r}; ONNX needs two names")
            continue
        given.add(tensor.name)
        if name in made and name not in renamed and name not in given - {name}:
            renamed[name] = tensor.name
        elif name != tensor.name:
            emit.nodes.append(Node("Identity", [name], [tensor.name], name=f"{tensor.name}/identity"))
    for node in emit.nodes:
        node.inputs = [renamed.get(name, name) for name in node.inputs]
        node.outputs = [renamed.get(name, name) for name in node.outputs]


def _live(nodes: list[Node], wanted: set[str]) -> tuple[list[Node], set[str]]:
    """The nodes that matter to the names in `wanted`, and every name they read."""
    used = set(wanted)
    kept = []
    for node in reversed(nodes):
        if used.intersection(node.outputs):
            used.update(node.inputs)
            kept.append(node)
    return kept[::-1], used
