"""Pruning while training (Keras 3 callbacks) and recovery of pruned models; needs the extra `train`.

The names below are loaded when first used, TensorFlow with them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketgraph.convert.train.magnitude_pruning import MagnitudePruning
    from pocketgraph.convert.train.rigl import RigL
    from pocketgraph.convert.train.trainable import Trainable

_HOME = {
    "MagnitudePruning": "pocketgraph.convert.train.magnitude_pruning",
    "RigL": "pocketgraph.convert.train.rigl",
    "Trainable": "pocketgraph.convert.train.trainable",
}
__all__ = ["MagnitudePruning", "RigL", "Trainable"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pocketgraph.convert.train' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
