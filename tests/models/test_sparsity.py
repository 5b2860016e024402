"""Sparse constants: what is encoded comes back, and metadata that lies is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketgraph.models.errors import FormatError, UsageError
from pocketgraph.models.graph import DType, Graph, Model, Op, Tensor
from pocketgraph.models.sparsity import Csr, Dense, Sparsity, check, decode, encode
from pocketgraph.models.tflite_read import read_tflite
from pocketgraph.models.tflite_write import write_tflite


@st.composite
def sparse_arrays(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...]]:
    """A mostly empty array of one to four dimensions and a block that divides it."""
    block = tuple(draw(st.lists(st.sampled_from([1, 1, 2, 4]), min_size=1, max_size=4)))
    shape = tuple(b * draw(st.integers(0, 4)) for b in block)
    dtype = draw(st.sampled_from([np.float32, np.float16, np.int8]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    array = rng.integers(1, 100, shape) * (rng.random(shape) < draw(st.floats(0, 1)))
    return array.astype(dtype), block


@given(sparse_arrays())
def test_encode_then_decode_is_the_identity(drawn: tuple[np.ndarray, tuple[int, ...]]) -> None:
    array, block = drawn
    values, sparsity = encode(array, block)
    assert values.size == check(sparsity, array.shape)
    assert values.size >= np.count_nonzero(array)
    back = decode(values, sparsity, array.shape)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@given(sparse_arrays())
def test_without_blocks_only_nonzeros_are_stored(drawn: tuple[np.ndarray, tuple[int, ...]]) -> None:
    array, _ = drawn
    values, _ = encode(array)
    np.testing.assert_array_equal(values, array[array != 0])


def pack(array: np.ndarray, order: list[int], cut: dict[int, int], formats: list[bool]) -> tuple[np.ndarray, Sparsity]:
    """A slow, plain encoder for any traversal `order`, blocks (`cut`: dimension -> size) and compressed levels."""
    rank, block_map = array.ndim, tuple(cut)
    sizes = [cut[block_map[o - rank]] if o >= rank else array.shape[o] // cut.get(o, 1) for o in order]

    def at(path: tuple[int, ...]) -> tuple[int | slice, ...]:
        """The part of the array below a partly walked path, as one slice a dimension."""
        part = []
        for dim in range(rank):
            block = cut.get(dim, 1)
            outer = path[order.index(dim)] if order.index(dim) < len(path) else None
            level = order.index(rank + block_map.index(dim)) if dim in cut else None
            inner = None if level is None or level >= len(path) else path[level]
            if outer is None:
                part.append(slice(inner or 0, None, block if inner is not None else 1))
            else:
                start = outer * block + (inner or 0)
                part.append(slice(start, start + (1 if inner is not None or block == 1 else block)))
        return tuple(part)

    paths: list[tuple[int, ...]] = [()]
    levels: list[Dense | Csr] = []
    for size, compressed in zip(sizes, formats, strict=True):
        if not compressed:
            levels.append(Dense(size))
            paths = [(*path, i) for path in paths for i in range(size)]
            continue
        segments, indices, following = [0], [], []
        for path in paths:
            present = [i for i in range(size) if array[at((*path, i))].any()]
            indices += present
            following += [(*path, i) for i in present]
            segments.append(len(indices))
        levels.append(Csr(np.array(segments), np.array(indices, np.int64)))
        paths = following
    values = np.array([array[at(path)].reshape(()) for path in paths], array.dtype)
    return values, Sparsity(tuple(order), block_map, tuple(levels))


@st.composite
def any_encoding(draw: st.DrawFn) -> tuple[np.ndarray, list[int], dict[int, int], list[bool]]:
    """An array, a permutation of its dimensions and blocks, and which levels are compressed (blocks never are)."""
    rank = draw(st.integers(1, 3))
    blocks = [draw(st.sampled_from([1, 2, 3])) for _ in range(rank)]
    shape = [block * draw(st.integers(1, 3)) for block in blocks]
    cut = {dim: block for dim, block in enumerate(blocks) if block > 1}
    order = draw(st.permutations(range(rank + len(cut))))
    formats = [o < rank and draw(st.booleans()) for o in order]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    array = np.where(rng.random(shape) < draw(st.floats(0, 1)), rng.integers(1, 100, shape), 0).astype(np.int16)
    return array, list(order), cut, formats


@settings(max_examples=300, deadline=None)
@given(any_encoding())
def test_every_traversal_order_and_mix_of_levels_is_decoded(drawn: Any) -> None:
    """Oracle: the plain encoder above."""
    array, order, cut, formats = drawn
    values, sparsity = pack(array, order, cut, formats)
    np.testing.assert_array_equal(decode(values, sparsity, array.shape), array)


def test_the_example_of_the_format_description() -> None:
    """[[1 0 2 3], [0 4 0 0], [0 0 5 0], [0 0 0 6]] in CSR."""
    array = np.float32([[1, 0, 2, 3], [0, 4, 0, 0], [0, 0, 5, 0], [0, 0, 0, 6]])
    values, sparsity = encode(array)
    dense, compressed = sparsity.levels
    assert isinstance(dense, Dense)
    assert isinstance(compressed, Csr)
    assert dense.size == 4
    assert compressed.segments.tolist() == [0, 3, 4, 5, 6]
    assert compressed.indices.tolist() == [0, 2, 3, 1, 2, 3]
    assert values.tolist() == [1, 2, 3, 4, 5, 6]


def test_column_major_traversal_is_decoded() -> None:
    columns = Sparsity((1, 0), (), (Dense(2), Csr(np.array([0, 1, 3]), np.array([1, 0, 2]))))
    back = decode(np.float32([7, 8, 9]), columns, (3, 2))
    assert back.tolist() == [[0, 8], [7, 0], [0, 9]]


def test_nested_compressed_levels_are_decoded() -> None:
    """Only row 2 of 4 is present, with columns 0 and 3."""
    nested = Sparsity((0, 1), (), (Csr(np.array([0, 1]), np.array([2])), Csr(np.array([0, 2]), np.array([0, 3]))))
    back = decode(np.float32([5, 6]), nested, (4, 4))
    assert np.argwhere(back).tolist() == [[2, 0], [2, 3]]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from([(1, 1), (2, 1), (4, 1), (8, 1), (1, 4), (4, 4)]),
    st.sampled_from([np.float32, np.float16, np.int8]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_litert_densifies_what_we_encode(
    rows: int, columns: int, block: tuple[int, int], dtype: Any, convolution: bool, seed: int
) -> None:
    """Oracle: LiteRT's DENSIFY, on weights [rows, columns] and [rows, 1, 1, columns] in blocks; equal to the bit."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    rng = np.random.default_rng(seed)
    middle = (1, 1) if convolution else ()
    shape = (8 * rows, *middle, 4 * columns)
    weights = (rng.integers(1, 100, shape) * (rng.random(shape) < 0.2)).astype(dtype)
    packed = Tensor("packed", shape, DType.of(weights))
    packed.data, packed.sparsity = encode(weights, (block[0], *middle, block[1]))
    dense = Tensor("dense", shape, packed.dtype)
    model = Model([Graph("main", [], [dense], [Op("DENSIFY", [packed], [dense])])])
    assert read_tflite(write_tflite(model)).main.ops[0].input(0).dense().tolist() == weights.tolist()
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    engine = Interpreter(model_content=write_tflite(model), experimental_op_resolver_type=plain)
    engine.allocate_tensors()
    engine.invoke()
    np.testing.assert_array_equal(engine.get_tensor(engine.get_output_details()[0]["index"]), weights)


