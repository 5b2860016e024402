"""How constants are stored: sparse, half, quantised, and back; LiteRT reads every form and computes the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketgraph.convert.passes import Dequantize, Half, Sparsify, SplitFullyConnected
from pocketgraph.convert.xnnpack_examples import example
from pocketgraph.models.decompress import Decompress
from pocketgraph.models.errors import UnsupportedError
from pocketgraph.models.graph import DType, Graph, Model, Op, Quantization, Tensor
from pocketgraph.models.tflite_read import read_tflite
from pocketgraph.models.tflite_write import write_tflite
from pocketgraph.runtime import load_model

Array = npt.NDArray[Any]
PICTURE = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)


def run(model: Model, *inputs: Array) -> Array:
    with load_model(model, "litert") as runnable:
        result = runnable(*inputs)
    assert isinstance(result, np.ndarray)
    return result


def stored(model: Model) -> Model:
    """The model written to a file and read back."""
    return read_tflite(write_tflite(model))


def test_sparse_weights_give_the_same_outputs_and_come_back_bit_for_bit() -> None:
    dense = example()
    sparse = dense.copy()
    assert Sparsify()(sparse) == ["stored 3 weights sparse"]
    assert sum(op.kind == "DENSIFY" for op in sparse.main.ops) == 3
    np.testing.assert_array_equal(run(sparse, PICTURE), run(dense, PICTURE))
    back = stored(sparse)
    assert Decompress()(back) == ["stored 3 sparse constants densely"]
    before = {op.name: op.input(1).dense() for op in dense.main.ops if op.kind == "CONV_2D"}
    for op in back.main.ops:
        if op.kind == "CONV_2D":
            np.testing.assert_array_equal(op.input(1).dense(), before[op.name])


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 40), columns=st.integers(1, 700), share=st.floats(0.3, 1), seed=st.integers(0, 9))
def test_any_sparse_matrix_survives_the_file(rows: int, columns: int, share: float, seed: int) -> None:
    """Wide matrices are compressed along their rows, so that an index takes one byte."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((rows, columns)).astype(np.float32) * (rng.random((rows, columns)) >= share)
    x, y = Tensor("x", (1, columns)), Tensor("y", (1, rows))
    w, b = Tensor("w", weights.shape, data=weights), Tensor("b", (rows,), data=np.zeros(rows, np.float32))
    model = Model([Graph("main", [x], [y], [Op("FULLY_CONNECTED", [x, w, b], [y])])])
    Sparsify(threshold=0.0)(model)
    back = stored(model)
    Decompress()(back)
    np.testing.assert_array_equal(back.main.ops[0].input(1).dense(), weights)


def test_dense_weights_stay_dense() -> None:
    model = example(sparsity=0.2)
    assert not Sparsify().would_encode(model)
    assert Sparsify()(model) == []


def test_half_precision_rounds_weights_and_nothing_else() -> None:
    model = example()
    half = model.copy()
    Sparsify()(half)
    Half()(half)
    rounded = model.copy()
    for tensor in rounded.main.tensors():
        if tensor.data is not None and tensor.dtype is DType.FLOAT32 and tensor.size >= 16:
            tensor.data = tensor.data.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(run(half, PICTURE), run(rounded, PICTURE))
    readers = half.main.consumers()
    behind = [[op.kind for op in readers[op.outputs[0]]] for op in half.main.ops if op.kind == "DENSIFY"]
    assert behind == [["DEQUANTIZE"]] * 3
    assert len(write_tflite(half)) < 0.6 * len(write_tflite(model))


def test_weights_beyond_half_precision_stay_float32() -> None:
    model = example()
    conv = next(op for op in model.main.ops if op.kind == "CONV_2D")
    conv.input(1).data = conv.input(1).dense() * np.float32(1e6)
    Half()(model)
    assert conv.input(1).is_constant
    assert conv.input(1).dtype is DType.FLOAT32


def quantised(scale: float, zero: int) -> Quantization:
    return Quantization(np.array([scale], np.float32), np.array([zero], np.int64))


def integer_model(*, bias_scale: bool = True) -> Model:
    """uint8 picture -> 1x1 convolution whose range 0..6 stands in for a RELU6 -> uint8 result."""
    rng = np.random.default_rng(5)
    x = Tensor("x", (1, 4, 4, 3), DType.UINT8, quantization=quantised(1 / 128, 128))
    w = Tensor("w", (8, 1, 1, 3), DType.UINT8, rng.integers(0, 255, (8, 1, 1, 3)).astype(np.uint8))
    w.quantization = quantised(0.05, 120)
    b = Tensor("b", (8,), DType.INT32, rng.integers(-2000, 2000, 8).astype(np.int32))
    if bias_scale:
        b.quantization = quantised(0.05 / 128, 0)
    y = Tensor("y", (1, 4, 4, 8), DType.UINT8, quantization=quantised(6 / 255, 0))
    attrs = {"padding": "SAME", "stride_h": 1, "stride_w": 1}
    return Model([Graph("main", [x], [y], [Op("CONV_2D", [x, w, b], [y], attrs)])])


