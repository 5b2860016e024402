"""Joins what ONNX keeps apart: factors, offsets and activations go into the convolution or product before them."""

from __future__ import annotations

import numpy as np

from pocketgraph.models.graph import Array, FloatArray, Graph, Op, Tensor

_CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0}
"""The axis of the weights that counts output channels."""
_OPERANDS = {"CONV_2D": (1, 2), "DEPTHWISE_CONV_2D": (1, 2), "FULLY_CONNECTED": (1, 2), "TRANSPOSE_CONV": (1, 3)}
_ACTIVATED = {
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "ADD",
    "SUB",
    "MUL",
    "DIV",
    "MAX_POOL_2D",
    "AVERAGE_POOL_2D",
}
_ACTIVATIONS = {"RELU", "RELU6", "RELU_N1_TO_1"}
_SIXTH = np.float32(1 / 6)


def fuse(graph: Graph) -> None:
    """Fold and fuse in place, in one walk; results stay equal but for rounding."""
    _Fuser(graph).run()
    graph.prune_dead()


class _Fuser:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.makers = graph.producers()
        self.uses: dict[Tensor, int] = {}
        for tensor in (*graph.outputs, *(t for op in graph.ops for t in op.inputs if t is not None)):
            self.uses[tensor] = self.uses.get(tensor, 0) + 1

    def run(self) -> None:
        kept: list[Op] = []
        for op in self.graph.ops:
            if not (self.scale(op) or self.activate(op)):
                self.hard_swish(op)
                self.straighten(op)
                kept.append(op)
        self.graph.ops = kept

    def before(self, op: Op, index: int = 0) -> Op | None:
        """The op that makes operand `index` for `op` alone."""
        tensor = op.inputs[index]
        return self.makers.get(tensor) if tensor is not None and self.uses[tensor] == 1 else None

    def absorb(self, into: Op, op: Op) -> None:
        """`into` now gives what `op` gave."""
        into.outputs = op.outputs
        self.makers[op.outputs[0]] = into

    def scale(self, op: Op) -> bool:
        """A product with, sum with or difference from one number for each channel."""
        if op.kind not in ("MUL", "ADD", "SUB", "DIV"):
            return False
        side = 0 if op.kind in ("SUB", "DIV") or op.input(1).is_constant else 1
        maker, factor = self.before(op, side), _per_channel(op, 1 - side)
        if maker is None or factor is None or maker.kind not in _CHANNEL_AXIS:
            return False
        if (
            maker.attrs.get("fused_activation_function", "NONE") != "NONE"
            or op.input(side).shape != op.outputs[0].shape
        ):
            return False
        at = _OPERANDS[maker.kind]
        weights, bias = maker.inputs[at[0]], maker.inputs[at[1]] if at[1] < len(maker.inputs) else None
        if weights is None or bias is None or not (weights.is_constant and bias.is_constant):
            return False
        if op.kind in ("ADD", "SUB"):
            offset = factor if op.kind == "ADD" else -factor
            maker.inputs[at[1]] = _constant(bias, bias.dense() + offset)
        elif self.uses[weights] > 1:
            return False
        else:
            factor = factor if op.kind == "MUL" else np.float32(1) / factor
            spread = [1] * len(weights.shape)
            spread[_CHANNEL_AXIS[maker.kind]] = -1
            maker.inputs[at[0]] = _constant(weights, weights.dense() * factor.reshape(spread))
            maker.inputs[at[1]] = _constant(bias, bias.dense() * factor)
            self.uses[maker.input(at[0])] = 1
        self.uses[maker.input(at[1])] = 1
        activation = op.attrs.get("fused_activation_function", "NONE")
        if activation != "NONE":
            maker.attrs["fused_activation_function"] = activation
        self.absorb(maker, op)
        return True

    def activate(self, op: Op) -> bool:
        """An activation that the op before it can carry."""
        maker = self.before(op) if op.kind in _ACTIVATIONS else None
        if maker is None or maker.kind not in _ACTIVATED:
            return False
        if maker.attrs.get("fused_activation_function", "NONE") != "NONE":
            return False
        maker.attrs["fused_activation_function"] = op.kind
        self.absorb(maker, op)
        return True

    def straighten(self, op: Op) -> None:
        """A product of a picture that is flattened channels first takes it as it lies, with its columns rearranged."""
        flat = self.before(op) if op.kind == "FULLY_CONNECTED" else None
        turn = self.before(flat) if flat is not None and flat.kind == "RESHAPE" else None
        if flat is None or turn is None or turn.kind != "TRANSPOSE" or self.uses[op.input(1)] != 1:
            return
        source, weights, order = turn.input(0), op.input(1), turn.input(1).dense().tolist()
        sizes = turn.outputs[0].shape
        if order[0] != 0 or flat.outputs[0].shape != (sizes[0], weights.shape[1]) or not weights.is_constant:
            return
        back = [1 + order[1:].index(axis) for axis in range(1, len(order))]
        columns = weights.dense().reshape(-1, *sizes[1:]).transpose(0, *back).reshape(weights.shape)
        op.inputs[1] = _constant(weights, columns)
        self.uses[op.input(1)] = 1
        flat.inputs[0] = source
        self.uses[turn.outputs[0]] -= 1

    def hard_swish(self, op: Op) -> None:
        """x * relu6(x + 3) / 6, however the sixth is put, is one HARD_SWISH."""
        if op.kind not in ("MUL", "DIV") or op.attrs.get("fused_activation_function", "NONE") != "NONE":
            return
        for side in (0, 1) if op.kind == "MUL" else (0,):
            other = op.inputs[1 - side]
            factor = _number(op, 1 - side)
            inner = self.before(op, side)
            if inner is None or other is None or inner.kind != "MUL":
                continue
            if factor is not None and np.isclose(factor if op.kind == "MUL" else 1 / factor, _SIXTH):
                source = self.product_source(inner)
            elif op.kind == "MUL" and _sixth_of(inner) is not None:
                source = self.shifted(_sixth_of(inner), other)
            else:
                continue
            if source is not None:
                op.kind, op.inputs, op.attrs = "HARD_SWISH", [source], {}
                return

    def product_source(self, product: Op) -> Tensor | None:
        """x where `product` is x * relu6(x + 3)."""
        for side in (0, 1):
            found = self.shifted(product.inputs[side], product.inputs[1 - side])
            if found is not None:
                return found
        return None

    def shifted(self, clipped: Tensor | None, source: Tensor | None) -> Tensor | None:
        """`source` where `clipped` is relu6(source + 3)."""
        op = self.makers.get(clipped) if clipped is not None else None
        if op is None or op.kind != "ADD" or op.attrs.get("fused_activation_function") != "RELU6":
            return None
        for side in (0, 1):
            if op.inputs[side] is source and _number(op, 1 - side) == np.float32(3):
                return source
        return None


def _sixth_of(op: Op) -> Tensor | None:
    for side in (0, 1):
        factor = _number(op, 1 - side)
        if factor is not None and np.isclose(factor, _SIXTH):
            return op.inputs[side]
    return None


def _number(op: Op, index: int) -> np.float32 | None:
    tensor = op.inputs[index]
    if tensor is None or tensor.data is None or tensor.size != 1 or tensor.data.dtype != np.float32:
        return None
    return np.float32(tensor.data.reshape(-1)[0])


def _per_channel(op: Op, index: int) -> FloatArray | None:
    """The operand as one number for each channel of the result, or None where it is something else."""
    tensor, channels = op.inputs[index], (op.outputs[0].shape or (0,))[-1]
    if tensor is None or tensor.data is None or tensor.data.dtype != np.float32:
        return None
    if tensor.size != 1 and (tensor.shape[-1:] != (channels,) or tensor.size != channels):
        return None
    return np.broadcast_to(tensor.dense().reshape(-1), (channels,)).astype(np.float32)


def _constant(like: Tensor, array: Array) -> Tensor:
    return Tensor(like.name, array.shape, like.dtype, array.astype(np.float32))
