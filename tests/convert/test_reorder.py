"""Channel reordering: outputs stay, blocks fill up, and what must keep its order keeps it."""

from __future__ import annotations

import numpy as np
import pytest

from pocketgraph.convert.prune.channels import channel_groups
from pocketgraph.convert.prune.masks import block_fill
from pocketgraph.convert.prune.reorder import ReorderChannels, similar_order
from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import DType, Graph, Model, Op, Tensor
from pocketgraph.runtime import load_model


class Net:
    """Builds a small net on an 8x8 picture; every constant is random, weights of 1x1 convolutions half zero."""

    def __init__(self, channels: int = 3) -> None:
        self.rng = np.random.default_rng(0)
        self.ops: list[Op] = []
        self.image = Tensor("image", (1, 8, 8, channels))

    def constant(self, name: str, array: np.ndarray) -> Tensor:
        return Tensor(name, array.shape, DType.of(array), array)

    def random(self, name: str, *shape: int) -> Tensor:
        return self.constant(name, self.rng.normal(size=shape).astype(np.float32))

    def add(self, kind: str, name: str, inputs: list[Tensor], shape: tuple[int, ...], **attrs: object) -> Tensor:
        output = Tensor(name, shape)
        self.ops.append(Op(kind, list(inputs), [output], attrs))
        return output

    def conv(self, name: str, x: Tensor, channels: int, kernel: int = 1) -> Tensor:
        weight = self.random(f"{name}/w", channels, kernel, kernel, x.shape[-1])
        if kernel == 1:
            # rows of two kinds, shuffled: reordering can bring each kind together
            kind = self.rng.permutation(channels) % 2
            weight.data = weight.data * (np.arange(x.shape[-1]) % 2 == kind[:, None])[:, None, None].astype(np.float32)
        window = {"stride_w": 1, "stride_h": 1, "padding": "SAME", "fused_activation_function": "RELU6"}
        return self.add(
            "CONV_2D", name, [x, weight, self.random(f"{name}/b", channels)], (*x.shape[:3], channels), **window
        )

    def depthwise(self, name: str, x: Tensor) -> Tensor:
        channels = x.shape[-1]
        inputs = [x, self.random(f"{name}/w", 1, 3, 3, channels), self.random(f"{name}/b", channels)]
        window = {"stride_w": 1, "stride_h": 1, "padding": "SAME", "depth_multiplier": 1}
        return self.add("DEPTHWISE_CONV_2D", name, inputs, x.shape, **window)

    def model(self, *outputs: Tensor) -> Model:
        model = Model([Graph("main", [self.image], list(outputs), self.ops)])
        model.validate()
        return model


