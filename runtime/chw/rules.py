"""What the engine knows: for each kind of op a check that says why not, and a rule that makes its steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pocketgraph.models.graph import DType, Op, Tensor
from pocketgraph.runtime.chw import matrix_rules, move_rules, pixel_rules, window_rules
from pocketgraph.runtime.chw.builder import Builder

_MAX_RANK = 6
_MOST_VALUES = 1 << 27  # of one tensor: half a gigabyte


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
    for result in op.outputs:
        if problem := _unfit(result):
            return f"its result {problem}"
    for operand in op.inputs:
        if operand is None or (operand.is_constant and operand.dtype is not DType.FLOAT32):
            continue
        if problem := _unfit(operand):
            return f"its operand {operand.name!r} {problem}"
    return rule.why_not(op)


def _unfit(tensor: Tensor) -> str:
    if tensor.dtype is not DType.FLOAT32:
        return f"is {tensor.dtype.value}, the engine computes in float32"
    if len(tensor.shape) > _MAX_RANK or not 0 < tensor.size <= _MOST_VALUES or min(tensor.shape, default=1) < 1:
        return f"has shape {list(tensor.shape)}"
    return "is a variable" if tensor.is_variable else ""
