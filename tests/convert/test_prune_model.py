"""`prune_model` on a small net: what is pruned, what is restored, what is left alone, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from pocketgraph.convert.prune.calibration import Calibration
from pocketgraph.convert.prune.config import PruneConfig
from pocketgraph.convert.prune.layers import prunable_layers
from pocketgraph.convert.prune.prune import prune_model
from pocketgraph.convert.prune.sensitivity import sensitivities
from pocketgraph.convert.prune.walk import Walk
from pocketgraph.models.errors import UnsupportedError, UsageError
from pocketgraph.models.graph import DType, Graph, Model, Op, Tensor
from pocketgraph.runtime import load_model

RNG_SEED = 0
RELU6 = {"stride_w": 1, "stride_h": 1, "padding": "SAME", "fused_activation_function": "RELU6"}
LINEAR = RELU6 | {"fused_activation_function": "NONE"}


def small_net() -> Model:
    """Stem 3x3, expand 1x1, depthwise 3x3, project 1x1 added to the stem's output, last 1x1, mean, head."""
    rng = np.random.default_rng(RNG_SEED)
    ops: list[Op] = []

    def constant(name: str, array: np.ndarray) -> Tensor:
        return Tensor(name, array.shape, DType.of(array), array)

    def layer(
        kind: str, name: str, x: Tensor, weight: tuple[int, ...], fan_in: int, shape: tuple[int, ...], **attrs
    ) -> Tensor:
        channels = shape[-1]
        w = (rng.normal(size=weight) * np.sqrt(2 / fan_in)).astype(np.float32)
        b = rng.normal(size=channels).astype(np.float32) * 0.3
        y = Tensor(name, shape)
        ops.append(Op(kind, [x, constant(f"{name}/w", w), constant(f"{name}/b", b)], [y], attrs))
        return y

    image = Tensor("image", (1, 10, 10, 3))
    x = layer("CONV_2D", "stem", image, (16, 3, 3, 3), 27, (1, 10, 10, 16), **RELU6)
    y = layer("CONV_2D", "expand", x, (48, 1, 1, 16), 16, (1, 10, 10, 48), **RELU6)
    y = layer("DEPTHWISE_CONV_2D", "depthwise", y, (1, 3, 3, 48), 9, (1, 10, 10, 48), **RELU6, depth_multiplier=1)
    y = layer("CONV_2D", "project", y, (16, 1, 1, 48), 48, (1, 10, 10, 16), **LINEAR)
    total = Tensor("sum", (1, 10, 10, 16))
    ops.append(Op("ADD", [x, y], [total], {"fused_activation_function": "NONE"}))
    z = layer("CONV_2D", "last", total, (64, 1, 1, 16), 16, (1, 10, 10, 64), **RELU6)
    mean = Tensor("mean", (1, 64))
    ops.append(Op("MEAN", [z, constant("axes", np.array([1, 2], np.int32))], [mean], {"keep_dims": False}))
    out = layer("FULLY_CONNECTED", "head", mean, (5, 64), 64, (1, 5))
    model = Model([Graph("main", [image], [out], ops)])
    model.validate()
    return model


def pictures(count: int, seed: int) -> np.ndarray:
    """Smooth random pictures: neighbouring pixels alike, so that inputs are correlated as they are in nature."""
    coarse = np.random.default_rng(seed).normal(size=(count, 5, 5, 3)).astype(np.float32)
    return coarse.repeat(2, axis=1).repeat(2, axis=2)


CALIBRATION = Calibration({"image": pictures(48, 1)}, [str(i) for i in range(48)])


def outputs(model: Model, seed: int = 2) -> np.ndarray:
    with load_model(model, "litert") as engine:
        return np.concatenate([engine(x[None]) for x in pictures(64, seed)])


def error(pruned: Model, dense: Model) -> float:
    """Squared error of the outputs over the dense outputs' variance, on pictures that pruning did not see."""
    wanted = outputs(dense)
    return float(((outputs(pruned) - wanted) ** 2).mean() / wanted.var(axis=0).mean())


