""".tflite: sparse weights that XNNPACK multiplies sparsely on ARM and wasm; float32, float16 or int8."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pocketgraph.convert.passes import ForXnnpack, Half, Sparsify, SplitFullyConnected
from pocketgraph.convert.xnnpack_clusters import skipped_products
from pocketgraph.models.decompress import Decompress
from pocketgraph.models.files import write_atomically
from pocketgraph.models.graph import Model
from pocketgraph.models.tflite_write import write_tflite

if TYPE_CHECKING:
    from pocketgraph.convert.prune.calibration import Calibration


def export(
    model: Model,
    path: Path,
    dtype: str,
    calibration: Calibration | None,
    *,
    sparse_initializers: bool = False,  # noqa: ARG001 - a word of ONNX: here sparse weights are always stored sparse
    engine: str = "xnnpack",
) -> list[str]:
    """Write `path`. Pruned float models are rewritten so that XNNPACK finds its sparse clusters (`ForXnnpack`), unless
    they are for the engine chw, which only loses time by that.

    int8 goes through ai-edge-quantizer: weights per channel, activations from `calibration`, or float activations
    without it. Zeros stay zeros, yet int8 weights are stored and multiplied densely: no engine runs them sparse.
    """
    model = model.copy()
    notes = Decompress()(model)
    if dtype == "int8":
        from pocketgraph.convert.targets._int8 import quantise

        data, lines = quantise(model, calibration)
        write_atomically(path, data)
        return notes + lines
    if Sparsify().would_encode(model):
        if engine == "xnnpack":
            notes += ForXnnpack()(model)
        else:
            notes.append(
                f"written for the engine {engine}: left as it is where XNNPACK would want rewrites to run sparse"
            )
        if skipped_products(model.main) < 0:
            notes.append("weights are stored densely: XNNPACK would take this net for sparse and compute it wrongly")
        else:
            notes += SplitFullyConnected()(model) if engine == "xnnpack" else []
            notes += Sparsify()(model)
    if dtype == "f16":
        notes += Half()(model)
    write_atomically(path, write_tflite(model))
    return notes
