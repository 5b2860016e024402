"""Graphs made to hurt the CHW engine: each runs, goes to LiteRT or is refused with a message, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pocketgraph.models.errors import PocketgraphError, UnsupportedError
from pocketgraph.models.graph import DType, Graph, Model, Op, Tensor
from pocketgraph.runtime.chw import Chw
from pocketgraph.runtime.chw.rules import RULES, why_not

HUGE = 2**31 - 1
X, Y = (1, 8, 8, 4), (1, 8, 8, 4)
Case = Callable[[], Op]


def constant(*shape: int, integers: bool = False) -> Tensor:
    values = np.ones(shape, np.int32 if integers else np.float32)
    return Tensor("c", shape, DType.of(values), values)


def numbers(*values: int) -> Tensor:
    return Tensor("n", (len(values),), DType.INT32, np.array(values, np.int32))


def op(kind: str, operands: list[Tensor | tuple[int, ...]], *results: tuple[int, ...], **attrs: Any) -> Op:
    inputs = [t if isinstance(t, Tensor) else Tensor("x", t) for t in operands]
    return Op(kind, inputs, [Tensor(f"y{i}", shape) for i, shape in enumerate(results)], attrs)


def conv(x: tuple[int, ...] = X, weights: tuple[int, ...] = (4, 3, 3, 4), y: tuple[int, ...] = Y, **attrs: Any) -> Op:
    return op("CONV_2D", [x, constant(*weights), constant(weights[0])], y, **attrs)


def transposed(*options: int) -> Op:
    made = op("CUSTOM", [X, constant(4, 2, 2, 4), constant(4)], (1, 16, 16, 4))
    made.custom_code = "Convolution2DTransposeBias"
    made.custom_options = b"".join(n.to_bytes(4, "little", signed=True) for n in options)
    return made


LEFT_TO_LITERT: list[Op] = [
    conv(stride_h=-1),
    conv(dilation_h_factor=-1, y=(1, 10, 8, 4)),
    conv(dilation_h_factor=HUGE),
    conv(stride_w=HUGE, y=(1, 8, 1, 4)),
    conv(weights=(4, 3, 3, 3)),
    conv(weights=(5, 3, 3, 4)),
    conv(x=()),
    conv(y=()),
    conv(x=(8, 8, 4)),
    conv(x=(2, 8, 8, 4), y=(2, 8, 8, 4)),
    conv(y=(1, 9, 8, 4)),
    conv(x=(1, 40_000, 1, 4), y=(1, 40_000, 1, 4)),
    conv(fused_activation_function="SIGN_BIT"),
    op("CONV_2D", [X, X], Y),
    op("CONV_2D", [X, constant(4, 1, 1, 4), constant(3)], Y),
    op("CONV_2D", [X, constant(4, 1, 1, 4), constant(4, integers=True)], Y),
    op("DEPTHWISE_CONV_2D", [(), constant(1, 3, 3, 4), constant(4)], Y),
    op("DEPTHWISE_CONV_2D", [X, constant(1, 3, 3, 6), constant(6)], (1, 8, 8, 6)),
    op(
        "DEPTHWISE_CONV_2D", [X, constant(1, 2, 2, 4), constant(4)], Y, dilation_h_factor=32768, dilation_w_factor=32768
    ),
    op("MAX_POOL_2D", [()], ()),
    op("MAX_POOL_2D", [X], (1, 8, 8, 5), filter_width=1, filter_height=1),
    op("MAX_POOL_2D", [(1, 1, 1, 1)], (1, 1, 1, 1), filter_width=30000, filter_height=30000),
    op(
        "AVERAGE_POOL_2D", [(1, 9, 9, 1)], (1, 1, 1, 1), stride_w=30000, stride_h=9, filter_height=30000, filter_width=3
    ),
    op("FULLY_CONNECTED", [(2, 3), constant(4, 5)], (2, 4)),
    op("FULLY_CONNECTED", [(2, 5), constant(4, 5)], (2, 5)),
    op("FULLY_CONNECTED", [(2, 5), constant(4, 5)], (2, 4), weights_format="SHUFFLED4x16INT8"),
    transposed(1, 0, 0),
    transposed(1, -2, 2),
    transposed(0, 2, 2),
    transposed(1, 2),
    op("TRANSPOSE_CONV", [numbers(1, HUGE, 16, 4), constant(4, 2, 2, 4), X], (1, HUGE, 16, 4), stride_h=2, stride_w=2),
    op("ADD", [X, (1, 8, 8, 3)], Y),
    op("ADD", [X, constant(4, integers=True)], Y),
    op("MUL", [(HUGE, 1), (1, HUGE)], (HUGE, HUGE)),
    op("RELU", [X], (1, 8, 8, 5)),
    op("SOFTMAX", [()], ()),
    op("SUM", [X, numbers(4)], (1, 8, 8)),
    op("SUM", [X, numbers()], X),
    op("RESHAPE", [X], (1, 8, 8, 5)),
    op("RESHAPE", [(1, HUGE, HUGE, 4)], (HUGE, HUGE, 4)),
    op("PAD", [X, numbers(0, 0, HUGE, HUGE, 0, 0, 0, 0)], (1, HUGE, 8, 4)),
    op("PAD", [X, numbers(0, 0, -1, 0, 0, 0, 0, 0)], (1, 7, 8, 4)),
    op("MIRROR_PAD", [X, numbers(0, 0, 8, 0, 0, 0, 0, 0)], (1, 16, 8, 4)),
    op("SLICE", [X, numbers(0, 0, 0, 2), numbers(1, 8, 8, 4)], Y),
    op("SLICE", [X, numbers(0, 0, 0, -1), numbers(1, 8, 8, 4)], Y),
    op("STRIDED_SLICE", [X, numbers(0), numbers(1), numbers(0)], Y),
    op("STRIDED_SLICE", [X, numbers(-(2**31)), numbers(HUGE), numbers(HUGE)], (2, 8, 8, 4)),
    op("STRIDED_SLICE", [(4,), numbers(4), numbers(5), numbers(1)], (), shrink_axis_mask=1),
    op("CONCATENATION", [()], (), axis=0),
    op("CONCATENATION", [X, (1, 8, 8)], (1, 8, 8, 8), axis=3),
    op("SPLIT", [numbers(7), X], (1, 4, 8, 4), (1, 4, 8, 4)),
    op("SPLIT", [numbers(1), X], (1, 4, 8, 4), (1, 5, 8, 4)),
    op("TRANSPOSE", [X, numbers(0, 0, 1, 2)], X),
    op("TRANSPOSE", [X, numbers(0, 1, 2, 9)], X),
    op("DEPTH_TO_SPACE", [X], (1, 16, 16, 1), block_size=3),
    op("DEPTH_TO_SPACE", [(1, 1, 1, 2**24)], (1, 4096, 4096, 1), block_size=4096),
    op("RESIZE_BILINEAR", [X, numbers(HUGE, HUGE)], (1, HUGE, HUGE, 4)),
    op("RESIZE_BILINEAR", [X, numbers(4, 4)], (1, 4, 4, 5)),
    op("TILE", [(1,), numbers(HUGE)], (HUGE,)),
    op("BROADCAST_TO", [(2, 3), numbers(2, 4)], (2, 4)),
    op("PACK", [(4,), (5,)], (2, 4), axis=0),
    op("PACK", [(4,), (4,)], (2, 4), axis=7),
    op("UNPACK", [(2, 4)], (4,), axis=0),
    op("NO_SUCH_OP", [X], Y),
    op("RELU", [X]),
    op("RELU", [(0, 4)], (0, 4)),
    op("RELU", [(1,) * 7], (1,) * 7),
]


@pytest.mark.parametrize("number", range(len(LEFT_TO_LITERT)))
def test_what_has_no_sound_step_is_left_to_litert_with_a_reason(number: int) -> None:
    assert why_not(LEFT_TO_LITERT[number])


@pytest.mark.parametrize("kind", sorted(RULES))
def test_an_op_without_operands_or_results_is_refused(kind: str) -> None:
    custom = {"custom_code": kind} if kind == "Convolution2DTransposeBias" else {}
    code = "CUSTOM" if custom else kind
    assert why_not(Op(code, [], [], **custom))
    for inputs in ([], [None, None, None], [Tensor("x", (1, 4, 4, 1))]):
        made = Op(code, list(inputs), [Tensor("y", (1, 4, 4, 2))], **custom)
        try:
            why_not(made)
        except PocketgraphError:
            continue


def refused(model: Model) -> None:
    with pytest.raises(PocketgraphError):
        Chw(model, 1)


def test_a_net_that_needs_too_much_room_is_refused_before_anything_is_allocated(new_net: Any) -> None:
    net = new_net()
    x = net.input(1, 1, 1, 1)
    y = net.op("TILE", [x, np.array([1, 8000, 8000, 1], np.int32)], (1, 8000, 8000, 1))
    model = net.model(*(net.op("PAD", [y, np.zeros((4, 2), np.int32)], y.shape) for _ in range(5)))
    with pytest.raises(UnsupportedError, match="at most 1 GB is given"):
        Chw(model, 1)


def test_a_step_that_needs_too_much_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from pocketgraph.runtime.chw import window_rules

    monkeypatch.setattr(window_rules, "_MOST_PADDED", 2**62)
    made = op("MAX_POOL_2D", [(1, 1, 1, 1)], (1, 1, 1, 1), filter_width=30000, filter_height=30000)
    with pytest.raises(UnsupportedError, match="too large"):
        Chw(Model([Graph("main", [made.input(0)], made.outputs, [made])]), 1)


def test_what_is_never_computed_is_refused() -> None:
    x, y, z = (Tensor(name, (2, 2)) for name in "xyz")
    with pytest.raises(PocketgraphError):
        Chw(Model([Graph("main", [x], [y], [Op("RELU", [z], [y])])]), 1).run({"x": np.zeros((2, 2), np.float32)})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38, 1e-42])
@pytest.mark.parametrize("where", ["weights", "input"])
def test_numbers_that_are_none_go_through(new_net: Any, agrees: Any, value: float, where: str) -> None:
    net = new_net()
    x = net.input(1, 9, 9, 4)
    first = net.conv(x, 6, density=0.5)
    second = net.depthwise(first)
    last = net.op(
        "FULLY_CONNECTED",
        [net.op("MEAN", [second, np.array([1, 2], np.int32)], (1, 6)), net.normal(3, 6), None],
        (1, 3),
    )
    model = net.model(first, second, last)
    feed = net.normal(1, 9, 9, 4)
    if where == "weights":
        for made in model.main.ops[:2]:
            made.input(1).data.flat[2] = value
    else:
        feed[0, 4, 4, 1] = value
    engine = Chw(model, 1)
    found = engine.run({"x0": feed})
    if value == np.float32(1e-42):
        agrees(model, {"x0": feed})
    assert np.isfinite(found[first.name][0, 0, 0]).any()


@pytest.mark.parametrize(
    ("kernel", "pads", "size"),
    [((1, 30_000), (0, 0), 9), ((3, 3), (20_000, 3), 5), ((3, 3), (3, 20_000), 5), ((101, 101), (50, 50), 3)],
)
def test_huge_kernels_and_paddings(
    new_net: Any, agrees: Any, kernel: tuple[int, int], pads: tuple[int, int], size: int
) -> None:
    net = new_net()
    x = net.input(1, size, size, 1)
    padded = net.pad(x, (0, 0), (0, 0) if pads == (0, 0) else (1, 1), pads, (0, 0))
    padding = "SAME" if pads == (0, 0) else "VALID"
    if kernel == (101, 101):
        padded, padding = x, "SAME"
    agrees(
        net.model(net.conv(padded, 2, kernel, padding=padding), net.depthwise(padded, kernel, padding=padding)),
        tolerance=1e-3,
    )
