"""What the plan compiler makes of several ops: fused tails, shared rooms, folded padding, bands; against LiteRT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketgraph.models.graph import Graph, Model, Op, Tensor
from pocketgraph.runtime.chw import Chw, matrix_rules


def kinds(model: Model) -> list[str]:
    """What the steps of the one plan are."""
    engine = Chw(model, 1)
    (plan,) = engine.plans()
    return [kind for _, kind in plan.labels]


# ---- residuals and activations behind a layer


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("late", [False, True], ids=["there already", "computed later"])
@pytest.mark.parametrize("act", ["NONE", "RELU6"])
def test_a_residual_joins_the_layer_whose_other_operand_is_there(
    new_net: Any, agrees: Any, swapped: bool, late: bool, act: str
) -> None:
    net = new_net()
    x = net.input(1, 9, 7, 5)
    other = net.conv(x, 5) if not late else None
    sums = net.conv(x, 5, (3, 3))
    other = net.conv(x, 5, (3, 3), act="RELU") if other is None else other
    agrees(net.model(net.add(*((other, sums) if swapped else (sums, other)), act)))


def test_a_residual_and_two_activations_become_one_step(new_net: Any, agrees: Any) -> None:
    net = new_net()
    x = net.input(1, 9, 7, 5)
    sums = net.op("PRELU", [net.conv(x, 5, density=0.4), net.normal(1, 1, 5)], x.shape)
    made = net.op("HARD_SWISH", [net.add(sums, x)], x.shape)
    model = net.model(made)
    agrees(model)
    assert kinds(model) == ["input", "CONV_2D", "output"]


def test_an_operand_that_broadcasts_is_no_residual(new_net: Any, agrees: Any) -> None:
    net = new_net()
    x, row = net.input(1, 9, 7, 5), net.input(1, 1, 1, 5)
    agrees(net.model(net.add(net.conv(x, 5), row), net.add(net.conv(row, 5), x)))


def test_a_layer_added_to_itself(new_net: Any, agrees: Any) -> None:
    net = new_net()
    sums = net.conv(net.input(1, 9, 7, 5), 5)
    agrees(net.model(net.add(sums, sums), net.op("MUL", [sums, sums], sums.shape)))


def test_what_is_read_or_given_out_is_not_absorbed(new_net: Any, agrees: Any) -> None:
    net = new_net()
    x = net.input(1, 9, 7, 5)
    first = net.conv(x, 5)
    second = net.relu(first)
    third = net.depthwise(second)
    agrees(net.model(first, net.conv(third, 5), third, net.add(third, second), second))


def test_a_chain_of_residual_blocks(new_net: Any, agrees: Any) -> None:
    net = new_net()
    x = net.input(1, 12, 12, 8)
    for _ in range(4):
        wide = net.conv(x, 16, act="RELU6", density=0.3)
        x = net.add(x, net.conv(net.depthwise(wide, act="RELU6"), 8, density=0.3))
    agrees(net.model(x))


# ---- rooms that values share


@pytest.mark.parametrize("side", [3, 5])
def test_planes_with_margins_are_not_taken_for_flat_ones(new_net: Any, agrees: Any, side: int) -> None:
    """A picture of one channel, or of one pixel, is flat until a depthwise convolution wants zeros around it."""
    for shape in ((1, 6, 5, 1), (1, 1, 1, 7)):
        size = int(np.prod(shape))
        for early in (False, True):
            net = new_net()
            made = net.op("ABS", [net.input(*shape)], shape)
            rows = [] if early else [net.op("RESHAPE", [made, np.array([1, size], np.int32)], (1, size))]
            deep = net.depthwise(made, (side, side))
            read = net.op("FULLY_CONNECTED", [made, net.normal(4, size), None], (1, 4))
            rows = rows or [net.op("RESHAPE", [made, np.array([1, size], np.int32)], (1, size))]
            agrees(net.model(deep, read, *rows, net.op("MEAN", [deep, np.array([1, 2], np.int32)], (1, shape[3]))))


def test_a_single_pixel_that_many_ops_make_and_read(new_net: Any, agrees: Any) -> None:
    net = new_net()
    x = net.input(1, 6, 5, 7)
    pixel = net.op("MEAN", [x, np.array([1, 2], np.int32)], (1, 1, 1, 7), keep_dims=True)
    gate = net.op("LOGISTIC", [net.conv(net.conv(pixel, 3, act="RELU"), 7, density=0.3)], (1, 1, 1, 7))
    agrees(net.model(net.op("MUL", [x, gate], x.shape), net.depthwise(pixel), net.depthwise(gate, (5, 5))))


def test_a_reshaped_picture_goes_into_a_depthwise_convolution(new_net: Any, agrees: Any) -> None:
    net = new_net()
    x = net.input(1, 30)
    picture = net.op("RESHAPE", [net.relu(x), np.array([1, 6, 5, 1], np.int32)], (1, 6, 5, 1))
    again = net.op("RESHAPE", [picture, np.array([1, 5, 6, 1], np.int32)], (1, 5, 6, 1))
    agrees(net.model(net.depthwise(picture), net.conv(net.depthwise(again, (5, 5)), 3), net.depthwise(picture, (5, 5))))


def test_the_graphs_input_is_reshaped_and_read(new_net: Any, agrees: Any) -> None:
    net = new_net()
    x = net.input(1, 6, 5, 1)
    agrees(net.model(net.op("RESHAPE", [x, np.array([30], np.int32)], (30,)), net.conv(net.depthwise(x), 2)))


# ---- what the graph gives out


def test_inputs_and_constants_are_given_out_as_copies(new_net: Any, close_to: Any) -> None:
    net = new_net()
    x = net.input(1, 4, 4, 2)
    constant = Tensor("c", (3,), data=np.float32([1, 2, 3]))
    made = net.relu(x)
    engine = Chw(net.model(x, constant, made, made), 1)
    feed = net.normal(*x.shape)
    found = engine.run({"x0": feed})
    close_to(found, {"x0": feed, "c": constant.data, made.name: np.maximum(feed, 0)}, 0)
    assert found["x0"] is not feed
    assert found["c"] is not constant.data
    given = {"x0": np.zeros_like(feed), "c": np.zeros(3, np.float32), made.name: np.zeros_like(feed)}
    assert all(engine.run({"x0": feed}, given)[name] is array for name, array in given.items())
    close_to(given, found, 0)


def test_an_output_may_lie_where_an_input_does(new_net: Any) -> None:
    """Even where a later part still reads that input."""
    net = new_net()
    x = net.input(4, 4)
    first = net.op("NEG", [x], x.shape)
    odd = net.op("CUMSUM", [first, np.array(1, np.int32)], x.shape)
    last = net.op("SUB", [odd, x], x.shape)
    engine = Chw(net.model(first, last), 1)
    assert [part is not None for part in engine._parts] == [True] * 3
    feed = net.normal(4, 4)
    expected = -feed, np.cumsum(-feed, 1) - feed
    found = engine.run({"x0": feed}, {first.name: feed})
    np.testing.assert_allclose(found[first.name], expected[0], atol=1e-6)
    np.testing.assert_allclose(found[last.name], expected[1], atol=1e-5)


def test_a_graph_without_ops_gives_its_input_out() -> None:
    x = Tensor("x", (2, 2))
    found = Chw(Model([Graph("main", [x], [x], [])]), 1).run({"x": np.eye(2, dtype=np.float32)})
    np.testing.assert_array_equal(found["x"], np.eye(2))


# ---- parts


def test_what_the_engine_does_not_know_runs_in_litert(new_net: Any, agrees: Any) -> None:
    net = new_net()
    x = net.input(1, 8, 8, 4)
    before = net.conv(x, 6, (3, 3), act="RELU")
    odd = net.op("L2_NORMALIZATION", [before], before.shape)
    after = net.depthwise(net.add(odd, before))
    model = net.model(net.conv(after, 3), odd)
    agrees(model, whole=False)
    parts = Chw(model, 1)._parts
    assert [type(part).__name__ for part in parts] == ["_Own", "_Lent", "_Own"]


def test_integers_go_to_litert_and_floats_stay(new_net: Any) -> None:
    from pocketgraph.models.graph import DType

    net = new_net()
    x = net.input(1, 8, 8, 4)
    sums = net.conv(x, 4)
    index = Tensor("index", (1, 8, 8), DType.INT64)
    net.ops.append(
        Op("ARG_MAX", [sums, Tensor("axis", (), DType.INT32, np.array(3, np.int32))], [index], {"output_type": "INT64"})
    )
    model = net.model(index, net.relu(sums))
    found = Chw(model, 1).run({"x0": net.normal(*x.shape)})
    np.testing.assert_array_equal(found["index"].max(), 3)
    assert found["index"].dtype == np.int64


# ---- padding


WINDOWS: list[Callable[[Any, Tensor], Tensor]] = [
    lambda net, x: net.conv(x, 3, (3, 3), padding="VALID"),
    lambda net, x: net.conv(x, 3, (3, 3), (2, 2), padding="VALID"),
    lambda net, x: net.depthwise(x, (3, 3), (2, 2), padding="VALID"),
    lambda net, x: net.depthwise(x, (5, 5), padding="VALID"),
    lambda net, x: net.conv(x, 4, padding="VALID"),
    lambda net, x: net.depthwise(x, (3, 3), padding="SAME"),
    lambda net, x: net.relu(x),
]


@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (0, 1, 0, 1), (2, 2, 2, 2), (0, 9, 3, 0), (9, 0, 0, 9), (0, 0, 0, 0)])
@pytest.mark.parametrize("readers", [(0,), (1,), (2,), (3,), (4,), (0, 2), (1, 3), (0, 5), (2, 6)])
def test_padding_is_read_by_windows_of_every_kind(new_net: Any, agrees: Any, pads: tuple[int, ...], readers) -> None:
    net = new_net()
    x = net.relu(net.input(1, 7, 8, 3))
    padded = net.pad(x, (0, 0), pads[:2], pads[2:], (0, 0))
    agrees(net.model(*(WINDOWS[reader](net, padded) for reader in readers)))


def test_padding_upon_padding_and_padding_given_out(new_net: Any, agrees: Any) -> None:
    net = new_net()
    x = net.input(1, 7, 8, 3)
    one = net.pad(x, (0, 0), (1, 1), (1, 1), (0, 0))
    two = net.pad(one, (0, 0), (0, 1), (0, 1), (0, 0))
    channels = net.pad(x, (0, 0), (0, 0), (0, 0), (1, 2))
    given_out = net.pad(x, (0, 0), (1, 1), (1, 1), (0, 0))
    made = [net.conv(t, 3, (3, 3), padding="VALID") for t in (two, channels, given_out)]
    agrees(net.model(*made, given_out))


# ---- bands


def before_band(net: Any, x: Tensor, source: str) -> Tensor:
    if source == "pixels":
        return net.conv(x, 6, act="RELU6", density=0.5)
    if source == "window":
        return net.conv(x, 6, (3, 3), (2, 2), act="RELU")
    return net.conv(net.depthwise(x, act="RELU"), 6, density=0.5)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from(["pixels", "window", "separable"]),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([3, 5]),
    st.sampled_from(["SAME", "VALID", "PAD 0 1", "PAD 1 1", "PAD 2 2"]),
    st.sampled_from([1, 200, 1500, 100_000]),
    st.sampled_from(["NONE", "RELU", "PRELU"]),
    st.sampled_from([1, 3]),
)
def test_bands_equal_whole_pictures(new_net: Any, agrees: Any, source, size, side, padding, band, act, threads) -> None:
    net = new_net()
    between = before_band(net, net.input(1, *size, 4), source)
    if padding.startswith("PAD"):
        before, behind = (int(n) for n in padding.split()[1:])
        between = net.pad(between, (0, 0), (before, behind), (before, behind), (0, 0))
    if padding != "SAME" and min(between.shape[1:3]) < side:
        return
    fused = "NONE" if act == "PRELU" else act
    y = net.depthwise(between, (side, side), (2, 2), padding="SAME" if padding == "SAME" else "VALID", act=fused)
    y = net.op("PRELU", [y, net.normal(1, 1, 6)], y.shape) if act == "PRELU" else y
    model = net.model(net.conv(y, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_rules, "_LARGE_FLOATS", 0)
        patch.setattr(matrix_rules, "_BAND_FLOATS", band)
        agrees(model, threads=threads)
        if min(size) > 8:
            assert any("CONV_2D + DEPTHWISE_CONV_2D" in kind for kind in kinds(model))


def test_a_result_that_others_read_is_not_kept_in_bands(
    new_net: Any, agrees: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix_rules, "_LARGE_FLOATS", 0)
    net = new_net()
    x = net.input(1, 20, 20, 6)
    first = net.conv(x, 6)
    second = net.add(net.conv(x, 6), x)
    third = net.conv(x, 6)
    padded = net.pad(third, (0, 0), (0, 1), (0, 1), (0, 0))
    made = [net.depthwise(t, stride=(2, 2)) for t in (first, second)]
    made += [net.depthwise(padded, stride=(2, 2), padding="VALID"), net.conv(padded, 2, (3, 3), padding="VALID")]
    model = net.model(first, *made)
    agrees(model)
    assert not any("+ DEPTHWISE" in kind for kind in kinds(model))


# ---- whole nets at random


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([1, 2]))
def test_random_nets(new_net: Any, agrees: Any, seed: int, threads: int) -> None:
    net = new_net(seed)
    rng = np.random.default_rng(seed)
    pictures = [net.input(1, int(rng.integers(5, 20)), int(rng.integers(5, 20)), int(rng.integers(1, 7)))]
    for _ in range(int(rng.integers(3, 12))):
        x = pictures[rng.integers(len(pictures))]
        act = str(rng.choice(["NONE", "RELU", "RELU6"]))
        side = int(rng.choice([1, 3, 5]))
        stride = int(rng.choice([1, 1, 2]))
        same = [p for p in pictures if p.shape == x.shape]
        which = rng.integers(8)
        if which <= 1:
            y = net.conv(x, int(rng.choice([x.shape[3], 4, 6])), (side, side), (stride, stride), act=act, density=0.5)
        elif which <= 3:
            y = net.depthwise(x, (side, side), (stride, stride), act=act)
        elif which == 4:
            y = net.add(x, same[rng.integers(len(same))], act)
        elif which == 5:
            y = net.op("PRELU", [x, net.normal(1, 1, x.shape[3])], x.shape)
        elif which == 6:
            y = net.pad(x, (0, 0), *(((1, 1), (0, 1))[:: int(rng.choice([-1, 1]))]), (0, 0))
            y = net.depthwise(y, (3, 3), (stride, stride), padding="VALID")
        else:
            y = net.op("HARD_SWISH", [x], x.shape)
        scaled = net.op("MUL", [y, np.float32([0.3])], y.shape)
        pictures.append(y if rng.random() < 0.8 else scaled)
    made = pictures[1:]
    outputs = [t for t in made if rng.random() < 0.2] or [made[-1]]
    if pictures[-1] not in outputs:
        outputs.append(pictures[-1])
    agrees(net.model(*outputs), threads=threads)
