"""Whole nets to ONNX and back: how many transposes stay, what the constants weigh, and that outputs agree.

Oracle: LiteRT on the source. Tolerance: 1e-4 of the range of the output.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: pip install 'pocketgraph[onnx]'")

from pocketgraph.models import zoo
from pocketgraph.models.architectures.mobilenet_v1 import mobilenet_v1
from pocketgraph.models.architectures.mobilenet_v2 import mobilenet_v2
from pocketgraph.models.architectures.mobilenet_v3 import mobilenet_v3_large
from pocketgraph.models.errors import UnsupportedError
from pocketgraph.models.graph import DType, Graph, Model, Op, Quantization, Tensor
from pocketgraph.models.keras_read import read_keras
from pocketgraph.models.onnx_read import read_onnx
from pocketgraph.models.onnx_write import write_onnx
from pocketgraph.models.sparsity import encode
from pocketgraph.models.tflite_read import read_tflite
from pocketgraph.runtime import load_model

WITH_CUSTOM_OPS = {"face_landmark_with_attention"}
# LiteRT's own two sets of kernels differ by 2e-4 on the mask of the first; ONNX Runtime's fused kernels are 2e-5 off on
# the logits of the second (2e-6 unfused, against float64), which reach 700 and go through a sigmoid
LOOSE = {"pose_landmark_full": 3e-4, "selfie_segmentation": 1e-3}
# transposes in the .onnx file: one at the input, one for each picture or list of boxes that leaves a picture
TRANSPOSES = {
    "face_detection_full_range_sparse": 2,
    "face_detection_short_range": 5,
    "palm_detection_full": 5,
    "palm_detection_lite": 5,
    "pose_detection": 7,
    "pose_landmark_full": 2,
}
NETS: dict[str, Callable[[], Model]] = {
    "MobileNetV1": lambda: mobilenet_v1(0.25, size=96),
    "MobileNetV1 with a convolution as head": lambda: mobilenet_v1(0.25, size=96, head="conv"),
    "MobileNetV2": lambda: mobilenet_v2(0.35, size=96),
    "MobileNetV3": lambda: mobilenet_v3_large(size=64),
}


def kinds(content: bytes) -> Counter[str]:
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    return Counter(node.op_type for node in model.graph.node)


def feeds(model: Model, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Smooth random pictures: noise would leave the outputs of trained nets at their floor."""
    random = np.random.default_rng(seed)
    result = {}
    for tensor in model.main.inputs:
        coarse = random.random((-(-tensor.shape[1] // 16), -(-tensor.shape[2] // 16), tensor.shape[3]))
        picture = coarse.repeat(16, 0).repeat(16, 1)[: tensor.shape[1], : tensor.shape[2]][None]
        whole = tensor.dtype is DType.UINT8
        result[tensor.name] = (picture * 255).astype(np.uint8) if whole else picture.astype(np.float32)
    return result


def distance(found: dict[str, Any], want: dict[str, Any]) -> float:
    """The largest error of any output as a fraction of that output's range (a score near zero has a range of 0.01)."""
    assert list(found) == list(want)
    worst = 0.0
    for name, value in want.items():
        assert found[name].shape == value.shape
        span = max(float(np.ptp(value)), float(np.abs(value).max()), 1e-2)
        worst = max(worst, float(np.abs(found[name] - value).max()) / span)
    return worst


def check(model: Model, source: Model | bytes, limit: float) -> bytes:
    """Write, run, read back, run; the .onnx bytes."""
    x = feeds(model)
    content = write_onnx(model)
    with load_model(source, "litert") as original, load_model(content, "onnxruntime") as exported:
        want = original.run(x)
        assert distance(exported.run(x), want) < limit
    back = read_onnx(content)
    back.validate()
    assert "TRANSPOSE" not in {op.kind for op in back.main.ops}
    with load_model(back, "litert") as returned:
        assert distance(returned.run(x), want) < limit
    return content


@pytest.mark.parametrize("name", NETS)
def test_built_nets_have_one_transpose_and_lose_it_on_the_way_back(name: str) -> None:
    model = NETS[name]()
    content = check(model, model, 1e-4)
    assert kinds(content)["Transpose"] == 1


@pytest.mark.zoo
@pytest.mark.parametrize("name", [name for name in zoo.names() if name not in WITH_CUSTOM_OPS])
def test_zoo_nets(name: str) -> None:
    model = zoo.load(name)
    path = zoo.fetch(name)
    content = check(model, path.read_bytes() if path.suffix == ".tflite" else model, LOOSE.get(name, 1e-4))
    assert kinds(content)["Transpose"] == TRANSPOSES.get(name, 1)
    if path.suffix == ".tflite" and not any(op.kind == "DENSIFY" for op in model.main.ops):
        assert len(content) < 1.1 * path.stat().st_size


@pytest.mark.zoo
def test_custom_operators_are_named() -> None:
    with pytest.raises(UnsupportedError, match="Landmarks2TransformMatrix"):
        write_onnx(zoo.load("face_landmark_with_attention"))


@pytest.mark.data
def test_quantised_nets_are_pairs_of_quantize_and_dequantize(shared_data: Path) -> None:
    """Oracle: LiteRT; a fixed-point net may round a score to the next step."""
    path = shared_data / "weights" / "mobilenet_quant_coral" / "mobilenet_v2_1.0_224_quant.tflite"
    model = read_tflite(path)
    content = write_onnx(model)
    assert kinds(content)["Transpose"] == 1
    assert len(content) < 1.1 * path.stat().st_size
    x = feeds(model)
    with load_model(path, "litert") as original, load_model(content, "onnxruntime") as exported:
        want, found = original(*x.values()), exported(*x.values())
    assert isinstance(want, np.ndarray)
    assert isinstance(found, np.ndarray)
    assert np.abs(want.astype(int) - found.astype(int)).max() <= 1


def convolution(weights: Tensor, x: Tensor, bias: Tensor, y: Tensor) -> Op:
    return Op("CONV_2D", [x, weights, bias], [y], {"padding": "SAME", "stride_w": 1, "stride_h": 1})


def test_quantised_per_channel() -> None:
    """Oracle: LiteRT on int8, one step."""
    random = np.random.default_rng(2)
    steps = np.linspace(0.01, 0.03, 6, dtype=np.float32)

    def q(scale: Any, point: int, axis: int = 0) -> Quantization:
        return Quantization(np.atleast_1d(np.float32(scale)), np.full(np.size(scale), point, np.int64), axis)

    x = Tensor("x", (1, 8, 8, 4), DType.INT8, quantization=q(0.05, -3))
    y = Tensor("y", (1, 8, 8, 6), DType.INT8, quantization=q(0.1, 5))
    weights = Tensor(
        "w", (6, 3, 3, 4), DType.INT8, random.integers(-127, 128, (6, 3, 3, 4)).astype(np.int8), None, q(steps, 0)
    )
    bias = Tensor(
        "b", (6,), DType.INT32, np.arange(-300, 300, 100, dtype=np.int32), None, q(steps * np.float32(0.05), 0)
    )
    model = Model([Graph("main", [x], [y], [convolution(weights, x, bias, y)])])
    content = write_onnx(model)
    assert kinds(content)["QuantizeLinear"] == 1
    pixels = random.integers(-128, 128, x.shape).astype(np.int8)
    with load_model(model, "litert") as original, load_model(content, "onnxruntime") as exported:
        want, found = original(pixels), exported(pixels)
    assert isinstance(want, np.ndarray)
    assert isinstance(found, np.ndarray)
    assert len(np.unique(want)) > 100
    assert np.abs(want.astype(int) - found.astype(int)).max() <= 1


def pruned(zeros: float, dtype: type[np.generic]) -> tuple[Model, np.ndarray[Any, Any]]:
    """A sparse 1x1 convolution as TFLite stores it, and its dense weights."""
    random = np.random.default_rng(3)
    dense = (random.standard_normal((64, 1, 1, 32)) * (random.random((64, 1, 1, 32)) >= zeros)).astype(dtype)
    values, sparsity = encode(dense)
    x, y = Tensor("x", (1, 4, 4, 32)), Tensor("y", (1, 4, 4, 64))
    packed = Tensor("packed", dense.shape, DType.of(dense), values, sparsity=sparsity)
    unpacked, full = Tensor("unpacked", dense.shape, DType.of(dense)), Tensor("full", dense.shape)
    ops = [Op("DENSIFY", [packed], [unpacked])]
    if dtype is np.float16:
        ops.append(Op("DEQUANTIZE", [unpacked], [full]))
    else:
        full = unpacked
    bias = Tensor("b", (64,), data=np.ones(64, np.float32))
    return Model([Graph("main", [x], [y], [*ops, convolution(full, x, bias, y)])]), dense


@pytest.mark.parametrize(
    ("zeros", "dtype", "stored"), [(0.9, np.float32, 1), (0.5, np.float32, 0), (0.9, np.float16, 1)]
)
def test_mostly_zero_weights_can_stay_sparse(zeros: float, dtype: type[np.generic], stored: int) -> None:
    model, dense = pruned(zeros, dtype)
    content = write_onnx(model, sparse=True)
    kept = onnx.load_from_string(content).graph.sparse_initializer
    assert len(kept) == stored
    assert len(content) < len(write_onnx(model)) or not stored
    x = feeds(model)
    with load_model(model, "litert") as original, load_model(content, "onnxruntime") as exported:
        np.testing.assert_allclose(exported.run(x)["y"], original.run(x)["y"], rtol=1e-5, atol=1e-5)
    weights = read_onnx(content).main.ops[0].input(1)
    np.testing.assert_array_equal(weights.dense(), dense.astype(np.float32))


def test_half_precision_weights_stay_half_as_large() -> None:
    weights = Tensor("w", (64, 1, 1, 64), DType.FLOAT16, np.ones((64, 1, 1, 64), np.float16))
    full, x, y = Tensor("full", weights.shape), Tensor("x", (1, 4, 4, 64)), Tensor("y", (1, 4, 4, 64))
    bias = Tensor("b", (64,), data=np.zeros(64, np.float32))
    model = Model([Graph("main", [x], [y], [Op("DEQUANTIZE", [weights], [full]), convolution(full, x, bias, y)])])
    content = write_onnx(model)
    assert kinds(content)["Cast"] == 1
    assert len(content) < 64 * 64 * 2 + 1000


def test_a_transposed_convolution_that_mediapipe_keeps_as_custom_op() -> None:
    """Oracle: LiteRT, which has the op too."""
    random = np.random.default_rng(4)
    x, y = Tensor("x", (1, 5, 4, 3)), Tensor("y", (1, 10, 8, 2))
    weights = Tensor("w", (2, 2, 2, 3), data=random.standard_normal((2, 2, 2, 3)).astype(np.float32))
    bias = Tensor("b", (2,), data=np.float32([1, -1]))
    options = np.array([1, 2, 2], "<i4").tobytes()
    op = Op("CUSTOM", [x, weights, bias], [y], custom_code="Convolution2DTransposeBias", custom_options=options)
    model = Model([Graph("main", [x], [y], [op])])
    picture = random.standard_normal(x.shape).astype(np.float32)
    with load_model(model, "litert") as original, load_model(write_onnx(model), "onnxruntime") as exported:
        np.testing.assert_allclose(exported(picture), original(picture), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("pads", "same"), [(((2, 4), (2, 3)), True), (((3, 5), (0, 5)), False)])
def test_atrous_convolutions_become_dilated_ones(pads: tuple[tuple[int, int], ...], same: bool) -> None:
    """As TensorFlow writes them: space to batch, convolution, batch to space. Oracle: LiteRT on the three ops."""
    random = np.random.default_rng(6)
    sides = [size + sum(pair) for size, pair in zip((8, 7), pads, strict=True)]
    height, width = (side // 2 for side in sides)
    crops = ((0, 2), (0, 1)) if same else ((1, 1), (0, 0))
    joined = (1, *(2 * (half - 2) - sum(crop) for half, crop in zip((height, width), crops, strict=True)), 5)
    x, cut = Tensor("x", (1, 8, 7, 4)), Tensor("cut", (4, height, width, 4))
    inner, y = Tensor("inner", (4, height - 2, width - 2, 5)), Tensor("y", joined)
    weights = Tensor("w", (5, 3, 3, 4), data=random.standard_normal((5, 3, 3, 4)).astype(np.float32))
    bias = Tensor("b", (5,), data=np.ones(5, np.float32))

    def ints(name: str, values: Any) -> Tensor:
        array = np.asarray(values, np.int32)
        return Tensor(name, array.shape, DType.INT32, array)

    ops = [
        Op("SPACE_TO_BATCH_ND", [x, ints("block", (2, 2)), ints("pads", pads)], [cut]),
        Op("CONV_2D", [cut, weights, bias], [inner], {"padding": "VALID", "stride_w": 1, "stride_h": 1}),
        Op("BATCH_TO_SPACE_ND", [inner, ints("block", (2, 2)), ints("crops", crops)], [y]),
    ]
    model = Model([Graph("main", [x], [y], ops)])
    content = write_onnx(model)
    assert kinds(content) == Counter(Transpose=2, Conv=1, Pad=0 if same else 1) - Counter()
    picture = random.standard_normal(x.shape).astype(np.float32)
    with load_model(model, "litert") as original, load_model(content, "onnxruntime") as exported:
        np.testing.assert_allclose(exported(picture), original(picture), rtol=1e-4, atol=1e-5)


def test_names_and_order_of_inputs_and_outputs_stay() -> None:
    """Also where an output is an input, or is read by other ops, or is there twice under one tensor."""
    a, b = Tensor("a", (1, 2, 2, 3)), Tensor("b", (1, 2, 2, 3))
    total, shown = Tensor("total", a.shape), Tensor("shown", a.shape)
    ops = [Op("ADD", [a, b], [total]), Op("RELU", [total], [shown])]
    model = Model([Graph("main", [b, a], [shown, total], ops)])
    for graph in (model.main, read_onnx(write_onnx(model)).main):
        assert [t.name for t in graph.inputs] == ["b", "a"]
        assert [t.name for t in graph.outputs] == ["shown", "total"]


@pytest.mark.train
@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small"])
def test_keras_nets(name: str, tmp_path: Path) -> None:
    """Nets of keras.applications through TensorFlow's converter; oracle LiteRT."""
    keras = pytest.importorskip("keras", reason="Keras is not installed: pip install 'pocketgraph[train]'")
    keras.utils.set_random_seed(1)
    getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=10).save(tmp_path / "net.keras")
    model = read_keras(tmp_path / "net.keras")
    assert kinds(check(model, model, 1e-4))["Transpose"] == 1
