"""TensorFlow.js layers models of the MobileNetV1 kind come out folded and equal; others are refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pocketgraph.models.errors import FormatError, PocketgraphError, UnsupportedError
from pocketgraph.models.files import read_model
from pocketgraph.runtime import load_model

Layers = list[dict[str, Any]]
RANDOM = np.random.default_rng(0)
CONV = {"strides": [2, 2], "padding": "valid", "use_bias": False, "activation": "linear"}
SAME = {"strides": [1, 1], "padding": "same", "use_bias": False, "activation": "linear"}
LAYERS: Layers = [
    {"class_name": "InputLayer", "config": {"name": "in", "batch_input_shape": [None, 6, 6, 3]}},
    {"class_name": "ZeroPadding2D", "config": {"name": "pad", "padding": [[0, 1], [0, 1]]}},
    {"class_name": "Conv2D", "config": {"name": "stem", **CONV}},
    {"class_name": "BatchNormalization", "config": {"name": "stem_bn", "epsilon": 0.001}},
    {"class_name": "ReLU", "config": {"name": "stem_relu", "max_value": 6.0}},
    {"class_name": "DepthwiseConv2D", "config": {"name": "dw", **SAME}},
    {"class_name": "BatchNormalization", "config": {"name": "dw_bn", "epsilon": 0.001}},
    {"class_name": "Activation", "config": {"name": "dw_relu", "activation": "relu"}},
    {"class_name": "GlobalAveragePooling2D", "config": {"name": "pool"}},
    {"class_name": "Reshape", "config": {"name": "square", "target_shape": [1, 1, 4]}},
    {"class_name": "Dropout", "config": {"name": "drop", "rate": 0.5}},
    {"class_name": "Conv2D", "config": {"name": "head", **SAME, "use_bias": True}},
    {"class_name": "Activation", "config": {"name": "soft", "activation": "softmax"}},
    {"class_name": "Reshape", "config": {"name": "out", "target_shape": [5]}},
]
WEIGHTS = {
    "stem/kernel": RANDOM.uniform(-1, 1, (3, 3, 3, 4)),
    **{f"stem_bn/{part}": RANDOM.uniform(0.5, 2, 4) for part in ("gamma", "beta", "moving_mean", "moving_variance")},
    "dw/depthwise_kernel": RANDOM.uniform(-1, 1, (3, 3, 4, 1)),
    **{f"dw_bn/{part}": RANDOM.uniform(0.5, 2, 4) for part in ("gamma", "beta", "moving_mean", "moving_variance")},
    "head/kernel": RANDOM.uniform(-1, 1, (1, 1, 4, 5)),
    "head/bias": RANDOM.uniform(-1, 1, 5),
}


def _document(layers: Layers = LAYERS) -> dict[str, Any]:
    """A model.json whose layers form a chain; all weights in one group of two shards."""
    chained = []
    for before, layer in zip([None, *layers], layers, strict=False):
        inbound = [[[before["config"]["name"], 0, 0, {}]]] if before else []
        chained.append({**layer, "inbound_nodes": inbound})
    weights = [{"name": n, "shape": list(w.shape), "dtype": "float32"} for n, w in WEIGHTS.items()]
    return {
        "modelTopology": {"model_config": {"class_name": "Model", "config": {"layers": chained}}},
        "weightsManifest": [{"paths": ["a.bin", "b.bin"], "weights": weights}],
    }


def _write(folder: Path, document: Any) -> Path:
    data = b"".join(w.astype("<f4").tobytes() for w in WEIGHTS.values())
    (folder / "a.bin").write_bytes(data[:101])
    (folder / "b.bin").write_bytes(data[101:])
    (folder / "model.json").write_text(json.dumps(document))
    return folder / "model.json"


def _norm(values: np.ndarray, name: str) -> np.ndarray:
    gamma, beta, mean, variance = (
        WEIGHTS[f"{name}/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    return (values - mean) / np.sqrt(variance + 1e-3) * gamma + beta


def _expected(picture: np.ndarray) -> np.ndarray:
    """The layers one by one in float64."""

    def windows(x: np.ndarray, before: int) -> np.ndarray:
        return np.lib.stride_tricks.sliding_window_view(np.pad(x, ((before, 1), (before, 1), (0, 0))), (3, 3), (0, 1))

    x = np.einsum("yxcij,ijco->yxo", windows(picture, 0)[::2, ::2], WEIGHTS["stem/kernel"])
    x = np.clip(_norm(x, "stem_bn"), 0, 6)
    x = np.einsum("yxcij,ijc->yxc", windows(x, 1), WEIGHTS["dw/depthwise_kernel"][..., 0])
    x = np.maximum(_norm(x, "dw_bn"), 0).mean((0, 1))
    logits = x @ WEIGHTS["head/kernel"][0, 0] + WEIGHTS["head/bias"]
    return np.exp(logits) / np.exp(logits).sum()


def test_a_chain_computes_what_its_layers_say_with_batch_norm_folded(tmp_path: Path) -> None:
    """Oracle: each layer in NumPy, float64; tolerance 1e-5."""
    model = read_model(_write(tmp_path, _document()))
    model.validate()
    assert [op.kind for op in model.main.ops] == [
        "PAD", "CONV_2D", "DEPTHWISE_CONV_2D", "MEAN", "RESHAPE", "CONV_2D", "SOFTMAX", "RESHAPE",
    ]  # fmt: skip
    picture = RANDOM.uniform(-1, 1, (6, 6, 3))
    with load_model(model, "litert") as runnable:
        found = runnable(picture[None].astype(np.float32))
    np.testing.assert_allclose(found[0], _expected(picture), atol=1e-5)


def test_an_activation_without_a_convolution_before_it_stands_alone(tmp_path: Path) -> None:
    layers = [*LAYERS[:2], {"class_name": "Activation", "config": {"name": "relu", "activation": "relu6"}}]
    assert [op.kind for op in read_model(_write(tmp_path, _document(layers))).main.ops] == ["PAD", "RELU6"]


def _layer(which: str, /, **changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        for layer in document["modelTopology"]["model_config"]["config"]["layers"]:
            if layer["config"]["name"] == which:
                layer["config"].update(changes)

    return change


def _kind(document: dict[str, Any]) -> None:
    document["modelTopology"]["model_config"]["config"]["layers"][7]["class_name"] = "LSTM"


def _branch(document: dict[str, Any]) -> None:
    document["modelTopology"]["model_config"]["config"]["layers"][8]["inbound_nodes"] = [[["stem_relu", 0, 0, {}]]]


def _spec(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["weightsManifest"][0]["weights"][0].update({key: value})


def _paths(*paths: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["weightsManifest"][0].update(paths=list(paths))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (_kind, UnsupportedError, "'dw_relu' is a LSTM"),
        (_branch, UnsupportedError, "reads 'stem_relu', not the layer before"),
        (_layer("stem", dilation_rate=[2, 2]), UnsupportedError, "'stem': dilation"),
        (_layer("stem", activation=["relu"]), UnsupportedError, "a list of 1"),
        (_layer("stem", strides=[1, 2]), UnsupportedError, "unequal strides"),
        (_layer("stem", strides=[0, 0]), FormatError, "strides of layer 'stem'"),
        (_layer("stem", strides=[10**9, 10**9]), FormatError, "strides of layer 'stem'"),
        (_layer("dw", depth_multiplier=2), UnsupportedError, "multipliers"),
        (_layer("dw_relu", activation="tanh"), UnsupportedError, "'tanh'; expected linear, relu"),
        (_layer("pad", padding=[[0, -1], [0, 1]]), FormatError, "expected .*top, bottom"),
        (_layer("in", batch_input_shape=[None, None, None, 3]), FormatError, "shape of input 'in'"),
        (_layer("in", batch_input_shape=[None, 6, 6, 2]), FormatError, "stem: weights .* do not fit"),
        (_layer("square", target_shape=[1, 1, 5]), FormatError, "cannot reshape"),
        (_layer("stem_bn", epsilon="small"), FormatError, "epsilon 'small'"),
        (_layer("head", name="tail"), FormatError, "weight 'tail/kernel' of rank 4 is missing"),
        (_spec("dtype", "uint8"), UnsupportedError, "'stem/kernel' is stored as 'uint8'"),
        (_spec("quantization", {"dtype": "uint8"}), UnsupportedError, "quantised"),
        (_spec("shape", [3, 3, 3, 40000]), FormatError, "shards a.bin, b.bin hold .* bytes, expected"),
        (_spec("shape", [-1]), FormatError, "shape of weight 'stem/kernel'"),
        (_paths("../a.bin", "b.bin"), FormatError, "no plain file name"),
        (_paths("/etc/hostname"), FormatError, "no plain file name"),
        (_paths("gone.bin"), FormatError, "cannot read weight shard .*gone.bin"),
        (_paths("."), FormatError, "no plain file name"),
        (lambda document: document.pop("weightsManifest"), FormatError, "'weightsManifest' is missing"),
        (lambda document: document.update(modelTopology={"node": []}), UnsupportedError, "no layers model"),
    ],
)
def test_what_is_beyond_the_family_or_damaged_is_refused_by_name(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], error: type[PocketgraphError], message: str
) -> None:
    document = json.loads(json.dumps(_document()))
    change(document)
    with pytest.raises(error, match=message):
        read_model(_write(tmp_path, document))


@pytest.mark.parametrize("text", ["[]", "[" * 100_000, '{"modelTopology": 1}', "\ud800", "NaN"])
def test_json_of_another_kind_is_a_format_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(FormatError):
        read_model(tmp_path / "model.json")


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.integers(0, 10_000), value=JSON)
def test_any_value_in_any_place_gives_a_model_or_a_clear_error(tmp_path: Path, place: int, value: Any) -> None:
    document = json.loads(json.dumps(_document()))
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            collect(node[key])

    collect(document)
    node, key = places[place % len(places)]
    node[key] = value
    try:
        read_model(_write(tmp_path, document)).validate()
    except PocketgraphError:
        return
