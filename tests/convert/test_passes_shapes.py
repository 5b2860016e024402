"""Heads, pooling, transposed convolutions and cluster ends: same outputs in LiteRT (1e-5 of the range)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pocketgraph.convert.passes import (
    CloseClusters,
    ConstantFirst,
    DetachHead,
    ForXnnpack,
    HeadToFullyConnected,
    PoolToMean,
    TransposeConvToDepthToSpace,
)
from pocketgraph.convert.xnnpack_examples import BREAKS, example
from pocketgraph.models.architectures.mobilenet_v1 import mobilenet_v1
from pocketgraph.models.architectures.mobilenet_v2 import mobilenet_v2
from pocketgraph.models.architectures.mobilenet_v3 import mobilenet_v3_large
from pocketgraph.models.architectures.random_weights import RandomNet
from pocketgraph.models.graph import Model, Op
from pocketgraph.runtime import load_model

Array = npt.NDArray[Any]


def run(model: Model) -> list[Array]:
    """All outputs for the same random input."""
    model.validate()
    rng = np.random.default_rng(0)
    with load_model(model, "litert") as runnable:
        results = runnable(*[rng.random(spec.shape, np.float32) for spec in runnable.inputs])
    return list(results) if isinstance(results, tuple) else [results]


def assert_equal_outputs(before: Model, after: Model) -> None:
    for expected, got in zip(run(before), run(after), strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * float(np.ptp(expected)))


def kinds(model: Model) -> list[str]:
    return [op.kind for op in model.main.ops]


def test_conv_head_becomes_fully_connected_and_takes_the_reshape_in() -> None:
    before = example("conv_head")
    after = before.copy()
    assert HeadToFullyConnected()(after) == ["CONV_2D 'head': head on a 1x1 map became FULLY_CONNECTED"]
    assert kinds(after)[-3:] == ["MEAN", "RESHAPE", "FULLY_CONNECTED"]
    assert_equal_outputs(before, after)


def test_a_chain_of_conv_heads_keeps_its_four_dimensions() -> None:
    net = RandomNet((1, 8, 8, 3), 0)
    net.global_mean("pool", keep_dims=True)
    net.random_conv(16, 1, "hidden", activation="RELU")
    net.op("HARD_SWISH", [net.last], net.last.shape, "swish")
    net.random_conv(5, 1, "head")
    before = net.model()
    after = before.copy()
    HeadToFullyConnected()(after)
    assert "CONV_2D" not in kinds(after)
    assert after.main.outputs[0].shape == (1, 1, 1, 5)
    assert_equal_outputs(before, after)


def test_squeeze_and_excitation_is_no_head() -> None:
    model = mobilenet_v3_large(size=64)
    inner = [op for op in model.main.ops if op.kind == "CONV_2D" and op.outputs[0].shape[1:3] == (1, 1)]
    HeadToFullyConnected()(model)
    left = [op for op in inner if op in model.main.ops]
    assert left
    assert len(left) < len(inner)


def test_detached_head_is_equal_bit_for_bit() -> None:
    before = mobilenet_v1(0.25, size=64, classes=10)
    after = before.copy()
    assert DetachHead()(after) == ["FULLY_CONNECTED 'logits': set apart from the pooling by a RESHAPE"]
    for expected, got in zip(run(before), run(after), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_global_average_pool_becomes_mean() -> None:
    before = example("average_pool")
    after = before.copy()
    PoolToMean()(after)
    assert "AVERAGE_POOL_2D" not in kinds(after)
    assert_equal_outputs(before, after)


@pytest.mark.parametrize("kind", ["ADD", "MUL", "SUB"])
def test_constants_go_first(kind: str) -> None:
    net = RandomNet((1, 4, 4, 8), 0)
    net.op(kind, [net.last, net.constant("c", np.arange(8, dtype=np.float32))], net.last.shape, "y")
    before = net.model()
    after = before.copy()
    assert ConstantFirst()(after) == [f"{after.main.ops[0].kind} 'y': constant [1, 1, 1, C] put first"]
    assert after.main.ops[0].input(0).shape == (1, 1, 1, 8)
    for expected, got in zip(run(before), run(after), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_constant_minus_map_is_not_turned_round() -> None:
    net = RandomNet((1, 4, 4, 8), 0)
    net.op("SUB", [net.constant("c", np.ones(8, np.float32)), net.last], net.last.shape, "y")
    assert ConstantFirst()(net.model()) == []


@pytest.mark.parametrize("custom", [False, True])
def test_transposed_convolution_becomes_depth_to_space(*, custom: bool) -> None:
    """MediaPipe's custom op carries a bias and TfLiteTransposeConvParams; LiteRT knows it, too."""
    net = RandomNet((1, 6, 6, 8), 0)
    rng = np.random.default_rng(0)
    weights = net.constant("w", rng.standard_normal((3, 2, 2, 8)).astype(np.float32))
    if custom:
        bias = net.constant("b", np.array([1, 2, 3], np.float32))
        net.op("CUSTOM", [net.last, weights, bias], (1, 12, 12, 3), "up")
        op = net.model().main.ops[0]
        op.custom_code, op.custom_options = "Convolution2DTransposeBias", np.array([1, 2, 2], "<i4").tobytes()
    else:
        shape = net.constant("shape", np.array([1, 12, 12, 3], np.int32))
        attrs = {"padding": "SAME", "stride_h": 2, "stride_w": 2}
        net.op("TRANSPOSE_CONV", [shape, weights, net.last], (1, 12, 12, 3), "up", **attrs)
    before = net.model()
    after = before.copy()
    TransposeConvToDepthToSpace()(after)
    assert kinds(after) == ["CONV_2D", "DEPTH_TO_SPACE"]
    if custom:
        x = rng.random((1, 6, 6, 8), np.float32)
        expected = np.einsum("nhwc,oijc->nhiwjo", x, weights.dense()).reshape(1, 12, 12, 3) + np.array([1, 2, 3])
        with load_model(after, "litert") as runnable:
            np.testing.assert_allclose(runnable(x), expected, atol=1e-5)
    else:
        assert_equal_outputs(before, after)