SHAPE = (2, 4)
SEGMENTS, INDICES = np.array([0, 1, 2]), np.array([1, 3])


@pytest.mark.parametrize(
    ("sparsity", "message"),
    [
        (Sparsity((0, 0), (), (Dense(2), Csr(SEGMENTS, INDICES))), "traversal order"),
        (Sparsity((0,), (), (Dense(2),)), "traversal order"),
        (Sparsity((0, 1), (), (Dense(3), Csr(SEGMENTS, INDICES))), "dense level has 3 slots"),
        (Sparsity((0, 1), (), (Dense(2), Csr(SEGMENTS, np.array([1, 4])))), r"outside 0\.\.3"),
        (Sparsity((0, 1), (), (Dense(2), Csr(SEGMENTS, np.array([1, -1])))), r"outside 0\.\.3"),
        (Sparsity((0, 1), (), (Dense(2), Csr(np.array([0, 2, 1]), INDICES[:1]))), "backwards"),
        (Sparsity((0, 1), (), (Dense(2), Csr(np.array([0, 1]), INDICES[:1]))), "segments for 2 rows"),
        (Sparsity((0, 1), (), (Dense(2), Csr(np.array([0, 1, 9]), INDICES))), "segments for 2 rows"),
        (Sparsity((0, 1, 2), (5,), (Dense(2), Csr(SEGMENTS, INDICES), Dense(2))), "block map"),
        (Sparsity((0, 1, 2), (1,), (Dense(2), Csr(SEGMENTS, INDICES), Dense(3))), "do not divide"),
    ],
)
def test_metadata_that_lies_is_refused(sparsity: Sparsity, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        decode(np.float32([1, 2]), sparsity, SHAPE)


def test_too_few_values_and_a_bomb_are_refused() -> None:
    good = Sparsity((0, 1), (), (Dense(2), Csr(SEGMENTS, INDICES)))
    with pytest.raises(FormatError, match="holds 3 values, its metadata describes 2"):
        decode(np.float32([1, 2, 3]), good, SHAPE)
    side = 2**16
    empty = Sparsity((0, 1), (), (Dense(side), Csr(np.zeros(side + 1, np.int64), np.zeros(0, np.int64))))
    with pytest.raises(FormatError, match="too few"):
        decode(np.zeros(0, np.float32), empty, (side, side))
    assert math.prod((side, side)) == 2**32


def test_a_block_that_does_not_divide_is_refused() -> None:
    with pytest.raises(UsageError, match=r"\[4, 1\] do not divide .* \[6, 3\]"):
        encode(np.zeros((6, 3), np.float32), (4, 1))
