"""Ops without their operands, or of impossible shape, are named in an error instead of breaking passes and explain."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pocketgraph.convert.explain import explain_model
from pocketgraph.convert.passes import Dequantize, ForXnnpack
from pocketgraph.convert.xnnpack_examples import BREAKS, example
from pocketgraph.models.decompress import Decompress
from pocketgraph.models.errors import GraphError, PocketgraphError
from pocketgraph.models.graph import Model, Op
from pocketgraph.models.operands import check_operands

KINDS = [
    "CONV_2D",
    "MEAN",
    "PAD",
    "DENSIFY",
    "DEQUANTIZE",
    "TRANSPOSE_CONV",
    "DEPTH_TO_SPACE",
    "RESIZE_BILINEAR",
    "MUL",
]


def first(model: Model, kind: str) -> Op:
    return next(op for op in model.main.ops if op.kind == kind)


def test_sound_models_pass() -> None:
    for breaks in ("", *BREAKS):
        check_operands(example(breaks))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda op: op.inputs.pop(), None),
        (lambda op: op.inputs.clear(), "has no input 0"),
        (lambda op: op.outputs.clear(), "before anything produces it"),
        (lambda op: setattr(op.input(1), "shape", (3, 3)), "holds float32"),
        (lambda op: op.attrs.update(stride_h=0), "has stride_h 0; expected 1 or more"),
    ],
)
def test_damage_is_named(damage: Callable[[Op], object], message: str | None) -> None:
    model = example()
    damage(first(model, "CONV_2D"))
    if message is None:  # a convolution needs no bias
        check_operands(model)
        return
    with pytest.raises(GraphError, match=message):
        check_operands(model)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_graphs_never_break_passes_or_explain(seed: int) -> None:
    """Random damage to ops and tensors: either it does not matter, or one of our own errors says what is wrong."""
    rng = np.random.default_rng(seed)
    model = example(["", *BREAKS][seed % (len(BREAKS) + 1)])
    for _ in range(3):
        op = model.main.ops[rng.integers(len(model.main.ops))]
        tensor = model.main.tensors()[rng.integers(len(model.main.tensors()))]
        what = rng.integers(5)
        if what == 0 and op.inputs:
            op.inputs.pop(rng.integers(len(op.inputs)))
        elif what == 1:
            op.kind = KINDS[rng.integers(len(KINDS))]
        elif what == 2:
            tensor.shape = tuple(int(size) for size in rng.integers(0, 5, rng.integers(0, 6)))
            tensor.data = None if tensor.data is None else np.zeros(tensor.shape, tensor.data.dtype)
        elif what == 3:
            op.attrs = {"stride_h": int(rng.integers(-1, 4)), "block_size": int(rng.integers(-1, 4))}
        else:
            tensor.data = None
    for action in (explain_model, Decompress(), Dequantize(), ForXnnpack()):
        try:
            action(model.copy())
        except PocketgraphError as error:
            assert str(error)  # noqa: PT017 - an error of ours is as good as none
