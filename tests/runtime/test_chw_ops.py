"""Every op of the CHW engine on random shapes and options, against LiteRT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

few = settings(max_examples=100, deadline=None, derandomize=True)
sizes = st.integers(1, 19)
channels = st.integers(1, 9)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
sides = st.tuples(st.integers(1, 5), st.integers(1, 5))
paddings = st.sampled_from(["SAME", "VALID"])
fused = st.sampled_from(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])
seeds = st.integers(0, 999)


def fits(size: tuple[int, int], kernel: tuple[int, int], dilation: tuple[int, int], padding: str) -> bool:
    return padding == "SAME" or all((k - 1) * d < n for n, k, d in zip(size, kernel, dilation, strict=True))


@few
@given(seeds, st.tuples(sizes, sizes), channels, channels, sides, pairs, pairs, paddings, fused, st.booleans())
def test_convolution(
    new_net: Any, agrees: Any, seed, size, depth, count, kernel, stride, dilation, padding, act, sparse
) -> None:
    assume(fits(size, kernel, dilation, padding))
    assume(stride == (1, 1) or dilation == (1, 1))  # LiteRT refuses both together
    net = new_net(seed)
    x = net.input(1, *size, depth)
    agrees(net.model(net.conv(x, count, kernel, stride, dilation, padding, act, density=0.3 if sparse else 1.0)))


@few
@given(
    seeds,
    st.tuples(sizes, sizes),
    channels,
    st.one_of(st.sampled_from([(3, 3), (5, 5)]), sides),
    st.sampled_from([(1, 1), (2, 2), (3, 3)]),
    st.sampled_from([(1, 1), (1, 1), (2, 2)]),
    paddings,
    fused,
    st.integers(1, 3),
)
def test_depthwise(
    new_net: Any, agrees: Any, seed, size, depth, kernel, stride, dilation, padding, act, multiplier
) -> None:
    assume(fits(size, kernel, dilation, padding))
    assume(stride == (1, 1) or dilation == (1, 1))
    net = new_net(seed)
    x = net.input(1, *size, depth)
    agrees(net.model(net.depthwise(x, kernel, stride, dilation, padding, act, multiplier)))


@few
@given(seeds, st.tuples(sizes, sizes), channels, channels, st.sampled_from([3, 5]), fused, fused)
def test_separable(new_net: Any, agrees: Any, seed, size, depth, count, side, first, second) -> None:
    net = new_net(seed)
    x = net.input(1, *size, depth)
    between = net.depthwise(x, (side, side), act=first)
    agrees(net.model(net.conv(between, count, act=second, density=0.5)))


@few
@given(
    seeds,
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    channels,
    channels,
    sides,
    pairs,
    paddings,
    st.integers(0, 2),
)
def test_transposed_convolution(
    new_net: Any, agrees: Any, seed, size, depth, count, kernel, stride, padding, more
) -> None:
    net = new_net(seed)
    x = net.input(1, *size, depth)
    out = []
    for n, k, s in zip(size, kernel, stride, strict=True):
        least, most = ((n - 1) * s + 1, n * s) if padding == "SAME" else ((n - 1) * s + k, n * s + k - 1)
        out.append(min(most, least + more))
    shape = np.array([1, *out, count], np.int32)
    operands = [shape, net.normal(count, *kernel, depth), x, net.normal(count)]
    options = {"padding": padding, "stride_h": stride[0], "stride_w": stride[1]}
    y = net.op("TRANSPOSE_CONV", operands, shape.tolist(), version=3, **options)
    agrees(net.model(y))


@pytest.mark.parametrize("act", ["RELU", "PRELU"])
def test_transposed_convolution_of_windows_side_by_side(new_net: Any, agrees: Any, act: str) -> None:
    net = new_net()
    x = net.input(1, 5, 3, 6)
    shape = np.array([1, 10, 6, 7], np.int32)
    operands = [shape, net.normal(7, 2, 2, 6, density=0.3), x, net.normal(7)]
    y = net.op("TRANSPOSE_CONV", operands, shape.tolist(), version=3, padding="SAME", stride_h=2, stride_w=2)
    operands = [y, net.normal(1, 1, 7)] if act == "PRELU" else [y]
    agrees(net.model(net.op(act, operands, y.shape)))


@few
@given(seeds, st.integers(1, 40), st.integers(1, 40), st.integers(1, 5), fused, st.booleans(), st.booleans())
def test_fully_connected(new_net: Any, agrees: Any, seed, inputs, outputs, rows, act, sparse, bias) -> None:
    net = new_net(seed)
    x = net.input(rows, inputs)
    weights = net.normal(outputs, inputs, density=0.2 if sparse else 1.0)
    operands = [x, weights, net.normal(outputs) if bias else None]
    agrees(net.model(net.op("FULLY_CONNECTED", operands, (rows, outputs), fused_activation_function=act)))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("shape", [(1, 4, 5, 6), (1, 1, 1, 6), (1, 3, 1, 2), (2, 3, 6)])
def test_fully_connected_on_what_is_no_matrix(new_net: Any, agrees: Any, shape: tuple[int, ...], keep: bool) -> None:
    net = new_net()
    x = net.input(*shape)
    inputs = shape[-1]
    rows = x.size // inputs
    out = (*shape[:-1], 7) if keep else (rows, 7)
    agrees(net.model(net.op("FULLY_CONNECTED", [x, net.normal(7, inputs), None], out, keep_num_dims=keep)))


SHAPES = [
    ((1, 5, 4, 3), (1, 5, 4, 3)),
    ((1, 5, 4, 3), (1, 1, 1, 3)),
    ((1, 1, 1, 3), (1, 5, 4, 3)),
    ((1, 5, 4, 3), (1, 5, 4, 1)),
    ((1, 5, 1, 3), (1, 1, 4, 1)),
    ((1, 5, 4, 3), ()),
    ((1, 5, 4, 3), (3,)),
    ((1, 5, 4, 3), (4, 3)),
    ((2, 7), (2, 1)),
    ((3,), (2, 3)),
    ((2, 3, 1, 5), (2, 1, 4, 5)),
]


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"])
def test_arithmetic_broadcasts(new_net: Any, agrees: Any, kind: str, constant: bool) -> None:
    net = new_net()
    made = []
    for first, second in SHAPES:
        a = net.input(*first)
        b = net.normal(*second) if constant else net.input(*second)
        made.append(net.op(kind, [a, b], np.broadcast_shapes(first, second)))
    model = net.model(*made)
    rng = np.random.default_rng(3)
    feeds = {t.name: rng.uniform(0.5, 2, t.shape).astype(np.float32) for t in net.inputs}
    agrees(model, feeds)


@pytest.mark.parametrize("act", ["RELU", "RELU6", "RELU_N1_TO_1"])
def test_arithmetic_with_a_fused_activation(new_net: Any, agrees: Any, act: str) -> None:
    net = new_net()
    a, b = net.input(1, 5, 4, 3), net.input(1, 5, 4, 3)
    agrees(net.model(*(net.op(k, [a, b], a.shape, fused_activation_function=act) for k in ("ADD", "SUB", "MUL"))))


def test_powers_and_floored_quotients(new_net: Any, agrees: Any) -> None:
    net = new_net()
    a, b = net.input(2, 50), net.input(2, 50)
    rng = np.random.default_rng(3)
    feeds = {"x0": rng.uniform(0.1, 3, (2, 50)).astype(np.float32), "x1": net.normal(2, 50)}
    agrees(net.model(net.op("POW", [a, b], a.shape), net.op("FLOOR_DIV", [a, b], a.shape)), feeds)


UNARY = [
    "RELU",
    "RELU6",
    "RELU_N1_TO_1",
    "HARD_SWISH",
    "LOGISTIC",
    "TANH",
    "EXP",
    "NEG",
    "ABS",
    "SQUARE",
    "ELU",
    "FLOOR",
    "CEIL",
    "ROUND",
    "SIN",
    "COS",
]


@pytest.mark.parametrize("kind", [*UNARY, "LEAKY_RELU", "GELU", "GELU_TANH", "SQRT", "RSQRT", "LOG"])
def test_values_one_by_one(new_net: Any, agrees: Any, kind: str) -> None:
    net = new_net()
    attrs = {"LEAKY_RELU": {"alpha": 0.3}, "GELU_TANH": {"approximate": True}}.get(kind, {})
    picture, rows = net.input(1, 7, 5, 3), net.input(3, 37)
    model = net.model(*(net.op(kind.removesuffix("_TANH"), [x], x.shape, **attrs) for x in (picture, rows)))
    rng = np.random.default_rng(0)
    spread = (
        rng.uniform(0.01, 9, t.size) if kind in ("SQRT", "RSQRT", "LOG") else rng.normal(0, 4, t.size)
        for t in net.inputs
    )
    feeds = {t.name: v.astype(np.float32).reshape(t.shape) for t, v in zip(net.inputs, spread, strict=True)}
    agrees(model, feeds)


@pytest.mark.parametrize("slope", [(3,), (1, 1, 3), (7, 5, 3), (1,), (1, 1, 1), ()])
@pytest.mark.parametrize("behind", [False, True], ids=["alone", "behind a convolution"])
def test_prelu(new_net: Any, agrees: Any, slope: tuple[int, ...], behind: bool) -> None:
    net = new_net()
    x = net.input(1, 7, 5, 3)
    before = net.conv(x, 3) if behind else x
    agrees(net.model(net.op("PRELU", [before, np.abs(net.normal(*slope))], x.shape)))


@few
@given(seeds, st.tuples(sizes, sizes), channels, sides, pairs, paddings, fused, st.booleans())
def test_pooling(new_net: Any, agrees: Any, seed, size, depth, kernel, stride, padding, act, largest) -> None:
    assume(fits(size, kernel, (1, 1), padding))
    net = new_net(seed)
    x = net.input(1, *size, depth)
    spans = zip(size, kernel, stride, strict=True)
    out = [-(-n // s) if padding == "SAME" else (n - k) // s + 1 for n, k, s in spans]
    options = {
        "padding": padding,
        "filter_height": kernel[0],
        "filter_width": kernel[1],
        "stride_h": stride[0],
        "stride_w": stride[1],
        "fused_activation_function": act,
    }
    kind = "MAX_POOL_2D" if largest else "AVERAGE_POOL_2D"
    agrees(net.model(net.op(kind, [x], (1, *out, depth), **options)))


@pytest.mark.parametrize("act", ["NONE", "RELU", "RELU_N1_TO_1"])
def test_pooling_of_the_whole_picture(new_net: Any, agrees: Any, act: str) -> None:
    net = new_net()
    x = net.input(1, 6, 7, 3)
    options = {"padding": "VALID", "filter_height": 6, "filter_width": 7, "stride_h": 6, "stride_w": 7}
    y = net.op("AVERAGE_POOL_2D", [x], (1, 1, 1, 3), **options, fused_activation_function=act)
    agrees(net.model(y), {"x0": net.normal(1, 6, 7, 3) + np.float32([-5, 0, 5])})


@few
@given(
    st.sampled_from(["SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"]),
    st.sampled_from([(1, 5, 4, 3), (2, 5, 4, 3), (7, 3), (5,), (2, 3, 4)]),
    st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True),
    st.booleans(),
    st.booleans(),
)
def test_reductions(new_net: Any, agrees: Any, kind, shape, axes, keep, negative) -> None:
    axes = [axis for axis in axes if axis < len(shape)]
    assume(axes)
    net = new_net()
    x = net.input(*shape)
    kept = [1 if axis in axes else n for axis, n in enumerate(shape) if keep or axis not in axes]
    given_axes = np.array([axis - len(shape) if negative else axis for axis in axes], np.int32)
    agrees(net.model(net.op(kind, [x, given_axes], kept, keep_dims=keep)))


@few
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 17), st.integers(1, 17)),
    st.booleans(),
    st.sampled_from([(False, False), (True, False), (False, True)]),
)
def test_resizing(new_net: Any, agrees: Any, size, target, nearest, flags) -> None:
    net = new_net()
    x = net.input(1, *size, 3)
    kind = "RESIZE_NEAREST_NEIGHBOR" if nearest else "RESIZE_BILINEAR"
    options = {"align_corners": flags[0], "half_pixel_centers": flags[1]}
    agrees(net.model(net.op(kind, [x, np.array(target, np.int32)], (1, *target, 3), version=3, **options)))


margins = st.tuples(st.integers(0, 3), st.integers(0, 3))


@few
@given(
    st.sampled_from([(1, 5, 4, 3), (2, 4, 4, 5), (6, 7), (5,)]),
    st.lists(margins, min_size=4, max_size=4),
    st.sampled_from(["PAD", "PADV2", "REFLECT", "SYMMETRIC"]),
)
def test_padding(new_net: Any, agrees: Any, shape, pads, kind) -> None:
    edge = kind == "REFLECT"
    mirrors = kind in ("REFLECT", "SYMMETRIC")
    pads = [
        tuple(min(n, size - edge) if mirrors else n for n in pair)
        for pair, size in zip(pads[: len(shape)], shape, strict=True)
    ]
    net = new_net()
    x = net.input(*shape)
    operands = [x, np.array(pads, np.int32)]
    result = [n + a + b for n, (a, b) in zip(shape, pads, strict=True)]
    if mirrors:
        agrees(net.model(net.op("MIRROR_PAD", operands, result, mode=kind)))
    else:
        agrees(net.model(net.op(kind, [*operands, *([np.array(-1.5, np.float32)] if kind == "PADV2" else [])], result)))


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -3])
@pytest.mark.parametrize("constant", [False, True])
def test_concatenation(new_net: Any, agrees: Any, axis: int, constant: bool) -> None:
    net = new_net()
    shapes = [[2 if i == axis % 4 else n for i, n in enumerate((1, 4, 5, 3))] for _ in range(3)]
    shapes[1][axis] = 1
    tensors = [net.input(*shape) for shape in shapes]
    if constant:
        tensors[1] = net.normal(*shapes[1])
    result = list(shapes[0])
    result[axis] = sum(shape[axis] for shape in shapes)
    agrees(net.model(net.op("CONCATENATION", tensors, result, axis=axis)))


@few
@given(st.sampled_from([(1, 5, 4, 6), (3, 8), (7,)]), st.data())
def test_slices(new_net: Any, agrees: Any, shape, data) -> None:
    net = new_net()
    x = net.input(*shape)
    begin = [data.draw(st.integers(0, n - 1)) for n in shape]
    size = [data.draw(st.integers(1, n - b)) for n, b in zip(shape, begin, strict=True)]
    written = [
        -1 if b + n == whole and data.draw(st.booleans()) else n for b, n, whole in zip(begin, size, shape, strict=True)
    ]
    agrees(net.model(net.op("SLICE", [x, np.array(begin, np.int32), np.array(written, np.int32)], size)))


@few
@given(st.sampled_from([(1, 5, 4, 6), (3, 8), (7,)]), st.data())
def test_strided_slices(new_net: Any, agrees: Any, shape, data) -> None:
    net = new_net()
    x = net.input(*shape)
    begin, end, step, result = [], [], [], []
    masks = {"begin_mask": 0, "end_mask": 0, "shrink_axis_mask": 0}
    for axis, n in enumerate(shape):
        b, e = data.draw(st.integers(-n, n)), data.draw(st.integers(-n - 1, n))
        s = data.draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
        drawn = {name: data.draw(st.integers(0, 3)) == 0 for name in masks}
        if drawn["shrink_axis_mask"] and axis != 1:
            b = min(b, n - 1)
            s = 1
            drawn["begin_mask"] = drawn["end_mask"] = False
        else:
            drawn["shrink_axis_mask"] = False
            count = len(range(n)[None if drawn["begin_mask"] else b : None if drawn["end_mask"] else e : s])
            assume(count)
            result.append(count)
        begin.append(b)
        end.append(e)
        step.append(s)
        for name, given_mask in drawn.items():
            masks[name] |= given_mask << axis
    operands = [x, *(np.array(v, np.int32) for v in (begin, end, step))]
    agrees(net.model(net.op("STRIDED_SLICE", operands, result, **masks)))


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_split(new_net: Any, agrees: Any, axis: int) -> None:
    net = new_net()
    x = net.input(1, 6, 6, 6)
    parts = [[2 if i == axis % 4 else n for i, n in enumerate(x.shape)] for _ in range(3)]
    equal = net.op("SPLIT", [np.array(axis, np.int32), x], *parts, num_splits=3)
    parts = [[k if i == axis % 4 else n for i, n in enumerate(x.shape)] for k in (1, 3, 2)]
    uneven = net.op("SPLIT_V", [x, np.array([1, 3, 2], np.int32), np.array(axis, np.int32)], *parts, num_splits=3)
    agrees(net.model(*equal, *uneven))


RESHAPED = [
    ((1, 4, 3, 5), (1, 60)),
    ((1, 4, 3, 5), (1, 3, 4, 5)),
    ((1, 60), (1, 4, 3, 5)),
    ((1, 1, 1, 8), (8,)),
    ((2, 3, 4), (6, 4)),
    ((1, 4, 6, 1), (1, 24)),
    ((1, 24), (1, 4, 6, 1)),
    ((1, 4, 6, 1), (1, 1, 1, 24)),
]


@pytest.mark.parametrize("kept", [False, True], ids=["passing", "given out"])
@pytest.mark.parametrize(("before", "after"), RESHAPED)
def test_reshape(new_net: Any, agrees: Any, before: tuple[int, ...], after: tuple[int, ...], kept: bool) -> None:
    net = new_net()
    x = net.input(*before)
    made = net.relu(x)
    shaped = net.op("RESHAPE", [made, np.array(after, np.int32)], after, new_shape=list(after))
    agrees(net.model(net.op("ABS", [shaped], after), *([made, shaped] if kept else [])))


def test_squeeze_and_expand(new_net: Any, agrees: Any) -> None:
    net = new_net()
    x = net.input(1, 4, 1, 5)
    squeezed = net.op("SQUEEZE", [x], (4, 5), squeeze_dims=[0, 2])
    agrees(net.model(squeezed, net.op("EXPAND_DIMS", [squeezed, np.array(1, np.int32)], (4, 1, 5))))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2), (3, 2, 1, 0), (1, 0, 2, 3)])
def test_transpose(new_net: Any, agrees: Any, order: tuple[int, ...]) -> None:
    net = new_net()
    made = []
    for shape in ((1, 4, 5, 6), (2, 4, 5, 6)):
        x = net.input(*shape)
        made.append(net.op("TRANSPOSE", [x, np.array(order, np.int32)], [shape[axis] for axis in order]))
    agrees(net.model(*made))


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_reverse(new_net: Any, agrees: Any, axis: int) -> None:
    net = new_net()
    x = net.input(1, 4, 5, 6)
    agrees(net.model(net.op("REVERSE_V2", [x, np.array([axis], np.int32)], x.shape)))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_pack_and_unpack(new_net: Any, agrees: Any, axis: int) -> None:
    net = new_net()
    a, b = net.input(4, 5), net.input(4, 5)
    shape = [4, 5]
    shape.insert(axis % 3, 2)
    packed = net.op("PACK", [a, b], shape, axis=axis, values_count=2)
    agrees(net.model(packed, *net.op("UNPACK", [packed], (4, 5), (4, 5), axis=axis, num=2)))


@pytest.mark.parametrize(
    ("shape", "times"), [((1, 3, 4, 5), (1, 2, 1, 3)), ((1, 3, 1, 5), (2, 1, 4, 1)), ((3, 4), (2, 3)), ((1,), (50,))]
)
def test_tile(new_net: Any, agrees: Any, shape: tuple[int, ...], times: tuple[int, ...]) -> None:
    net = new_net()
    x = net.input(*shape)
    result = [n * t for n, t in zip(shape, times, strict=True)]
    agrees(net.model(net.op("TILE", [x, np.array(times, np.int32)], result)))


def test_broadcast_to(new_net: Any, agrees: Any) -> None:
    net = new_net()
    x, y = net.input(1, 1, 4, 1), net.input(3)
    made = [
        net.op("BROADCAST_TO", [x, np.array((1, 5, 4, 2), np.int32)], (1, 5, 4, 2), version=2),
        net.op("BROADCAST_TO", [y, np.array((2, 4, 3), np.int32)], (2, 4, 3), version=2),
    ]
    agrees(net.model(*made))


@pytest.mark.parametrize("block", [1, 2, 3])
def test_depth_and_space(new_net: Any, agrees: Any, block: int) -> None:
    net = new_net()
    deep, wide = net.input(1, 3, 4, 2 * block * block), net.input(1, 3 * block, 2 * block, 5)
    made = [
        net.op("DEPTH_TO_SPACE", [deep], (1, 3 * block, 4 * block, 2), block_size=block),
        net.op("SPACE_TO_DEPTH", [wide], (1, 3, 2, 5 * block * block), block_size=block),
    ]
    agrees(net.model(*made))


@pytest.mark.parametrize("beta", [1.0, 0.5, None])
def test_softmax(new_net: Any, agrees: Any, beta: float | None) -> None:
    options = {} if beta is None else {"beta": beta}
    net = new_net()
    made = [net.op("SOFTMAX", [x], x.shape, **options) for x in (net.input(3, 17), net.input(1, 4, 5, 6), net.input(9))]
    agrees(net.model(*made))
