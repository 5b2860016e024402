"""Models rebuilt in TensorFlow: the same outputs as LiteRT, any batch, weights written back."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from pocketgraph.models import zoo
from pocketgraph.models.decompress import Decompress
from pocketgraph.models.errors import GraphError, UnsupportedError
from pocketgraph.models.graph import DType, Graph, Model, Op, Tensor
from pocketgraph.runtime import load_model
from pocketgraph.runtime.litert import CUSTOM_OPS

pytestmark = pytest.mark.train

RNG = np.random.default_rng(0)
X = (1, 6, 8, 4)


def _c(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def _i(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


# kind: (shapes of computed operands or constants, options, shape of the result, what tells it from its neighbour)
SAME2 = {"padding": "SAME", "stride_w": 2, "stride_h": 2}
VALID = {"padding": "VALID", "stride_w": 1, "stride_h": 1}
OPS: list[tuple[str, list[Any], dict[str, Any], tuple[int, ...]]] = [
    ("CONV_2D", [X, _c(5, 3, 3, 4), _c(5)], {**SAME2, "fused_activation_function": "RELU6"}, (1, 3, 4, 5)),
    ("CONV_2D", [X, _c(5, 3, 3, 4), _c(5)], {**VALID, "dilation_w_factor": 2, "dilation_h_factor": 2}, (1, 2, 4, 5)),
    ("DEPTHWISE_CONV_2D", [X, _c(1, 3, 3, 8), _c(8)], {**SAME2, "depth_multiplier": 2}, (1, 3, 4, 8)),
    ("TRANSPOSE_CONV", [_i(1, 12, 16, 3), _c(3, 2, 2, 4), X, _c(3)], SAME2, (1, 12, 16, 3)),
    ("FULLY_CONNECTED", [(1, 2, 6), _c(5, 12), _c(5)], {"fused_activation_function": "RELU"}, (1, 5)),
    ("FULLY_CONNECTED", [(1, 3, 4), _c(5, 4)], {"keep_num_dims": True}, (1, 3, 5)),
    ("PRELU", [X, _c(1, 1, 4)], {}, X),
    ("AVERAGE_POOL_2D", [X], {**SAME2, "filter_width": 3, "filter_height": 3}, (1, 3, 4, 4)),
    ("MAX_POOL_2D", [X], {**VALID, "filter_width": 3, "filter_height": 2}, (1, 5, 6, 4)),
    ("RESIZE_BILINEAR", [X, _i(12, 12)], {"half_pixel_centers": True}, (1, 12, 12, 4)),
    ("RESIZE_BILINEAR", [X, _i(11, 15)], {"align_corners": True}, (1, 11, 15, 4)),
    ("RESIZE_BILINEAR", [X, _i(12, 12)], {}, (1, 12, 12, 4)),
    ("RESIZE_NEAREST_NEIGHBOR", [X, _i(12, 16)], {"half_pixel_centers": True}, (1, 12, 16, 4)),
    ("MEAN", [X, _i(1, 2)], {"keep_dims": True}, (1, 1, 1, 4)),
    ("SUM", [X, _i(-1)], {}, (1, 6, 8)),
    ("REDUCE_MAX", [X, _i(1)], {}, (1, 8, 4)),
    ("REDUCE_MIN", [X, _i(1)], {}, (1, 8, 4)),
    ("ADD", [X, X], {"fused_activation_function": "RELU_N1_TO_1"}, X),
    ("SUB", [X, _c(4)], {"fused_activation_function": "RELU"}, X),
    ("MUL", [X, (1, 1, 1, 4)], {}, X),
    ("DIV", [X, _c(4) + 9], {}, X),
    ("MAXIMUM", [X, X], {}, X),
    ("MINIMUM", [X, X], {}, X),
    ("SQUARED_DIFFERENCE", [X, X], {}, X),
    ("RELU", [X], {}, X),
    ("RELU6", [X], {}, X),
    ("RELU_N1_TO_1", [X], {}, X),
    ("LEAKY_RELU", [X], {"alpha": 0.3}, X),
    ("ELU", [X], {}, X),
    ("GELU", [X], {"approximate": True}, X),
    ("HARD_SWISH", [X], {}, X),
    ("LOGISTIC", [X], {}, X),
    ("TANH", [X], {}, X),
    ("SOFTMAX", [(1, 9)], {"beta": 1.0}, (1, 9)),
    ("LOG_SOFTMAX", [(1, 9)], {}, (1, 9)),
    ("ABS", [X], {}, X),
    ("NEG", [X], {}, X),
    ("EXP", [X], {}, X),
    ("SQUARE", [X], {}, X),
    ("PAD", [X, np.array([[0, 0], [1, 2], [0, 1], [3, 0]], np.int32)], {}, (1, 9, 9, 7)),
    ("PADV2", [X, np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32), np.float32([2.5])], {}, (1, 9, 9, 4)),
    ("MIRROR_PAD", [X, np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32)], {"mode": "SYMMETRIC"}, (1, 9, 9, 4)),
    ("RESHAPE", [X, _i(1, -1)], {"new_shape": [1, -1]}, (1, 192)),
    ("SQUEEZE", [(1, 1, 1, 4)], {"squeeze_dims": [1, 2]}, (1, 4)),
    ("EXPAND_DIMS", [(1, 6, 4), _i(2)], {}, (1, 6, 1, 4)),
    ("TRANSPOSE", [X, _i(0, 3, 1, 2)], {}, (1, 4, 6, 8)),
    ("CONCATENATION", [X, _c(1, 6, 8, 2), X], {"axis": -1}, (1, 6, 8, 10)),
    ("PACK", [(1, 6), (1, 6)], {"axis": 2, "values_count": 2}, (1, 6, 2)),
    ("STRIDED_SLICE", [X, _i(0, 1, 7, 0), _i(1, 6, 0, 4), _i(1, 2, -2, 1)], {}, (1, 3, 4, 4)),
    ("STRIDED_SLICE", [X, _i(0, 2, 0, 0), _i(0, 3, 0, 0), _i(1, 1, 1, 1)],
     {"begin_mask": 13, "end_mask": 13, "shrink_axis_mask": 2}, (1, 8, 4)),
    ("SLICE", [X, _i(0, 1, 2, 0), _i(1, 3, -1, 2)], {}, (1, 3, 6, 2)),
    ("DEPTH_TO_SPACE", [X], {"block_size": 2}, (1, 12, 16, 1)),
    ("SPACE_TO_DEPTH", [X], {"block_size": 2}, (1, 3, 4, 16)),
]  # fmt: skip


def _model(kind: str, operands: list[Any], attrs: dict[str, Any], shape: tuple[int, ...], outputs: int = 1) -> Model:
    tensors = [
        Tensor(f"x{i}", v) if isinstance(v, tuple) else Tensor(f"c{i}", v.shape, DType.of(v), v)
        for i, v in enumerate(operands)
    ]
    results = [Tensor(f"y{i}", shape) for i in range(outputs)]
    return Model([Graph("main", [t for t in tensors if t.data is None], results, [Op(kind, tensors, results, attrs)])])


def _reference(model: Model, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """LiteRT's outputs, picture by picture."""
    with load_model(model, "litert") as runnable:
        rows = [runnable(*[x[i : i + 1] for x in inputs]) for i in range(len(inputs[0]))]
    rows = [row if isinstance(row, tuple) else (row,) for row in rows]
    return [np.concatenate(parts) for parts in zip(*rows, strict=True)]


