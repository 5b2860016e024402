"""Which layers of a graph can be pruned, which are by default, and their weights seen as a matrix."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pocketgraph.convert.prune.masks import Matrix
from pocketgraph.models.errors import UnsupportedError, UsageError
from pocketgraph.models.graph import DType, Graph, Op, Tensor

_KINDS = ("CONV_2D", "FULLY_CONNECTED")
_CARRIERS = frozenset(
    {"ADD", "CONCATENATION", "DEQUANTIZE", "LOGISTIC", "MUL", "RESHAPE", "SOFTMAX", "SQUEEZE", "TANH", "TRANSPOSE"}
)
"""What may stand between a head and the graph's output."""


@dataclass(eq=False)
class PrunableLayer:
    """A convolution or fully connected op with constant weights of its own.

    `sparsity` is what an override asks for, None where the model's sparsity applies.
    """

    op: Op
    position: int
    sparsity: float | None = None

    @property
    def weight(self) -> Tensor:
        return self.op.input(1)

    @property
    def name(self) -> str:
        return self.op.name

    def matrix(self) -> Matrix:
        """The weights `[output channels, inputs]` (and kernel positions, in the order height, width, input)."""
        weight = self.weight.dense()
        return weight.reshape(weight.shape[0], -1)

    @property
    def pointwise(self) -> bool:
        """True where the layer is a matrix product at every position: fully connected, or a 1x1 convolution."""
        return self.op.kind == "FULLY_CONNECTED" or self.weight.shape[1:3] == (1, 1)


def prunable_layers(graph: Graph, overrides: Mapping[str, float]) -> list[PrunableLayer]:
    """The layers to prune, in order: the default ones and those that `overrides` (glob -> sparsity) names.

    By default 1x1 convolutions and fully connected layers, but not those that read the graph's inputs, and not heads:
    layers whose result reaches a graph output through nothing but reshapes, concatenations and activations. A glob is
    matched against the op's name (its first output's) and its weight tensor's. Raises `UsageError` for a glob that
    matches nothing, `UnsupportedError` where nothing is left to prune.
    """
    possible = _possible(graph)
    heads = head_ops(graph)
    for glob in overrides:
        if not any(_matches(layer, glob) for layer in possible):
            known = ", ".join(layer.name for layer in possible)
            raise UsageError(f"no layer matches {glob!r}; the layers are {known or 'none'}")
    chosen: list[PrunableLayer] = []
    for layer in possible:
        for glob, value in overrides.items():
            if _matches(layer, glob):
                layer.sparsity = value
        stem = any(t in graph.inputs for t in layer.op.inputs)
        default = layer.pointwise and not stem and layer.op not in heads
        if (layer.sparsity is None and default) or layer.sparsity:
            chosen.append(layer)
    if not chosen and 0 not in overrides.values():
        raise UnsupportedError(
            "the model has no float 1x1 convolution or fully connected layer to prune between its first layer and its"
            " outputs; name other layers with their sparsity, e.g. {'*conv*': 0.5}"
        )
    return chosen


def head_ops(graph: Graph) -> set[Op]:
    """Layers whose result reaches a graph output through nothing that computes features."""
    producers = graph.producers()
    heads: set[Op] = set()
    seen: set[Tensor] = set()
    stack = list(graph.outputs)
    while stack:
        tensor = stack.pop()
        if tensor in seen or (op := producers.get(tensor)) is None:
            continue
        seen.add(tensor)
        if op.kind in _KINDS:
            heads.add(op)
        elif op.kind in _CARRIERS:
            stack.extend(t for t in op.inputs if t is not None)
    return heads


def _possible(graph: Graph) -> list[PrunableLayer]:
    uses: dict[Tensor, int] = {}
    for op in graph.ops:
        for tensor in op.inputs:
            if tensor is not None:
                uses[tensor] = uses.get(tensor, 0) + 1
    found: list[PrunableLayer] = []
    for position, op in enumerate(graph.ops):
        if op.kind not in _KINDS or len(op.inputs) < 2 or (weight := op.inputs[1]) is None:
            continue
        x = op.inputs[0]
        if x is None or not weight.is_constant or weight.dtype is not DType.FLOAT32 or uses[weight] > 1:
            continue
        if weight.size == 0 or x.shape[-1:] == () or op.attrs.get("weights_format", "DEFAULT") != "DEFAULT":
            continue
        grouped = op.kind == "CONV_2D" and weight.shape[-1] != x.shape[-1]
        if not grouped:
            found.append(PrunableLayer(op, position))
    return found


def check_finite(graph: Graph) -> None:
    """Refuse weights that are not numbers. Raises `UnsupportedError` naming the first such tensor."""
    for tensor in graph.tensors():
        if tensor.data is None or tensor.dtype is not DType.FLOAT32:
            continue
        bad = ~np.isfinite(tensor.dense())
        if bad.any():
            raise UnsupportedError(
                f"constant {tensor.name!r} holds {int(bad.sum())} NaN or infinite values of {tensor.size}:"
                " the model is damaged or its training diverged; export it again from a sound checkpoint"
            )


def _matches(layer: PrunableLayer, glob: str) -> bool:
    return any(name == glob or fnmatch.fnmatchcase(name, glob) for name in (layer.name, layer.weight.name))
