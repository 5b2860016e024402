"""Mirrors a whole net so that TensorFlow's one-sided stride-2 padding falls on the side that sparse kernels know."""

from __future__ import annotations

import numpy as np

from pocketgraph.convert.passes._edit import constant, insert_before, value
from pocketgraph.convert.passes._mirrored import Axes, mirror_op
from pocketgraph.convert.passes._windows import sliding
from pocketgraph.models.graph import Graph, Model, Op, Tensor


class Mirror:
    """Reverse the picture once at the entrance and flip every spatial kernel, so SAME stride-2 pads (1, 0), not (0, 1).

    On an even size TensorFlow's SAME pads a 3x3 of stride 2 by (0, 1): window i covers samples 2i … 2i + 2. Seen in the
    mirror that is 2i - 1 … 2i + 1, exactly what padding 1 on all sides samples, and the padded last sample is never
    read. A net of convolutions, pooling and elementwise ops computes the mirrored result from the mirrored picture
    when its kernels are flipped; global pooling forgets the difference. So one REVERSE_V2 on the input (and one where a
    map leaves the mirrored part) lets `PadStride2` write the padding that XNNPACK's sparse stem asks for. An axis is
    mirrored where a stem, 3x3 of stride 2 on 3 channels, needs it. Outputs stay equal but for the order of sums.
    """

    def __call__(self, model: Model) -> list[str]:
        """Edit `model` in place; one line where something was mirrored."""
        notes = []
        for graph in model.graphs:
            axes = _wanted(graph)
            if axes:
                count = _mirror(graph, axes)
                names = " and ".join({1: "height", 2: "width"}[axis] for axis in axes)
                notes.append(
                    f"mirrored the net along {names} ({count} REVERSE_V2), so that stride-2 padding comes first"
                )
        return notes


def _wanted(graph: Graph) -> Axes:
    """The axes along which some stem is padded behind and not before."""
    wanted: set[int] = set()
    for op in graph.ops:
        if op.kind != "CONV_2D" or tuple(op.input(1).shape[1:]) != (3, 3, 3) or not op.input(1).is_constant:
            continue
        slide = sliding(graph, op)
        if slide is None or (slide.rows.stride, slide.columns.stride) != (2, 2):
            continue
        wanted.update(a for a, w in ((1, slide.rows), (2, slide.columns)) if (w.begin, w.end) == (0, 1))
    return tuple(sorted(wanted))


def _mirror(graph: Graph, axes: Axes) -> int:
    """Mirror what lies behind the graph's inputs, restoring maps where ops cannot work mirrored."""
    turned = _Turned(graph, axes)
    for op in list(graph.ops):
        if any(t in turned.mirrored for t in op.inputs) and mirror_op(graph, op, turned.mirrored, axes):
            for tensor in op.outputs:
                if len(tensor.shape) == 4 and any(tensor.shape[a] > 1 for a in axes):
                    turned.mirrored.add(tensor)
        else:
            op.inputs = [turned.restored(t, op) if t in turned.mirrored else t for t in op.inputs]
    for tensor in graph.outputs:
        if tensor in turned.mirrored:
            turned.restore_output(tensor)
    graph.prune_dead()
    return turned.count


class _Turned:
    """The tensors that hold mirrored maps, and the ops that turn them."""

    def __init__(self, graph: Graph, axes: Axes) -> None:
        self.graph, self.axes, self.count = graph, axes, 0
        self._restored: dict[Tensor, Tensor] = {}
        self.mirrored: set[Tensor] = set()
        for picture in list(graph.inputs):
            if len(picture.shape) == 4 and graph.ops:
                turned = value(graph, f"{picture.name}/mirrored", picture.shape, picture)
                for op in graph.ops:
                    op.inputs = [turned if t is picture else t for t in op.inputs]
                graph.ops.insert(0, self._reverse(picture, turned))
                self.mirrored.add(turned)
                self._restored[turned] = picture

    def _reverse(self, source: Tensor, result: Tensor) -> Op:
        self.count += 1
        axes = constant(self.graph, f"{source.name}/axes", np.array(self.axes, np.int32))
        return Op("REVERSE_V2", [source, axes], [result])

    def restored(self, tensor: Tensor | None, anchor: Op) -> Tensor | None:
        """`tensor` as it would be without the mirror, for `anchor` to read."""
        if tensor is None:
            return None
        if tensor not in self._restored:
            result = value(self.graph, f"{tensor.name}/restored", tensor.shape, tensor)
            insert_before(self.graph, anchor, self._reverse(tensor, result))
            self._restored[tensor] = result
        return self._restored[tensor]

    def restore_output(self, tensor: Tensor) -> None:
        """Keep the graph's output tensor; what was mirrored gets a new name."""
        inner = value(self.graph, f"{tensor.name}/mirrored", tensor.shape, tensor)
        for op in self.graph.ops:
            op.inputs = [inner if t is tensor else t for t in op.inputs]
            op.outputs = [inner if t is tensor else t for t in op.outputs]
        self.mirrored = (self.mirrored - {tensor}) | {inner}
        if tensor in self._restored:
            restored = self._restored[tensor]
            for op in self.graph.ops:
                op.outputs = [tensor if t is restored else t for t in op.outputs]
                op.inputs = [tensor if t is restored else t for t in op.inputs]
        else:
            self.graph.ops.append(self._reverse(inner, tensor))
