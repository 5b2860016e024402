"""Counts layers and zeros, and names the versions that a conversion was made with."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence

import numpy as np

from pocketgraph import __version__
from pocketgraph.convert.result import Layer
from pocketgraph.models.graph import Model

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
_PACKAGES = ("ai-edge-litert", "onnx", "onnxruntime", "tensorflow")


def layers_of(model: Model, errors: Mapping[str, float | None]) -> list[Layer]:
    """Every layer with constant weights, in order; `errors` has the output error of those that were pruned."""
    found = []
    for op in model.main.ops:
        if op.kind not in _WEIGHTED or len(op.inputs) < 2 or not op.input(1).is_constant:
            continue
        weight = op.input(1)
        zeros = 1 - np.count_nonzero(weight.dense()) / max(weight.size, 1)
        pruned = op.name in errors
        found.append(Layer(op.name, op.kind, weight.shape, weight.size, zeros, errors.get(op.name), pruned))
    return found


def zeros_among(layers: Sequence[Layer]) -> float:
    """The share of zeros in the weights of `layers` together."""
    total = sum(layer.parameters for layer in layers)
    return sum(layer.sparsity * layer.parameters for layer in layers) / total if total else 0.0


def versions() -> dict[str, str]:
    """What the result depends on: our version, those of Python, NumPy and the engines, and the kind of machine."""
    versions = {"pocketgraph": __version__, "Python": platform.python_version(), "NumPy": np.__version__}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions | {"machine": f"{platform.machine()}, {platform.system()}"}
