"""Prints, as JSON, the masks that tensorflow-model-optimization makes while a tf-keras twin trains.

Run by `tests/convert/test_magnitude_pruning.py` with an interpreter that has tensorflow-model-optimization and
tf-keras: `python tfmot_masks.py CASE`, where CASE is a JSON object: `kernel` (inputs, outputs), `steps` (batches of an
epoch), `epochs`, `block`, and the arguments of `PolynomialDecay`. Weights, inputs and targets come from the recipe in
`recipe`, which the test repeats.
"""

from __future__ import annotations

import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras import prune, pruning_callbacks, pruning_schedule


def recipe(inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kernel, one batch of inputs and its targets; every value is a short binary fraction."""
    rng = np.random.default_rng(7)
    kernel = rng.integers(-512, 513, (inputs, outputs)) / 512
    x = rng.integers(-8, 9, (4, inputs)) / 8
    y = rng.integers(-8, 9, (4, outputs)) / 8
    return kernel.astype(np.float32), x.astype(np.float32), y.astype(np.float32)


class Record(tf_keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.masks: list[str] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:  # noqa: ARG002
        _, mask, _ = self.model.layers[0].pruning_vars[0]
        self.masks.append("".join(str(int(v)) for v in mask.numpy().ravel()))


def main(case: dict) -> None:
    kernel, x, y = recipe(*case["kernel"])
    schedule = pruning_schedule.PolynomialDecay(
        case["initial"], case["final"], case["begin"], case["end"], power=3, frequency=case["frequency"]
    )
    dense = tf_keras.layers.Dense(case["kernel"][1], use_bias=False)
    wrapped = prune.prune_low_magnitude(dense, schedule, block_size=tuple(case["block"]))
    model = tf_keras.Sequential([tf_keras.Input((case["kernel"][0],)), wrapped])
    wrapped.set_weights([kernel, *wrapped.get_weights()[1:]])
    model.compile(tf_keras.optimizers.SGD(case["rate"]), "mse")
    record = Record()
    data = tf.data.Dataset.from_tensors((x, y)).repeat(case["steps"])
    model.fit(data, epochs=case["epochs"], verbose=0, callbacks=[pruning_callbacks.UpdatePruningStep(), record])
    json.dump(record.masks, sys.stdout)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
