"""Average pooling over the whole map becomes MEAN, which runtimes know as global pooling."""

from __future__ import annotations

import numpy as np

from pocketgraph.convert.passes._edit import constant
from pocketgraph.models.graph import Model, Op


class PoolToMean:
    """AVERAGE_POOL_2D whose window is the whole map: MEAN over height and width, dimensions kept.

    XNNPACK ends a sparse cluster at MEAN and not at AVERAGE_POOL_2D. Outputs stay equal but for the order of sums.
    """

    def __call__(self, model: Model) -> list[str]:
        """Edit `model` in place; one line per pooling."""
        notes = []
        for graph in model.graphs:
            for op in graph.ops:
                if op.kind == "AVERAGE_POOL_2D" and _is_global(op):
                    axes = constant(graph, f"{op.name}/axes", np.array([1, 2], np.int32))
                    op.kind, op.inputs, op.attrs, op.version = "MEAN", [op.input(0), axes], {"keep_dims": True}, 1
                    notes.append(f"AVERAGE_POOL_2D {op.name!r}: pools the whole map, became MEAN")
        return notes


def _is_global(op: Op) -> bool:
    _, height, width, _ = op.input(0).shape
    window = op.attrs.get("filter_height", 0), op.attrs.get("filter_width", 0)
    return (
        window == (height, width)
        and op.outputs[0].shape[1:3] == (1, 1)
        and op.attrs.get("padding", "SAME") == "VALID"
        and op.attrs.get("fused_activation_function", "NONE") == "NONE"
    )
