"""Every packing that the tuner may choose gives the same result, and only exact ones are taken from the cache."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketgraph.models.graph import Model
from pocketgraph.runtime.chw import Chw, _core, plan, tune

SHAPES = ((1, 1), (1, 2), (1, 4), (2, 1), (4, 1), (8, 1))  # block, lines
HEIGHT, WIDTH, DEPTH, CHANNELS = 7, 9, 21, 13  # no multiples of any block or vector
STRIDE = 128  # of planes: 63 pixels and margins
INPUT = 256
RESULT = INPUT + STRIDE * (DEPTH + 1)
BETWEEN = RESULT + STRIDE * (CHANNELS + 1)
SIZE = BETWEEN + STRIDE * (3 * CHANNELS + 1)  # a band for each of three threads
SOURCES = ["pixels", "window", "depthwise", "banded"]


def supported(isa: str) -> bool:
    try:
        return bool(_core.lanes(isa))
    except ValueError:
        return False


def weights_of(kind: str, columns: int) -> np.ndarray:
    """Whole numbers that every storage holds exactly, with zeros of the given structure."""
    rng = np.random.default_rng(5)
    w = rng.integers(-127, 128, (CHANNELS, columns)).astype(np.float32)
    if kind.endswith("x1"):
        for row in range(0, CHANNELS, int(kind[0])):
            w[row : row + int(kind[0]), rng.random(columns) < 0.7] = 0
    w[:, 0] = 127  # a step of int8 is one
    if kind == "all zero":
        w[:] = 0
    elif kind == "zero rows":
        w[::2] = 0
    elif kind == "one row":
        w[:-1] = 0
    return w


def program(source: str, weights: np.ndarray, threads: int, isa: str) -> Any:
    """One layer, and a copy of its planes to an external buffer."""
    rng = np.random.default_rng(7)
    planes = np.zeros((DEPTH, STRIDE), np.float32)
    planes[:, : HEIGHT * WIDTH] = rng.integers(-3, 4, (DEPTH, HEIGHT * WIDTH))
    kernel = rng.integers(-2, 3, (2, DEPTH * 9)).astype(np.float32)
    size, zeros = [HEIGHT, WIDTH], np.zeros(DEPTH, np.float32)
    p = _core.Program(SIZE, [CHANNELS * STRIDE], threads, isa)
    p.write(INPUT, planes.ravel())
    a, y = (_core.Planes(at, STRIDE, n, *size) for at, n in ((INPUT, DEPTH), (RESULT, CHANNELS)))
    bias, plain, finish = np.arange(CHANNELS, dtype=np.float32), _core.Finish(), _core.Finish()
    finish.act, finish.low, finish.high = 1, -900.0, 900.0
    finish.add_residual(_core.Planes(INPUT, STRIDE, CHANNELS, *size))
    if source == "pixels":
        p.product(a, y, weights, bias, finish)
    elif source == "window":
        p.convolution(a, y, _core.Window(size, size, [3, 3], [1, 1], [1, 1], [1, 1]), weights, bias, finish)
    elif source == "depthwise":
        p.separable(a, y, 3, kernel[0], zeros, plain, weights, bias, finish)
    else:
        window = _core.Window(size, [4, 5], [3, 3], [2, 2], [1, 1], [1, 1])
        p.product(a, _core.Planes(_core.UNPLACED, 0, CHANNELS, *size), weights, bias, plain)
        middle = _core.Planes(BETWEEN, STRIDE, CHANNELS * threads, _core.band_rows(window, 2, p.lanes), WIDTH)
        y = _core.Planes(RESULT, STRIDE, CHANNELS, 4, 5)
        p.band(middle, y, window, kernel[1, : CHANNELS * 9], zeros[:CHANNELS], plain, 2)
    p.unary(0, _core.View(0, RESULT, [CHANNELS * STRIDE], [1]), _core.View(1, 0, [CHANNELS * STRIDE], [1]), 0, 0)
    return p


def result(p: Any, packing: tuple[int, ...] | None = None) -> np.ndarray:
    if packing is not None:
        p.pack(0, *packing)
    p.seal()
    out = np.empty(CHANNELS * STRIDE, np.float32)
    p.run([], [out])
    return out


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("isa", [isa for isa in ("avx512", "avx2", "portable", "neon") if supported(isa)])
@pytest.mark.parametrize("structure", ["all zero", "zero rows", "one row", "1x1", "2x1", "4x1", "8x1", "dense"])
@pytest.mark.parametrize("source", SOURCES)
def test_every_packing_gives_the_same_result(source: str, structure: str, isa: str, threads: int) -> None:
    """To the bit: all sums are whole numbers."""
    weights = weights_of(structure, DEPTH * 9 if source == "window" else DEPTH)
    expected = result(program(source, weights, 1, "portable"))
    assert (expected != 0).any()
    p = program(source, weights, threads, isa)
    packings = [
        (block, lines, vectors, cut, storage)
        for block, lines in SHAPES
        for vectors in range(1, p.max_vectors(block, lines) + 1)
        for cut, storage in ((0, 0), (1, 0), (8, 1), (20, 2), (0, 1), (0, 2))
    ]
    for packing in packings[:: 1 if threads == 1 else 5]:
        found = result(program(source, weights, threads, isa), packing)
        np.testing.assert_array_equal(found, expected, err_msg=str(packing))


@pytest.mark.parametrize(
    ("value", "held"),
    [
        (70000, np.inf),
        (-np.inf, -np.inf),
        (1e-9, 0),
        (-1e-30, 0),
        (2**-24, 2**-24),
        (3 * 2**-16, 3 * 2**-16),
        (65504, 65504),
    ],
)
def test_weights_as_half_precision(value: float, held: float) -> None:
    weights = np.zeros((2, CHANNELS, DEPTH), np.float32)
    weights[:, 0, 0] = value, held
    found, expected = (
        result(program("pixels", w, 1, ""), (1, 1, 1, 0, storage)) for w, storage in zip(weights, (1, 0), strict=True)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("columns", [65536, 65537, 140_000])
def test_more_columns_than_sixteen_bits_count(new_net: Any, agrees: Any, columns: int) -> None:
    net = new_net()
    x = net.input(1, columns)
    weights = net.normal(3, columns, density=0.05)
    agrees(net.model(net.op("FULLY_CONNECTED", [x, weights, None], (1, 3))))


def two_layers(new_net: Any, scale: float) -> Model:
    """Weights that float16 holds exactly at scale 1, and does not at 1/3; the zeros lie alike."""
    net = new_net()
    x = net.input(1, 8, 8, 16)
    model = net.model(net.conv(net.conv(x, 24, density=0.5), 16, density=0.5))
    for op in model.main.ops:
        weights = op.input(1)
        weights.data = np.round(weights.data * 4) * np.float32(scale)
    return model


@pytest.mark.parametrize("storage", [1, 2])
def test_a_narrow_storage_is_not_taken_over_from_other_weights(
    new_net: Any, agrees: Any, packings_file: Callable[[], Path], storage: int
) -> None:
    agrees(two_layers(new_net, 1))
    known = json.loads(packings_file().read_text())
    assert known
    packings_file().write_text(json.dumps({key: [*packing[:4], storage] for key, packing in known.items()}))
    agrees(two_layers(new_net, 1 / 3), tolerance=1e-6)


def test_packings_are_remembered(new_net: Any, packings_file: Callable[[], Path]) -> None:
    first = Chw(two_layers(new_net, 1 / 3), 1)
    content = packings_file().read_text()
    second = Chw(two_layers(new_net, 1 / 3), 1)
    assert packings_file().read_text() == content
    assert list(first.plans()[0].packings.values()) == list(second.plans()[0].packings.values())


@pytest.mark.usefixtures("packings_file")
def test_weights_are_let_go_of_before_the_next_layer_is_packed(new_net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = two_layers(new_net, 1 / 3)
    weights = [weakref.ref(op.input(1).data) for op in model.main.ops]
    held: list[tuple[int, int]] = []

    def choose(program: Any, step: int, layer: tune.Layer) -> Any:
        held.append((sum(array() is not None for array in weights), program.steps - step - 1))
        return tune.choose(program, step, layer)

    monkeypatch.setattr(plan, "choose", choose)
    plan.Plan(model.main, 1, "", keeps_weights=False)
    assert held == [(2, 0), (1, 0)]  # no step behind it is there yet
    assert weights[1]() is None


RUBBISH: list[Any] = [
    [1, 1, 4, 0],
    [10**30] * 5,
    [1, 1, 4, 2**70, 0],
    [-1, -1, -1, -1, -1],
    [1, 1, 4, -5, 0],
    [3, 1, 2, 0, 0],
    [1, 1, 9, 0, 0],
    [1, 1, 2**31, 0, 0],
    [1, 1, 4, 0, 7],
    [True, True, True, False, False],
    [1.0, 1, 4, 0, 0],
    ["1", 1, 4, 0, 0],
    None,
    {},
    "1,1,4,0,0",
    float("nan"),
]


@pytest.mark.parametrize("packing", RUBBISH, ids=str)
def test_a_packing_that_makes_no_sense_is_measured_again(
    new_net: Any, agrees: Any, packings_file: Callable[[], Path], packing: Any
) -> None:
    model = two_layers(new_net, 1)
    agrees(model)
    known = json.loads(packings_file().read_text())
    packings_file().write_text(json.dumps(dict.fromkeys(known, packing)))
    agrees(model)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"3", b"{", b"[" * 100_000, b'{"a": ' * 100_000])
def test_a_broken_file_of_packings_is_ignored(
    new_net: Any, agrees: Any, packings_file: Callable[[], Path], content: bytes
) -> None:
    model = two_layers(new_net, 1)
    agrees(model)
    packings_file().write_bytes(content)
    agrees(model)
    assert json.loads(packings_file().read_text())


def test_a_cache_that_cannot_be_written_is_no_error(
    new_net: Any, agrees: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pocketgraph.runtime.chw import tune

    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(tune, "cache_dir", lambda: tmp_path / "file")
    agrees(two_layers(new_net, 1))
