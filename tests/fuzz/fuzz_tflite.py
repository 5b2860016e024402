"""Coverage-guided fuzzing of the TFLite reader: `python tests/fuzz/fuzz_tflite.py -runs=100000 [CORPUS]`.

Whatever the bytes, reading them, unpacking every constant and writing the model back may raise `PocketgraphError` and
nothing else.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np
from plain_package import require_instrumented, use_plain_package

use_plain_package()
with atheris.instrument_imports(include=["pocketgraph"]):
    from mutate_flatbuffer import mutate

    from pocketgraph.models.errors import PocketgraphError
    from pocketgraph.models.graph import DType, Graph, Model, Op, Quantization, Signature, Tensor
    from pocketgraph.models.sparsity import encode
    from pocketgraph.models.tflite_read import read_tflite
    from pocketgraph.models.tflite_schema import OPERATORS, SCHEMA
    from pocketgraph.models.tflite_write import write_tflite


def seeds() -> list[bytes]:
    """Small sound files that between them use every part of the format."""
    x, w, d, y = Tensor("x", (1, 2)), Tensor("w", (2, 2)), Tensor("d", (2, 2)), Tensor("y", (1, 2))
    w.data, w.sparsity = encode(np.float32([[1, 0], [0, 2]]))
    sparse = Graph("s", [x], [y], [Op("DENSIFY", [w], [d]), Op("FULLY_CONNECTED", [x, d, None], [y])])
    q = Tensor("q", (2,), DType.INT8, np.int8([1, 2]), quantization=Quantization(np.float32([0.5]), np.int64([3])))
    z = Tensor("z", (2,), DType.INT8)
    custom = Graph("c", [q], [z], [Op("CUSTOM", [q], [z], custom_code="Mine", custom_options=b"abc")])
    whole = Model([sparse, custom], [Signature("k", {"a": x}, {"b": y})], "text", {"m": b"1"}, {"f.txt": b"x"})
    models = [whole, Model([sparse]), Model([custom]), Model([_blocks()]), Model([_types()]), _loop(), *_options()]
    return [write_tflite(model) for model in models]


def _blocks() -> Graph:
    """Half-precision weights in 4x1 blocks, unpacked and widened for a convolution."""
    shape = (8, 1, 1, 4)
    values, sparsity = encode(np.float16(np.arange(32).reshape(shape) % 9 == 0), (4, 1, 1, 1))
    packed = Tensor("p", shape, DType.FLOAT16, values, sparsity=sparsity)
    half, full, x, y = Tensor("h", shape, DType.FLOAT16), Tensor("f", shape), Tensor("x", shape), Tensor("y", shape)
    steps = [Op("DENSIFY", [packed], [half]), Op("DEQUANTIZE", [half], [full])]
    return Graph("b", [x], [y], [*steps, Op("CONV_2D", [x, full, None], [y], {"stride_w": 1, "stride_h": 1})])


def _types() -> Graph:
    """A constant of every element type, one quantised per channel, one that lists what a variant holds."""
    packed = {DType.INT2: 1, DType.INT4: 2, DType.UINT4: 2, DType.BFLOAT16: 8}
    constants = [
        Tensor(t.value, (2, 2), t, np.zeros((2, 2), t.numpy) if t.numpy else np.ones(packed.get(t, 4), np.uint8))
        for t in DType
    ]
    constants[0].quantization = Quantization(np.float32([1, 2]), np.int64([0, 1]), 1)
    constants[-1].variants = (((1, 2), DType.INT8, True),)
    made = [Tensor(f"{c.name}_", (2, 2), c.dtype) for c in constants]
    return Graph(
        "t", [], made, [Op("RESHAPE", [c], [m], {"new_shape": [4]}) for c, m in zip(constants, made, strict=True)]
    )


def _loop() -> Model:
    """A loop whose condition and body are graphs of their own, over a variable."""
    state, result = Tensor("v", (2,), is_variable=True), Tensor("r", (2,))
    graphs = [
        Graph(
            "main", [], [result], [Op("WHILE", [state], [result], {"cond_subgraph_index": 1, "body_subgraph_index": 2})]
        )
    ]
    for name in ("cond", "body"):
        a, b = Tensor("a", (2,), shape_signature=(-1,)), Tensor("b", (2,))
        graphs.append(Graph(name, [a], [b], [Op("ABS", [a], [b])]))
    return Model(graphs)


def _options() -> list[Model]:
    """Every builtin operator with its options, a few in each model."""
    models = []
    for first in range(0, len(OPERATORS), 25):
        a, b = Tensor("a", ()), Tensor("b", ())
        kinds = list(OPERATORS)[first : first + 25]
        models.append(Model([Graph("o", [a], [b], [Op("ABS", [a], [b]), *(Op(kind, [a], []) for kind in kinds)])]))
    return models


def one_input(data: bytes) -> None:
    """Read, unpack and write back."""
    try:
        model = read_tflite(data)
        for graph in model.graphs:
            for tensor in graph.tensors():
                if tensor.is_constant:
                    tensor.dense()
        write_tflite(model)
    except PocketgraphError:
        return


def change(data: bytes, limit: int, seed: int) -> bytes:
    """Half of the time a field of the decoded file is changed, which gets past the codec; else bytes, blindly."""
    rng = random.Random(seed)  # noqa: S311 - mutations are repeated from their seed, nothing is hidden by them
    changed = mutate(data, SCHEMA, rng) if rng.random() < 0.5 else None
    return bytes(atheris.Mutate(data, limit)) if changed is None or len(changed) > limit else changed


def main() -> None:
    """Fuzz from the seeds."""
    require_instrumented(read_tflite)
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds()):
            (Path(folder) / f"seed{number}").write_bytes(seed)
        options = ["-rss_limit_mb=4096", "-timeout=20", "-max_len=8192"]
        atheris.Setup([*sys.argv, *options, folder], one_input, custom_mutator=change)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