def weights(model: Model) -> dict[str, np.ndarray]:
    return {op.name: op.input(1).dense() for op in model.main.ops if op.kind not in {"MEAN", "ADD"}}


def prune(config: PruneConfig, model: Model | None = None) -> Model:
    return prune_model(model or small_net(), config, CALIBRATION).model


METHODS = [(method, restored) for method in ("magnitude", "obc") for restored in (False, True)]


@pytest.mark.parametrize(("method", "restored"), METHODS)
@pytest.mark.parametrize("distribution", ["uniform", "erk", "global", "measured"])
def test_the_sparsity_is_what_was_asked_and_only_inner_1x1_layers_have_it(method, restored, distribution) -> None:
    config = PruneConfig(0.6, method=method, reestimate=restored, distribution=distribution)
    result = prune_model(small_net(), config, CALIBRATION)
    assert [layer.name for layer in result.layers] == ["expand", "project", "last"]
    assert result.sparsity == pytest.approx(0.6, abs=0.002)
    zeros = {name: np.mean(array == 0) for name, array in weights(result.model).items()}
    assert zeros["stem"] == zeros["depthwise"] == zeros["head"] == 0
    for layer in result.layers:
        assert layer.sparsity == zeros[layer.name]
        assert layer.error is not None
        assert 0 < layer.error < 1


def test_each_step_brings_outputs_closer_to_the_dense_models() -> None:
    dense = small_net()
    errors = {
        (method, restored): error(prune(PruneConfig(0.6, method=method, reestimate=restored)), dense)
        for method, restored in METHODS
    }
    assert errors["magnitude", True] < 0.7 * errors["magnitude", False]
    assert errors["obc", False] < 0.5 * errors["magnitude", False]
    assert errors["obc", True] < 0.5 * errors["magnitude", True]


def test_reestimation_restores_mean_and_variance_before_the_activation() -> None:
    """On the calibration inputs themselves, within 2 % (few samples draw the scale towards 1)."""
    dense, model = small_net(), prune(PruneConfig(0.5, method="magnitude"))
    for name in ("expand", "depthwise", "last"):
        found = []
        for net in (dense, model):
            op = next(op for op in net.main.ops if op.name == name)
            op.attrs["fused_activation_function"] = "NONE"
            part = Model([net.main.extract(op.outputs)])
            with load_model(part, "litert") as engine:
                y = np.concatenate([engine(x[None]) for x in CALIBRATION.inputs["image"]]).reshape(
                    -1, op.outputs[0].shape[-1]
                )
            found.append((y.mean(axis=0), y.std(axis=0)))
            op.attrs["fused_activation_function"] = "RELU6"
        (mean, spread), (mean_now, spread_now) = found
        np.testing.assert_allclose(spread_now, spread, rtol=0.02, err_msg=name)
        np.testing.assert_allclose(mean_now, mean, atol=0.02 * spread.mean(), err_msg=name)


