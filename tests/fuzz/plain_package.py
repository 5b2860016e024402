"""Lets atheris see pocketgraph: imported from plain files, not through the finder of an editable installation.

atheris instruments what Python's own loaders load. Behind the loader of an editable installation it instruments
nothing and fuzzes blindly.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = tempfile.TemporaryDirectory()  # held until the process ends


def use_plain_package() -> None:
    """Import pocketgraph from links to the folders of this checkout from now on."""
    package = Path(_FOLDER.name) / "pocketgraph"
    package.mkdir()
    for name in ("__init__.py", "models", "runtime", "convert"):
        (package / name).symlink_to(_ROOT / name)
    sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__module__.startswith("_editable")]
    sys.path.insert(0, _FOLDER.name)


def require_instrumented(function: Callable[..., Any]) -> None:
    """Stop unless atheris has put its counters into `function`."""
    if atheris not in function.__code__.co_consts:
        sys.exit(f"{function.__module__}.{function.__name__} is not instrumented: fuzzing would be blind")
