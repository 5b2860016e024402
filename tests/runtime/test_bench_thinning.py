"""Zeros for timing, and how much work a model is."""

from __future__ import annotations

import numpy as np
import pytest

from pocketgraph.models.architectures.mobilenet_v1 import mobilenet_v1
from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import DType, Graph, Model, Op, Tensor
from pocketgraph.models.sparsity import encode
from pocketgraph.runtime.bench.arithmetic import work_of
from pocketgraph.runtime.bench.thinning import mask, pointwise_weights, thinned, zeros


def test_the_smallest_weights_go() -> None:
    weights = np.array([[1, -5, 3], [-2, 6, 4]], np.float32)
    np.testing.assert_array_equal(mask(weights, 0.5, 1), [[False, True, False], [False, True, True]])


def test_blocks_of_four_channels_go_together_by_their_norm() -> None:
    weights = np.ones((6, 2), np.float32)
    weights[:4, 0] = [4, 0, 0, 0]  # root mean square 2
    weights[4:, 1] = 3
    np.testing.assert_array_equal(mask(weights, 0.5, 4).astype(int), [[1, 0]] * 4 + [[0, 1]] * 2)


@pytest.mark.parametrize(("pattern", "block"), [("1x1", 1), ("4x1", 4)])
def test_every_pointwise_layer_but_the_first_gets_its_share(pattern: str, block: int) -> None:
    dense = mobilenet_v1(0.25, size=32)
    model = thinned(dense, 0.75, pattern)
    layers = pointwise_weights(model.main)
    assert len(layers) == 13
    for tensor in layers:
        array = tensor.dense()
        assert np.mean(array == 0) == pytest.approx(0.75, abs=0.01)
        blocks = array.reshape(array.shape[0] // block, block, -1) == 0
        assert (blocks.all(1) == blocks.any(1)).all()
    assert zeros(pointwise_weights(dense.main)) == 0
    others = [t for t in model.main.tensors() if t.data is not None and t not in layers]
    assert not any((t.dense() == 0).any() for t in others if t.dtype is DType.FLOAT32 and t.size > 1)


def test_half_floats_are_pruned_before_they_are_unpacked() -> None:
    x, mid, y = (Tensor(name, (1, 2, 2, 4)) for name in "xmy")
    w = Tensor("w", (4, 1, 1, 4))
    half = Tensor("h", (4, 1, 1, 4), DType.FLOAT16, np.arange(1, 17, dtype=np.float16).reshape(4, 1, 1, 4))
    ops = [
        Op("RELU", [x], [mid]),
        Op("DEQUANTIZE", [half], [w]),
        Op("CONV_2D", [mid, w, None], [y], {"padding": "SAME"}),
    ]
    model = thinned(Model([Graph("main", [x], [y], ops)]), 0.5)
    (weight,) = pointwise_weights(model.main)
    assert weight.dense().dtype == np.float16
    np.testing.assert_array_equal(weight.dense().reshape(-1) == 0, np.arange(16) < 8)
    assert half.dense().all()


def test_a_model_without_pointwise_layers_is_refused() -> None:
    x, y = Tensor("x", (1, 4)), Tensor("y", (1, 4))
    with pytest.raises(UsageError, match="no float 1x1 convolution"):
        thinned(Model([Graph("main", [x], [y], [Op("RELU", [x], [y])])]), 0.5)


def test_mobilenet_is_as_much_work_as_its_paper_says() -> None:
    work = work_of(mobilenet_v1())
    assert work.dense_flops / 2e6 == pytest.approx(569, rel=0.01)  # table 4: 569 million multiply-adds
    assert work.flops == pytest.approx(work.dense_flops)
    sparse = work_of(thinned(mobilenet_v1(), 0.9))
    assert sparse.dense_flops == work.dense_flops
    assert sparse.flops / work.flops == pytest.approx(0.15, abs=0.02)
    assert sparse.bytes < work.bytes


def test_a_fully_connected_layer_by_hand() -> None:
    x, y = Tensor("x", (2, 3)), Tensor("y", (2, 4))
    w = Tensor("w", (4, 3), data=np.array([[1, 0, 0]] * 4, np.float32))
    work = work_of(Model([Graph("main", [x], [y], [Op("FULLY_CONNECTED", [x, w, None], [y])])]))
    assert (work.dense_flops, work.flops, work.bytes) == (48, 16, 4 * (6 + 4 + 8))
    assert work.intensity == 16 / 72


def test_a_model_stored_sparse_is_unpacked_first() -> None:
    x, mid, y = (Tensor(name, (1, 2, 2, 4)) for name in "xmy")
    dense = np.eye(4, dtype=np.float32).reshape(4, 1, 1, 4)
    values, sparsity = encode(dense)
    stored = Tensor("s", (4, 1, 1, 4), data=values, sparsity=sparsity)
    w = Tensor("w", (4, 1, 1, 4))
    ops = [
        Op("RELU", [x], [mid]),
        Op("DENSIFY", [stored], [w]),
        Op("CONV_2D", [mid, w, None], [y], {"padding": "SAME"}),
    ]
    model = thinned(Model([Graph("main", [x], [y], ops)]), 0.875)
    assert [op.kind for op in model.main.ops] == ["RELU", "CONV_2D"]
    (weight,) = pointwise_weights(model.main)
    assert np.count_nonzero(weight.dense()) == 2
