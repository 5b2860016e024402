"""Imports point one way, and importing the package stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {
    "models": {"models"},
    "runtime": {"models", "runtime"},
    "convert": {"models", "runtime", "convert"},
    "graphs": {"models", "runtime", "graphs"},
    "demos": {"models", "runtime", "convert", "graphs", "demos"},
}
IN_GRAPHS = {"framework", "solutions"}  # folders of graphs/ that have names of their own


def _imported_rooms(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "pocketgraph" else [module]
        else:
            continue
        rooms = [name.split(".")[1] for name in names if name.startswith("pocketgraph.")]
        yield from ("graphs" if room in IN_GRAPHS else room for room in rooms)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for file in files:
        above = {name for name in _imported_rooms(file) if name in MAY_IMPORT} - MAY_IMPORT[room]
        assert not above, f"{file.relative_to(ROOT)} imports {above}"


def _modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"numpy", "onnx", "cv2", "ai_edge_litert", "tensorflow", "keras", "rich", "click"}
    assert not _modules_after("import pocketgraph") & heavy


def test_converting_without_the_extra_never_loads_tensorflow() -> None:
    assert not _modules_after("from pocketgraph import convert_model, read_model, load_model") & {"tensorflow", "keras"}


def test_the_public_names_are_these() -> None:
    import pocketgraph

    public = {name for name in dir(pocketgraph) if not name.startswith("_")}
    assert public == {
        "PocketgraphError",
        "convert_model",
        "explain_model",
        "load_model",
        "prune_model",
        "read_model",
        "solutions",
        "write_model",
    }
    for name in public - {"solutions"}:
        assert getattr(pocketgraph, name).__module__.startswith("pocketgraph.")
    assert pocketgraph.solutions.__name__ == "pocketgraph.solutions"
