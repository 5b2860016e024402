"""Keras models and SavedModels become graphs of batch 1 that compute what Keras computes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketgraph.models.errors import FormatError, MissingExtraError, UnsupportedError
from pocketgraph.models.files import read_model
from pocketgraph.models.keras_read import read_keras
from pocketgraph.runtime import load_model

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture
def keras() -> Any:
    return pytest.importorskip("keras")


def _two_inputs(keras: Any) -> Any:
    """Inputs `wide` and `narrow`, in this order, outputs of 2 and 1 values."""
    wide, narrow = keras.Input((4,), name="wide"), keras.Input((3,), name="narrow")
    pair = keras.layers.Dense(2, name="pair")(keras.layers.Concatenate()([wide, narrow]))
    single = keras.layers.Dense(1, name="single")(pair)
    return keras.Model([wide, narrow], [pair, single])


def _values(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.uniform(-1, 1, shape).astype(np.float32) for shape in shapes]


@pytest.mark.train
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_several_inputs_and_outputs_keep_names_order_and_values(keras: Any, tmp_path: Path, suffix: str) -> None:
    """Oracle: Keras; tolerance 1e-6."""
    model = _two_inputs(keras)
    model.save(tmp_path / f"two{suffix}")
    graph = read_model(tmp_path / f"two{suffix}")
    assert [(t.name, t.shape) for t in graph.main.inputs] == [("wide", (1, 4)), ("narrow", (1, 3))]
    assert [(t.name, t.shape) for t in graph.main.outputs] == [("output_0", (1, 2)), ("output_1", (1, 1))]
    assert all(t.shape_signature in (None, t.shape) for t in graph.main.inputs)
    inputs = _values((1, 4), (1, 3))
    with load_model(graph, "litert") as ours:
        for found, expected in zip(ours(*inputs), model(inputs), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.train
def test_a_saved_model_is_read_by_its_serving_signature(keras: Any, tmp_path: Path) -> None:
    """Oracle: Keras; tolerance 1e-6."""
    model = _two_inputs(keras)
    model.export(tmp_path / "saved", verbose=False)
    graph = read_model(tmp_path / "saved")
    assert [t.name for t in graph.main.inputs] == ["narrow", "wide"], "a SavedModel keeps no order: by name"
    wide, narrow = _values((1, 4), (1, 3))
    with load_model(graph, "litert") as ours:
        found = ours.run({"wide": wide, "narrow": narrow})
    pair, single = model([wide, narrow])
    np.testing.assert_allclose(found["output_0"], pair, atol=1e-6)
    np.testing.assert_allclose(found["output_1"], single, atol=1e-6)


@pytest.mark.train
def test_a_dict_of_outputs_gives_their_names(keras: Any, tmp_path: Path) -> None:
    x = keras.Input((4,), name="x")
    model = keras.Model({"x": x}, {"mask": keras.layers.Dense(2)(x), "score": keras.layers.Dense(1)(x)})
    model.save(tmp_path / "named.keras")
    assert [(t.name, t.shape) for t in read_keras(tmp_path / "named.keras").main.outputs] == [
        ("mask", (1, 2)),
        ("score", (1, 1)),
    ]


@pytest.mark.train
def test_a_mobilenet_v3_comes_out_folded_and_equal(keras: Any, tmp_path: Path) -> None:
    """Oracle: Keras; tolerance 1e-4 of the output's range. Its batch norms get statistics as training leaves them."""
    keras.utils.set_random_seed(1)
    model = keras.applications.MobileNetV3Small(
        input_shape=(64, 64, 3), alpha=0.75, weights=None, classes=10, classifier_activation=None
    )
    random = np.random.default_rng(2)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([
                random.uniform(*ends, weight.shape)
                for ends, weight in zip([(0.5, 1.5), (-1, 1), (-1, 1), (0.5, 2)], layer.get_weights(), strict=True)
            ])  # fmt: skip
    model.save(tmp_path / "v3.keras")
    graph = read_keras(tmp_path / "v3.keras")
    kinds = [op.kind for op in graph.main.ops]
    assert not {"RSQRT", "SUB", "VAR_HANDLE"} & set(kinds), "batch norm is folded into constants"
    assert graph.main.inputs[0].shape == (1, 64, 64, 3)
    picture = random.uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    expected = np.asarray(model(picture, training=False))
    with load_model(graph, "litert") as ours:
        np.testing.assert_allclose(ours(picture), expected, atol=1e-4 * np.ptp(expected))


@pytest.mark.train
def test_nothing_is_said_on_stderr(keras: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(tmp_path / "d.keras")
    capfd.readouterr()
    read_keras(tmp_path / "d.keras")
    assert capfd.readouterr() == ("", "")


@pytest.mark.train
def test_open_shapes_beyond_the_batch_are_refused(keras: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((None, None, 3), name="picture"), keras.layers.Conv2D(2, 3)])
    model.save(tmp_path / "open.keras")
    with pytest.raises(UnsupportedError, match=r"'picture' .* has the shape \(None, None, None, 3\); only the batch"):
        read_keras(tmp_path / "open.keras")


@pytest.mark.train
def test_an_operation_without_a_tflite_operator_is_named(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    module = tf.Module()
    module.inverse = tf.function(tf.linalg.inv, input_signature=[tf.TensorSpec((None, 3, 3), name="x")])
    tf.saved_model.save(module, str(tmp_path / "inverse"), signatures=module.inverse)
    with pytest.raises(UnsupportedError, match="uses MatrixInverse, for which TFLite has no operator"):
        read_keras(tmp_path / "inverse")


@pytest.mark.train
def test_damaged_files_are_format_errors(keras: Any, tmp_path: Path) -> None:
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(tmp_path / "whole.keras")
    whole = (tmp_path / "whole.keras").read_bytes()
    for name, content in {
        "half.keras": whole[: len(whole) // 2],
        "not.keras": b"PK\x03\x04 and then nothing",
        "not.h5": b"\x89HDF\r\n\x1a\n and then nothing",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FormatError, match=f"Keras cannot load .*{name}"):
            read_model(tmp_path / name)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"nothing of the kind")
    with pytest.raises(FormatError, match="TensorFlow cannot load"):
        read_model(tmp_path / "saved")


@pytest.mark.train
def test_code_inside_a_keras_file_is_not_run(keras: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2)])
    model.save(tmp_path / "lambda.keras")
    with pytest.raises(FormatError, match="Keras cannot load"):
        read_keras(tmp_path / "lambda.keras")


def test_without_tensorflow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.keras").write_bytes(b"PK\x03\x04")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingExtraError, match=r"reading a Keras model needs .* pip install 'pocketgraph\[train\]'"):
        read_model(tmp_path / "a.keras")
