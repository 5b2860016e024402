"""Recovery: a pruned model comes closer to the dense one, keeps its zeros, and says what it cannot do."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from pocketgraph.convert.prune.magnitude import magnitude_keys
from pocketgraph.convert.prune.masks import mask_from_keys
from pocketgraph.models.errors import GraphError, UnsupportedError, UsageError
from pocketgraph.models.graph import Graph, Model, Op, Tensor
from pocketgraph.runtime import load_model

pytestmark = pytest.mark.train


def _const(name: str, array: np.ndarray) -> Tensor:
    return Tensor(name, array.shape, data=array.astype(np.float32))


def _net(seed: int = 0) -> Model:
    """Stem, a depthwise and two 1x1 convolutions, a mask in 0..1 and a classifier: two outputs."""
    rng = np.random.default_rng(seed)
    x = Tensor("x", (1, 16, 16, 3))
    ops: list[Op] = []

    def conv(kind: str, source: Tensor, name: str, shape: tuple[int, ...], size: int, activation: str) -> Tensor:
        out = shape[-1] if kind == "DEPTHWISE_CONV_2D" else shape[0]
        fan = np.prod(shape[1:]) if kind == "CONV_2D" else shape[1] * shape[2]
        w, b = _const(f"{name}/w", rng.standard_normal(shape) * (2 / fan) ** 0.5), _const(f"{name}/b", np.zeros(out))
        y = Tensor(name, (1, size, size, out))
        stride = source.shape[1] // size
        attrs = {"padding": "SAME", "stride_w": stride, "stride_h": stride, "fused_activation_function": activation}
        ops.append(Op(kind, [source, w, b], [y], attrs))
        return y

    y = conv("CONV_2D", x, "stem", (16, 3, 3, 3), 8, "RELU6")
    y = conv("DEPTHWISE_CONV_2D", y, "depthwise", (1, 3, 3, 16), 8, "RELU6")
    y = conv("CONV_2D", y, "point", (48, 1, 1, 16), 8, "RELU6")
    y = conv("CONV_2D", y, "project", (16, 1, 1, 48), 8, "NONE")
    logit = conv("CONV_2D", y, "logit", (1, 1, 1, 16), 8, "NONE")
    mask = Tensor("mask", (1, 8, 8, 1))
    ops.append(Op("LOGISTIC", [logit], [mask]))
    axes = Tensor("axes", (2,), data=np.array([1, 2], np.int32))
    axes.dtype = type(x.dtype).INT32
    pooled, scores, classes = Tensor("pooled", (1, 16)), Tensor("scores", (1, 5)), Tensor("classes", (1, 5))
    ops.append(Op("MEAN", [y, axes], [pooled], {"keep_dims": False}))
    head = [_const("head/w", rng.standard_normal((5, 16))), _const("head/b", np.zeros(5))]
    ops.append(Op("FULLY_CONNECTED", [pooled, *head], [scores]))
    ops.append(Op("SOFTMAX", [scores], [classes], {"beta": 1.0}))
    return Model([Graph("main", [x], [mask, classes], ops)])


def _pruned(dense: Model, sparsity: float = 0.6, block: int = 1) -> Model:
    model = dense.copy()
    for op in model.main.ops:
        if op.name in ("point", "project"):
            weight = op.input(1)
            rows = weight.dense().reshape(weight.shape[0], -1)
            keys = magnitude_keys(rows, block)
            kept = mask_from_keys(keys, len(rows), block, round(rows.size * sparsity))
            op.inputs[1] = _const(weight.name, (rows * kept).reshape(weight.shape))
    return model


def _zeros(model: Model) -> dict[str, np.ndarray]:
    return {op.name: op.input(1).dense() == 0 for op in model.main.ops if op.name in ("point", "project")}


def _outputs(model: Model, inputs: np.ndarray) -> list[np.ndarray]:
    with load_model(model, "litert") as runnable:
        rows = [runnable(x[None]) for x in inputs]
    return [np.concatenate(parts) for parts in zip(*rows, strict=True)]


def _error(model: Model, dense: Model, inputs: np.ndarray) -> float:
    pairs = zip(_outputs(model, inputs), _outputs(dense, inputs), strict=True)
    return float(np.mean([np.mean((a - b) ** 2) / np.var(b) for a, b in pairs]))


def _pictures(count: int, seed: int) -> np.ndarray:
    """Soft random colours, 0..1."""
    rng = np.random.default_rng(seed)
    return np.stack([cv2.resize(rng.random((5, 5, 3), np.float32), (16, 16)) for _ in range(count)])


@pytest.mark.parametrize("masks", ["fixed", "rigl"])
def test_recovery_at_least_halves_the_error_on_pictures_it_has_not_seen(masks: Any) -> None:
    from pocketgraph.convert.train.recover import recover

    dense = _net()
    pruned = _pruned(dense)
    told: list[tuple[int, int, float]] = []
    recovered = recover(
        dense,
        pruned,
        _pictures(64, 1),
        120,
        masks=masks,
        learning_rate=0.01,
        batch=8,
        progress=lambda *now: told.append(now),
    ).model
    unseen = _pictures(32, 2)
    assert _error(recovered, dense, unseen) < 0.5 * _error(pruned, dense, unseen)
    assert [done for done, _, _ in told] == list(range(1, 121))
    assert {total for _, total, _ in told} == {120}
    before, after = _zeros(pruned), _zeros(recovered)
    for name in before:
        if masks == "fixed":
            np.testing.assert_array_equal(after[name], before[name])
        else:
            assert (after[name] != before[name]).any()
            assert after[name].sum() >= before[name].sum()
    assert recovered.main.ops[0].input(1).dense().all()


def test_the_given_models_stay_as_they_are_and_no_steps_change_nothing() -> None:
    from pocketgraph.convert.train.recover import recover

    dense = _net()
    pruned = _pruned(dense)
    weights = pruned.main.ops[2].input(1).dense().copy()
    recover(dense, pruned, _pictures(8, 1), 2, batch=4)
    np.testing.assert_array_equal(pruned.main.ops[2].input(1).dense(), weights)
    same = recover(dense, pruned, _pictures(8, 1), 0).model
    np.testing.assert_array_equal(same.main.ops[2].input(1).dense(), weights)


def test_moving_masks_keep_blocks_of_output_channels_together() -> None:
    from pocketgraph.convert.train.recover import recover

    dense = _net()
    pruned = _pruned(dense, block=4)
    recovered = recover(dense, pruned, _pictures(16, 1), 30, masks="rigl", block=4, batch=4).model
    for name, zeros in _zeros(recovered).items():
        blocks = zeros.reshape(zeros.shape[0] // 4, 4, -1)
        assert (blocks == blocks[:, :1]).all(), name


def test_reordered_channels_are_recognised_and_not_compared() -> None:
    from pocketgraph.convert.train.distill import Distillation
    from pocketgraph.convert.train.trainable import Trainable

    dense = _net()
    reordered = dense.copy()
    order = np.random.default_rng(3).permutation(48)
    point, project = reordered.main.ops[2], reordered.main.ops[3]
    point.inputs[1] = _const("point/w", point.input(1).dense()[order])
    point.inputs[2] = _const("point/b", point.input(2).dense()[order])
    project.inputs[1] = _const("project/w", project.input(1).dense()[..., order])
    student = Trainable(reordered)
    compared = Distillation(Trainable(dense), student, _pictures(16, 1)).deviation
    assert [op.name for op in compared] == ["stem", "depthwise", "project", "logit", "scores"]


def test_inputs_that_are_not_pictures_are_not_varied() -> None:
    from pocketgraph.convert.train.recover import recover

    rng = np.random.default_rng(0)
    x, y = Tensor("x", (1, 12)), Tensor("y", (1, 4))
    weights = rng.standard_normal((4, 12)).astype(np.float32)
    dense = Model([Graph("main", [x], [y], [Op("FULLY_CONNECTED", [x, _const("w", weights), None], [y])])])
    pruned = dense.copy()
    pruned.main.ops[0].inputs[1] = _const("w", weights * (np.abs(weights) > 0.7))
    latent = rng.standard_normal((64, 3)) @ rng.standard_normal((3, 12))
    inputs = latent.astype(np.float32)
    recovered = recover(dense, pruned, inputs, 150, learning_rate=0.03).model

    def off(model: Model) -> float:
        w = model.main.ops[0].input(1).dense()
        return float(np.mean((inputs @ w.T - inputs @ weights.T) ** 2))

    assert off(recovered) < 0.3 * off(pruned)


def test_training_that_does_harm_is_taken_back() -> None:
    """At an absurd learning rate the weights are in the end those from before."""
    from pocketgraph.convert.train.recover import recover

    dense = _net()
    pruned = _pruned(dense)
    harmed = recover(dense, pruned, _pictures(32, 1), 20, learning_rate=3.0)
    assert harmed.share == 0
    assert harmed.inputs == 4
    assert harmed.before == harmed.after
    for old, new in zip(pruned.main.ops, harmed.model.main.ops, strict=True):
        if len(old.inputs) > 1 and old.input(1).is_constant:
            np.testing.assert_array_equal(new.input(1).dense(), old.input(1).dense())


def test_what_was_kept_is_told_with_its_errors() -> None:
    from pocketgraph.convert.train.recover import recover

    dense = _net()
    pruned = _pruned(dense)
    inputs = _pictures(64, 1)
    result = recover(dense, pruned, inputs, 60, learning_rate=0.01, batch=8)
    assert result.inputs == 8
    assert result.share in (0.25, 0.5, 0.75, 1.0)
    assert result.before is not None
    assert result.after is not None
    assert result.after < result.before
    kept_out = inputs[7::8]
    assert _error(result.model, dense, kept_out) < _error(pruned, dense, kept_out)
    few = recover(dense, pruned, _pictures(8, 1), 2, batch=4)
    assert (few.before, few.after, few.inputs, few.share) == (None, None, 0, 1.0)


def test_what_cannot_be_recovered_is_refused() -> None:
    from pocketgraph.convert.train.recover import recover

    dense = _net()
    for arguments, options, message in [
        ((_pictures(4, 0)[:, :8], 5), {}, r"inputs have shape \[4, 8, 16, 3\]; expected \[N, 16, 16, 3\]"),
        ((_pictures(4, 0)[:0], 5), {}, "inputs have shape"),
        ((_pictures(4, 0), -1), {}, "steps is -1"),
        ((_pictures(4, 0), 5), {"batch": 0}, "batch is 0"),
        ((_pictures(4, 0), 5), {"masks": "free"}, "choose fixed or rigl"),
    ]:
        with pytest.raises(UsageError, match=message):
            recover(dense, dense, *arguments, **options)
    other = dense.copy()
    other.main.outputs.pop()
    with pytest.raises(GraphError, match="1 outputs, the dense one 2"):
        recover(dense, other, _pictures(4, 0), 1)
    custom = dense.copy()
    custom.main.ops[-1].kind, custom.main.ops[-1].custom_code = "CUSTOM", "Mystery"
    with pytest.raises(UnsupportedError, match="no rule to train Mystery"):
        recover(custom, dense, _pictures(4, 0), 1)
