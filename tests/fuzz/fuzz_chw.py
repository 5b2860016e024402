"""Coverage-guided fuzzing of the CHW engine: `python tests/fuzz/fuzz_chw.py -runs=100000 [CORPUS]`.

Bytes become a small graph whose shapes, options and constants need not go together, or are a .tflite file: pieces of
models of the zoo with a few fields changed. Whatever the graph, reading it, unpacking its weights and cutting it into
parts may raise `PocketgraphError`, planning them that or `ValueError`, where the core refuses a step, and running them
nothing at all. `POCKETGRAPH_COMPILED` names a folder with another build, `make sanitize` leaves one in build/sanitize.
With `POCKETGRAPH_FUZZ_REFUSED=1` a step that the core refuses is a finding too: its rule should have left it to LiteRT.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris
import numpy as np
from plain_package import load_compiled, require_instrumented, use_plain_package

use_plain_package()
load_compiled("runtime.chw._core")
with atheris.instrument_imports(include=["pocketgraph.runtime.chw"]):
    from mutate_flatbuffer import mutate

    from pocketgraph.models import zoo
    from pocketgraph.models.errors import PocketgraphError, ZooError
    from pocketgraph.models.graph import DType, Graph, Model, Op, Tensor
    from pocketgraph.models.tflite_read import read_tflite
    from pocketgraph.models.tflite_schema import SCHEMA
    from pocketgraph.models.tflite_write import write_tflite
    from pocketgraph.runtime.chw import builder, matrix_rules, plan, rules
    from pocketgraph.runtime.chw.delegate import compiled_parts
    from pocketgraph.runtime.chw.partition import partition
    from pocketgraph.runtime.chw.plan import Plan

HOSTILE = [0, -1, 2**15, 2**16, 2**24, 2**31 - 1, -(2**31)]
KINDS = [*sorted(rules.RULES), "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "PAD", "RESHAPE"]
PADDINGS = ["SAME", "VALID"]
FUSED = ["NONE", "NONE", "RELU", "RELU6", "RELU_N1_TO_1", "TANH", "SIGN_BIT"]
ISAS = ["", "portable", "avx2"]
FILES = ["face_detection_full_range_sparse", "hand_recrop", "selfie_segmentation", "iris_landmark"]
MOST_BYTES, MOST_VALUES = 12_000, 8192  # of a piece of a model, of what its ops compute
MOST_CHOICES = 256  # bytes that a graph is made of
SHAPES = ((1, 1), (1, 2), (1, 4), (2, 1), (4, 1), (8, 1))


class Source:
    """Choices out of the fuzzer's bytes; zeros where they have run out."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def pick(self, items: Any) -> Any:
        return items[self.byte() % len(items)]

    def small(self, most: int = 4) -> int:
        """1 to `most`, at times a number that hurts."""
        value = self.byte()
        return HOSTILE[value % len(HOSTILE)] if value > 250 else 1 + value % most

    def maybe(self, percent: int) -> bool:
        return self.byte() * 100 < percent * 256


