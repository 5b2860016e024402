"""`summarize`: what a model is at a glance, inputs, outputs, operators, parameters and how many of them are zero."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from pocketgraph.models.graph import DType, Model, Tensor

_WEIGHT_TYPES = {
    DType.FLOAT16,
    DType.FLOAT32,
    DType.FLOAT64,
    DType.BFLOAT16,
    DType.INT4,
    DType.INT8,
    DType.UINT8,
}


def summarize(model: Model) -> dict[str, Any]:
    """Facts of `model` ready for JSON.

    `inputs` and `outputs` of the main graph (name, shape with -1 for open dimensions, dtype), `ops` and `op_kinds` over
    all graphs, `parameters` (elements of constant float or 8 bit tensors), `sparsity` (fraction of them that is zero)
    and `weights` (their types as stored, "float16 sparse").
    """
    kinds = Counter(op.custom_code or op.kind for graph in model.graphs for op in graph.ops)
    constants = {t for graph in model.graphs for t in graph.tensors() if t.is_constant and t.dtype in _WEIGHT_TYPES}
    parameters = sum(t.size for t in constants)
    nonzero = sum(_nonzero(t) for t in constants)
    stored: Counter[str] = Counter()
    for tensor in constants:
        stored[tensor.dtype.value + (" sparse" if tensor.sparsity else "")] += tensor.size
    return {
        "inputs": [_port(t) for t in model.main.inputs],
        "outputs": [_port(t) for t in model.main.outputs],
        "ops": kinds.total(),
        "op_kinds": dict(kinds.most_common()),
        "parameters": parameters,
        "sparsity": 1 - nonzero / parameters if parameters else 0.0,
        "weights": ", ".join(kind for kind, _ in stored.most_common()),
    }


def _port(tensor: Tensor) -> dict[str, Any]:
    shape = tensor.shape_signature or tensor.shape
    return {"name": tensor.name, "shape": list(shape), "dtype": tensor.dtype.value}


def _nonzero(tensor: Tensor) -> int:
    """Non-zero elements; for a sparse tensor those of its stored values, for packed types all."""
    if tensor.data is None or tensor.dtype.numpy is None:
        return tensor.size
    return int(np.count_nonzero(tensor.data))