def _assert_equals_litert(model: Model, batch: int = 3, tolerance: float = 1e-5) -> None:
    from pocketgraph.convert.train import Trainable

    rng = np.random.default_rng(1)
    trainable = Trainable(model)
    inputs = [rng.standard_normal((batch, *t.shape[1:])).astype(np.float32) for t in model.main.inputs]
    for found, wanted in zip(trainable(inputs), _reference(model, inputs), strict=True):
        assert tuple(found.shape) == wanted.shape
        np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=tolerance * max(1.0, np.ptp(wanted)))


@pytest.mark.parametrize("case", OPS, ids=[f"{i}-{case[0]}" for i, case in enumerate(OPS)])
def test_an_operator_computes_what_litert_computes(case: tuple[Any, ...]) -> None:
    model = _model(*case)
    _assert_equals_litert(model)


def test_an_operator_with_several_results() -> None:
    _assert_equals_litert(_model("SPLIT", [np.int32(3), X], {"num_splits": 2}, (1, 6, 8, 2), outputs=2))


def test_a_model_that_mixes_the_batch_axis_runs_picture_by_picture() -> None:
    from pocketgraph.convert.train import Trainable

    model = _model("TRANSPOSE", [(1, 3), _i(1, 0)], {}, (3, 1))
    trainable = Trainable(model)
    assert not trainable.free_batch
    x = _c(4, 3)
    (found,) = trainable(x)
    np.testing.assert_array_equal(found.numpy(), x.reshape(12, 1))


