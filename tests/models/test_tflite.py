"""TFLite files: nothing is lost between reading and writing, and a hostile file is refused."""

from __future__ import annotations

import contextlib
import hashlib
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketgraph.models import zoo
from pocketgraph.models.errors import FormatError, GraphError, PocketgraphError, UnsupportedError
from pocketgraph.models.flatbuffer import Reader, Writer
from pocketgraph.models.graph import DType, Graph, Model, Op, Quantization, Signature, Tensor
from pocketgraph.models.sparsity import encode
from pocketgraph.models.tflite_read import read_tflite
from pocketgraph.models.tflite_schema import SCHEMA, complete_attrs
from pocketgraph.models.tflite_write import write_tflite
from pocketgraph.runtime import load_model

WHEEL_MODELS = [name for name in zoo.names() if zoo.entry(name).package == "mediapipe"]
RUNNABLE = [name for name in WHEEL_MODELS if name != "face_landmark_with_attention"]
"""LiteRT lacks ops of the other one; test_tflite_schema.py compares all of them field by field."""


def every_feature() -> Model:
    """Sparse f16 weights, per-channel int8 weights, a custom op, two graphs, a signature, metadata and a file."""
    rng = np.random.default_rng(0)
    x, hidden, y = (Tensor(name, (1, 4, 4, 8)) for name in ("x", "hidden", "y"))
    x.shape_signature = (-1, 4, 4, 8)
    weights = (rng.standard_normal((8, 1, 1, 8)) * (rng.random((8, 1, 1, 8)) < 0.3)).astype(np.float16)
    values, sparsity = encode(weights)
    packed = Tensor("packed", weights.shape, DType.FLOAT16, values, sparsity=sparsity)
    half, full = Tensor("half", weights.shape, DType.FLOAT16), Tensor("full", weights.shape)
    scales = Quantization(np.linspace(0.1, 0.8, 8, dtype=np.float32), np.zeros(8, np.int64), 0)
    eight = Tensor("eight", (8,), DType.INT8, np.arange(8, dtype=np.int8), quantization=scales)
    ops = [
        Op("DENSIFY", [packed], [half]),
        Op("DEQUANTIZE", [half], [full]),
        Op("CONV_2D", [x, full, None], [hidden], {"padding": "VALID", "stride_w": 1, "stride_h": 1}),
        Op("CUSTOM", [hidden, eight], [y], custom_code="Mine", custom_options=b"\x01\x02"),
    ]
    a, b = Tensor("a", (2,)), Tensor("b", (2,))
    second = Graph("second", [a], [b], [Op("RELU", [a], [b])])
    return Model(
        [Graph("main", [x], [y], ops), second],
        [Signature("serve", {"image": x}, {"scores": y}), Signature("other", {"in": a}, {"out": b}, 1)],
        "described",
        {"min_runtime_version": b"2.5.0"},
        {"labels.txt": b"cat\ndog\n"},
    )


