"""Running a model: NumPy in, NumPy out, and clear errors for what does not fit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pocketgraph.models.errors import FormatError, UsageError, ZooError
from pocketgraph.models.graph import Graph, Model, Op, Tensor
from pocketgraph.models.onnx_write import write_onnx
from pocketgraph.models.tflite_write import write_tflite
from pocketgraph.runtime import load_model


def two_inputs_two_outputs() -> Model:
    """total = a + b, and product = a * b, on [1, 2, 2, 3]."""
    a, b, total, product = (Tensor(name, (1, 2, 2, 3)) for name in ("a", "b", "total", "product"))
    ops = [Op("ADD", [a, b], [total]), Op("MUL", [a, b], [product])]
    return Model([Graph("main", [a, b], [total, product], ops)])


A = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
B = np.full((1, 2, 2, 3), 2, np.float32)


@pytest.mark.parametrize("delegate", ["litert", "onnxruntime"])
def test_positional_and_named_calls_agree(delegate: str) -> None:
    with load_model(two_inputs_two_outputs(), delegate) as model:
        assert [spec.name for spec in model.inputs] == ["a", "b"]
        assert [(spec.shape, spec.dtype) for spec in model.outputs] == [((1, 2, 2, 3), np.float32)] * 2
        total, product = model(A, B)
        named = model.run({"b": B, "a": A})
    np.testing.assert_array_equal(total, A + B)
    np.testing.assert_array_equal(product, A * B)
    np.testing.assert_array_equal(named["product"], product)


def test_results_are_fresh_arrays() -> None:
    with load_model(two_inputs_two_outputs()) as model:
        first = model.run({"a": A, "b": B})["total"]
        model.run({"a": A * 0, "b": B})
    np.testing.assert_array_equal(first, A + B)


@pytest.mark.parametrize(("write", "delegate"), [(write_tflite, "onnxruntime"), (write_onnx, "litert")])
def test_a_file_of_the_other_format_is_converted_on_the_way(tmp_path: Path, write, delegate: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(write(two_inputs_two_outputs()))
    with load_model(path, delegate) as model:
        np.testing.assert_array_equal(model.run({"a": A, "b": B})["total"], A + B)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"a": A}, "'b' .* is missing"),
        ({"a": A, "b": B, "c": B}, "no input named 'c'"),
        ({"a": A, "b": B[:, :1]}, r"'b' must be float32\[1, 2, 2, 3\], got float32\[1, 1, 2, 3\]"),
        ({"a": A, "b": B.astype(np.float64)}, "must be float32.*got float64"),
        ({"a": A, "b": B.tolist()}, "must be a NumPy array, got a list"),
    ],
)
def test_a_wrong_input_is_named(inputs: dict, message: str) -> None:
    with load_model(two_inputs_two_outputs()) as model, pytest.raises(UsageError, match=message):
        model.run(inputs)


def test_wrong_count_closed_model_and_bad_options() -> None:
    model = load_model(two_inputs_two_outputs())
    with pytest.raises(UsageError, match="takes 2 inputs"):
        model(A)
    model.close()
    model.close()
    with pytest.raises(UsageError, match="closed"):
        model(A, B)
    with pytest.raises(UsageError, match="threads"):
        load_model(two_inputs_two_outputs(), threads=0)
    with pytest.raises(UsageError, match="no delegate 'tpu'"):
        load_model(two_inputs_two_outputs(), delegate="tpu")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x00\x00\x00\x00TFL3", b"\xff" * 64])
@pytest.mark.parametrize("delegate", ["litert", "onnxruntime"])
def test_bytes_that_are_no_model_are_refused(content: bytes, delegate: str) -> None:
    with pytest.raises(FormatError):
        load_model(content, delegate)


@pytest.mark.parametrize("name", ["model.json", "net.keras", "folder"])
def test_a_format_that_no_engine_reads_is_sent_through_read_model(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=r"pocketgraph\.read_model"):
        load_model(tmp_path / name)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FormatError, match=r"nowhere\.tflite"):
        load_model("nowhere.tflite")


def test_one_model_serves_several_threads() -> None:
    with load_model(two_inputs_two_outputs(), "litert") as model, ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda i: model.run({"a": A * i, "b": B})["total"], range(200))
        for i, total in enumerate(results):
            np.testing.assert_array_equal(total, A * i + B)


def test_a_forced_instruction_set_that_there_is_not_is_refused_and_nothing_remembered(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("POCKETGRAPH_CACHE", str(tmp_path))
    monkeypatch.setenv("POCKETGRAPH_CPU", "abacus")
    with pytest.raises(UsageError, match="avx512, avx2, neon and portable"):
        load_model(two_inputs_two_outputs(), "auto")
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("threads", ["2", 1.5, None, 0])
def test_threads_are_a_whole_number(threads) -> None:
    with pytest.raises(UsageError, match="threads must be 1 to 1024, got"):
        load_model(two_inputs_two_outputs(), "litert", threads)


def test_a_name_that_is_no_file_is_looked_for_in_the_zoo() -> None:
    with pytest.raises(ZooError, match="pose_detection"):
        load_model("pose_detecton")
