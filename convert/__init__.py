"""Makes models smaller: passes, pruning, export targets, explain, verification, report."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketgraph.convert.conversion import convert_model
    from pocketgraph.convert.explain import explain_model
    from pocketgraph.convert.prune.calibration import Calibration
    from pocketgraph.convert.prune.config import PruneConfig
    from pocketgraph.convert.prune.prune import prune_model

_HOME = {
    "Calibration": "pocketgraph.convert.prune.calibration",
    "PruneConfig": "pocketgraph.convert.prune.config",
    "convert_model": "pocketgraph.convert.conversion",
    "explain_model": "pocketgraph.convert.explain",
    "prune_model": "pocketgraph.convert.prune.prune",
}
__all__ = ["Calibration", "PruneConfig", "convert_model", "explain_model", "prune_model"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pocketgraph.convert' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