def test_a_layer_makes_up_for_the_shortcut_it_is_added_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the stem pruned, the sum of shortcut and projection is nearer to the dense sum than with each on its own."""
    dense = small_net()

    def error_of_sum() -> float:
        model = prune(PruneConfig(0.0, {"stem": 0.7}, reestimate=False))
        values = []
        for net in (dense, model):
            tensor = next(t for t in net.main.tensors() if t.name == "sum")
            with load_model(Model([net.main.extract([tensor])]), "litert") as engine:
                values.append(np.concatenate([engine(x[None]) for x in pictures(32, 3)]))
        return float(((values[0] - values[1]) ** 2).sum())

    together = error_of_sum()
    monkeypatch.setattr(Walk, "_shortcut", lambda *_: [])
    assert together < 0.95 * error_of_sum()


def test_nothing_asked_changes_nothing() -> None:
    dense = small_net()
    np.testing.assert_allclose(outputs(prune(PruneConfig(0.0))), outputs(dense), atol=1e-3)


def test_the_model_given_stays_as_it_is() -> None:
    model = small_net()
    before = {name: array.copy() for name, array in weights(model).items()}
    biases = [op.input(2).dense().copy() for op in model.main.ops if len(op.inputs) > 2]
    prune(PruneConfig(0.5), model)
    for name, array in weights(model).items():
        np.testing.assert_array_equal(array, before[name])
    for now, then in zip([op.input(2).dense() for op in model.main.ops if len(op.inputs) > 2], biases, strict=True):
        np.testing.assert_array_equal(now, then)


def test_twice_gives_the_same() -> None:
    first, second = (weights(prune(PruneConfig(0.6))) for _ in range(2))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_overrides_name_layers_or_weights_and_the_last_wins() -> None:
    result = prune_model(
        small_net(), PruneConfig(0.5, {"*": 0.3, "e*": 0.9, "project/w": 0, "stem": 0.25}), CALIBRATION
    )
    found = {layer.name: round(layer.sparsity, 2) for layer in result.layers}
    assert found == {"stem": 0.25, "expand": 0.9, "last": 0.3, "head": 0.3}
    result = prune_model(small_net(), PruneConfig(0.5, {"head": 0.8}), CALIBRATION)
    found = {layer.name: round(layer.sparsity, 2) for layer in result.layers}
    assert found == {"expand": 0.5, "project": 0.5, "last": 0.5, "head": 0.8}


def test_a_glob_that_matches_nothing_names_the_layers() -> None:
    with pytest.raises(UsageError, match=r"'conv\*'.* stem, expand, project, last, head"):
        prune(PruneConfig(0.5, {"conv*": 0.3}))


@pytest.mark.parametrize("method", ["magnitude", "obc"])
@pytest.mark.parametrize("pattern", ["2x1", "4x1", "8x1"])
def test_blocks_of_output_channels_share_a_mask(method, pattern) -> None:
    result = prune_model(small_net(), PruneConfig(0.5, method=method, pattern=pattern), CALIBRATION)
    block = int(pattern[0])
    for layer in result.layers:
        matrix = weights(result.model)[layer.name].reshape(-1, block, layer.shape[-1]) != 0
        assert (matrix.all(axis=1) == matrix.any(axis=1)).all()
        assert layer.sparsity == pytest.approx(0.5, abs=block / matrix.size + 1e-9)


def test_reordering_helps_blocks_and_says_so() -> None:
    """Expansion rows made of two kinds that need different inputs, shuffled: in order, blocks lose nothing."""
    model = small_net()
    op = next(op for op in model.main.ops if op.name == "expand")
    kind = np.random.default_rng(0).permutation(48) % 2
    own = (np.arange(16) % 2 == kind[:, None])[:, None, None]
    op.input(1).data = np.where(own, op.input(1).dense(), 0.05 * op.input(1).dense()).astype(np.float32)
    config = PruneConfig(0.0, {"expand": 0.5}, pattern="8x1", method="magnitude", reestimate=False)
    ordered = prune_model(model, config)
    assert [note.partition(":")[0] for note in ordered.notes] == ["expand"]
    shuffled = prune_model(model, PruneConfig(**{**vars(config), "reorder": False}))
    assert shuffled.notes == []
    assert error(ordered.model, model) < 0.2 * error(shuffled.model, model)


def test_an_ordinary_convolution_can_be_pruned_when_named() -> None:
    """The 3x3 stem at 50 %: its windows are what the fit sees, so OBC beats magnitude there too."""
    dense = small_net()
    both = [prune(PruneConfig(0.0, {"stem": 0.5}, method=method)) for method in ("obc", "magnitude")]
    assert [np.mean(weights(model)["stem"] == 0) for model in both] == [0.5, 0.5]
    assert error(both[0], dense) < 0.7 * error(both[1], dense)


def test_magnitude_alone_needs_no_inputs() -> None:
    result = prune_model(small_net(), PruneConfig(0.5, method="magnitude", reestimate=False))
    assert result.sparsity == pytest.approx(0.5, abs=0.002)
    assert [layer.error for layer in result.layers] == [None] * 3


def test_progress_names_each_layer_and_ends_at_the_total() -> None:
    calls: list[tuple[int, int, str]] = []
    prune_model(small_net(), PruneConfig(0.5), CALIBRATION, lambda *call: calls.append(call))
    assert [name for _, _, name in calls[:-1]] == ["expand", "project", "last"] * 2
    shares = [done / total for done, total, _ in calls]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_missing_inputs_are_refused() -> None:
    with pytest.raises(UsageError, match="obc with re-estimation needs calibration inputs"):
        prune_model(small_net(), PruneConfig(0.5))
    with pytest.raises(UsageError, match=r"for 'other'.*reads 'image'"):
        prune_model(small_net(), PruneConfig(0.5), Calibration({"other": pictures(2, 0)}, ["a", "b"]))


def test_weights_that_are_not_numbers_are_refused_by_name() -> None:
    model = small_net()
    weight = model.main.ops[3].input(1)
    weight.data = np.where(np.arange(48) == 7, np.nan, weight.dense()).astype(np.float32)
    with pytest.raises(UnsupportedError, match=r"'project/w' holds 16 NaN or infinite values of 768"):
        prune(PruneConfig(0.5), model)


def test_custom_ops_are_refused_where_the_model_must_run() -> None:
    model = small_net()
    tensor = Tensor("odd", (1, 5))
    model.main.ops.append(Op("CUSTOM", [model.main.outputs[0]], [tensor], custom_code="Odd"))
    model.main.outputs = [tensor]
    with pytest.raises(UnsupportedError, match=r"custom ops \(Odd\).*magnitude without re-estimation"):
        prune(PruneConfig(0.5), model)
    result = prune_model(model, PruneConfig(0.5, method="magnitude", reestimate=False))
    assert result.sparsity == pytest.approx(0.5, abs=0.002)


def test_integer_models_are_refused_with_what_to_do() -> None:
    model = small_net()
    for op in model.main.ops:
        if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            op.input(1).dtype, op.input(1).data = DType.INT8, op.input(1).dense().astype(np.int8)
    with pytest.raises(UnsupportedError, match=r"integers.*float model"):
        prune(PruneConfig(0.5), model)


def test_a_model_with_nothing_to_prune_is_refused() -> None:
    model = small_net()
    model.main.ops = model.main.ops[:1]
    model.main.outputs = list(model.main.ops[0].outputs)
    with pytest.raises(UnsupportedError, match="no float 1x1 convolution"):
        prune(PruneConfig(0.5), model)


def test_measuring_leaves_the_graph_as_it_was_and_errors_grow_with_the_zeros() -> None:
    model = small_net()
    before = weights(model)
    layers = prunable_layers(model.main, {})
    seen: list[str] = []
    inputs = {model.main.inputs[0]: CALIBRATION.inputs["image"]}
    found = sensitivities(model.main, inputs, layers, PruneConfig(0.6), lambda layer: seen.append(layer.name))
    assert seen == ["expand", "project", "last"]
    for errors in found.values():
        assert 0 < errors[0] < errors[-1]
    for name, array in weights(model).items():
        np.testing.assert_array_equal(array, before[name])


def test_measured_takes_most_from_layers_that_the_outputs_hardly_depend_on() -> None:
    """A residual branch turned down to a hundredth: its two layers lose more than uniformly, the layer behind less."""
    model = small_net()
    project = next(op for op in model.main.ops if op.name == "project")
    project.input(1).data = project.input(1).dense() * np.float32(0.01)
    layers = prune_model(model, PruneConfig(0.6, distribution="measured"), CALIBRATION).layers
    expand, project, last = (layer.sparsity for layer in layers)
    assert min(expand, project) > 0.75
    assert last < 0.45


@pytest.mark.parametrize("inputs", [pictures(1, 1), pictures(2, 1), np.zeros((3, 10, 10, 3), np.float32)])
@pytest.mark.parametrize("distribution", ["uniform", "global", "measured"])
def test_one_input_or_black_ones_prune_too(inputs, distribution) -> None:
    calibration = Calibration({"image": inputs}, [str(i) for i in range(len(inputs))])
    result = prune_model(small_net(), PruneConfig(0.6, distribution=distribution), calibration)
    assert result.sparsity == pytest.approx(0.6, abs=0.002)
    assert all(np.isfinite(array).all() for array in weights(result.model).values())
