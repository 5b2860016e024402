"""Damaged and hostile ONNX files: a clear error of the project's own, never a crash or a huge allocation."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from pocketgraph.models.errors import FormatError, GraphError, PocketgraphError, UnsupportedError
from pocketgraph.models.graph import DType, Graph, Model, Op, Quantization, Tensor
from pocketgraph.models.onnx_read import read_onnx
from pocketgraph.models.onnx_write import write_onnx


def sound() -> onnx.ModelProto:
    """y = relu(conv(x, w) + b), with the weights as raw data and the offset as a list of floats."""
    weights = numpy_helper.from_array(np.ones((2, 3, 3, 3), np.float32), "w")
    offset = helper.make_tensor("b", TensorProto.FLOAT, [2, 1, 1], [1.0, 2.0])
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 8, 8])
    graph = helper.make_graph(nodes, "net", [x], [y], [weights, offset])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


SOUND = sound().SerializeToString()


def refused(model: onnx.ModelProto, message: str, error: type[PocketgraphError] = FormatError) -> None:
    """Reading raises `error` with `message`, and allocates less than 64 MB on the way."""
    content = model.SerializeToString()
    tracemalloc.start()
    try:
        with pytest.raises(error, match=message):
            read_onnx(content)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_the_sound_file_is_read() -> None:
    assert [op.kind for op in read_onnx(SOUND).main.ops] == ["TRANSPOSE", "CONV_2D", "TRANSPOSE"]


@pytest.mark.parametrize("content", [b"", b"just some text\n", b"\x00" * 64, b"\xff" * 64, b"TFL3" * 9])
def test_other_files(content: bytes) -> None:
    with pytest.raises((FormatError, UnsupportedError)):
        read_onnx(content)


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.onnx", Path("/dev/null")):
        with pytest.raises(FormatError, match="cannot read"):
            read_onnx(path)


@pytest.mark.parametrize("end", range(0, len(SOUND), 7))
def test_truncated_anywhere(end: int) -> None:
    with pytest.raises((FormatError, UnsupportedError)):
        read_onnx(SOUND[:end])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_flipped_bytes_raise_nothing_else(data: st.DataObject) -> None:
    content = bytearray(SOUND)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        model = read_onnx(bytes(content))
    except PocketgraphError:
        return
    model.validate()


@pytest.mark.parametrize(
    ("dims", "message"), [([2, 3, 3, 4], "needs 288 bytes"), ([-2, 3, 3, 3], "shape"), ([2**40, 2**40], "shape")]
)
def test_constants_whose_shape_is_not_what_is_stored(dims: list[int], message: str) -> None:
    model = sound()
    model.graph.initializer[0].dims[:] = dims
    refused(model, message)


def test_listed_constants_of_the_wrong_number_or_range() -> None:
    model = sound()
    model.graph.initializer[1].float_data.append(3.0)
    refused(model, "needs 2 elements, the file has 3")
    model = sound()
    model.graph.initializer[1].CopyFrom(TensorProto(name="b", data_type=TensorProto.INT8, dims=[1], int32_data=[300]))
    refused(model, "do not fit int8")


def test_element_types_that_are_not_covered() -> None:
    model = sound()
    model.graph.initializer[0].data_type = TensorProto.STRING
    refused(model, "element type 8", UnsupportedError)


@pytest.mark.parametrize(
    ("size", "message", "error"),
    [
        (-1, "size -1", FormatError),
        (0, "size 0", FormatError),
        (2**33, "size", FormatError),
        (2**30, "shape", FormatError),
    ],
)
def test_input_sizes(size: int, message: str, error: type[PocketgraphError]) -> None:
    model = sound()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = size
    refused(model, message, error)


def test_graphs_that_are_none() -> None:
    model = sound()
    model.graph.node[0].input[0] = "y"
    refused(model, "cycle through")
    model = sound()
    model.graph.node[0].input[0] = "nowhere"
    refused(model, "reads 'nowhere', which nothing produces")
    model = sound()
    model.graph.node[1].output[0] = "y"
    refused(model, "produced twice")
    model = sound()
    model.graph.output[0].name = "nowhere"
    refused(model, "'nowhere' is never produced")
    model = sound()
    model.ClearField("graph")
    refused(model, "no graph")


def test_nodes_out_of_order_are_sorted() -> None:
    model = sound()
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert len(read_onnx(model.SerializeToString()).main.ops) == 3


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("pads", [1, 1, 1], "expected 4 integers"),
        ("pads", "none", "expected 4 integers"),
        ("pads", [2**62] * 4, "pads"),
        ("strides", [0, 1], "strides"),
        ("dilations", [2**31, 1], "dilations"),
        ("group", 3, "3 groups"),
        ("group", 0, "0 groups"),
        ("auto_pad", 5, "expected text"),
    ],
)
def test_attributes(attribute: str, value: Any, message: str) -> None:
    model = sound()
    del model.graph.node[0].attribute[:]
    model.graph.node[0].attribute.append(helper.make_attribute(attribute, value))
    refused(model, message)


@pytest.mark.parametrize(
    ("kind", "operand", "attrs", "message"),
    [
        ("ConstantOfShape", np.int64([2**31, 2**31]), {}, "out of proportion"),
        ("ConstantOfShape", np.int64([-1]), {}, "shape"),
        ("Expand", np.int64([2**20, 2**20]), {}, "out of proportion|shape"),
        ("Range", np.float32(1), {}, "no input|cannot be computed"),
        ("Gather", np.int64([99]), {}, "no input|cannot be computed|takes"),
        ("Reshape", np.int64([5, 5]), {}, "no input|cannot be computed"),
        ("Transpose", np.float32([[1]]), {"perm": [0, 7]}, "cannot be computed"),
    ],
)
def test_constant_bombs_and_nonsense(kind: str, operand: Any, attrs: dict[str, Any], message: str) -> None:
    model = sound()
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(operand), "operand"))
    inputs = ["b", "operand"] if kind == "Expand" else ["operand"]
    model.graph.node.insert(0, helper.make_node(kind, inputs, ["made"], **attrs))
    model.graph.node[-1].input[0] = "made"
    refused(model, message)


def test_a_chain_of_doublings_is_stopped() -> None:
    model = sound()
    model.graph.initializer.append(numpy_helper.from_array(np.int64([1, 1024, 1024]), "counts"))
    nodes = [helper.make_node("Tile", [f"t{i}" if i else "b", "counts"], [f"t{i + 1}"]) for i in range(4)]
    last = helper.make_node("Add", ["t4", "x"], ["y"])
    del model.graph.node[:]
    model.graph.node.extend([*nodes, last])
    refused(model, "out of proportion")


def sparse(shape: list[int], indices: list[int], values: int) -> onnx.ModelProto:
    model = sound()
    del model.graph.initializer[0]
    stored = numpy_helper.from_array(np.ones(values, np.float32), "w")
    places = numpy_helper.from_array(np.asarray(indices, np.int64), "")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(stored, places, shape))
    return model


def test_sparse_constants() -> None:
    assert read_onnx(sparse([2, 3, 3, 3], [0, 5, 53], 3).SerializeToString()).main.ops[1].input(1).dense().sum() == 3
    refused(sparse([2, 3, 3, 3], [0, 5, 54], 3), "index outside")
    refused(sparse([2, 3, 3, 3], [0, -5, 3], 3), "index outside")
    refused(sparse([2, 3, 3, 3], [0, 5], 3), "3 values and indices")
    refused(sparse([2**14, 2**15], [0], 1), "claims")


def external(location: str, offset: str = "0", length: str = "216") -> onnx.ModelProto:
    model = sound()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=value)
    return model


def test_external_data_lies_beside_the_model_and_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    secret = tmp_path / "secret.bin"
    for path in (folder / "weights.bin", secret):
        path.write_bytes(np.full(60, 2, np.float32).tobytes())
    (folder / "link.bin").symlink_to(secret)
    path = folder / "model.onnx"
    path.write_bytes(external("weights.bin", "24").SerializeToString())
    assert read_onnx(path).main.ops[1].input(1).dense().mean() == 2
    for location in ("../secret.bin", str(secret), "link.bin", "", "missing.bin", ".", "a\0b", "x" * 5000):
        path.write_bytes(external(location).SerializeToString())
        with pytest.raises(FormatError, match="constant 'w'"):
            read_onnx(path)
    for offset, length in (("25", "216"), ("-1", "216"), ("0", "9" * 30), ("0", "4"), ("x", "216")):
        path.write_bytes(external("weights.bin", offset, length).SerializeToString())
        with pytest.raises(FormatError, match="constant 'w'"):
            read_onnx(path)


def test_external_data_needs_a_path() -> None:
    refused(external("weights.bin"), "read the model from its path", UnsupportedError)


def test_opsets_that_are_not_covered() -> None:
    for version in (1, 99):
        model = sound()
        model.opset_import[0].version = version
        refused(model, "opset", UnsupportedError)


def test_subgraphs_are_refused_by_name() -> None:
    model = sound()
    branch = helper.make_graph([], "branch", [], [])
    node = helper.make_node("If", ["x"], ["i"], "choice", then_branch=branch, else_branch=branch)
    model.graph.node.insert(0, node)
    model.graph.node[1].input[0] = "i"
    refused(model, "If .'choice'", UnsupportedError)


def test_deep_protobuf_nesting_is_refused() -> None:
    """A graph in an attribute of a node of a graph, ten thousand times."""

    def field(key: int, data: bytes) -> bytes:
        size = len(data)
        varint = b""
        while size >= 128:
            varint, size = varint + bytes([size % 128 + 128]), size // 128
        return bytes([key]) + varint + bytes([size]) + data

    graph = b""
    for _ in range(10_000):
        graph = field(0x0A, field(0x2A, field(0x32, graph)))
    with pytest.raises(FormatError):
        read_onnx(field(0x3A, graph))


def one_op(op: Op, *inputs: Tensor) -> Model:
    return Model([Graph("main", list(inputs), list(op.outputs), [op])])


def test_graphs_onnx_cannot_hold_are_refused_by_operator() -> None:
    x, y = Tensor("x", (1, 2, 2, 3)), Tensor("y", (1, 2, 2, 3))
    with pytest.raises(UnsupportedError, match="custom operator 'Mine'"):
        write_onnx(one_op(Op("CUSTOM", [x], [y], custom_code="Mine"), x))
    with pytest.raises(UnsupportedError, match="WHILE"):
        write_onnx(one_op(Op("WHILE", [x], [y]), x))
    axes = Tensor("axes", (1,), DType.INT32)
    with pytest.raises(UnsupportedError, match="needs it constant"):
        write_onnx(one_op(Op("MEAN", [x, axes], [y]), x, axes))
    sixteen = Tensor("q", x.shape, DType.INT16, quantization=Quantization(np.float32([0.1]), np.int64([0])))
    with pytest.raises(UnsupportedError, match="int8 and uint8"):
        write_onnx(one_op(Op("DEQUANTIZE", [sixteen], [y]), sixteen))


def test_graphs_that_are_wrong_are_refused() -> None:
    x, y = Tensor("x", (1, 2, 2, 3)), Tensor("y", (1, 2, 2, 3))
    with pytest.raises(GraphError, match="has no input 1"):
        write_onnx(one_op(Op("CONV_2D", [x], [y]), x))
    weights = Tensor("w", (3, 1, 1, 2), data=np.ones((3, 1, 1, 2), np.float32))
    with pytest.raises(FormatError, match="weights of 2 channels"):
        write_onnx(one_op(Op("CONV_2D", [x, weights], [y]), x))
    axes = Tensor("axes", (1,), DType.INT32, np.int32([9]))
    with pytest.raises(FormatError, match="axis 9"):
        write_onnx(one_op(Op("MEAN", [x, axes], [y]), x))
