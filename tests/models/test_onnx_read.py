"""ONNX operators read as a graph: ONNX Runtime on the file is the oracle for LiteRT on the graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: pip install 'pocketgraph[onnx]'")

import onnx.parser
from onnx import helper, numpy_helper

from pocketgraph.models.errors import UnsupportedError
from pocketgraph.models.onnx_read import read_onnx
from pocketgraph.models.onnx_write import write_onnx
from pocketgraph.runtime import load_model

RANDOM = np.random.default_rng(11)


def floats(*shape: int) -> np.ndarray[Any, Any]:
    return RANDOM.standard_normal(shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray[Any, Any]:
    return RANDOM.uniform(0.5, 2, shape).astype(np.float32)


def whole(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


@dataclass
class Net:
    """A net in ONNX's text form: `nodes` from the input `x` to the output `y`, with constants by name."""

    nodes: str
    x: str = "float[1,4,6,5]"
    constants: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    opset: int = 17
    y: str = "y"

    def content(self) -> bytes:
        graph = onnx.parser.parse_graph(f"net ({self.x} x) => ({self.y}) {{ {self.nodes} }}")
        graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in self.constants.items())
        opset = helper.make_opsetid("", self.opset)
        return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString())


W3 = {"w": floats(6, 4, 3, 3), "b": floats(6)}
NORM = {"s": floats(6), "o": floats(6), "m": floats(6), "v": positive(6)}
NETS = {
    "conv": Net("y = Conv(x, w, b)", constants=W3),
    "conv pads that are SAME": Net("y = Conv<pads=[0,1,1,1], strides=[2,2]>(x, w, b)", constants=W3),
    "conv pads that are not SAME": Net("y = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w, b)", constants=W3),
    "conv auto_pad lower": Net('y = Conv<auto_pad="SAME_LOWER", strides=[2,2]>(x, w, b)', constants=W3),
    "conv auto_pad upper": Net('y = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w, b)', constants=W3),
    "conv dilated": Net("y = Conv<dilations=[2,2], pads=[2,2,2,2]>(x, w, b)", constants=W3),
    "conv grouped": Net("y = Conv<group=2>(x, w)", constants={"w": floats(6, 2, 3, 3)}),
    "conv depthwise": Net(
        "y = Conv<group=4, pads=[1,1,1,1]>(x, w, b)", constants={"w": floats(4, 1, 3, 3), "b": floats(4)}
    ),
    "conv depthwise multiplier": Net("y = Conv<group=4>(x, w)", constants={"w": floats(8, 1, 3, 3)}),
    "conv of a sequence": Net(
        "y = Conv<pads=[2,1], strides=[2]>(x, w, b)", "float[1,4,9]", {"w": floats(6, 4, 3), "b": floats(6)}
    ),
    "conv, norm, relu": Net(
        "c = Conv(x, w) n = BatchNormalization(c, s, o, m, v) y = Relu(n)", constants={**W3, **NORM}
    ),
    "norm, clip, conv": Net(
        "n = BatchNormalization<epsilon=0.01>(x, s, o, m, v) r = Clip(n, lo, hi) y = Conv(r, w)",
        constants={
            "s": floats(4),
            "o": floats(4),
            "m": floats(4),
            "v": positive(4),
            "w": floats(3, 4, 1, 1),
            "lo": np.float32(0),
            "hi": np.float32(6),
        },
    ),
    "conv, sum with constant": Net(
        "c = Conv(x, w) y = Add(c, o)", constants={"w": floats(6, 4, 3, 3), "o": floats(6, 1, 1)}
    ),
    "conv shared by two": Net("c = Conv(x, w) r = Relu(c) y = Add(c, r)", constants=W3),
    "transposed conv": Net(
        "y = ConvTranspose<strides=[2,2]>(x, w, b)", constants={"w": floats(4, 6, 3, 3), "b": floats(6)}
    ),
    "transposed conv cropped": Net(
        "y = ConvTranspose<strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]>(x, w)",
        constants={"w": floats(4, 6, 3, 3)},
    ),
    "transposed conv grouped": Net("y = ConvTranspose<group=2>(x, w)", constants={"w": floats(4, 3, 3, 2)}),
    "transposed conv to a shape": Net(
        "y = ConvTranspose<strides=[2,2], output_shape=[12,10]>(x, w)", constants={"w": floats(4, 6, 4, 4)}
    ),
    "transposed conv same": Net(
        'y = ConvTranspose<strides=[2,2], auto_pad="SAME_UPPER">(x, w)', constants={"w": floats(4, 6, 3, 3)}
    ),
    "gemm": Net(
        "f = Flatten(x) y = Gemm<transB=1, alpha=0.5, beta=2.0>(f, w, b)",
        constants={"w": floats(3, 120), "b": floats(3)},
    ),
    "gemm of columns": Net("y = Gemm<transA=1>(x, w)", "float[4,3]", {"w": floats(4, 5)}),
    "matmul, sum": Net("m = MatMul(x, w) y = Add(m, b)", "float[2,3,4]", {"w": floats(4, 5), "b": floats(5)}),
    "matmul of values": Net("t = Transpose<perm=[0,2,1]>(x) y = MatMul(x, t)", "float[2,3,4]"),
    "max pool": Net("y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)"),
    "max pool ceil": Net("y = MaxPool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x)"),
    "average pool": Net("y = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)"),
    "average pool same": Net('y = AveragePool<kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_UPPER">(x)'),
    "average pool counts pads": Net("y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(x)"),
    "average pool ceil": Net("y = AveragePool<kernel_shape=[3,2], strides=[2,2], ceil_mode=1>(x)"),
    "average pool of a sequence": Net(
        "y = AveragePool<kernel_shape=[3], pads=[1,1], count_include_pad=1>(x)", "float[1,4,9]"
    ),
    "global pools": Net("a = GlobalAveragePool(x) m = GlobalMaxPool(x) y = Concat<axis=1>(a, m)"),
    "mean, then head": Net("a = ReduceMean<axes=[2,3], keepdims=0>(x) y = MatMul(a, w)", constants={"w": floats(4, 3)}),
    "reduce by operand": Net("y = ReduceSum<keepdims=0>(x, axes)", constants={"axes": whole(1)}),
    "reduce max of all": Net("y = ReduceMax(x)"),
    "reduce l2": Net("y = ReduceL2<axes=[1]>(x)"),
    "argmax": Net("y = ArgMax<axis=1>(x)"),
    "argmax drops the axis": Net("y = ArgMax<axis=-1, keepdims=0>(x)"),
    "clip to other bounds": Net("y = Clip(x, lo, hi)", constants={"lo": np.float32(-0.3), "hi": np.float32(0.8)}),
    "clip to one": Net("y = Clip(x, lo, hi)", constants={"lo": np.float32(0), "hi": np.float32(1)}),
    "clip by attributes": Net("y = Clip<min=0.0, max=6.0>(x)", opset=8),
    "prelu": Net("y = PRelu(x, s)", constants={"s": floats(4, 1, 1)}),
    "prelu of a number": Net("y = PRelu(x, s)", "float", {"s": np.float32(0.3)}),
    "leaky relu": Net("y = LeakyRelu<alpha=0.2>(x)"),
    "hard sigmoid": Net("y = HardSigmoid<alpha=0.3, beta=0.4>(x)"),
    "hard swish in parts": Net(
        "t = Add(x, three) c = Clip(t, lo, hi) m = Mul(x, c) y = Div(m, six)",
        constants={"three": np.float32(3), "lo": np.float32(0), "hi": np.float32(6), "six": np.float32(6)},
    ),
    "gelu in parts": Net(
        "d = Div(x, r) e = Erf(d) p = Add(e, one) m = Mul(x, p) y = Mul(m, half)",
        constants={"r": np.float32(np.sqrt(2)), "one": np.float32(1), "half": np.float32(0.5)},
    ),
    **{
        kind.lower(): Net(f"y = {kind}(x)")
        for kind in (
            "Relu",
            "Sigmoid",
            "Tanh",
            "Softplus",
            "Softsign",
            "Elu",
            "Selu",
            "Exp",
            "Abs",
            "Neg",
            "Floor",
            "Ceil",
            "Round",
            "Sin",
            "Cos",
            "Sign",
            "HardSigmoid",
            "HardSwish",
            "Identity",
        )
    },
    "mish": Net("y = Mish(x)", opset=18),
    "gelu": Net('y = Gelu<approximate="tanh">(x)', opset=20),
    "square root, reciprocal, log, power": Net(
        "a = Abs(x) b = Add(a, one) s = Sqrt(b) r = Reciprocal(s) l = Log(r) y = Pow(b, l)",
        constants={"one": np.float32(1)},
    ),
    "sums of many": Net(
        "a = Sum(x, x, c) b = Max(a, x, c) m = Min(b, c) y = Mean(m, x)", constants={"c": floats(4, 1, 1)}
    ),
    "comparisons": Net(
        "g = Greater(x, c) l = LessOrEqual(x, d) n = Not(l) o = Or(g, n) y = Where(o, x, d)",
        constants={"c": floats(4, 1, 1), "d": floats(5)},
    ),
    "broadcast of rows": Net("y = Mul(x, c)", constants={"c": floats(6, 1)}),
    "instance norm": Net("y = InstanceNormalization(x, s, o)", constants={"s": floats(4), "o": floats(4)}),
    "layer norm": Net("y = LayerNormalization<axis=2>(x, s, o)", constants={"s": floats(6, 5), "o": floats(6, 5)}),
    "softmax of channels": Net("y = Softmax<axis=1>(x)"),
    "softmax of old": Net("y = Softmax(x)", opset=11),
    "log softmax": Net("y = LogSoftmax<axis=-1>(x)", "float[3,7]"),
    "local response": Net("y = LRN<size=3, alpha=0.3>(x)"),
    "reshape, channel shuffle": Net(
        "c = Conv(x, w) r = Reshape(c, five) t = Transpose<perm=[0,2,1,3,4]>(r) y = Reshape(t, four)",
        constants={"w": floats(6, 4, 1, 1), "five": whole(0, 2, 3, 6, 5), "four": whole(0, -1, 6, 5)},
    ),
    "flatten of channels first": Net("c = Conv(x, w) y = Flatten(c)", constants=W3),
    "conv, flatten, product": Net(
        "c = Conv(x, w, b) f = Flatten(c) y = Gemm(f, m)", constants={**W3, "m": floats(72, 3)}
    ),
    "shape arithmetic": Net(
        "s = Shape(x) n = Gather(s, zero) u = Unsqueeze(n, axes) t = Concat<axis=0>(u, rest) y = Reshape(x, t)",
        constants={"zero": np.array(0, np.int64), "axes": whole(0), "rest": whole(-1)},
    ),
    "squeeze and unsqueeze": Net(
        "s = Squeeze(x, axes) u = Unsqueeze(s, axes) y = Unsqueeze(u, ends)",
        constants={"axes": whole(0), "ends": whole(1, -1)},
    ),
    "squeeze by attributes": Net("s = Squeeze<axes=[0]>(x) y = Unsqueeze<axes=[1]>(s)", opset=9),
    "transposes that cancel": Net("t = Transpose<perm=[0,2,3,1]>(x) r = Relu(t) y = Transpose<perm=[0,3,1,2]>(r)"),
    "slice": Net(
        "y = Slice(x, a, b, axes, steps)",
        constants={"a": whole(1, -1), "b": whole(4, -99), "axes": whole(1, 3), "steps": whole(2, -2)},
    ),
    "slice by attributes": Net("y = Slice<axes=[2,3], starts=[1,0], ends=[100,-1]>(x)", opset=9),
    "split": Net("a, b = Split<axis=1>(x, s) y = Mul(b, b)", constants={"s": whole(1, 3)}),
    "split by attribute": Net("a, b = Split<axis=2, split=[2,4]>(x) y = Relu(a)", opset=11),
    "gather": Net("c = Conv(x, w) y = Gather<axis=1>(c, i)", constants={**W3, "i": whole(5, -2, 0)}),
    "gather by small integers": Net("y = Gather<axis=2>(x, i)", constants={"i": np.array([-1, 2], np.int32)}),
    "gather one": Net("y = Gather<axis=2>(x, i)", constants={"i": np.array(-1, np.int64)}),
    "pad": Net("y = Pad(x, p, v)", constants={"p": whole(0, 0, 1, 2, 0, 1, 0, 3), "v": np.float32(0.5)}),
    "pad by attribute": Net("y = Pad<pads=[0,0,1,2,0,0,0,1]>(x)", opset=9),
    "pad that crops": Net("y = Pad(x, p)", constants={"p": whole(0, 0, -1, 1, 0, 0, -2, 0)}),
    "pad reflects": Net('y = Pad<mode="reflect">(x, p)', constants={"p": whole(0, 0, 1, 2, 0, 0, 3, 1)}),
    "pad repeats the edge": Net('y = Pad<mode="edge">(x, p)', constants={"p": whole(0, 1, 1, 2, 0, 0, 3, 1)}),
    "expand": Net("y = Expand(x, s)", "float[1,4,1,1]", {"s": whole(1, 4, 6, 5)}),
    "tile": Net("y = Tile(x, s)", constants={"s": whole(1, 2, 1, 3)}),
    "depth to space": Net("y = DepthToSpace<blocksize=2>(x)"),
    "depth to space CRD": Net('y = DepthToSpace<blocksize=2, mode="CRD">(x)', "float[1,8,3,2]"),
    "space to depth": Net("y = SpaceToDepth<blocksize=2>(x)", "float[1,3,6,4]"),
    "upsample": Net("y = Upsample(x, s)", constants={"s": np.array([1, 1, 2, 3], np.float32)}, opset=9),
    "resize of opset 10": Net(
        'y = Resize<mode="linear">(x, s)', constants={"s": np.array([1, 1, 2, 2], np.float32)}, opset=10
    ),
    **{
        f"resize {mode} {transform} {rounding} {scale}": Net(
            f'y = Resize<mode="{mode}", coordinate_transformation_mode="{transform}",'
            f' nearest_mode="{rounding}">(x, , s)',
            constants={"s": np.array([1, 1, *scale], np.float32)},
        )
        for mode, roundings in (
            ("nearest", ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")),
            ("linear", ("floor",)),
        )
        for rounding in roundings
        for transform in ("asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel")
        for scale in ((2, 2), (0.5, 1), (1.5, 2.4))
        if not (mode == "linear" and scale == (1.5, 2.4) and transform == "asymmetric")
    },
    "resize to sizes": Net('y = Resize<mode="linear">(x, , , s)', constants={"s": whole(1, 4, 11, 7)}),
    "quantised weights": Net(
        "d = DequantizeLinear<axis=0>(w, s, z) y = Conv(x, d)",
        constants={
            "w": RANDOM.integers(-127, 127, (6, 4, 3, 3)).astype(np.int8),
            "s": positive(6),
            "z": np.zeros(6, np.int8),
        },
    ),
    "half precision weights": Net(
        "f = Cast<to=1>(w) y = Conv(x, f)", constants={"w": floats(6, 4, 3, 3).astype(np.float16)}
    ),
    "cast to integers": Net("y = Cast<to=6>(x)"),
    "input is output too": Net("r = Relu(x) y = Identity(x)"),
}


@pytest.mark.parametrize("name", NETS)
def test_litert_gives_what_onnx_runtime_gives(name: str) -> None:
    content = NETS[name].content()
    model = read_onnx(content)
    model.validate()
    (x,) = model.main.inputs
    feeds = {"x": RANDOM.standard_normal(x.shape).astype(np.float32)}
    with load_model(content, "onnxruntime") as expected, load_model(model, "litert") as found:
        want, got = expected.run(feeds)["y"], found.run(feeds)["y"]
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5)
    with load_model(write_onnx(model), "onnxruntime") as again:
        np.testing.assert_allclose(again.run(feeds)["y"], want, rtol=1e-4, atol=2e-5)