def residual_net() -> Model:
    """Stem, an inverted residual with every kind of op that hands channels through, pooling, fully connected head."""
    net = Net()
    x = net.conv("stem", net.image, 16, 3)
    y = net.conv("expand", x, 32)
    y = net.depthwise("depthwise", y)
    y = net.add("PRELU", "prelu", [y, net.random("alpha", 1, 1, 32)], y.shape)
    y = net.add("MUL", "scaled", [y, net.random("factor", 32)], y.shape)
    y = net.conv("project", y, 16)
    x = net.add("ADD", "sum", [x, y], x.shape)
    pads = net.constant("pads", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    x = net.add("PAD", "padded", [x, pads], (1, 10, 10, 16))
    gate = net.add("MEAN", "mean", [x, net.constant("axes", np.array([1, 2], np.int32))], (1, 1, 1, 16), keep_dims=True)
    gate = net.conv("squeeze", gate, 8)
    gate = net.add("LOGISTIC", "gate", [net.conv("excite", gate, 16)], (1, 1, 1, 16))
    x = net.add("MUL", "gated", [x, gate], x.shape)
    x = net.conv("last", x, 24)
    window = {"stride_w": 10, "stride_h": 10, "filter_width": 10, "filter_height": 10, "padding": "VALID"}
    x = net.add("AVERAGE_POOL_2D", "pool", [x], (1, 1, 1, 24), **window)
    x = net.add("RESHAPE", "flat", [x, net.constant("shape", np.array([1, 24], np.int32))], (1, 24))
    head = [x, net.random("head/w", 5, 24), net.random("head/b", 5)]
    return net.model(net.add("FULLY_CONNECTED", "head", head, (1, 5)))


def outputs(model: Model) -> list[np.ndarray]:
    x = np.random.default_rng(1).normal(size=model.main.inputs[0].shape).astype(np.float32)
    with load_model(model, "litert") as engine:
        found = engine(x)
    return list(found) if isinstance(found, tuple) else [found]


def weight(model: Model, name: str) -> np.ndarray:
    return next(op.input(1).dense() for op in model.main.ops if op.name == name)


@pytest.mark.parametrize("block", [2, 4, 8])
def test_outputs_stay_and_blocks_fill_up(block: int) -> None:
    """Outputs agree with the model before within 1e-5 of their range: only the order of sums changed."""
    model = residual_net()
    before = outputs(model)[0]
    fill = block_fill(weight(model, "expand").reshape(32, -1) != 0, block)
    lines = ReorderChannels(block)(model)
    model.validate()
    np.testing.assert_allclose(outputs(model)[0], before, atol=1e-5 * np.ptp(before))
    assert {"expand", "last"} <= {line.partition(":")[0] for line in lines}
    assert block_fill(weight(model, "expand").reshape(32, -1) != 0, block) == 1.0 > fill
    assert f"expand: {block}x1 block fill {fill:.3f} -> 1.000" in lines


def test_what_is_added_together_moves_together() -> None:
    groups = [[op.name for op in group.producers] for group in channel_groups(residual_net().main)]
    assert groups == [["stem", "project", "excite"], ["expand"], ["squeeze"], ["last"]]


def test_channels_that_reach_an_output_keep_their_order() -> None:
    net = Net(8)
    x = net.conv("first", net.image, 16)
    y = net.depthwise("seen", x)
    model = net.model(y, net.conv("second", net.conv("hidden", y, 12), 4))
    kept = weight(model, "first").copy()
    before = outputs(model)
    assert [line.partition(":")[0] for line in ReorderChannels(4)(model)] == ["hidden"]
    np.testing.assert_array_equal(weight(model, "first")[..., 0], kept[..., 0])
    for now, then in zip(outputs(model), before, strict=True):
        np.testing.assert_allclose(now, then, atol=1e-5 * np.ptp(then))


def concatenated(net: Net, x: Tensor) -> Tensor:
    return net.add("CONCATENATION", "joined", [x, x], (*x.shape[:3], 2 * x.shape[3]), axis=3)


def flattened(net: Net, x: Tensor) -> Tensor:
    shape = net.constant("shape", np.array([1, 1, 1, x.size], np.int32))
    return net.add("RESHAPE", "flat", [x, shape], (1, 1, 1, x.size))


def summed_over_channels(net: Net, x: Tensor) -> Tensor:
    axes = net.constant("axes", np.array([-1], np.int32))
    return net.add("MEAN", "mean", [x, axes], (*x.shape[:3], 1), keep_dims=True)


@pytest.mark.parametrize("mix", [concatenated, flattened, summed_over_channels])
def test_an_op_that_moves_channels_otherwise_stops_it(mix) -> None:
    net = Net(8)
    model = net.model(net.conv("after", mix(net, net.conv("before", net.image, 16)), 4))
    assert channel_groups(model.main) == []
    assert ReorderChannels(4)(model) == []


def test_weights_that_two_layers_share_keep_their_order() -> None:
    net = Net(16)
    x = net.conv("first", net.image, 16)
    net.ops.append(Op("CONV_2D", [x, *net.ops[0].inputs[1:]], [Tensor("again", x.shape)], dict(net.ops[0].attrs)))
    model = net.model(net.conv("after", net.ops[1].outputs[0], 4))
    assert channel_groups(model.main) == []


def test_rows_that_keep_the_same_columns_become_neighbours() -> None:
    rows = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1]], bool)
    assert sorted(map(sorted, similar_order(rows, 2).reshape(2, 2).tolist())) == [[0, 2], [1, 3]]


@pytest.mark.parametrize("count", [1, 5, 16, 30])
def test_an_order_holds_every_channel_once(count: int) -> None:
    rows = np.random.default_rng(count).random((count, 40)) < 0.3
    assert sorted(similar_order(rows, 4).tolist()) == list(range(count))


def test_a_block_of_another_size_is_refused() -> None:
    with pytest.raises(UsageError, match="blocks of 3: choose 2, 4 or 8"):
        ReorderChannels(3)
