"""Padding and mirroring: whatever the size, kernel and padding, the rewritten net computes the same (LiteRT, 1e-5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pocketgraph.convert.passes import Mirror, PadStride2
from pocketgraph.models.architectures.random_weights import RandomNet
from pocketgraph.models.graph import DType, Graph, Model, Op, Tensor
from pocketgraph.runtime import load_model

Array = npt.NDArray[Any]


def run(model: Model, seed: int = 0) -> list[Array]:
    """All outputs for the same random input."""
    model.validate()
    rng = np.random.default_rng(seed)
    with load_model(model, "litert") as runnable:
        results = runnable(*[rng.standard_normal(spec.shape).astype(np.float32) for spec in runnable.inputs])
    return list(results) if isinstance(results, tuple) else [results]


def assert_equal_outputs(before: Model, after: Model) -> None:
    for expected, got in zip(run(before), run(after), strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * max(1.0, float(np.ptp(expected))))


def kinds(model: Model) -> list[str]:
    return [op.kind for op in model.main.ops]


def one_conv(
    kind: str, height: int, width: int, kernel: int, *, same: bool, pads: tuple[int, int] | None, channels: int = 3
) -> Model:
    """A single stride-2 convolution, optionally behind a PAD of (before, behind) on both axes."""
    net = RandomNet((1, height, width, channels), seed=kernel)
    if pads is not None:
        amounts = net.constant("amounts", np.array([(0, 0), pads, pads, (0, 0)], np.int32))
        net.op("PAD", [net.last, amounts], (1, height + sum(pads), width + sum(pads), channels), "padded")
    shape = (4, kernel, kernel, channels) if kind == "CONV_2D" else (1, kernel, kernel, channels)
    weights = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    bias = np.arange(shape[0] if kind == "CONV_2D" else channels, dtype=np.float32)
    layer = net.conv if kind == "CONV_2D" else net.depthwise
    layer(weights, bias, "y", stride=2, activation="RELU6", padding="SAME" if same else "VALID")
    return net.model()


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["CONV_2D", "DEPTHWISE_CONV_2D"]),
    height=st.integers(5, 12),
    width=st.integers(5, 12),
    kernel=st.sampled_from([1, 2, 3, 5]),
    same=st.booleans(),
    pads=st.none() | st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_stride_2_padding_never_changes_the_result(
    kind: str, height: int, width: int, kernel: int, same: bool, pads: tuple[int, int] | None
) -> None:
    before = one_conv(kind, height, width, kernel, same=same, pads=pads)
    after = before.copy()
    PadStride2()(after)
    assert_equal_outputs(before, after)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(6, 13), st.integers(6, 13)),
    kernel=st.sampled_from([1, 2, 3, 5]),
    stride=st.sampled_from([1, 2]),
    same=st.booleans(),
    tail=st.sampled_from(
        ["MEAN", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RESIZE_BILINEAR", "DEPTH_TO_SPACE", "RESHAPE", "MUL"]
    ),
)
def test_mirrored_nets_compute_the_same(size: tuple[int, int], kernel: int, stride: int, same: bool, tail: str) -> None:
    before = with_stem(size, kernel, stride, same=same, tail=tail)
    after = before.copy()
    notes = Mirror()(after)
    assume(notes)  # a stem of odd sizes needs no mirror
    assert kinds(after)[0] == "REVERSE_V2"
    assert_equal_outputs(before, after)


def with_stem(size: tuple[int, int], kernel: int, stride: int, *, same: bool, tail: str) -> Model:
    """A SAME stride-2 stem, a depthwise layer, and one op of another kind."""
    net = RandomNet((1, 2 * size[0], 2 * size[1], 3), seed=0)
    net.random_conv(8, 3, "stem", stride=2, activation="RELU6")
    weights = np.random.default_rng(2).standard_normal((1, kernel, kernel, 8)).astype(np.float32)
    net.depthwise(weights, np.zeros(8, np.float32), "dw", stride=stride, padding="SAME" if same else "VALID")
    n, height, width, channels = net.last.shape
    if tail == "MEAN":
        net.global_mean("mean")
    elif tail in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        window = {"filter_height": 2, "filter_width": 2, "stride_h": 2, "stride_w": 2, "padding": "SAME"}
        net.op(tail, [net.last], (n, -(-height // 2), -(-width // 2), channels), "pool", **window)
    elif tail == "RESIZE_BILINEAR":
        wanted = net.constant("size", np.array([2 * height, 2 * width], np.int32))
        net.op(tail, [net.last, wanted], (n, 2 * height, 2 * width, channels), "up", half_pixel_centers=True)
    elif tail == "DEPTH_TO_SPACE":
        net.random_conv(8, 1, "wide")
        net.op(tail, [net.last], (n, 2 * height, 2 * width, 2), "spread", block_size=2)
    elif tail == "RESHAPE":
        net.reshape((n, height * width * channels), "flat")
    else:
        gate = np.random.default_rng(3).standard_normal((height, width, 1)).astype(np.float32)
        net.multiply(net.last, net.constant("gate", gate), "gated")
    return net.model()


def test_same_depthwise_is_set_into_5x5_and_padded_on_all_sides() -> None:
    """SAME on an even size pads a 3x3 by (0, 1): only a 5x5 kernel of zeros around it keeps the samples."""
    model = one_conv("DEPTHWISE_CONV_2D", 8, 8, 3, same=True, pads=None)
    PadStride2()(model)
    pad, conv = model.main.ops
    assert (pad.kind, conv.attrs["padding"], conv.input(1).shape[1:3]) == ("PAD", "VALID", (5, 5))
    assert pad.input(1).dense()[1:3].tolist() == [[2, 2], [2, 2]]


def test_same_5x5_depthwise_would_need_7x7_and_stays() -> None:
    """It pads by (1, 2): with padding 2 the same samples need a wider kernel than the engine has."""
    assert PadStride2()(one_conv("DEPTHWISE_CONV_2D", 8, 8, 5, same=True, pads=None)) == []


def test_a_one_sided_stem_needs_the_mirror() -> None:
    model = one_conv("CONV_2D", 8, 8, 3, same=True, pads=None)
    assert PadStride2()(model.copy()) == []
    Mirror()(model)
    assert PadStride2()(model) == ["CONV_2D 'y/mirrored': padded by 1 on all sides"]
    assert kinds(model) == ["REVERSE_V2", "PAD", "CONV_2D", "REVERSE_V2"]


def test_padding_that_is_right_already_is_left_alone() -> None:
    model = one_conv("CONV_2D", 8, 8, 3, same=False, pads=(1, 1))
    assert PadStride2()(model) == []
    assert Mirror()(model) == []


def test_graph_outputs_and_signatures_keep_their_tensors() -> None:
    model = one_conv("CONV_2D", 8, 8, 3, same=True, pads=None)
    output = model.main.outputs[0]
    Mirror()(model)
    assert model.main.outputs == [output]
    assert list(model.signatures[0].outputs.values()) == [output]


def test_stride_2_pointwise_becomes_pick_and_pointwise() -> None:
    before = one_conv("CONV_2D", 8, 8, 1, same=True, pads=None)
    after = before.copy()
    PadStride2()(after)
    assert kinds(after) == ["PAD", "DEPTHWISE_CONV_2D", "CONV_2D"]
    assert (after.main.ops[2].attrs["stride_h"], after.main.ops[1].attrs["stride_h"]) == (1, 2)
    assert_equal_outputs(before, after)


def test_two_readers_of_one_pad_both_keep_their_result() -> None:
    """A PAD with two readers cannot join either convolution: both must go on reading it."""
    x, amounts = Tensor("x", (1, 8, 8, 3)), np.array([(0, 0), (0, 1), (0, 1), (0, 0)], np.int32)
    padded = Tensor("padded", (1, 9, 9, 3))
    ops = [Op("PAD", [x, Tensor("amounts", (4, 2), data=amounts, dtype=DType.INT32)], [padded])]
    outputs = []
    for name in ("a", "b"):
        weights = np.random.default_rng(len(ops)).standard_normal((1, 3, 3, 3)).astype(np.float32)
        operands = [padded, Tensor(f"{name}/w", weights.shape, data=weights), _zeros(f"{name}/b", 3)]
        outputs.append(Tensor(name, (1, 4, 4, 3)))
        attrs = {"padding": "VALID", "stride_h": 2, "stride_w": 2, "depth_multiplier": 1}
        ops.append(Op("DEPTHWISE_CONV_2D", list(operands), [outputs[-1]], attrs))
    before = Model([Graph("main", [x], outputs, ops)])
    after = before.copy()
    PadStride2()(after)
    Mirror()(after)
    assert_equal_outputs(before, after)


def _zeros(name: str, count: int) -> Tensor:
    return Tensor(name, (count,), data=np.zeros(count, np.float32))