def kinds(name: str) -> list[str]:
    return [op.kind for op in read_onnx(NETS[name].content()).main.ops]


def test_norm_and_activation_go_into_the_convolution() -> None:
    ops = read_onnx(NETS["conv, norm, relu"].content()).main.ops
    assert [op.kind for op in ops] == ["TRANSPOSE", "CONV_2D", "TRANSPOSE"]
    assert ops[1].attrs["fused_activation_function"] == "RELU"


def test_a_value_read_twice_keeps_what_the_other_reader_needs() -> None:
    assert kinds("conv shared by two") == ["TRANSPOSE", "CONV_2D", "RELU", "ADD", "TRANSPOSE"]


def test_written_out_activations_become_one_op() -> None:
    assert kinds("hard swish in parts") == ["HARD_SWISH"]
    assert kinds("gelu in parts") == ["GELU"]


def test_symmetric_pads_become_same_only_where_they_are() -> None:
    same, other = (read_onnx(NETS[f"conv pads that are {name}"].content()).main.ops for name in ("SAME", "not SAME"))
    assert [(op.kind, op.attrs["padding"]) for op in same if op.kind == "CONV_2D"] == [("CONV_2D", "SAME")]
    assert [op.kind for op in other] == ["TRANSPOSE", "PAD", "CONV_2D", "TRANSPOSE"]


def test_transposes_that_cancel_leave_nothing() -> None:
    assert kinds("transposes that cancel") == ["RELU"]


def test_a_product_takes_a_flattened_picture_as_it_lies() -> None:
    assert kinds("conv, flatten, product") == ["TRANSPOSE", "CONV_2D", "RESHAPE", "FULLY_CONNECTED"]


def test_dynamic_batch_is_one() -> None:
    model = read_onnx(Net("y = Relu(x)", 'float["N",3]').content())
    assert model.main.inputs[0].shape == (1, 3)


def test_other_open_dimensions_are_refused_with_the_fix() -> None:
    with pytest.raises(UnsupportedError, match=r"axis 2 \('H'\) open; export the model with a fixed size"):
        read_onnx(Net("y = Relu(x)", 'float["N",3,"H",4]').content())


def test_unknown_operators_are_named() -> None:
    with pytest.raises(UnsupportedError, match="NonMaxSuppression"):
        read_onnx(Net("y = NonMaxSuppression(x, x)").content())
    with pytest.raises(UnsupportedError, match=r"com\.example\.Relu"):
        read_onnx(Net("y = com.example.Relu(x)").content())
