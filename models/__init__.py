"""What a model is: the graph, file formats read and written, the zoo of pinned weights.

The names below are loaded when first used: the command line lists the zoo without loading NumPy's friends.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if __name__ != "pocketgraph.models":
    raise ImportError(f"import this package as pocketgraph.models, not {__name__}")

if TYPE_CHECKING:
    from pocketgraph.models.files import read_model, write_model
    from pocketgraph.models.graph import DType, Graph, Model, Op, Quantization, Signature, Tensor
    from pocketgraph.models.preprocess import Preprocess

_HOME = {
    "DType": "pocketgraph.models.graph",
    "Graph": "pocketgraph.models.graph",
    "Model": "pocketgraph.models.graph",
    "Op": "pocketgraph.models.graph",
    "Preprocess": "pocketgraph.models.preprocess",
    "Quantization": "pocketgraph.models.graph",
    "Signature": "pocketgraph.models.graph",
    "Tensor": "pocketgraph.models.graph",
    "read_model": "pocketgraph.models.files",
    "write_model": "pocketgraph.models.files",
}
__all__ = [
    "DType",
    "Graph",
    "Model",
    "Op",
    "Preprocess",
    "Quantization",
    "Signature",
    "Tensor",
    "read_model",
    "write_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pocketgraph.models' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
