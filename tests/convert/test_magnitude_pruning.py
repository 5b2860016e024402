"""Magnitude pruning while training: masks equal to tensorflow-model-optimization's, and zeros that stay zero."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketgraph.models.errors import UnsupportedError, UsageError

pytestmark = pytest.mark.train
ORACLE = Path(__file__).parents[1] / "oracles" / "tfmot_masks.py"
PEER = os.environ.get("POCKETGRAPH_TFMOT_PYTHON")

CASES: dict[str, dict[str, Any]] = {
    "weights": {
        "kernel": [6, 4],
        "steps": 6,
        "epochs": 3,
        "block": [1, 1],
        "initial": 0.2,
        "final": 0.75,
        "begin": 2,
        "end": 14,
        "frequency": 3,
        "rate": 0.5,
    },
    "weights that come back": {
        "kernel": [6, 4],
        "steps": 9,
        "epochs": 1,
        "block": [1, 1],
        "initial": 0.5,
        "final": 0.6,
        "begin": 0,
        "end": 8,
        "frequency": 2,
        "rate": 1.0,
    },
    "blocks": {
        "kernel": [6, 8],
        "steps": 5,
        "epochs": 2,
        "block": [2, 4],
        "initial": 0.3,
        "final": 0.7,
        "begin": 1,
        "end": 9,
        "frequency": 2,
        "rate": 0.5,
    },
}
# What tests/oracles/tfmot_masks.py printed (tensorflow-model-optimization 0.8.1): mask row by row, batches it held.
GOLDEN = {
    "weights": [
        ("111111111111111111111111", 1),
        ("111101111111110111101100", 3),
        ("100001101000110111101100", 3),
        ("100001101000100010001100", 3),
        ("100001101000100000001000", 8),
    ],
    "weights that come back": [
        ("111111111111111111111111", 1),
        ("100001101000110111101000", 2),
        ("100001101000110110101000", 4),
        ("100001101000100110101001", 2),
    ],
    "blocks": [
        ("111111111111111100000000000000001111111111111111", 2),
        ("111111111111111100000000000000000000111100001111", 2),
        ("111111111111111100000000000000000000000000000000", 6),
    ],
}


def _recipe(inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The kernel, batch and targets of the oracle script."""
    rng = np.random.default_rng(7)
    kernel = rng.integers(-512, 513, (inputs, outputs)) / 512
    x = rng.integers(-8, 9, (4, inputs)) / 8
    y = rng.integers(-8, 9, (4, outputs)) / 8
    return kernel.astype(np.float32), x.astype(np.float32), y.astype(np.float32)


def _masks_of(case: dict[str, Any]) -> list[str]:
    import keras
    import tensorflow as tf

    from pocketgraph.convert.train import MagnitudePruning

    kernel, x, y = _recipe(*case["kernel"])
    layer = keras.layers.Dense(case["kernel"][1], use_bias=False)
    model = keras.Sequential([keras.Input((case["kernel"][0],)), layer])
    layer.set_weights([kernel])
    model.compile(keras.optimizers.SGD(case["rate"]), "mse", jit_compile=False)
    pruning = MagnitudePruning(
        case["initial"],
        case["final"],
        case["begin"],
        case["end"],
        frequency=case["frequency"],
        block=tuple(case["block"]),
    )
    seen: list[str] = []

    class Record(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
            mask = pruning.masks[layer.kernel.path]
            assert not layer.kernel.numpy()[~mask].any()
            seen.append("".join(str(int(v)) for v in mask.ravel()))

    data = tf.data.Dataset.from_tensors((x, y)).repeat(case["steps"])
    model.fit(data, epochs=case["epochs"], shuffle=False, verbose=0, callbacks=[pruning, Record()])
    return seen


def _runs(masks: list[str]) -> list[tuple[str, int]]:
    return [(mask, len(list(group))) for mask, group in itertools.groupby(masks)]


@pytest.mark.parametrize("name", CASES)
def test_masks_equal_those_of_tfmot_at_every_batch(name: str) -> None:
    assert _runs(_masks_of(CASES[name])) == GOLDEN[name]


@pytest.mark.oracle
@pytest.mark.skipif(PEER is None, reason="POCKETGRAPH_TFMOT_PYTHON names no interpreter with tfmot and tf-keras")
@pytest.mark.parametrize("name", CASES)
def test_the_golden_masks_are_what_tfmot_makes(name: str) -> None:
    done = subprocess.run(
        [PEER or sys.executable, str(ORACLE), json.dumps(CASES[name])], capture_output=True, text=True, check=True
    )
    assert _runs(json.loads(done.stdout)) == GOLDEN[name]


def _convnet() -> Any:
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(8, 3, activation="relu", name="stem"),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.Conv2D(16, 1, activation="relu", name="point"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, name="head"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01, weight_decay=0.01), "mse", jit_compile=False)
    return model