class Maker:
    """A graph under construction."""

    def __init__(self, source: Source) -> None:
        self.source = source
        shape = (1, 1 + source.byte() % 12, 1 + source.byte() % 12, source.small(5))
        self.inputs = [Tensor("x", tuple(max(1, min(n, 64)) for n in shape)), Tensor("row", (1, 6))]
        self.made = list(self.inputs)
        self.ops: list[Op] = []

    def constant(self, *shape: int, integers: bool = False) -> Tensor:
        shape = tuple(max(0, min(n, 40)) for n in shape)
        if np.prod(shape) > 20_000:
            shape = (*shape[:-1], 1)
        if np.prod(shape) > 20_000:
            shape = (1,)
        values = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape) % 5 - 2
        if self.source.maybe(5):
            with np.errstate(all="ignore"):
                values = np.float32(values / np.float32(0) if self.source.maybe(50) else values * np.float32(1e-42))
        if integers:
            return Tensor("c", shape, DType.INT32, np.nan_to_num(values).astype(np.int32))
        return Tensor("c", shape, DType.FLOAT32, values)

    def numbers(self, values: list[int]) -> Tensor:
        """Integers for an operand, some of them changed."""
        changed = [self.source.small(6) - 2 if self.source.maybe(8) else value for value in values]
        return Tensor(
            "n", (len(changed),), DType.INT32, np.array([max(-(2**31), min(n, 2**31 - 1)) for n in changed], np.int32)
        )

    def operand(self) -> Tensor:
        return (
            self.constant(1, 3, 3, 2)
            if self.source.maybe(5)
            else self.made[-1 - self.source.byte() % min(3, len(self.made))]
        )

    def shape(self, shape: list[int]) -> tuple[int, ...]:
        """The result's shape that follows, at times another."""
        if self.source.maybe(4):
            shape = [self.source.small(9) for _ in range(self.source.byte() % 6)]
        elif self.source.maybe(3) and shape:
            shape = [*shape[:-1], shape[-1] + 1]
        return tuple(shape)

    def add(self) -> None:
        source, kind = self.source, self.source.pick(KINDS)
        x = self.operand()
        inputs, shapes, attrs = self.arguments(kind, x)
        if source.maybe(4):
            inputs = inputs[: source.byte() % (len(inputs) + 1)]
        if source.maybe(3):
            inputs = [None if source.maybe(30) else tensor for tensor in inputs]
        results = [Tensor(f"t{len(self.ops)}_{i}", self.shape(list(shape))) for i, shape in enumerate(shapes)]
        if source.maybe(2) and results:
            results[0].dtype = DType.INT32
        attrs["fused_activation_function"] = source.pick(FUSED) if kind != "CONCATENATION" else "NONE"
        code = kind if kind == "Convolution2DTransposeBias" else ""
        options = b"".join(int(n).to_bytes(4, "little", signed=True) for n in attrs.pop("options", []))
        self.ops.append(
            Op("CUSTOM" if code else kind, inputs, results, attrs, custom_code=code, custom_options=options)
        )
        self.made += [tensor for tensor in results if tensor.size <= 4096]

    def arguments(self, kind: str, x: Tensor) -> tuple[list[Tensor | None], list[Any], dict[str, Any]]:
        source, shape, rank = self.source, list(x.shape), len(x.shape)
        picture = shape if rank == 4 else [1, 4, 4, 2]
        _, height, width, depth = picture
        attrs: dict[str, Any] = {}
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D") or kind.endswith("POOL_2D"):
            side = source.pick([(3, 3), (1, 1), (3, 3), (5, 5), (source.small(6), source.small(6))])
            strides, dilations = [
                source.pick([(1, 1), (1, 1), (2, 2), (source.small(), source.small())]) for _ in range(2)
            ]
            if strides != (1, 1) and source.maybe(80):
                dilations = (1, 1)
            padding = source.pick(PADDINGS)
            attrs = {"padding": padding, "stride_h": strides[0], "stride_w": strides[1]}
            if kind.endswith("POOL_2D"):
                dilations = (1, 1)
                attrs |= {"filter_height": side[0], "filter_width": side[1]}
            else:
                attrs |= {"dilation_h_factor": dilations[0], "dilation_w_factor": dilations[1]}
            out = []
            for n, k, s, d in zip((height, width), side, strides, dilations, strict=True):
                step = s or 1
                out.append(-(-n // step) if padding == "SAME" else (n - (k - 1) * d - 1) // step + 1)
            if kind == "CONV_2D":
                count = source.pick([depth, 1, 4, 9])
                return [x, self.constant(count, *side, depth), self.constant(count)], [[1, *out, count]], attrs
            if kind == "DEPTHWISE_CONV_2D":
                count = depth * source.pick([1, 1, 1, 2])
                return [x, self.constant(1, *side, count), self.constant(count)], [[1, *out, count]], attrs
            return [x], [[1, *out, depth]], attrs
        if kind in ("TRANSPOSE_CONV", "Convolution2DTransposeBias"):
            side, strides = (source.small(), source.small()), (source.small(3), source.small(3))
            out, count = [height * strides[0], width * strides[1]], source.small()
            weights, row = self.constant(count, *side, depth), self.constant(count)
            padding = source.pick(PADDINGS)
            if kind == "TRANSPOSE_CONV":
                attrs = {"padding": padding, "stride_h": strides[0], "stride_w": strides[1]}
                return [self.numbers([1, *out, count]), weights, x, row], [[1, *out, count]], attrs
            attrs = {"options": [1 + PADDINGS.index(padding), strides[1], strides[0]]}
            return [x, weights, row], [[1, *out, count]], attrs
        if kind == "FULLY_CONNECTED":
            inputs, outputs = shape[-1] if shape else 1, source.small(9)
            rows = x.size // max(1, inputs)
            return (
                [x, self.constant(outputs, inputs), source.pick([None, self.constant(outputs)])],
                [[rows, outputs]],
                attrs,
            )
        if kind in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"):
            return (
                [x, self.numbers([1])],
                [
                    source.pick(
                        [
                            [x.size],
                            [1, x.size],
                            [1, 1, 1, x.size],
                            shape[::-1],
                            [1, *shape[-2:][::-1], 1],
                            [1, x.size, 1, 1],
                        ]
                    )
                ],
                attrs,
            )
        if kind in ("PAD", "PADV2", "MIRROR_PAD"):
            pads = [
                0 if axis in (0, 3) and source.maybe(80) else source.byte() % 4 for axis in range(rank) for _ in (0, 1)
            ]
            out = [n + a + b for n, a, b in zip(shape, pads[::2], pads[1::2], strict=True)]
            numbers = self.numbers(pads)
            numbers.shape, numbers.data = (rank, 2), np.reshape(numbers.data, (rank, 2))
            attrs = {"mode": source.pick(["REFLECT", "SYMMETRIC"])}
            return [x, numbers, *([self.constant(1)] if kind == "PADV2" else [])], [out], attrs
        if kind == "CONCATENATION":
            axis = source.byte() % max(1, rank)
            out = [2 * n if i == axis else n for i, n in enumerate(shape)]
            return (
                [x, x if source.maybe(50) else self.constant(*shape)],
                [out],
                {"axis": axis if source.maybe(90) else source.small(9) - 5},
            )
        if kind in ("SPLIT", "SPLIT_V"):
            axis = source.byte() % max(1, rank)
            part = [n // 2 if i == axis else n for i, n in enumerate(shape)]
            numbers = self.numbers([axis])
            return (
                [numbers, x] if kind == "SPLIT" else [x, self.numbers([1, 1]), numbers],
                [part, part],
                {"num_splits": 2},
            )
        if kind == "SLICE":
            begin = [source.byte() % n if n > 0 else 0 for n in shape]
            size = [1 + source.byte() % (n - b) if n > b else 1 for n, b in zip(shape, begin, strict=True)]
            return [x, self.numbers(begin), self.numbers(size)], [size], attrs
        if kind == "STRIDED_SLICE":
            begin, end, step = ([source.small(8) - 3 for _ in shape] for _ in range(3))
            out = [
                len(range(n)[b:e:s]) if s else 0
                for n, b, e, s in zip((max(0, min(n, 99)) for n in shape), begin, end, step, strict=True)
            ]
            attrs = {
                name: source.pick([0, 0, 1, 255])
                for name in ("begin_mask", "end_mask", "shrink_axis_mask", "new_axis_mask")
            }
            return [x, self.numbers(begin), self.numbers(end), self.numbers(step)], [out], attrs
        if kind == "TRANSPOSE":
            order = list(range(rank))
            order = source.pick([order[::-1], order, [*order[1:], *order[:1]]])
            return [x, self.numbers(order)], [[shape[axis] for axis in order]], attrs
        if kind.startswith("RESIZE"):
            out = [source.small(9), source.small(9)]
            attrs = {"align_corners": source.maybe(30), "half_pixel_centers": source.maybe(30)}
            return [x, self.numbers(out)], [[1, *out, depth]], attrs
        if kind in ("TILE", "BROADCAST_TO"):
            times = [source.pick([1, 2]) for _ in shape]
            out = [n * t for n, t in zip(shape, times, strict=True)]
            return [x, self.numbers(times if kind == "TILE" else out)], [out], attrs
        if kind in ("PACK", "UNPACK"):
            axis = source.byte() % (rank + 1)
            if kind == "PACK":
                return [x, x], [[*shape[:axis], 2, *shape[axis:]]], {"axis": axis}
            axis = source.byte() % max(1, rank)
            count = shape[axis] if shape else 1
            return [x], [[*shape[:axis], *shape[axis + 1 :]]] * max(0, min(count, 6)), {"axis": axis}
        if kind in ("DEPTH_TO_SPACE", "SPACE_TO_DEPTH"):
            block = source.small(3)
            out = [1, height * block, width * block, depth // (block * block or 1)]
            if kind == "SPACE_TO_DEPTH":
                out = [1, height // (block or 1), width // (block or 1), depth * block * block]
            return [x], [out], {"block_size": block}
        if kind in ("SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"):
            axes = source.pick([[1, 2], [0], [-1], [1, 2, 3], [0, 0]])
            keep = source.maybe(50)
            kept = [
                1 if axis in axes or axis - rank in axes else n
                for axis, n in enumerate(shape)
                if keep or not (axis in axes or axis - rank in axes)
            ]
            return [x, self.numbers(axes)], [kept], {"keep_dims": keep}
        if kind in (
            "ADD",
            "SUB",
            "MUL",
            "DIV",
            "MAXIMUM",
            "MINIMUM",
            "SQUARED_DIFFERENCE",
            "PRELU",
            "POW",
            "FLOOR_DIV",
        ):
            other = source.pick(
                [
                    self.operand,
                    lambda: x,
                    lambda: self.constant(*shape[-1:]),
                    lambda: self.constant(1),
                    self.constant,
                ]
            )()
            try:
                out = list(np.broadcast_shapes(x.shape, other.shape))
            except ValueError:
                out = shape
            return [other, x] if source.maybe(40) else [x, other], [out], attrs
        return [x], [shape], {"alpha": 0.1, "beta": source.pick([1.0, 0.0, -3.0]), "approximate": source.maybe(50)}

    def graph(self) -> Graph:
        for _ in range(1 + self.source.byte() % 6):
            self.add()
        computed = [tensor for op in self.ops for tensor in op.outputs]
        outputs = [tensor for tensor in computed if self.source.maybe(15)] or computed[-1:]
        return Graph("main", self.inputs, outputs or self.inputs, self.ops)


_source = Source(b"")


class NoChoices:
    """Nothing is remembered."""

    def __init__(self, threads: int, isa: str) -> None: ...
    def get(self, layer: Any) -> None: ...
    def put(self, layer: Any, packing: Any) -> None: ...
    def save(self) -> None: ...


def pack_as_told(program: Any, step: int, *_: Any) -> Any:
    """A packing out of the bytes, where the tuner would measure."""
    block, lines = _source.pick(SHAPES)
    vectors = 1 + _source.byte() % program.max_vectors(block, lines)
    packing = (block, lines, vectors, _source.pick([0, 0, 1, 3, 64]), _source.byte() % 3)
    program.pack(step, *packing)
    return packing


plan.Choices = NoChoices  # type: ignore[misc,assignment]
plan.choose = pack_as_told
builder._MOST_FLOATS = 1 << 22


def pieces() -> list[bytes]:
    """Files of three ops that follow one another in models of the zoo, with their weights as they are stored."""
    found: list[bytes] = []
    for name in FILES:
        try:
            graph = zoo.load(name).main
        except ZooError as error:
            print(f"without {name}: {error}", file=sys.stderr)
            continue
        constant = {t: op for op in graph.ops if op.kind in ("DENSIFY", "DEQUANTIZE") for t in op.outputs}
        ops = [op for op in graph.ops if not any(t in constant for t in op.outputs)]
        for first in range(0, len(ops) - 3, 3):
            piece = ops[first : first + 3]
            made = [tensor for op in piece for tensor in op.outputs]
            unpacked: dict[Op, None] = {}
            for tensor in [t for op in piece for t in op.inputs if t in constant]:
                op = constant[tensor]
                unpacked.update(dict.fromkeys([*(constant[t] for t in op.inputs if t in constant), op]))
            read = dict.fromkeys(t for op in piece for t in op.inputs if t is not None and t not in constant)
            given = [t for t in read if not t.is_constant and t not in made]
            if max(tensor.size for tensor in [*given, *made]) <= MOST_VALUES:
                data = write_tflite(Model([Graph("piece", given, made[-1:], [*unpacked, *piece])]))
                found += [data] if len(data) <= MOST_BYTES else []
    return found


def is_file(data: bytes) -> bool:
    return data[4:8] == b"TFL3"


def change(data: bytes, limit: int, seed: int) -> bytes:
    """One to three fields of a file are changed; other bytes blindly."""
    changed = mutate(data, SCHEMA, random.Random(seed)) if is_file(data) else None  # noqa: S311
    if changed is not None and len(changed) <= limit:
        return changed
    return bytes(atheris.Mutate(data, limit if is_file(data) else max(len(data), min(limit, MOST_CHOICES))))


def one_input(data: bytes) -> None:
    """Make a graph of the bytes, plan it and run it."""
    global _source  # noqa: PLW0603
    _source = Source(hashlib.blake2b(data).digest() if is_file(data) else data)
    isa = _source.pick(ISAS)
    matrix_rules._LARGE_FLOATS = _source.pick([0, 10**9])
    matrix_rules._BAND_FLOATS = _source.pick([1, 100, 60_000])
    threads = 1 + (_source.byte() == 7)
    try:
        model = read_tflite(data) if is_file(data) else Model([Maker(_source).graph()])
        model.validate()
        parts = compiled_parts(model)[1] if is_file(data) else partition(model.main)
    except PocketgraphError:
        return
    for graph in [part.graph for part in parts if part.own]:
        try:
            program = Plan(graph, threads, isa).program
        except PocketgraphError:
            continue
        except ValueError as error:
            if os.environ.get("POCKETGRAPH_FUZZ_REFUSED"):
                raise RuntimeError(f"the core refuses {graph.ops}") from error
            continue
        given = [np.ones(tensor.shape, np.float32) for tensor in graph.inputs]
        program.run(given, [np.empty(tensor.shape, np.float32) for tensor in graph.outputs])


def main() -> None:
    """Fuzz from random bytes."""
    require_instrumented(rules.why_not)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(200):
            (Path(folder) / f"seed{number}").write_bytes(
                rng.integers(0, 251, int(rng.integers(20, 160)), np.uint8).tobytes()
            )
        for number, piece in enumerate(pieces()):
            (Path(folder) / f"piece{number}").write_bytes(piece)
        # blind where a sanitizer takes the place of the coverage: every seed is then as good as another
        options = [
            "-rss_limit_mb=4096",
            "-timeout=60",
            f"-max_len={MOST_BYTES + 512}",
            "-len_control=0",
            "-keep_seed=1",
            "-detect_leaks=0",
        ]
        atheris.Setup([sys.argv[0], *options, *sys.argv[1:], folder], one_input, custom_mutator=change)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
