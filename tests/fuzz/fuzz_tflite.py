"""Coverage-guided fuzzing of the TFLite reader: `python tests/fuzz/fuzz_tflite.py -runs=100000 [CORPUS]`.

Whatever the bytes, reading them, unpacking every constant and writing the model back may raise `PocketgraphError` and
nothing else.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pocketgraph"]):
    from pocketgraph.models.errors import PocketgraphError
    from pocketgraph.models.graph import DType, Graph, Model, Op, Quantization, Signature, Tensor
    from pocketgraph.models.sparsity import encode
    from pocketgraph.models.tflite_read import read_tflite
    from pocketgraph.models.tflite_write import write_tflite

import numpy as np


def seeds() -> list[bytes]:
    """Small sound files that between them use every part of the format."""
    x, w, d, y = Tensor("x", (1, 2)), Tensor("w", (2, 2)), Tensor("d", (2, 2)), Tensor("y", (1, 2))
    w.data, w.sparsity = encode(np.float32([[1, 0], [0, 2]]))
    sparse = Graph("s", [x], [y], [Op("DENSIFY", [w], [d]), Op("FULLY_CONNECTED", [x, d, None], [y])])
    q = Tensor("q", (2,), DType.INT8, np.int8([1, 2]), quantization=Quantization(np.float32([0.5]), np.int64([3])))
    z = Tensor("z", (2,), DType.INT8)
    custom = Graph("c", [q], [z], [Op("CUSTOM", [q], [z], custom_code="Mine", custom_options=b"abc")])
    whole = Model([sparse, custom], [Signature("k", {"a": x}, {"b": y})], "text", {"m": b"1"}, {"f.txt": b"x"})
    return [write_tflite(model) for model in (whole, Model([sparse]), Model([custom]))]


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


def main() -> None:
    """Fuzz from the seeds."""
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds()):
            (Path(folder) / f"seed{number}").write_bytes(seed)
        atheris.Setup([*sys.argv, "-rss_limit_mb=4096", "-timeout=20", folder], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
