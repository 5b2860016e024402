"""Lets atheris see pocketgraph: imported from plain files, not through the finder of an editable installation.

atheris instruments what Python's own loaders load. Behind the loader of an editable installation it instruments
nothing and fuzzes blindly.
"""

from __future__ import annotations

import importlib.util
import os
import site
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


def load_compiled(name: str) -> None:
    """Import a compiled module, such as "runtime.chw._core", from where it is installed: it is not here.

    The environment variable POCKETGRAPH_COMPILED names a folder with another build.
    """
    folders = [os.environ["POCKETGRAPH_COMPILED"]] if "POCKETGRAPH_COMPILED" in os.environ else site.getsitepackages()
    leaf = name.replace(".", "/")
    file = next((file for folder in folders for file in Path(folder).glob(f"pocketgraph/{leaf}*.so")), None)
    if file is None:
        sys.exit(f"pocketgraph.{name} is not built: pip install --editable .")
    spec = importlib.util.spec_from_file_location(f"pocketgraph.{name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
