"""What a user installs: the built wheel has every room and works away from the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    return next(folder.glob("pocketgraph-*.whl"))


def _belongs(name: str) -> bool:
    """Pictures, and the sources of the compiled module, stay out of the wheel."""
    return bool(name) and not name.endswith((".jpg", "/CMakeLists.txt")) and not name.startswith("runtime/chw/core/")


def test_the_wheel_has_every_file_but_pictures_and_sources(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    rooms = ("models", "runtime", "convert", "graphs", "demos")
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *rooms],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = {f"pocketgraph/{name}" for name in tracked.stdout.split("\n") if _belongs(name)}
    compiled = {name for name in packed if name.startswith("pocketgraph/runtime/chw/_core.") and name.endswith(".so")}
    assert len(compiled) == 1
    assert packed - compiled == wanted | {"pocketgraph/__init__.py", "pocketgraph/__main__.py"}


def test_the_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'ScikitBuild' not in type(f).__name__];"
        f"sys.path.insert(0, {str(tmp_path)!r});"
        "import pocketgraph.convert, pocketgraph.runtime as r; print(r.__file__);"
        "from pocketgraph.graphs import graph_names, load_graph; [load_graph(name) for name in graph_names()]"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(tmp_path))
