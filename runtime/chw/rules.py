"""What the engine knows: for each kind of op a check that says why not, and a rule that makes its steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pocketgraph.models.graph import DType, Op
from pocketgraph.runtime.chw import matrix_rules, move_rules, pixel_rules, window_rules
from pocketgraph.runtime.chw.builder import Builder

_MAX_RANK = 6


@dataclass(frozen=True)
class Rule:
    """`why_not(op)` is empty where `emit(builder, op)` can make the op's steps."""

    why_not: Callable[[Op], str]
    emit: Callable[[Builder, Op], None]


RULES: Mapping[str, Rule] = {
    kind: Rule(why_not, emit)
    for rules in (matrix_rules.RULES, window_rules.RULES, pixel_rules.RULES, move_rules.RULES)
    for kind, (why_not, emit) in rules.items()
}


def key(op: Op) -> str:
    """The name that rules are filed under."""
    return op.custom_code if op.kind == "CUSTOM" else op.kind


def why_not(op: Op) -> str:
    """Why the engine does not run `op` itself; empty where it does."""
    rule = RULES.get(key(op))
    if rule is None:
        return "the engine has no kernel for this op"
    if len(op.outputs) < 1:
        return "it has no result"
    for tensor in op.outputs:
        if tensor.dtype is not DType.FLOAT32:
            return f"its result is {tensor.dtype.value}, the engine computes in float32"
        if len(tensor.shape) > _MAX_RANK or 0 in tensor.shape:
            return f"its result has shape {list(tensor.shape)}"
    for tensor in op.inputs:
        if tensor is None or (tensor.is_constant and tensor.dtype is not DType.FLOAT32):
            continue
        if tensor.dtype is not DType.FLOAT32:
            return f"its operand {tensor.name!r} is {tensor.dtype.value}, the engine computes in float32"
        if len(tensor.shape) > _MAX_RANK or 0 in tensor.shape:
            return f"its operand {tensor.name!r} has shape {list(tensor.shape)}"
        if tensor.is_variable:
            return f"its operand {tensor.name!r} is a variable"
    return rule.why_not(op)
