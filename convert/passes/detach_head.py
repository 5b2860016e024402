"""A fully connected head right behind the global pooling is set apart from the convolutions by a reshape."""

from __future__ import annotations

from pocketgraph.convert.passes._edit import value
from pocketgraph.convert.passes.head_to_fully_connected import reshape_before
from pocketgraph.models.graph import Graph, Model, Op


class DetachHead:
    """MEAN to [N, C] read by FULLY_CONNECTED: MEAN to [N, 1, 1, C], RESHAPE, FULLY_CONNECTED.

    XNNPACK counts a fully connected layer that reads the pooling among the weights of the sparse cluster, though it
    multiplies it densely: a large dense classifier then switches the whole net to dense. (Current releases do so where
    the layer keeps its dimensions, older ones always.) Behind a RESHAPE it does not count. Outputs stay equal bit for
    bit.
    """

    def __call__(self, model: Model) -> list[str]:
        """Edit `model` in place; one line per head."""
        notes = []
        for graph in model.graphs:
            readers = graph.consumers()
            for op in [op for op in graph.ops if op.kind == "MEAN"]:
                after = readers.get(op.outputs[0], [])
                if len(op.input(0).shape) == 4 and len(op.outputs[0].shape) == 2 and _is_head(after):
                    _rewrite(graph, op)
                    notes.append(f"FULLY_CONNECTED {after[0].name!r}: set apart from the pooling by a RESHAPE")
        return notes


def _is_head(readers: list[Op]) -> bool:
    return any(reader.kind == "FULLY_CONNECTED" for reader in readers)


def _rewrite(graph: Graph, op: Op) -> None:
    pooled = op.outputs[0]
    n, channels = pooled.shape
    kept = value(graph, f"{pooled.name}/pooled", (n, 1, 1, channels), pooled)
    op.outputs = [kept]
    op.attrs["keep_dims"] = True
    after = graph.ops[graph.ops.index(op) + 1]
    flat = reshape_before(graph, after, kept, (n, channels))
    graph.producers()[flat].outputs = [pooled]