def test_overlapping_transposed_convolutions_stay() -> None:
    net = RandomNet((1, 6, 6, 8), 0)
    weights = net.constant("w", np.ones((3, 3, 3, 8), np.float32))
    shape = net.constant("shape", np.array([1, 12, 12, 3], np.int32))
    attrs = {"padding": "SAME", "stride_h": 2, "stride_w": 2}
    net.op("TRANSPOSE_CONV", [shape, weights, net.last], (1, 12, 12, 3), "up", **attrs)
    assert TransposeConvToDepthToSpace()(net.model()) == []


def test_maps_leave_clusters_through_depth_to_space_and_back() -> None:
    before = example("tap")
    after = before.copy()
    assert CloseClusters()(after) == ["'pw3' leaves the sparse part through DEPTH_TO_SPACE and back"]
    assert after.main.outputs[1].name == "pw3"
    for expected, got in zip(run(before), run(after), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_odd_channels_are_widened_on_the_way_out() -> None:
    net = RandomNet((1, 16, 16, 3), 0)
    amounts = net.constant("amounts", np.array([(0, 0), (1, 1), (1, 1), (0, 0)], np.int32))
    net.op("PAD", [net.last, amounts], (1, 18, 18, 3), "padded")
    weights = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)
    net.conv(weights, np.zeros(8, np.float32), "stem", stride=2, padding="VALID")
    net.random_conv(6, 1, "map")
    before = net.model()
    after = before.copy()
    CloseClusters()(after)
    assert kinds(after)[-4:] == ["CONV_2D", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "SLICE"]
    assert_equal_outputs(before, after)


@pytest.mark.parametrize("breaks", ["", *BREAKS])
def test_every_example_computes_the_same_after_the_passes(breaks: str) -> None:
    before = example(breaks)
    after = before.copy()
    ForXnnpack()(after)
    assert_equal_outputs(before, after)


@pytest.mark.parametrize("build", [mobilenet_v1, mobilenet_v2, mobilenet_v3_large])
def test_pruned_mobilenets_compute_the_same_after_the_passes(build: Any) -> None:
    before = build(size=64, classes=10)
    prune(before)
    after = before.copy()
    notes = ForXnnpack()(after)
    assert any("mirrored the net" in note for note in notes)
    assert_equal_outputs(before, after)


def prune(model: Model) -> None:
    """80 % of every 1x1 convolution, by magnitude."""
    for op in model.main.ops:
        if op.kind == "CONV_2D" and op.input(1).shape[1:3] == (1, 1):
            weights = op.input(1).dense().copy()
            weights[np.abs(weights) <= np.quantile(np.abs(weights), 0.8)] = 0
            op.input(1).data = weights


def test_a_net_no_route_helps_is_left_alone_and_says_so() -> None:
    model = example("too_dense")
    before: list[Op] = list(model.main.ops)
    assert ForXnnpack()(model) == [
        "XNNPACK will run this model densely: no rewrite makes a sparse cluster that pays (see explain)"
    ]
    assert model.main.ops == before