@pytest.mark.parametrize("bias_scale", [True, False])
def test_an_integer_model_becomes_the_float_model_it_stands_for(*, bias_scale: bool) -> None:
    """Equal to the integer model within one step of its output; a bias without a scale gets the implied one."""
    pixels = np.random.default_rng(1).integers(0, 256, (1, 4, 4, 3)).astype(np.uint8)
    expected = run(integer_model(), pixels).astype(np.float32) * np.float32(6 / 255)
    model = integer_model(bias_scale=bias_scale)
    notes = Dequantize()(model)
    model.validate()
    assert model.main.ops[0].attrs["fused_activation_function"] == "RELU6"
    assert notes[0] == "input 'x' takes real values -1..0.992188 (uint8 x gave 0.0078125 * x + -1)"
    got = run(model, (pixels.astype(np.float32) - 128) / np.float32(128))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1.01 * 6 / 255)
    assert expected.max() == pytest.approx(6)  # the range does clip here, or the activation would go untested


def test_quantise_and_dequantise_ops_go_and_outputs_keep_their_names() -> None:
    x, y = Tensor("x", (1, 4)), Tensor("y", (1, 4))
    q = Tensor("q", (1, 4), DType.INT8, quantization=quantised(0.1, 0))
    r = Tensor("r", (1, 4), DType.INT8, quantization=quantised(0.1, 0))
    ops = [Op("QUANTIZE", [x], [q]), Op("LOGISTIC", [q], [r]), Op("DEQUANTIZE", [r], [y])]
    model = Model([Graph("main", [x], [y], ops)])
    Dequantize()(model)
    model.validate()
    assert [op.kind for op in model.main.ops] == ["LOGISTIC"]
    assert (model.main.inputs[0].name, model.main.outputs[0].name) == ("x", "y")


def test_ops_that_read_stored_bits_are_refused() -> None:
    x = Tensor("x", (1, 4), DType.INT8, quantization=quantised(0.1, 0))
    y = Tensor("y", (1, 4), DType.INT32)
    model = Model([Graph("main", [x], [y], [Op("CAST", [x], [y])])])
    with pytest.raises(UnsupportedError, match="CAST 'y' works on quantised values"):
        Dequantize()(model)


def test_float_models_are_left_alone() -> None:
    model = example()
    assert Dequantize()(model) == []
    assert Decompress()(model) == []


@pytest.mark.data
def test_a_quantised_mobilenet_classifies_as_before(shared_data: Path) -> None:
    """Top-1 of the float twin agrees with LiteRT's integer run on 39 of 40 pictures or more."""
    import cv2

    from pocketgraph.models.preprocess import Preprocess

    path = shared_data / "weights" / "mobilenet_quant_coral" / "mobilenet_v2_1.0_224_quant.tflite"
    pictures = sorted((shared_data / "imagenet" / "images").glob("*.JPEG"))[::10]
    crop = Preprocess("crop", 1.0, 0.0, 0.875)
    model = read_tflite(path)
    Dequantize()(model)
    agreed = 0
    with load_model(path, "litert") as whole, load_model(model, "litert") as real:
        for picture in pictures:
            pixels = crop.resize(cv2.cvtColor(cv2.imread(str(picture)), cv2.COLOR_BGR2RGB), 224, 224)
            first, second = whole(pixels[None]), real((pixels[None].astype(np.float32) - 128) / np.float32(128))
            agreed += int(np.argmax(first) == np.argmax(second))
    assert agreed >= 0.97 * len(pictures)


def test_large_classifiers_are_split_for_one_byte_indices() -> None:
    """Equal bit for bit, and smaller by about a byte per weight that is left."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((600, 700)).astype(np.float32) * (rng.random((600, 700)) > 0.8)
    x, y = Tensor("x", (1, 700)), Tensor("y", (1, 600))
    w, b = Tensor("w", weights.shape, data=weights), Tensor("b", (600,), data=rng.random(600, np.float32))
    whole = Model([Graph("main", [x], [y], [Op("FULLY_CONNECTED", [x, w, b], [y])])])
    split = whole.copy()
    assert SplitFullyConnected()(split) == ["FULLY_CONNECTED 'y': split into 3, for one-byte indices"]
    values = rng.random((1, 700), np.float32)
    np.testing.assert_array_equal(run(split, values), run(whole, values))
    Sparsify()(whole)
    Sparsify()(split)
    saved = len(write_tflite(whole)) - len(write_tflite(split))
    assert saved > 0.9 * np.count_nonzero(weights)
