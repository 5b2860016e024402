""".onnx: float32, or float16 initialisers behind a Cast; opset 17, for ONNX Runtime and everything that reads ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pocketgraph.convert.passes import Half
from pocketgraph.models.decompress import Decompress
from pocketgraph.models.errors import UsageError
from pocketgraph.models.files import write_atomically
from pocketgraph.models.graph import Model
from pocketgraph.models.onnx_write import write_onnx

if TYPE_CHECKING:
    from pocketgraph.convert.prune.calibration import Calibration


def export(
    model: Model,
    path: Path,
    dtype: str,
    _calibration: Calibration | None = None,
    *,
    sparse_initializers: bool = False,
    engine: str = "xnnpack",  # noqa: ARG001 - a word of .tflite: here nothing is rewritten for an engine
) -> list[str]:
    """Write `path`; with `sparse_initializers`, mostly-zero constants are stored as `sparse_initializer`.

    Zeros are stored densely by default: ONNX Runtime and OpenVINO compute densely either way, and few other readers
    know sparse initialisers. Raises `UsageError` for int8.
    """
    if dtype == "int8":
        raise UsageError("int8 is for .tflite only: give --dtype f32 or f16 for .onnx")
    model = model.copy()
    notes = Decompress()(model)
    if dtype == "f16":
        notes += Half()(model)
    write_atomically(path, write_onnx(model, sparse=sparse_initializers))
    return notes
