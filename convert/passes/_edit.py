"""Small edits that several passes share: bypass an op, insert one, make a constant."""

from __future__ import annotations

import numpy as np

from pocketgraph.models.graph import Array, DType, Graph, Model, Op, Tensor


def substitute(model: Model, graph: Graph, old: Tensor, new: Tensor) -> None:
    """Let every reader of `old`, the graph's outputs and the signatures' outputs use `new`."""
    graph.replace(old, new)
    for signature in model.signatures:
        signature.outputs = {name: new if t is old else t for name, t in signature.outputs.items()}


def bypass(model: Model, graph: Graph, op: Op) -> None:
    """Take out `op`, whose first output carries the value of its first input.

    A graph output keeps its name: what produced the input now produces it. Where the input has no producer to rename
    (it is a graph input or a constant) the output becomes that very tensor.
    """
    source, result = op.input(0), op.outputs[0]
    graph.ops.remove(op)
    producer = graph.producers().get(source)
    if result in graph.outputs and producer is not None and source not in graph.outputs:
        producer.outputs = [result if tensor is source else tensor for tensor in producer.outputs]
        graph.replace(source, result)
    else:
        substitute(model, graph, result, source)


def insert_before(graph: Graph, anchor: Op, op: Op) -> None:
    """Place `op` directly before `anchor`."""
    graph.ops.insert(graph.ops.index(anchor), op)


def constant(graph: Graph, name: str, array: Array) -> Tensor:
    """A new constant with a free name; it joins the graph when an op reads it."""
    array = np.ascontiguousarray(array)
    return Tensor(graph.unique_name(name), array.shape, DType.of(array), data=array)


def value(graph: Graph, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """A new computed tensor of `shape` with the type of `like`."""
    return Tensor(graph.unique_name(name), shape, like.dtype)


def consumers_of(graph: Graph, tensor: Tensor) -> list[Op]:
    """The ops that read `tensor`, in order."""
    return [op for op in graph.ops if any(read is tensor for read in op.inputs)]


def only_consumer(graph: Graph, tensor: Tensor) -> Op | None:
    """The one op that reads `tensor`, or None where several do, none does, or it is a graph output."""
    if any(out is tensor for out in graph.outputs):
        return None
    readers = consumers_of(graph, tensor)
    return readers[0] if len(readers) == 1 else None
