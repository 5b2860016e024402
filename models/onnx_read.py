"""Reads an ONNX file as a graph: `read_onnx`.

Each ONNX operator has one lowering in the tables of the `onnx_from_*` modules. Layouts move with the values: a net
whose pictures are channels first gets one TRANSPOSE where they enter and one where a picture leaves, and none where the
file itself begins with the opposite one. Constants are computed now, factors and activations are fused.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pocketgraph.models import (
    onnx_from_conv,
    onnx_from_math,
    onnx_from_pool,
    onnx_from_quant,
    onnx_from_reduce,
    onnx_from_resize,
    onnx_from_shape,
)
from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.graph import DType, Graph, Model, Tensor
from pocketgraph.models.onnx_build import Builder, Placed
from pocketgraph.models.onnx_fold import FOLDS, fold
from pocketgraph.models.onnx_fuse import fuse
from pocketgraph.models.onnx_gelu import join_gelu
from pocketgraph.models.onnx_layout import identity
from pocketgraph.models.onnx_parse import parse
from pocketgraph.models.onnx_proto import Net, Node

LOWERINGS: dict[str, Callable[[Builder, Node], None]] = {
    **onnx_from_conv.LOWERINGS,
    **onnx_from_math.LOWERINGS,
    **onnx_from_pool.LOWERINGS,
    **onnx_from_quant.LOWERINGS,
    **onnx_from_reduce.LOWERINGS,
    **onnx_from_resize.LOWERINGS,
    **onnx_from_shape.LOWERINGS,
}
"""ONNX operator -> the function that adds its ops."""
_CONSTANTS_PER_BYTE = 64


def read_onnx(source: Path | str | bytes) -> Model:
    """The graph of an .onnx file or its bytes (opset 7 to 25); inputs and outputs keep their names and shapes.

    A dynamic batch becomes 1, floats of any width become float32, external data is read from beside the file.
    Raises `FormatError` where the file is damaged or hostile, `UnsupportedError` naming an operator, an open dimension
    or an element type that is not covered.
    """
    if isinstance(source, bytes):
        return _read(source, None)
    path = Path(source)
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise FormatError(f"cannot read {source}: it is a device or pipe, not a file")
        content = path.read_bytes()
    except OSError as error:
        raise FormatError(f"cannot read {source}: {error.strerror}") from error
    try:
        return _read(content, path.parent)
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{source}: {error}") from error


def _read(content: bytes, folder: Path | None) -> Model:
    net = parse(content, folder)
    size = sum(array.nbytes for array in net.initializers.values())
    with np.errstate(all="ignore"):
        return Model([build(net, size * _CONSTANTS_PER_BYTE)], description=net.description)


def build(net: Net, budget: int) -> Graph:
    """The graph for `net`; at most `budget` bytes of constants are made that it does not hold."""
    builder = Builder(net.opset, [v.name for v in (*net.inputs, *net.outputs)], budget)
    builder.values.update(net.initializers)
    inputs = []
    for value in net.inputs:
        dtype = DType.FLOAT32 if value.dtype in (DType.FLOAT16, DType.FLOAT64) else value.dtype
        inputs.append(Tensor(value.name, value.shape, dtype))
        builder.values[value.name] = Placed(inputs[-1], identity(len(value.shape)))
    join_gelu(net)
    for node in net.nodes:
        _lower(builder, node)
    graph = Graph(net.name or "main", inputs, [], builder.ops)
    graph.outputs = [_output(builder, graph, value.name) for value in net.outputs]
    if not graph.outputs:
        raise FormatError("the ONNX graph has no outputs")
    graph.prune_dead()
    fuse(graph)
    return graph


def _lower(builder: Builder, node: Node) -> None:
    if not node.outputs or not node.outputs[0]:
        raise FormatError(f"{node.kind} {node.name!r} has no output")
    if node.domain:
        raise UnsupportedError(f"operator {node.domain}.{node.kind} ({node.name!r}) is not part of ONNX itself")
    if fold(builder, node):
        return
    if node.kind not in LOWERINGS:
        known = "with computed inputs " if node.kind in FOLDS else ""
        raise UnsupportedError(f"ONNX operator {node.kind} {known}({node.name!r}) is not covered")
    if not any(node.inputs):
        raise FormatError(f"{node.kind} {node.name!r} has no inputs")
    for name in node.inputs:
        if name and name not in builder.values:
            raise UnsupportedError(
                f"{node.kind} {node.name!r} reads {name!r}, an output its operator has no word for here"
            )
    LOWERINGS[node.kind](builder, node)


def _output(builder: Builder, graph: Graph, name: str) -> Tensor:
    """The tensor for the graph output `name`, under that name and in its own order."""
    if name not in builder.values:
        raise FormatError(f"graph output {name!r} is never produced")
    value = builder.values[name]
    tensor = builder.arranged(name, value)
    taken = tensor.is_constant or tensor in graph.inputs or tensor.name in {t.name for t in graph.outputs}
    if tensor.name != name and (taken or isinstance(value, np.ndarray)):
        shape = builder.ints(tensor.shape, name)
        copy = builder.op("RESHAPE", [tensor, shape], tensor.shape, name, tensor.dtype, new_shape=list(tensor.shape))
        copy.quantization = tensor.quantization
        tensor = copy
    tensor.name = name
    return tensor
