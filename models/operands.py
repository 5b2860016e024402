"""Checks, before passes and explain rely on it, that ops have the operands and ranks that their kinds ask for."""

from __future__ import annotations

from pocketgraph.models.errors import GraphError
from pocketgraph.models.graph import Model, Op, Tensor

# op kind -> rank of each operand that must be there (None: any rank), and of the result
_OPERANDS: dict[str, tuple[tuple[int | None, ...], int | None]] = {
    "AVERAGE_POOL_2D": ((4,), 4),
    "CONV_2D": ((4, 4), 4),
    "DENSIFY": ((None,), None),
    "DEPTHWISE_CONV_2D": ((4, 4), 4),
    "DEPTH_TO_SPACE": ((4,), 4),
    "DEQUANTIZE": ((None,), None),
    "FULLY_CONNECTED": ((None, 2), None),
    "MAX_POOL_2D": ((4,), 4),
    "QUANTIZE": ((None,), None),
    "RESIZE_BILINEAR": ((4, 1), 4),
    "RESIZE_NEAREST_NEIGHBOR": ((4, 1), 4),
    "SOFTMAX": ((None,), None),
    "SPACE_TO_DEPTH": ((4,), 4),
    "TRANSPOSE_CONV": ((1, 4, 4), 4),
}
_TWO = ((None, None), None)
_OPERANDS |= dict.fromkeys(
    ("ADD", "DIV", "MAXIMUM", "MEAN", "MINIMUM", "MUL", "PAD", "PRELU", "SQUARED_DIFFERENCE", "SUB", "SUM"), _TWO
)
_POSITIVE = ("stride_h", "stride_w", "dilation_h_factor", "dilation_w_factor", "block_size")


def check_operands(model: Model) -> None:
    """Raise `GraphError` where an op lacks an operand, has one of another rank, or a stride that is not positive."""
    model.validate()
    for graph in model.graphs:
        for op in graph.ops:
            wanted = _OPERANDS.get(op.kind)
            if wanted is not None:
                ranks, result = wanted
                for place, rank in enumerate(ranks):
                    _check(op, op.input(place), rank, f"operand {place}")
                if not op.outputs:
                    raise GraphError(f"{op.kind} has no result; expected one")
                _check(op, op.outputs[0], result, "the result")
            for name in _POSITIVE:
                amount = op.attrs.get(name, 1)
                if not isinstance(amount, int) or amount < 1:
                    raise GraphError(f"{op.kind} {op.name!r} has {name} {amount}; expected 1 or more")


def _check(op: Op, tensor: Tensor, rank: int | None, what: str) -> None:
    if rank is not None and len(tensor.shape) != rank:
        raise GraphError(f"{op.kind} {op.name!r}: {what} has shape {list(tensor.shape)}; expected {rank} dimensions")
    if 0 in tensor.shape and rank is not None:
        raise GraphError(f"{op.kind} {op.name!r}: {what} has shape {list(tensor.shape)}, which is empty")