def same(a: Any, b: Any) -> bool:
    """Deep equality of decoded FlatBuffers objects."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a.tobytes() == b.tobytes() if isinstance(a, np.ndarray) else bool(a == b)


def test_every_feature_survives_a_round_trip() -> None:
    model = every_feature()
    back = read_tflite(write_tflite(model))
    assert [graph.name for graph in back.graphs] == ["main", "second"]
    assert (back.description, back.metadata, back.files) == (model.description, model.metadata, model.files)
    densify, _, conv, custom = back.main.ops
    assert conv.attrs == complete_attrs(model.main.ops[2])
    assert conv.inputs[2] is None
    assert (custom.custom_code, custom.custom_options) == ("Mine", b"\x01\x02")
    assert back.main.inputs[0].shape_signature == (-1, 4, 4, 8)
    np.testing.assert_array_equal(densify.input(0).dense(), model.main.ops[0].input(0).dense())
    quantization = custom.input(1).quantization
    assert quantization is not None
    np.testing.assert_array_equal(quantization.scale, np.linspace(0.1, 0.8, 8, dtype=np.float32))
    assert [(s.key, s.graph) for s in back.signatures] == [("serve", 0), ("other", 1)]
    assert back.signatures[0].outputs["scores"] is back.main.outputs[0]


def test_writing_is_stable() -> None:
    once = write_tflite(every_feature())
    assert write_tflite(read_tflite(once)) == once


def test_equal_constants_share_a_buffer_and_data_is_aligned() -> None:
    x = Tensor("x", (4,))
    weights = [Tensor(f"w{i}", (4,), data=np.float32([1, 2, 3, 4])) for i in range(5)]
    sums = [Tensor(f"y{i}", (4,)) for i in range(5)]
    ops = [Op("ADD", [x, w], [y]) for w, y in zip(weights, sums, strict=True)]
    data = write_tflite(Model([Graph("main", [x], sums, ops)]))
    file = Reader(data, SCHEMA).root()
    filled = [buffer["data"] for buffer in file["buffers"] if buffer["data"] is not None]
    assert len(filled) == 1
    start = filled[0].__array_interface__["data"][0] - np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    assert start % 16 == 0


@pytest.mark.zoo
@pytest.mark.parametrize("name", RUNNABLE)
def test_a_rewritten_model_computes_the_same_bits(name: str) -> None:
    """Oracle: LiteRT on the original file; tolerance none."""
    original = zoo.fetch(name).read_bytes()
    model = read_tflite(original)
    rewritten = write_tflite(model)
    assert len(rewritten) < 1.01 * len(original)
    again = read_tflite(rewritten)
    assert (again.metadata, again.files, again.description) == (model.metadata, model.files, model.description)
    rng = np.random.default_rng(1)
    with load_model(original, "litert") as first, load_model(rewritten, "litert") as second:
        inputs = {spec.name: rng.random(spec.shape, np.float32) for spec in first.inputs}
        wanted, got = first.run(inputs), second.run(inputs)
    assert list(wanted) == list(got)
    for key, value in wanted.items():
        np.testing.assert_array_equal(got[key], value)


@pytest.mark.zoo
def test_sparse_weights_of_a_real_model_are_unpacked_as_litert_does() -> None:
    """Oracle: what LiteRT's DENSIFY computes in the sparse face detector; equal to the bit."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    path = zoo.fetch("face_detection_full_range_sparse")
    model = read_tflite(path)
    engine = Interpreter(
        str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    engine.allocate_tensors()
    engine.invoke()
    operators = Reader(path.read_bytes(), SCHEMA).root()["subgraphs"][0]["operators"]
    unpacked = 0
    for op, operator in zip(model.main.ops, operators, strict=True):
        if op.kind == "DENSIFY":
            np.testing.assert_array_equal(op.input(0).dense(), engine.get_tensor(operator["outputs"][0]))
            unpacked += 1
    assert unpacked == 46


@pytest.mark.parametrize("block", [1, 2, 4])
def test_a_sparse_model_of_ours_computes_what_its_dense_twin_does(block: int) -> None:
    """Oracle: LiteRT on the dense twin; 1e-6, for engines may sum the kept products in another order."""
    rng = np.random.default_rng(block)
    kept = np.repeat(rng.random((32 // block, 1, 1, 16)) < 0.2, block, axis=0)
    weights = (rng.standard_normal(kept.shape) * kept).astype(np.float32)

    def network(*, sparse: bool) -> bytes:
        x, y = Tensor("x", (1, 8, 8, 16)), Tensor("y", (1, 8, 8, 32))
        w = Tensor("w", weights.shape, data=weights)
        ops = []
        if sparse:
            packed = Tensor("packed", weights.shape)
            packed.data, packed.sparsity = encode(weights, (block, 1, 1, 1))
            w.data = None
            ops.append(Op("DENSIFY", [packed], [w]))
        bias = Tensor("bias", (32,), data=np.zeros(32, np.float32))
        ops.append(Op("CONV_2D", [x, w, bias], [y], {"padding": "VALID", "stride_w": 1, "stride_h": 1}))
        return write_tflite(Model([Graph("main", [x], [y], ops)]))

    assert len(network(sparse=True)) < 0.8 * len(network(sparse=False))
    picture = rng.random((1, 8, 8, 16), np.float32)
    with load_model(network(sparse=True), "litert") as first, load_model(network(sparse=False), "litert") as second:
        np.testing.assert_allclose(first(picture), second(picture), rtol=0, atol=1e-6)


def test_a_loop_over_graphs_runs() -> None:
    """Oracle: doubling 3 until it is over 100, done by LiteRT with the condition and body as graphs of their own."""
    start, end, a, b = Tensor("start", (1,)), Tensor("end", (1,)), Tensor("a", (1,)), Tensor("b", (1,))
    small, twice = Tensor("small", (1,), DType.BOOL), Tensor("twice", (1,))
    hundred = Tensor("hundred", (1,), data=np.float32([100]))
    loop = Op("WHILE", [start], [end], {"cond_subgraph_index": 1, "body_subgraph_index": 2})
    graphs = [
        Graph("main", [start], [end], [loop]),
        Graph("condition", [a], [small], [Op("LESS", [a, hundred], [small])]),
        Graph("body", [b], [twice], [Op("ADD", [b, b], [twice])]),
    ]
    data = write_tflite(Model(graphs))
    assert [graph.name for graph in read_tflite(data).graphs] == ["main", "condition", "body"]
    with load_model(write_tflite(read_tflite(data)), "litert") as model:
        assert model(np.float32([3])).tolist() == [192]


def test_reading_costs_little_and_copies_nothing() -> None:
    big = np.zeros((1024, 2048), np.float32)
    x, y = Tensor("x", big.shape), Tensor("y", big.shape)
    data = write_tflite(Model([Graph("main", [x], [y], [Op("ADD", [x, Tensor("w", big.shape, data=big)], [y])])]))
    constant = read_tflite(data).main.ops[0].input(1).dense()
    assert not constant.flags.owndata
    assert not constant.flags.writeable


def test_a_model_over_two_gigabytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketgraph.models.tflite_write._LARGEST", 1000)
    x, y = Tensor("x", (512,)), Tensor("y", (512,))
    w = Tensor("w", (512,), data=np.ones(512, np.float32))
    with pytest.raises(UnsupportedError, match="'w' need 2048 bytes"):
        write_tflite(Model([Graph("main", [x], [y], [Op("ADD", [x, w], [y])])]))


@pytest.mark.parametrize(
    ("attrs", "message"),
    [({"padding": "WEIRD"}, "one of SAME, VALID"), ({"colour": 1}, "no field 'colour'"), ({"stride_w": 2**40}, "hold")],
)
def test_attributes_are_checked_when_written(attrs: dict[str, Any], message: str) -> None:
    model = every_feature()
    model.main.ops[2].attrs.update(attrs)
    with pytest.raises(UnsupportedError, match=message):
        write_tflite(model)


def test_a_graph_that_does_not_hold_together_is_refused() -> None:
    x, y = Tensor("x", (1,)), Tensor("y", (1,))
    with pytest.raises(GraphError, match="'y' is never produced"):
        write_tflite(Model([Graph("main", [x], [y], [])]))
    with pytest.raises(UnsupportedError, match="'NOT_AN_OP' is no TFLite operator"):
        write_tflite(Model([Graph("main", [x], [y], [Op("NOT_AN_OP", [x], [y])])]))


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"plain text, long enough", b"\x08\0\0\0TFL3", b"\xff" * 80])
def test_bytes_of_another_kind_are_refused(content: bytes) -> None:
    with pytest.raises(FormatError):
        read_tflite(content)


def test_every_truncation_is_refused_or_sound() -> None:
    data = write_tflite(every_feature())
    for length in range(0, len(data), 7):
        with contextlib.suppress(FormatError):
            read_tflite(data[:length])


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
def test_flipped_bytes_raise_nothing_but_our_errors(changes: list[tuple[float, int]]) -> None:
    data = bytearray(SEED)
    for where, value in changes:
        data[int(where * len(data))] = value
    with contextlib.suppress(PocketgraphError):
        model = read_tflite(bytes(data))
        for graph in model.graphs:
            for tensor in graph.tensors():
                if tensor.is_constant:
                    tensor.dense()
        write_tflite(model)


SEED = write_tflite(every_feature())


def test_an_offset_bomb_is_refused() -> None:
    """20 KB that would unfold to four million tensors: every subgraph is the same, with the same tensor many times."""
    count = 2000
    data = bytearray(Writer(SCHEMA).root({"version": 3, "subgraphs": [], "buffers": [{}]}))
    root = int.from_bytes(data[:4], "little")
    vtable = root - int.from_bytes(data[root : root + 4], "little", signed=True)
    slot = root + int.from_bytes(data[vtable + 8 : vtable + 10], "little")
    data += bytes(-len(data) % 4)
    data[slot : slot + 4] = (len(data) - slot).to_bytes(4, "little")
    graphs = len(data)
    subgraph = graphs + 4 + 4 * count + 8
    tensors = subgraph + 8
    tensor = tensors + 4 + 4 * count + 4

    def offsets(start: int, target: int) -> bytes:
        places = range(start + 4, start + 4 + 4 * count, 4)
        return struct.pack(f"<{1 + count}I", count, *(target - place for place in places))

    data += offsets(graphs, subgraph) + struct.pack("<HHHxx", 6, 8, 4)
    data += struct.pack("<iI", 8, 4) + offsets(tensors, tensor) + struct.pack("<HHi", 4, 4, 4)
    with pytest.raises(FormatError, match="more tables than its"):
        read_tflite(bytes(data))


def test_the_seed_is_deterministic() -> None:
    assert hashlib.sha256(write_tflite(every_feature())).digest() == hashlib.sha256(SEED).digest()
