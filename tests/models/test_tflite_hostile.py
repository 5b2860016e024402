"""TFLite files made to hurt: each is refused with a message of ours, soon, and without much memory."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketgraph.models.errors import FormatError, PocketgraphError, UnsupportedError
from pocketgraph.models.flatbuffer import Writer
from pocketgraph.models.graph import Graph, Model, Op, Tensor
from pocketgraph.models.tflite_read import read_tflite
from pocketgraph.models.tflite_schema import OPERATORS, SCHEMA
from pocketgraph.models.tflite_write import write_tflite

FOUR_BYTES = {"data": np.zeros(4, np.uint8)}


def tensor(shape: list[int], buffer: int = 1, kind: str = "FLOAT32", **more: Any) -> dict[str, Any]:
    return {"shape": shape, "type": kind, "buffer": buffer, "name": "t", **more}


def file(tensors: list[dict[str, Any]], operators: list[dict[str, Any]] | None = None, **more: Any) -> bytes:
    """A file with one subgraph of these tables; the codec writes anything, sound or not."""
    subgraph = {"tensors": tensors, "inputs": [], "outputs": [], "operators": operators or []}
    model = {
        "version": 3,
        "operator_codes": [{"builtin_code": "ADD"}],
        "subgraphs": [subgraph],
        "buffers": [{}, FOUR_BYTES],
    }
    return Writer(SCHEMA).root(model | more)


def csr() -> dict[str, Any]:
    """[1, any size] with its first element stored."""
    return {
        "traversal_order": [0, 1],
        "dim_metadata": [
            {"format": "DENSE", "dense_size": 1},
            {
                "format": "SPARSE_CSR",
                "array_segments": ("Uint8Vector", {"values": [0, 1]}),
                "array_indices": ("Uint8Vector", {"values": [0]}),
            },
        ],
    }


WRAPS_TO_ONE = [2**31 - 1, 3, 3, 3, 13, 107, 569, 1093, 592321727]
"""Its product is 1 in 64-bit arithmetic."""


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (tensor(WRAPS_TO_ONE), "more elements than can be addressed"),
        (tensor([0, 2**31 - 1, 2**31 - 1, 2**31 - 1]), "more elements than can be addressed"),
        (tensor([1] * 100), "impossible shape"),
        (tensor([-1]), "impossible shape"),
        (tensor([2]), "need 8 bytes; its buffer has 4"),
        (tensor([1], 7), "refers to buffer 7 of 2"),
        (tensor([1], external_buffer=1), "keeps its data in another file"),
        (tensor([1, 9], sparsity={}), "traversal order"),
        (tensor([], sparsity={}), "a scalar cannot be sparse"),
        (tensor([1, 9], sparsity={"dim_metadata": [{"format": "SPARSE_CSR"}]}), "lacks its segments"),
        (tensor([1, 2], kind="INT4", sparsity=csr()), "sparse int4"),
        (tensor([1], quantization={"scale": [1.0, 2.0], "zero_point": [0, 0, 0]}), "2 scales and 3 zero points"),
        (tensor([1], quantization={"scale": [1.0, 2.0]}), "2 scales along dimension 0"),
        (tensor([1], quantization={"details": ("BlockwiseQuantization", {})}), "BlockwiseQuantization"),
    ],
)
def test_a_tensor_that_contradicts_itself_is_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(PocketgraphError, match=message):
        read_tflite(file([table]))


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        ({"opcode_index": 5}, "refers to code 5 of 1"),
        ({"inputs": [1]}, r"operator 0 \(ADD\) refers to tensor 1 of 1"),
        ({"outputs": [-1]}, "refers to tensor -1 of 1"),
        ({"builtin_options": ("Pool2DOptions", {})}, "carries Pool2DOptions, expected AddOptions"),
        ({"large_custom_options_offset": 8, "large_custom_options_size": 2**40}, "lie outside the file"),
    ],
)
def test_an_operator_that_points_astray_is_refused(operator: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_tflite(file([tensor([1])], [operator]))


def test_a_subgraph_that_does_not_exist_is_refused() -> None:
    operator = {"builtin_options": ("WhileOptions", {"body_subgraph_index": 4})}
    with pytest.raises(FormatError, match="body_subgraph_index refers to subgraph 4 of 1"):
        read_tflite(file([], [operator], operator_codes=[{"builtin_code": "WHILE"}]))


def test_an_unknown_operator_or_version_is_named() -> None:
    last = max(OPERATORS, key=OPERATORS.__getitem__)
    data = file([], operator_codes=[{"builtin_code": last}])
    number = OPERATORS[last].to_bytes(4, "little")
    assert data.count(number) == 1
    with pytest.raises(FormatError, match="975 is no BuiltinOperator"):
        read_tflite(data.replace(number, (975).to_bytes(4, "little")))
    with pytest.raises(FormatError, match="operator code 0 is 127"):
        read_tflite(file([], operator_codes=[{"deprecated_builtin_code": 127}]))
    with pytest.raises(FormatError, match="schema version 2, expected 3"):
        read_tflite(file([], version=2))


def test_many_sparse_constants_cannot_unfold_a_small_file() -> None:
    with pytest.raises(FormatError, match="unpack to more than a file of this size"):
        read_tflite(file([tensor([1, 2**24], sparsity=csr()) for _ in range(100)]))


def test_metadata_that_shares_one_buffer_cannot_unfold_a_small_file() -> None:
    entries = [{"name": str(i), "buffer": 1} for i in range(1000)]
    with pytest.raises(FormatError, match="larger than the file"):
        read_tflite(file([], metadata=entries, buffers=[{}, {"data": np.zeros(2**16, np.uint8)}]))


def test_buffers_outside_the_tables_are_found_and_checked() -> None:
    """Weights of models over 2 GB lie behind the tables and are addressed from the file's start."""
    inside = file([tensor([2])], [{"inputs": [0]}], buffers=[{}, {"offset": 2**20, "size": 8}])
    weights = np.float32([1.5, 2.5])
    padded = inside + bytes(2**20 - len(inside))
    assert read_tflite(padded + weights.tobytes()).main.ops[0].input(0).dense().tolist() == [1.5, 2.5]
    with pytest.raises(FormatError, match="buffer 1 lies at bytes 1048576 to 1048584, outside"):
        read_tflite(padded + bytes(7))


