"""A classifier head written as a 1x1 convolution on a 1x1 map becomes a fully connected layer."""

from __future__ import annotations

import numpy as np

from pocketgraph.convert.passes._edit import constant, insert_before, only_consumer, substitute, value
from pocketgraph.models.graph import Graph, Model, Op, Tensor


class HeadToFullyConnected:
    """CONV_2D 1x1 behind the global pooling: RESHAPE, FULLY_CONNECTED, RESHAPE back.

    A 1x1 convolution that leaves a channels-first cluster cannot be prepared by XNNPACK and the model's outputs stay
    zero; the RESHAPE ends the cluster at the pooling. Only heads are rewritten: maps of 1x1 whose values find back to
    larger maps (squeeze and excitation) stay as they are. A RESHAPE that follows takes the place of our own. Outputs
    stay equal but for the order of sums.
    """

    def __call__(self, model: Model) -> list[str]:
        """Edit `model` in place; one line per head."""
        notes = []
        for graph in model.graphs:
            inner = _feeds_maps(graph)
            for op in [op for op in graph.ops if op.kind == "CONV_2D"]:
                if _is_pointwise(op) and op.outputs[0] not in inner:
                    _rewrite(model, graph, op)
                    notes.append(f"CONV_2D {op.name!r}: head on a 1x1 map became FULLY_CONNECTED")
            graph.prune_dead()
        return notes


def _is_pointwise(op: Op) -> bool:
    source, filters = op.input(0), op.input(1)
    return (
        len(source.shape) == 4
        and tuple(source.shape[1:3]) == (1, 1)
        and tuple(filters.shape[1:3]) == (1, 1)
        and tuple(op.outputs[0].shape[1:3]) == (1, 1)
        and filters.shape[3] == source.shape[3]
        and filters.is_constant
    )


def _feeds_maps(graph: Graph) -> set[Tensor]:
    """Tensors from which a map larger than 1x1 is computed."""
    feeding: set[Tensor] = set()
    for op in reversed(graph.ops):
        larger = any(len(t.shape) == 4 and t.shape[1] * t.shape[2] > 1 for t in op.outputs)
        if larger or any(t in feeding for t in op.outputs):
            feeding.update(t for t in op.inputs if t is not None)
    return feeding


def _rewrite(model: Model, graph: Graph, op: Op) -> None:
    source, filters, result = op.input(0), op.input(1), op.outputs[0]
    n, channels, count = source.shape[0], source.shape[3], filters.shape[0]
    flat = reshape_before(graph, op, source, (n, channels))
    matrix = constant(graph, f"{filters.name}/matrix", filters.dense().reshape(count, channels))
    logits = value(graph, f"{op.name}/flat", (n, count), result)
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    attrs = {"fused_activation_function": op.attrs.get("fused_activation_function", "NONE")}
    insert_before(graph, op, Op("FULLY_CONNECTED", [flat, matrix, bias], [logits], attrs))
    after = only_consumer(graph, result)
    if after is not None and after.kind in ("RESHAPE", "SQUEEZE") and after.outputs[0].shape == (n, count):
        maker = graph.producers()[logits]
        maker.outputs = [after.outputs[0]]
        graph.ops.remove(after)
        graph.ops.remove(op)
        return
    back = reshape_before(graph, op, logits, result.shape)
    graph.ops.remove(op)
    if result in graph.outputs:
        maker = graph.producers()[back]
        maker.outputs = [result]
    else:
        substitute(model, graph, result, back)


def reshape_before(graph: Graph, anchor: Op, source: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`source` reshaped to `shape` by an op in front of `anchor`."""
    result = value(graph, f"{source.name}/reshaped", shape, source)
    wanted = constant(graph, f"{source.name}/shape", np.array(shape, np.int32))
    insert_before(graph, anchor, Op("RESHAPE", [source, wanted], [result], {"new_shape": list(shape)}))
    return result
