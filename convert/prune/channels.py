"""Groups of channels that can be permuted together without changing what a model computes.

Tensors share a group where an op hands channels through in place (depthwise convolution, addition, pooling, …). A group
may be permuted as a whole: the rows of the layers that produce it, the columns of those that read it, and the constants
in between. A group that reaches a graph output, or an op that mixes or moves channels in another way, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pocketgraph.models.graph import Graph, Op, Tensor

# fmt: off
_ELEMENTWISE = frozenset((
    "ABS", "ADD", "CEIL", "COS", "DIV", "ELU", "EXP", "FLOOR", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOG", "LOGISTIC",
    "MAXIMUM", "MINIMUM", "MUL", "NEG", "POW", "PRELU", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND",
    "RSQRT", "SIGN", "SIN", "SQRT", "SQUARE", "SQUARED_DIFFERENCE", "SUB", "TANH",
))
# fmt: on
_SPATIAL = frozenset(
    {"AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RESHAPE", "SQUEEZE"}
)
_REDUCTIONS = frozenset({"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"})
_PADDINGS = frozenset({"PAD", "PADV2", "MIRROR_PAD"})


@dataclass(eq=False)
class ChannelGroup:
    """Channels that move together: `producers` are the layers whose weight rows they are, `constants` all there is to
    permute, as (tensor, axis)."""

    size: int
    producers: list[Op] = field(default_factory=list)
    constants: list[tuple[Tensor, int]] = field(default_factory=list)

    def permute(self, order: npt.NDArray[np.int64]) -> None:
        """Let channel i be what channel `order[i]` was."""
        for tensor, axis in dict.fromkeys(self.constants):
            tensor.data = np.ascontiguousarray(np.take(tensor.dense(), order, axis=axis))


def channel_groups(graph: Graph) -> list[ChannelGroup]:
    """The groups of `graph` that may be permuted, in the order their first producers run."""
    return _Finder(graph).groups()


class _Finder:
    """Union-find over the tensors of a graph, joined where they share channels."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._parent: dict[Tensor, Tensor] = {}
        self._fixed: set[Tensor] = set(graph.inputs) | set(graph.outputs)
        self._producers: list[tuple[Tensor, Op]] = []
        self._constants: list[tuple[Tensor, Tensor, int]] = []
        readers: dict[Tensor, int] = {}
        for op in graph.ops:
            for tensor in op.inputs:
                if tensor is not None:
                    readers[tensor] = readers.get(tensor, 0) + 1
        self._shared = {tensor for tensor, count in readers.items() if tensor.is_constant and count > 1}

    def groups(self) -> list[ChannelGroup]:
        for op in self._graph.ops:
            if not self._follow(op):
                self._fixed.update(t for t in op.inputs if t is not None)
                self._fixed.update(op.outputs)
        fixed = {self._root(tensor) for tensor in self._fixed}
        found: dict[Tensor, ChannelGroup] = {}
        for tensor, op in self._producers:
            root = self._root(tensor)
            if root not in fixed:
                found.setdefault(root, ChannelGroup(tensor.shape[-1])).producers.append(op)
        for tensor, constant, axis in self._constants:
            if (root := self._root(tensor)) in found:
                found[root].constants.append((constant, axis))
        return list(found.values())

    def _root(self, tensor: Tensor) -> Tensor:
        while (above := self._parent.get(tensor, tensor)) is not tensor:
            tensor = above
        return tensor

    def _join(self, *tensors: Tensor) -> None:
        first = self._root(tensors[0])
        for tensor in tensors[1:]:
            if (root := self._root(tensor)) is not first:
                self._parent[root] = first

    def _follow(self, op: Op) -> bool:
        """Note how `op` treats channels; False where its tensors must keep their order."""
        if op.kind in ("CONV_2D", "FULLY_CONNECTED", "DEPTHWISE_CONV_2D"):
            return self._layer(op)
        if op.kind in _ELEMENTWISE:
            return self._elementwise(op)
        if len(op.outputs) != 1 or not op.inputs or (x := op.inputs[0]) is None or x.is_constant:
            return False
        y = op.outputs[0]
        if x.shape[-1:] != y.shape[-1:] or not x.shape:
            return False
        if op.kind in _REDUCTIONS:
            axes = op.input(1)
            safe = axes.is_constant and all(int(a) % len(x.shape) != len(x.shape) - 1 for a in axes.dense().reshape(-1))
        elif op.kind in _PADDINGS:
            amounts = op.input(1)
            safe = amounts.is_constant and not amounts.dense()[-1].any()
        else:
            safe = op.kind in _SPATIAL
        if safe:
            self._join(x, y)
        return safe

    def _layer(self, op: Op) -> bool:
        x, weight, y = op.input(0), op.input(1), op.outputs[0]
        bias = op.inputs[2] if len(op.inputs) > 2 else None
        constants = [t for t in (weight, bias) if t is not None]
        if any(not t.is_constant or t in self._shared or t.sparsity is not None for t in constants):
            return False
        depthwise = op.kind == "DEPTHWISE_CONV_2D"
        columns = x.shape[-1:] == weight.shape[-1:]
        if weight.quantization is not None or not columns or y.shape[-1] != weight.shape[-1 if depthwise else 0]:
            return False
        if depthwise:
            self._join(x, y)
            self._constants.append((y, weight, len(weight.shape) - 1))
        else:
            self._producers.append((y, op))
            self._constants += [(y, weight, 0), (x, weight, len(weight.shape) - 1)]
        if bias is not None:
            self._constants.append((y, bias, 0))
        return True

    def _elementwise(self, op: Op) -> bool:
        y = op.outputs[0]
        if not y.shape:
            return False
        for tensor in op.inputs:
            if tensor is None or not tensor.shape or tensor.shape[-1] == 1 != y.shape[-1]:
                continue
            if tensor.shape[-1] != y.shape[-1]:
                return False
            if not tensor.is_constant:
                self._join(y, tensor)
            elif tensor in self._shared or tensor.sparsity is not None:
                return False
            else:
                self._constants.append((y, tensor, len(tensor.shape) - 1))
        return True