def archive(name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as packed:
        packed.writestr(name, content)
    return stream.getvalue()


def identity(**more: Any) -> Model:
    x, y = Tensor("x", (4,)), Tensor("y", (4,))
    return Model([Graph("main", [x], [y], [Op("ABS", [x], [y])])], **more)


@pytest.mark.parametrize("files", [{}, {"labels.txt": b"a", "sub/words": b""}])
def test_an_archive_inside_metadata_is_not_taken_for_associated_files(files: dict[str, bytes]) -> None:
    model = identity(metadata={"inner": archive("inner.txt", b"x")}, files=files)
    back = read_tflite(write_tflite(model))
    assert (back.metadata, back.files) == (model.metadata, files)


def test_an_archive_that_unpacks_to_far_more_is_refused() -> None:
    bomb = archive("bomb", bytes(40 << 20), zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    with pytest.raises(FormatError, match="too many or too large"):
        read_tflite(write_tflite(identity()) + bomb)


def test_an_archive_of_another_method_is_refused() -> None:
    with pytest.raises(FormatError, match="packed by method 14, expected 0 or 8"):
        read_tflite(write_tflite(identity()) + archive("labels.txt", b"cat\n" * 99, zipfile.ZIP_LZMA))


def test_a_truncated_or_tampered_archive_is_refused() -> None:
    data = write_tflite(identity(files={"labels.txt": b"cat\ndog\n"}))
    broken = data.replace(b"cat", b"car")
    with pytest.raises(FormatError, match="archive of files behind the model is damaged"):
        read_tflite(broken)


def test_a_constant_that_does_not_fit_its_sparsity_is_not_written() -> None:
    from pocketgraph.models.sparsity import encode

    values, sparsity = encode(np.eye(4, dtype=np.float32))
    packed, dense = Tensor("p", (4, 4), data=values[:3], sparsity=sparsity), Tensor("d", (4, 4))
    with pytest.raises(PocketgraphError, match="'p' is to store 4 values of float32 and holds 3"):
        write_tflite(Model([Graph("main", [], [dense], [Op("DENSIFY", [packed], [dense])])]))


@pytest.mark.parametrize("kind", ["folder", "missing", "pipe"])
def test_what_is_no_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(FormatError, match=f"cannot read {path}"):
        read_tflite(path)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(file([tensor([1], external_buffer=1)]))
    with pytest.raises(UnsupportedError, match=f"{path}: subgraph 0, tensor 0 't'"):
        read_tflite(path)
