"""pocketgraph: prune, convert, explain and run vision and audio models on small computers.

The names below are loaded when first used, so importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketgraph import solutions
    from pocketgraph.convert import convert_model, explain_model, prune_model
    from pocketgraph.models import read_model, write_model
    from pocketgraph.models.errors import PocketgraphError
    from pocketgraph.runtime import load_model

__version__ = "0.1.0"
_HOME = {
    "PocketgraphError": "pocketgraph.models.errors",
    "convert_model": "pocketgraph.convert",
    "explain_model": "pocketgraph.convert",
    "load_model": "pocketgraph.runtime",
    "prune_model": "pocketgraph.convert",
    "read_model": "pocketgraph.models",
    "write_model": "pocketgraph.models",
}
__all__ = [
    "PocketgraphError",
    "__version__",
    "convert_model",
    "explain_model",
    "load_model",
    "prune_model",
    "read_model",
    "solutions",
    "write_model",
]


def __getattr__(name: str) -> Any:
    if name == "solutions":
        return importlib.import_module("pocketgraph.solutions")
    if name not in _HOME:
        raise AttributeError(f"module 'pocketgraph' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