def _two_layers() -> Model:
    """A 1x1 convolution with ReLU6 and a fully connected layer."""
    x, hidden, flat, y = Tensor("x", X), Tensor("hidden", (1, 6, 8, 5)), Tensor("flat", (1, 240)), Tensor("y", (1, 3))
    weights = [_c(5, 1, 1, 4), _c(5), _i(1, 240), _c(3, 240), _c(3)]
    w, b, shape, v, c = (Tensor(f"c{i}", a.shape, DType.of(a), a) for i, a in enumerate(weights))
    ops = [
        Op("CONV_2D", [x, w, b], [hidden], {**VALID, "fused_activation_function": "RELU6"}),
        Op("RESHAPE", [hidden, shape], [flat], {"new_shape": [1, 240]}),
        Op("FULLY_CONNECTED", [flat, v, c], [y]),
    ]
    return Model([Graph("main", [x], [y], ops)])


def test_trained_weights_are_written_back_and_the_given_model_stays_as_it_is() -> None:
    from pocketgraph.convert.train import Trainable

    model = _two_layers()
    before = model.main.ops[0].input(1).dense().copy()
    trainable = Trainable(model)
    assert sorted(t.name for t in trainable.variables) == ["c0", "c1", "c3", "c4"]
    for variable in trainable.variables.values():
        variable.assign(variable * 0.5)
    trained = trainable.model()
    np.testing.assert_array_equal(trained.main.ops[0].input(1).dense(), before * np.float32(0.5))
    np.testing.assert_array_equal(model.main.ops[0].input(1).dense(), before)
    x = _c(2, *X[1:])
    np.testing.assert_allclose(trainable(x)[0].numpy(), _reference(trained, [x])[0], atol=1e-5)


def test_gradients_reach_every_weight_inside_a_traced_function() -> None:
    import tensorflow as tf

    from pocketgraph.convert.train import Trainable

    trainable = Trainable(_two_layers())
    variables = list(trainable.variables.values())

    @tf.function(autograph=False)
    def slopes(x: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(trainable(x)[0]))
        return tape.gradient(loss, variables)

    assert all(np.abs(slope.numpy()).max() > 0 for slope in slopes(_c(2, *X[1:])))


def test_what_cannot_be_trained_is_named() -> None:
    from pocketgraph.convert.train import Trainable

    with pytest.raises(UnsupportedError, match=r"no rule to train HASHTABLE_FIND \('y0'\)"):
        Trainable(_model("HASHTABLE_FIND", [X], {}, X))
    with pytest.raises(UnsupportedError, match="expected batch 1 in front"):
        Trainable(_model("RELU", [(2, 3)], {}, (2, 3)))
    half = _model("FULLY_CONNECTED", [(1, 4), _c(5, 4).astype(np.float16)], {}, (1, 5))
    with pytest.raises(UnsupportedError, match="run the pass Decompress first"):
        Trainable(half)
    broken = Trainable(_two_layers())
    next(iter(broken.variables.values())).assign(np.full((5, 1, 1, 4), np.nan, np.float32))
    with pytest.raises(GraphError, match="not finite"):
        broken.model()


@pytest.mark.zoo
@pytest.mark.parametrize("name", zoo.names())
def test_zoo_models_compute_what_litert_computes(name: str) -> None:
    """Oracle: LiteRT on two pictures of soft random colours, within 1e-4 of each output's range."""
    from pocketgraph.convert.train import Trainable

    model = zoo.load(name)
    Decompress()(model)
    if custom := {op.custom_code for op in model.main.ops} - {"", *CUSTOM_OPS}:
        with pytest.raises(UnsupportedError, match="no rule to train"):
            Trainable(model)
        pytest.skip(f"has custom operators: {', '.join(sorted(custom))}")
    trainable = Trainable(model)
    assert trainable.free_batch
    rng, (height, width) = np.random.default_rng(0), model.main.inputs[0].shape[1:3]
    x = np.stack([cv2.resize(rng.random((6, 6, 3), np.float32), (width, height)) for _ in range(2)])
    for found, wanted in zip(trainable(x), _reference(model, [x]), strict=True):
        span = max(float(np.ptp(wanted)), float(np.abs(wanted).max()), 1e-3)
        # One output amplifies rounding: LiteRT with and without XNNPACK differ by 7e-4 of its range there.
        tolerance = 1e-3 if (name, wanted.shape[1:]) == ("pose_landmark_full", (256, 256, 1)) else 1e-4
        assert np.abs(found.numpy() - wanted).max() <= tolerance * span
