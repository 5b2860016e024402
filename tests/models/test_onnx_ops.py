"""Every operator through ONNX: LiteRT on the graph is the oracle, for the .onnx file and for the graph read back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: pip install 'pocketgraph[onnx]'")

from pocketgraph.models.graph import DType, Graph, Model, Op, Tensor
from pocketgraph.models.onnx_read import read_onnx
from pocketgraph.models.onnx_write import write_onnx
from pocketgraph.runtime import load_model

Shape = tuple[int, ...]


class Case:
    """One op on float inputs of the given shapes; an array among the operands is a constant."""

    def __init__(
        self,
        kind: str,
        operands: list[Any],
        *results: Shape,
        dtype: DType = DType.FLOAT32,
        version: int = 1,
        **attrs: Any,
    ) -> None:
        self.kind, self.operands, self.results, self.dtype, self.attrs = kind, operands, results, dtype, attrs
        self.version = version

    def model(self, *, moved: bool) -> Model:
        """The op alone, or (`moved`) behind a convolution that leaves its first operand channels first in ONNX."""
        inputs: list[Tensor] = []
        ops: list[Op] = []
        operands: list[Tensor] = []
        for index, operand in enumerate(self.operands):
            if isinstance(operand, np.ndarray):
                operands.append(Tensor(f"c{index}", operand.shape, DType.of(operand), operand))
                continue
            inputs.append(Tensor(f"x{index}", operand))
            operands.append(inputs[-1])
            if moved and len(operand) == 4:
                channels = operand[3]
                weights = RANDOM.standard_normal((channels, 1, 1, channels)).astype(np.float32)
                bias = np.linspace(-0.5, 0.5, channels, dtype=np.float32)
                made = Tensor(f"conv{index}", operand)
                constants = [
                    Tensor(f"w{index}", weights.shape, data=weights),
                    Tensor(f"b{index}", bias.shape, data=bias),
                ]
                ops.append(
                    Op("CONV_2D", [inputs[-1], *constants], [made], {"padding": "VALID", "stride_w": 1, "stride_h": 1})
                )
                operands[-1] = made
        outputs = [Tensor(f"y{index}", shape, self.dtype) for index, shape in enumerate(self.results)]
        ops.append(Op(self.kind, list(operands), outputs, self.attrs, self.version))
        return Model([Graph("main", inputs, outputs, ops)])


RANDOM = np.random.default_rng(5)


def floats(*shape: int) -> np.ndarray[Any, Any]:
    return RANDOM.standard_normal(shape).astype(np.float32)


def ints(*values: Any) -> np.ndarray[Any, Any]:
    return np.array(values, np.int32)


PICTURE = (1, 6, 5, 4)
SAME = {"padding": "SAME", "stride_w": 2, "stride_h": 2}
VALID = {"padding": "VALID", "stride_w": 1, "stride_h": 1}
POOL = {"filter_width": 3, "filter_height": 2}
SLICED = {"begin_mask": 0b0010, "end_mask": 0b0101, "shrink_axis_mask": 0b1000}
CASES = {
    "conv same stride 2": Case("CONV_2D", [PICTURE, floats(7, 3, 3, 4), floats(7)], (1, 3, 3, 7), **SAME),
    "conv valid": Case("CONV_2D", [PICTURE, floats(2, 3, 2, 4), floats(2)], (1, 4, 4, 2), **VALID),
    "conv grouped": Case("CONV_2D", [PICTURE, floats(6, 3, 3, 2), floats(6)], (1, 4, 3, 6), **VALID),
    "conv dilated relu6": Case(
        "CONV_2D",
        [PICTURE, floats(3, 3, 3, 4), floats(3)],
        (1, 6, 5, 3),
        padding="SAME",
        stride_w=1,
        stride_h=1,
        dilation_w_factor=2,
        dilation_h_factor=2,
        fused_activation_function="RELU6",
    ),
    "depthwise same stride 2": Case(
        "DEPTHWISE_CONV_2D", [PICTURE, floats(1, 3, 3, 4), floats(4)], (1, 3, 3, 4), depth_multiplier=1, **SAME
    ),
    "depthwise multiplier 2": Case(
        "DEPTHWISE_CONV_2D", [PICTURE, floats(1, 2, 2, 8), floats(8)], (1, 5, 4, 8), depth_multiplier=2, **VALID
    ),
    "transpose conv same": Case(
        "TRANSPOSE_CONV", [ints(1, 12, 10, 3), floats(3, 3, 3, 4), PICTURE, floats(3)], (1, 12, 10, 3), **SAME
    ),
    "transpose conv same, odd size": Case(
        "TRANSPOSE_CONV", [ints(1, 11, 9, 3), floats(3, 4, 3, 4), PICTURE], (1, 11, 9, 3), **SAME
    ),
    "transpose conv valid": Case(
        "TRANSPOSE_CONV", [ints(1, 8, 7, 2), floats(2, 3, 3, 4), PICTURE], (1, 8, 7, 2), **VALID
    ),
    "fully connected": Case("FULLY_CONNECTED", [(3, 4), floats(5, 4), floats(5)], (3, 5)),
    "fully connected keeps axes": Case(
        "FULLY_CONNECTED",
        [(2, 3, 4), floats(5, 4), floats(5)],
        (2, 3, 5),
        keep_num_dims=True,
        fused_activation_function="RELU",
    ),
    "fully connected flattens": Case("FULLY_CONNECTED", [PICTURE, floats(3, 120), floats(3)], (1, 3)),
    "batch matmul": Case("BATCH_MATMUL", [(2, 3, 4), (2, 5, 4)], (2, 3, 5), adj_y=True),
    "average pool same": Case("AVERAGE_POOL_2D", [PICTURE], (1, 3, 3, 4), **SAME, **POOL),
    "average pool global": Case("AVERAGE_POOL_2D", [PICTURE], (1, 1, 1, 4), **VALID, filter_width=5, filter_height=6),
    "max pool same": Case("MAX_POOL_2D", [PICTURE], (1, 3, 3, 4), **SAME, **POOL, fused_activation_function="RELU"),
    "max pool valid": Case("MAX_POOL_2D", [PICTURE], (1, 5, 3, 4), **VALID, **POOL),
    "mean keeps axes": Case("MEAN", [PICTURE, ints(1, 2)], (1, 1, 1, 4), keep_dims=True),
    "mean drops axes": Case("MEAN", [PICTURE, ints(1, 2)], (1, 4)),
    "mean of channels": Case("MEAN", [PICTURE, ints(-1)], (1, 6, 5)),
    "sum": Case("SUM", [PICTURE, ints(2)], (1, 6, 4)),
    "reduce max": Case("REDUCE_MAX", [PICTURE, ints(3)], (1, 6, 5, 1), keep_dims=True),
    "reduce min": Case("REDUCE_MIN", [PICTURE, ints(1)], (1, 5, 4)),
    "argmax of channels": Case("ARG_MAX", [PICTURE, ints(3)], (1, 6, 5), dtype=DType.INT64, output_type="INT64"),
    "argmax int32": Case("ARG_MAX", [PICTURE, ints(1)], (1, 5, 4), dtype=DType.INT32, output_type="INT32"),
    "add pictures": Case("ADD", [PICTURE, PICTURE], PICTURE, fused_activation_function="RELU"),
    "add row of channels": Case("ADD", [PICTURE, floats(4)], PICTURE),
    "add column": Case("ADD", [PICTURE, floats(6, 1, 1)], PICTURE),
    "sub scalar": Case("SUB", [PICTURE, floats()], PICTURE, fused_activation_function="RELU_N1_TO_1"),
    "scalar minus": Case("SUB", [floats(), PICTURE], PICTURE),
    "mul by gate": Case("MUL", [PICTURE, (1, 1, 1, 4)], PICTURE),
    "mul by lower rank": Case("MUL", [PICTURE, (5, 4)], PICTURE),
    "div": Case("DIV", [PICTURE, np.abs(floats(4)) + 1], PICTURE),
    "maximum": Case("MAXIMUM", [PICTURE, PICTURE], PICTURE),
    "minimum": Case("MINIMUM", [PICTURE, floats(4)], PICTURE),
    "squared difference": Case("SQUARED_DIFFERENCE", [PICTURE, PICTURE], PICTURE),
    "floor div": Case("FLOOR_DIV", [PICTURE, np.float32(0.7) + np.abs(floats(4))], PICTURE),
    "floor mod": Case("FLOOR_MOD", [PICTURE, np.float32(0.7) + np.abs(floats(4))], PICTURE),
    "greater": Case("GREATER", [PICTURE, floats(4)], PICTURE, dtype=DType.BOOL),
    "not equal": Case("NOT_EQUAL", [PICTURE, floats(4)], PICTURE, dtype=DType.BOOL),
    **{
        kind.lower(): Case(kind, [PICTURE], PICTURE)
        for kind in (
            "RELU",
            "RELU6",
            "RELU_N1_TO_1",
            "LOGISTIC",
            "TANH",
            "HARD_SWISH",
            "ELU",
            "ABS",
            "NEG",
            "EXP",
            "FLOOR",
            "CEIL",
            "ROUND",
            "SIN",
            "COS",
            "SQUARE",
            "GELU",
        )
    },
    "gelu tanh": Case("GELU", [PICTURE], PICTURE, approximate=True),
    "leaky relu": Case("LEAKY_RELU", [PICTURE], PICTURE, alpha=0.3),
    "prelu": Case("PRELU", [PICTURE, floats(1, 1, 4)], PICTURE),
    "softmax of channels": Case("SOFTMAX", [PICTURE], PICTURE, beta=1.0),
    "softmax beta": Case("SOFTMAX", [(3, 7)], (3, 7), beta=2.5),
    "log softmax": Case("LOG_SOFTMAX", [(3, 7)], (3, 7)),
    "cast": Case("CAST", [PICTURE], PICTURE, dtype=DType.INT32),
    "reshape flattens": Case("RESHAPE", [PICTURE, ints(1, 120)], (1, 120), new_shape=[1, 120]),
    "reshape joins rows": Case("RESHAPE", [PICTURE, ints(1, 30, 4)], (1, 30, 4), new_shape=[1, 30, 4]),
    "reshape splits channels": Case(
        "RESHAPE", [PICTURE, ints(1, 6, 5, 2, 2)], (1, 6, 5, 2, 2), new_shape=[1, 6, 5, 2, 2]
    ),
    "squeeze": Case("SQUEEZE", [(1, 6, 1, 4)], (6, 4), squeeze_dims=[0, 2]),
    "expand dims": Case("EXPAND_DIMS", [(6, 4), ints(1).reshape(())], (6, 1, 4)),
    "transpose": Case("TRANSPOSE", [PICTURE, ints(0, 2, 1, 3)], (1, 5, 6, 4)),
    "transpose to channels first": Case("TRANSPOSE", [PICTURE, ints(0, 3, 1, 2)], (1, 4, 6, 5)),
    "concat channels": Case("CONCATENATION", [PICTURE, PICTURE, floats(1, 6, 5, 2)], (1, 6, 5, 10), axis=-1),
    "concat rows": Case("CONCATENATION", [PICTURE, PICTURE], (1, 12, 5, 4), axis=1),
    "pad": Case("PAD", [PICTURE, ints((0, 0), (1, 2), (0, 1), (0, 3))], (1, 9, 6, 7)),
    "pad with value": Case("PADV2", [PICTURE, ints((0, 0), (1, 2), (0, 1), (0, 0)), floats(1)], (1, 9, 6, 4)),
    "pad by reflection": Case(
        "MIRROR_PAD", [PICTURE, ints((0, 0), (2, 1), (1, 3), (0, 0))], (1, 9, 9, 4), mode="REFLECT"
    ),
    "pad by symmetry": Case(
        "MIRROR_PAD", [PICTURE, ints((0, 0), (2, 1), (1, 3), (0, 1))], (1, 9, 9, 5), mode="SYMMETRIC"
    ),
    "slice": Case("SLICE", [PICTURE, ints(0, 1, 2, 1), ints(1, 3, -1, 2)], (1, 3, 3, 2)),
    "strided slice": Case(
        "STRIDED_SLICE", [PICTURE, ints(0, 4, 1, 1), ints(1, 6, 5, 2), ints(1, 1, 2, 1)], (1, 6, 2), **SLICED
    ),
    "strided slice backwards": Case(
        "STRIDED_SLICE",
        [PICTURE, ints(0, -1, 0, 0), ints(1, 0, 5, 4), ints(1, -2, 1, 1)],
        (1, 3, 5, 4),
        end_mask=0b0010,
    ),
    "reverse": Case("REVERSE_V2", [PICTURE, ints(2)], (1, 6, 5, 4)),
    "strided slice that reverses two axes apart": Case(
        "STRIDED_SLICE",
        [PICTURE, ints(0, -1, 0, -1), ints(1, 0, 5, 0), ints(1, -1, 1, -1)],
        (1, 6, 5, 4),
        end_mask=0b1010,
    ),
    "reverse an axis counted from the end": Case("REVERSE_V2", [PICTURE, ints(-1)], (1, 6, 5, 4)),
    "strided slice new axis, ellipsis": Case(
        "STRIDED_SLICE",
        [PICTURE, ints(0, 0, 1), ints(0, 0, 3), ints(1, 1, 1)],
        (1, 1, 6, 5, 2),
        new_axis_mask=0b001,
        ellipsis_mask=0b010,
    ),
    "split": Case("SPLIT", [ints(3).reshape(()), PICTURE], (1, 6, 5, 2), (1, 6, 5, 2), num_splits=2),
    "split by sizes": Case(
        "SPLIT_V", [PICTURE, ints(1, 2, 3), ints(1).reshape(())], (1, 1, 5, 4), (1, 2, 5, 4), (1, 3, 5, 4), num_splits=3
    ),
    "pack": Case("PACK", [(3, 4), (3, 4)], (3, 2, 4), axis=1, values_count=2),
    "unpack channels": Case("UNPACK", [PICTURE], *([(1, 6, 5)] * 4), axis=3, num=4),
    "gather rows": Case("GATHER", [PICTURE, ints(3, 0, 5)], (1, 3, 5, 4), axis=1),
    "gather one channel": Case("GATHER", [PICTURE, ints(2).reshape(())], (1, 6, 5), axis=3),
    "gather nd": Case("GATHER_ND", [(3, 4), ints((0, 1), (2, 3))], (2,)),
    "tile": Case("TILE", [PICTURE, ints(1, 2, 1, 3)], (1, 12, 5, 12)),
    "broadcast": Case("BROADCAST_TO", [(1, 1, 1, 4), ints(*PICTURE)], PICTURE, version=2),
    "depth to space": Case("DEPTH_TO_SPACE", [(1, 3, 2, 8)], (1, 6, 4, 2), block_size=2),
    "space to depth": Case("SPACE_TO_DEPTH", [(1, 6, 4, 2)], (1, 3, 2, 8), block_size=2),
    "space to batch": Case("SPACE_TO_BATCH_ND", [PICTURE, ints(2, 3), ints((1, 1), (0, 1))], (6, 4, 2, 4)),
    "batch to space": Case("BATCH_TO_SPACE_ND", [(6, 4, 2, 4), ints(2, 3), ints((1, 1), (0, 1))], (1, 6, 5, 4)),
    "select": Case("SELECT_V2", [np.array([True, False, True, False]), PICTURE, floats(4)], PICTURE),
    **{
        f"{kind} to {size} {options}": Case(kind, [PICTURE, ints(*size)], (1, *size, 4), **options)
        for kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
        for size in ((12, 10), (9, 13), (4, 3), (1, 1))
        for options in ({}, {"align_corners": True}, {"half_pixel_centers": True})
    },
}


@pytest.mark.parametrize("moved", [False, True], ids=["alone", "behind a convolution"])
@pytest.mark.parametrize("name", CASES)
def test_onnx_and_back_gives_what_litert_gives(name: str, moved: bool) -> None:
    model = CASES[name].model(moved=moved)
    feeds = {t.name: RANDOM.standard_normal(t.shape).astype(np.float32) for t in model.main.inputs}
    content = write_onnx(model)
    with (
        load_model(model, "litert") as expected,
        load_model(content, "onnxruntime") as onnx,
        load_model(read_onnx(content), "litert") as back,
    ):
        want = expected.run(feeds)
        for found in (onnx.run(feeds), back.run(feeds)):
            assert list(found) == list(want)
            for output, value in want.items():
                assert found[output].dtype == value.dtype
                np.testing.assert_allclose(found[output], value, rtol=1e-5, atol=2e-5)
