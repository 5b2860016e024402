"""Export: what is written runs and agrees with the model; sizes; whole files or none."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pocketgraph.convert.explain import explain_model
from pocketgraph.convert.prune.calibration import Calibration
from pocketgraph.convert.targets import export, names
from pocketgraph.convert.xnnpack_examples import example
from pocketgraph.models.architectures.mobilenet_v1 import mobilenet_v1
from pocketgraph.models.architectures.mobilenet_v2 import mobilenet_v2
from pocketgraph.models.errors import MissingExtraError, UsageError
from pocketgraph.models.graph import Model
from pocketgraph.models.tflite_read import read_tflite
from pocketgraph.models.tflite_write import write_tflite
from pocketgraph.runtime import load_model

Array = npt.NDArray[Any]
PICTURE = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
needs_quantizer = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_quantizer") is None, reason="ai-edge-quantizer is not installed"
)


def run(model: Model | Path, delegate: Any = "litert") -> Array:
    with load_model(model, delegate) as runnable:
        result = runnable(PICTURE)
    assert isinstance(result, np.ndarray)
    return result


def error(got: Array, expected: Array) -> float:
    return float(np.abs(got - expected).max() / np.ptp(expected))


def pruned_everywhere(model: Model, share: float) -> Model:
    """Every 1x1 convolution and fully connected layer at `share` zeros, by magnitude."""
    for op in model.main.ops:
        if op.kind == "FULLY_CONNECTED" or (op.kind == "CONV_2D" and op.input(1).shape[1:3] == (1, 1)):
            weights = op.input(1).dense().copy()
            weights[np.abs(weights) <= np.quantile(np.abs(weights), share)] = 0
            op.input(1).data = weights
    return model


def test_targets_are_the_files_of_the_folder() -> None:
    assert names() == ["onnx", "tflite"]


@pytest.mark.parametrize(("dtype", "tolerance"), [("f32", 1e-6), ("f16", 5e-3)])
def test_tflite_runs_sparse_and_agrees(tmp_path: Path, dtype: str, tolerance: float) -> None:
    model = example("same_stem")
    path = tmp_path / "net.tflite"
    notes = export(model, path, dtype)
    assert error(run(path), run(model)) < tolerance
    assert explain_model(read_tflite(path)).runs_sparse
    assert "stored 3 weights sparse" in notes
    assert model.main.ops[0].kind == "CONV_2D"  # the model given is left as it was


@pytest.mark.parametrize(("dtype", "tolerance"), [("f32", 1e-5), ("f16", 5e-3)])
def test_onnx_agrees_in_onnx_runtime(tmp_path: Path, dtype: str, tolerance: float) -> None:
    pytest.importorskip("onnxruntime")
    model = example("same_stem")
    path = tmp_path / "net.onnx"
    export(model, path, dtype)
    assert error(run(path, "onnxruntime"), run(model)) < tolerance


def test_onnx_can_keep_zeros_out(tmp_path: Path) -> None:
    import onnx as library

    model, path = example(), tmp_path / "net.onnx"
    export(model, path, "f32", sparse_initializers=True)
    assert len(library.load(path).graph.sparse_initializer) == 3


def test_a_dense_model_is_written_as_it_is(tmp_path: Path) -> None:
    model = example("same_stem", sparsity=0.0)
    path = tmp_path / "net.tflite"
    assert export(model, path) == []
    assert path.read_bytes() == write_tflite(model)


def test_what_xnnpack_would_compute_wrongly_is_stored_densely(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    notes = export(example("pooled_gate"), path)
    assert notes[-1] == "weights are stored densely: XNNPACK would take this net for sparse and compute it wrongly"
    assert not explain_model(read_tflite(path)).dangers


@pytest.mark.parametrize("build", [mobilenet_v1, mobilenet_v2])
def test_sizes_of_a_mobilenet_at_80_percent(build: Callable[[], Model], tmp_path: Path) -> None:
    """At most 0.33 of the dense float32 file, 0.2 with half precision."""
    model = pruned_everywhere(build(), 0.8)
    dense = len(write_tflite(model))
    for dtype, most in (("f32", 0.33), ("f16", 0.2)):
        path = tmp_path / f"{dtype}.tflite"
        export(model, path, dtype)
        assert path.stat().st_size <= most * dense


@needs_quantizer
def test_int8_weights_without_calibration(tmp_path: Path) -> None:
    model, path = example(), tmp_path / "net.tflite"
    [note] = export(model, path, "int8")
    assert note == "quantised weights (activations stay float32) to int8; zeros stay zeros but are multiplied densely"
    assert error(run(path), run(model)) < 0.1


@needs_quantizer
def test_int8_with_calibration_quantises_activations_and_keeps_zeros(tmp_path: Path) -> None:
    model, path = example(), tmp_path / "net.tflite"
    pictures = np.random.default_rng(1).random((8, 64, 64, 3), np.float32)
    calibration = Calibration({"image": pictures}, [str(i) for i in range(len(pictures))])
    export(model, path, "int8", calibration)
    written = read_tflite(path)
    assert (written.main.inputs[0].shape, written.main.inputs[0].dtype.value) == ((1, 64, 64, 3), "float32")
    assert error(run(path), run(model)) < 0.1
    stored = next(op.input(1).dense() for op in written.main.ops if op.kind == "CONV_2D" and op.input(1).shape[0] == 64)
    assert stored.dtype == np.int8
    assert np.mean(stored == 0) >= 0.79


def test_int8_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pocketgraph\[int8\]'"):
        export(example(), tmp_path / "net.tflite", "int8")


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        ("net.bin", "f32", "use .onnx or .tflite"),
        ("net._int8", "f32", "use .onnx or .tflite"),
        ("net.tflite", "f8", "the weight type is 'f8'"),
        ("net.onnx", "int8", "int8 is for .tflite only"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, name: str, dtype: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export(example(), tmp_path / name, dtype)
    assert list(tmp_path.iterdir()) == []
