"""RigL: every rule of the paper that a user relies on, and that masks survive a restart."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketgraph.convert.prune.masks import block_fill
from pocketgraph.models.errors import UsageError

pytestmark = pytest.mark.train


def test_the_weakest_go_and_as_many_grow_where_the_gradient_is_steepest() -> None:
    from pocketgraph.convert.train.regrow import move_connections

    weights = np.array([[5.0, -0.1, 3.0, 0.2, 0.0, 0.0, 0.0, 0.0]])
    mask = np.array([[1, 1, 1, 1, 0, 0, 0, 0]], bool)
    gradient = np.array([[9.0, 0.0, 9.0, 0.5, 0.1, -7.0, 0.3, 0.2]])
    after = move_connections(weights, mask, gradient, 0.5)
    # -0.1 and 0.2 are dropped; the steepest of the six free places are index 5 and, just dropped, index 3.
    assert after.astype(int).tolist() == [[1, 0, 1, 1, 0, 1, 0, 0]]


def test_blocks_of_output_channels_move_as_one() -> None:
    from pocketgraph.convert.train.regrow import move_connections

    rng = np.random.default_rng(0)
    mask = np.repeat(rng.random((4, 10)) < 0.3, 4, axis=0)
    after = move_connections(rng.normal(size=(16, 10)) * mask, mask, rng.normal(size=(16, 10)), 0.5, block=4)
    assert block_fill(after, 4) == 1
    assert after.sum() == mask.sum()
    assert (after != mask).any()


def test_the_drop_fraction_falls_along_a_cosine() -> None:
    from pocketgraph.convert.train.schedule import cosine_drop_fraction

    assert cosine_drop_fraction(0, 0.3, 100) == 0.3
    assert math.isclose(cosine_drop_fraction(50, 0.3, 100), 0.15)
    assert cosine_drop_fraction(100, 0.3, 100) == 0


def _model(optimizer: Any = None, *, jit: bool = False) -> Any:
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((16,)),
            layers.Dense(24, activation="relu", name="first"),
            layers.Dense(24, activation="relu", name="second"),
            layers.Dense(4, name="head"),
        ]
    )
    model.compile(optimizer or keras.optimizers.Adam(0.01, weight_decay=0.1), "mse", jit_compile=jit)
    return model


def _data(count: int = 64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 16)).astype(np.float32)
    return x, np.stack([x[:, i] * x[:, i + 1] for i in range(4)], axis=1)


@pytest.mark.parametrize("jit", [False, True])
def test_masks_move_until_the_end_fraction_and_their_counts_never_change(jit: bool) -> None:
    import keras

    from pocketgraph.convert.train import RigL

    model = _model(jit=jit)
    rigl = RigL(0.8, delta_t=3, end_fraction=0.5)
    history: list[dict[str, np.ndarray]] = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
            history.append(rigl.masks)
            for layer in model.layers[1:]:
                assert not layer.kernel.numpy()[~rigl.masks[layer.kernel.path]].any()

    x, y = _data()
    model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[rigl, Watch()])
    assert [path.split("/")[-2] for path in history[0]] == ["second", "head"]
    second = [masks[model.get_layer("second").kernel.path] for masks in history]
    assert {int(mask.sum()) for mask in second} == {round(24 * 24 * 0.2)}
    moved = [i for i in range(1, 24) if (second[i] != second[i - 1]).any()]
    assert moved == [3, 6, 9]
    assert (model.get_layer("first").kernel.numpy() != 0).all()


def test_a_step_that_moves_masks_updates_nothing_and_what_grows_has_no_momentum() -> None:
    import keras

    from pocketgraph.convert.train import RigL

    model = _model(keras.optimizers.SGD(0.05, momentum=0.9))
    rigl = RigL(0.7, delta_t=2, end_fraction=1.0)
    kernel = model.get_layer("second").kernel
    seen: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
            (momentum,) = [v for v in model.optimizer.variables if v.name.endswith("second_kernel_momentum")]
            bias = model.get_layer("second").bias
            seen.append((kernel.numpy(), rigl.masks[kernel.path], momentum.numpy(), bias.numpy()))

    x, y = _data(24)
    model.fit(x, y, batch_size=8, epochs=1, verbose=0, callbacks=[rigl, Watch()])
    (_, _, _, _), (before, old, momentum, bias), (after, new, reset, same_bias) = seen
    assert model.optimizer.iterations.numpy() == 2
    assert (new & ~old).any()
    np.testing.assert_array_equal(bias, same_bias)
    np.testing.assert_array_equal(after, before * (old & new))
    np.testing.assert_array_equal(reset, momentum * (old & new))
    assert momentum[old].any()
    assert not momentum[~old].any()


def test_erk_gives_small_layers_more_and_alpha_zero_is_the_fixed_random_mask() -> None:
    from pocketgraph.convert.train import RigL

    model = _model()
    rigl = RigL(0.8, distribution="erk", alpha=0, layers={"first": 0.5}, delta_t=1)
    x, y = _data()
    model.fit(x, y, batch_size=8, epochs=1, verbose=0, callbacks=[rigl])
    density = {path.split("/")[-2]: float(mask.mean()) for path, mask in rigl.masks.items()}
    assert density["first"] == 0.5
    assert density["head"] > 2 * density["second"]
    kept = density["second"] * 24 * 24 + density["head"] * 24 * 4
    assert abs(kept - 0.2 * (24 * 24 + 24 * 4)) <= 2
    first = rigl.masks
    again = RigL(0.8, distribution="erk", alpha=0, layers={"first": 0.5})
    fresh = _model()
    fresh.fit(x, y, batch_size=8, epochs=1, verbose=0, callbacks=[again])
    for ours, theirs in zip(again.masks.values(), first.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_resumed_training_equals_training_that_went_through(tmp_path: Path) -> None:
    import keras

    from pocketgraph.convert.train import RigL

    x, y = _data()

    def rigl(state: str) -> RigL:
        return RigL(0.8, delta_t=3, total_steps=24, state=tmp_path / state)

    start = _model()
    start.optimizer.build(start.trainable_variables)
    start.save(tmp_path / "start.keras")
    through, whole = keras.models.load_model(tmp_path / "start.keras"), rigl("whole.npz")
    through.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0, callbacks=[whole])
    first = keras.models.load_model(tmp_path / "start.keras")
    first.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0, callbacks=[rigl("parts.npz")])
    first.save(tmp_path / "stopped.keras")
    second, resumed = keras.models.load_model(tmp_path / "stopped.keras"), rigl("parts.npz")
    second.fit(x, y, batch_size=8, epochs=3, initial_epoch=1, shuffle=False, verbose=0, callbacks=[resumed])
    assert resumed.step == whole.step == 24
    for ours, theirs in zip(resumed.masks.values(), whole.masks.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(second.get_weights(), through.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    plain = second.fit(x, y, batch_size=8, epochs=1, verbose=0)
    assert np.isfinite(plain.history["loss"]).all()


def test_options_out_of_range_and_unknown_lengths_are_refused() -> None:
    import keras

    from pocketgraph.convert.train import RigL

    for options, message in [
        ({"sparsity": 1.0}, "sparsity is 1.0"),
        ({"sparsity": 0.5, "distribution": "global"}, "choose uniform or erk"),
        ({"sparsity": 0.5, "delta_t": 0}, "delta_t 0"),
        ({"sparsity": 0.5, "alpha": 2}, "alpha 2"),
    ]:
        with pytest.raises(UsageError, match=message):
            RigL(**options)
    model = _model()
    model.compile("sgd", "mse", steps_per_execution=4)
    x, y = _data()
    with pytest.raises(UsageError, match="steps_per_execution=1"):
        model.fit(x, y, verbose=0, callbacks=[RigL(0.5)])
    with pytest.raises(UsageError, match="total_steps"):
        _ = _unfit(RigL(0.5), keras).end_step


def _unfit(rigl: Any, keras: Any) -> Any:
    """The callback as it is where `fit` does not know how many batches an epoch has."""
    callbacks = keras.callbacks.CallbackList([rigl], model=_model(), epochs=2, steps=None)
    assert callbacks.callbacks[0] is rigl
    return rigl