def _zeros(model: Any, layer: str) -> float:
    return float(np.mean(model.get_layer(layer).kernel.numpy() == 0))


def test_the_last_blocks_are_smaller_where_blocks_do_not_divide_the_kernel() -> None:
    from pocketgraph.convert.train.kernels import Kernel
    from pocketgraph.convert.train.magnitude_pruning import magnitude_mask

    class Variable:
        shape = (3, 5)

    weights = np.array([[1, 1, 9, 9, 4], [1, 1, 9, 9, 4], [7, 7, 0, 0, 6]], np.float32)
    mask = magnitude_mask(Kernel("k", Variable(), 0.5), weights, np.float32(0.5), (2, 2))
    assert mask.astype(int).tolist() == [[0, 0, 1, 1, 0], [0, 0, 1, 1, 0], [1, 1, 0, 0, 1]]


def test_layers_named_by_a_glob_get_their_own_sparsity_and_depthwise_stays_dense() -> None:
    from pocketgraph.convert.train import MagnitudePruning

    model = _convnet()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 8, 8, 2)).astype(np.float32), rng.normal(size=(32, 3)).astype(np.float32)
    pruning = MagnitudePruning(0.0, 0.5, 1, 7, frequency=2, layers={"stem": 0, "po*": 0.75})
    model.fit(x, y, batch_size=4, verbose=0, callbacks=[pruning])
    assert _zeros(model, "stem") == _zeros(model, "depthwise") == 0
    assert _zeros(model, "point") == 0.75
    assert _zeros(model, "head") == 0.5


def test_resumed_training_has_the_masks_of_training_that_went_through(tmp_path: Path) -> None:
    import keras

    from pocketgraph.convert.train import MagnitudePruning

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 8, 8, 2)).astype(np.float32), rng.normal(size=(32, 3)).astype(np.float32)

    def pruning(state: Path) -> Any:
        return MagnitudePruning(0.0, 0.8, 2, 22, frequency=3, state=state)

    keras.utils.set_random_seed(1)
    through = _convnet()
    through.optimizer.build(through.trainable_variables)
    through.save(tmp_path / "start.keras")
    whole = pruning(tmp_path / "whole.npz")
    through.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0, callbacks=[whole])

    first = keras.models.load_model(tmp_path / "start.keras")
    first.fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0, callbacks=[pruning(tmp_path / "parts.npz")])
    first.save(tmp_path / "stopped.keras")
    second = keras.models.load_model(tmp_path / "stopped.keras")
    resumed = pruning(tmp_path / "parts.npz")
    second.fit(x, y, batch_size=4, epochs=3, initial_epoch=1, shuffle=False, verbose=0, callbacks=[resumed])

    assert resumed.step == whole.step == 24
    for ours, theirs in zip(resumed.masks.values(), whole.masks.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert 0.7 < 1 - ours.mean() < 0.9


def test_a_state_of_other_weights_is_refused(tmp_path: Path) -> None:
    from pocketgraph.convert.train import MagnitudePruning

    x, y = np.ones((8, 8, 8, 2), np.float32), np.ones((8, 3), np.float32)
    for message in (None, "are pruned which are not zero"):
        model = _convnet()
        pruning = MagnitudePruning(0.5, 0.8, 1, 22, state=tmp_path / "state.npz")
        if message is None:
            model.fit(x, y, batch_size=4, verbose=0, callbacks=[pruning])
        else:
            with pytest.raises(UsageError, match=message):
                model.fit(x, y, batch_size=4, verbose=0, callbacks=[pruning])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"final_sparsity": 1.0}, "final_sparsity is 1.0"),
        ({"begin_step": 9, "end_step": 9}, "steps 9 to 9"),
        ({"frequency": 0}, "frequency 0"),
        ({"layers": {"head": 2}}, "sparsity of 'head' is 2"),
    ],
)
def test_options_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    from pocketgraph.convert.train import MagnitudePruning

    options = {"initial_sparsity": 0.0, "final_sparsity": 0.8, "begin_step": 0, "end_step": 10, **change}
    with pytest.raises(UsageError, match=message):
        MagnitudePruning(**options)


def test_a_glob_without_match_and_a_model_without_kernels_are_refused() -> None:
    import keras

    from pocketgraph.convert.train.kernels import find_kernels

    with pytest.raises(UsageError, match=r"no layer matches 'nose'; the layers are: stem, point, head"):
        find_kernels(_convnet(), 0.5, {"nose": 0.1})
    with pytest.raises(UnsupportedError, match="no dense or convolution layer"):
        find_kernels(keras.Sequential([keras.Input((2,)), keras.layers.ReLU()]), 0.5, {})
