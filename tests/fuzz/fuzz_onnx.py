"""Coverage-guided fuzzing of the ONNX reader: `python tests/fuzz/fuzz_onnx.py -runs=100000 [CORPUS]`.

Whatever the bytes, reading them may raise `PocketgraphError` and nothing else; what is read can be written.
"""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris
import numpy as np
from google.protobuf.message import DecodeError
from onnx import ModelProto, helper, numpy_helper
from plain_package import require_instrumented, use_plain_package

use_plain_package()
with atheris.instrument_imports(include=["pocketgraph"]):
    from pocketgraph.models.errors import PocketgraphError, UnsupportedError
    from pocketgraph.models.graph import DType
    from pocketgraph.models.onnx_fold import FOLDS
    from pocketgraph.models.onnx_proto import Net, Node, Value, encode
    from pocketgraph.models.onnx_read import LOWERINGS, read_onnx
    from pocketgraph.models.onnx_write import write_onnx
    from pocketgraph.models.tflite_write import write_tflite


INT64 = 7
CONSTANTS: dict[str, Any] = {
    "w": np.ones((4, 4, 3, 3), np.float32),
    "d": np.ones((4, 1, 3, 3), np.float32),
    "m": np.ones((5, 3), np.float32),
    "c": np.float32([1, 2, 3, 4]),
    "k": np.ones((4, 1, 1), np.float32),
    "q": np.ones((4, 4, 1, 1), np.int8),
    "h": np.ones((4, 4, 1, 1), np.float16),
    "n": np.zeros((40, 30), np.float32),
    "z": np.zeros((), np.int8),
    "half": np.float32(0.5),
    "one": np.int64([1]),
    "two": np.int64([1, 3]),
    "four": np.int64([0, -1, 6, 5]),
    "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 2]),
    "sizes": np.int64([1, 4, 9, 7]),
    "scales": np.float32([1, 1, 2, 2]),
    "index": np.int64([3, 0]),
}
WINDOW = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1], "ceil_mode": 1}
NODES = [
    ("Conv", "x w c", {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("Conv", "x d", {"group": 4, "auto_pad": "SAME_UPPER"}),
    ("ConvTranspose", "x w c", {"strides": [2, 2], "output_padding": [1, 1]}),
    ("MatMul", "x m", {}),
    ("MaxPool", "x", WINDOW),
    ("AveragePool", "x", {**WINDOW, "count_include_pad": 1}),
    ("Resize", "x  scales", {"mode": "linear"}),
    ("Resize", "x   sizes", {"mode": "nearest", "nearest_mode": "ceil"}),
    ("DepthToSpace", "x", {"blocksize": 2, "mode": "CRD"}),
    ("Reshape", "x four", {}),
    ("Transpose", "x", {"perm": [0, 2, 3, 1]}),
    ("Slice", "x one two one", {}),
    ("Split", "x two", {"axis": 1}),
    ("Pad", "x pads half", {"mode": "reflect"}),
    ("Gather", "x index", {"axis": 1}),
    ("Concat", "x x", {"axis": 1}),
    ("Squeeze", "x", {}),
    ("Unsqueeze", "x one", {}),
    ("Tile", "x index", {}),
    ("Expand", "k sizes", {}),
    ("Add", "x k", {}),
    ("Clip", "x half", {}),
    ("PRelu", "x k", {}),
    ("BatchNormalization", "x c c c c", {}),
    ("LayerNormalization", "x c", {"axis": 1}),
    ("Softmax", "x", {"axis": 1}),
    ("ReduceMean", "x", {"axes": [2, 3], "keepdims": 0}),
    ("ReduceSum", "x one", {}),
    ("ArgMax", "x", {"axis": 1}),
    ("Cast", "x", {"to": 6}),
    ("Cast", "h", {"to": 1}),
    ("QuantizeLinear", "x half z", {}),
    ("DequantizeLinear", "q half z", {}),
    ("Shape", "x", {}),
    ("Constant", "", {"value_ints": [1, 2]}),
    ("ConstantOfShape", "sizes", {}),
    ("LRN", "x", {"size": 3}),
]


def seeds() -> list[bytes]:
    """A small file for each node above, and one for each other operator with the plainest operands."""
    known = {kind for kind, _, _ in NODES}
    plain = [(kind, "x", {}) for kind in LOWERINGS if kind not in known]
    files = []
    for kind, operands, attrs in [*NODES, *plain]:
        outputs = ["y", "z2"] if kind == "Split" else ["y"]
        node = Node(kind, operands.split(" ") if operands else [], outputs, attrs)
        after = Node("Relu", ["y"], ["r"])
        values = [Value("x", (1, 4, 6, 5), DType.FLOAT32)], [Value("r", (), DType.FLOAT32)]
        used = {name: CONSTANTS[name] for name in operands.split() if name in CONSTANTS}
        files.append(encode(Net("net", *values, [node, after], used), sparse=True))
    return files


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change one thing inside a file that still parses, every other time; else any bytes."""
    choose = random.Random(seed)  # noqa: S311
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        return bytes(atheris.Mutate(data, max_size))
    nodes = list(model.graph.node)
    if seed % 2 or not nodes:
        return bytes(atheris.Mutate(data, max_size))
    node = choose.choice(nodes)
    number = choose.choice([0, 1, 2, 3, 4, 5, 7, 64, -1, -2, -5, 255, 65536, 2**31 - 1, -(2**31), 2**62])
    names = [*CONSTANTS, "x", "y", "", "r"]
    change = choose.randrange(9)
    if change == 0:
        node.op_type = choose.choice([*LOWERINGS, *FOLDS])
    elif change == 1 and node.input:
        node.input[choose.randrange(len(node.input))] = choose.choice(names)
    elif change == 2:
        node.input.append(choose.choice(names))
    elif change == 3 and node.input:
        node.input.pop()
    elif change == 4 and node.attribute:
        attribute = choose.choice(list(node.attribute))
        if attribute.ints:
            attribute.ints[choose.randrange(len(attribute.ints))] = number
        attribute.i, attribute.f = number, float(number)
    elif change == 5:
        name = choose.choice(
            ["axis", "axes", "keepdims", "pads", "kernel_shape", "group", "perm", "to", "mode", "split"]
        )
        value = choose.choice([number, [number], [number, 1], [1, number, 0, 0], "edge"])
        node.attribute.append(helper.make_attribute(name, value))
    elif change == 6:
        name = choose.choice(list(CONSTANTS))
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(CONSTANTS[name]), name))
    elif change == 7 and model.graph.initializer:
        tensor = choose.choice(list(model.graph.initializer))
        if tensor.data_type == INT64 and len(tensor.raw_data) >= 8:
            at = 8 * choose.randrange(len(tensor.raw_data) // 8)
            tensor.raw_data = (
                tensor.raw_data[:at] + number.to_bytes(8, "little", signed=True) + tensor.raw_data[at + 8 :]
            )
    elif change == 8 and model.graph.input:
        dims = model.graph.input[0].type.tensor_type.shape.dim
        if dims:
            dims[choose.randrange(len(dims))].dim_value = number
    return bytes(model.SerializeToString())[:max_size]


def one_input(data: bytes) -> None:
    """What is read is a sound graph, which can be written as TFLite and, where ONNX has its operators, as ONNX."""
    try:
        model = read_onnx(data)
    except PocketgraphError:
        return
    model.validate()
    write_tflite(model)
    with contextlib.suppress(UnsupportedError):
        write_onnx(model, sparse=True)


def main() -> None:
    """Fuzz from the seeds."""
    require_instrumented(read_onnx)
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds()):
            (Path(folder) / f"seed{number}").write_bytes(seed)
        options = ["-rss_limit_mb=4096", "-timeout=20", "-max_len=4096"]
        atheris.Setup([*sys.argv, *options, folder], one_input, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
