"""What a user installs: the built wheel has every room and works away from the checkout."""

from __future__ import annotations

import re
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


def _home(name: str) -> str:
    """Where a file of the checkout lies in the package."""
    return f"pocketgraph/{re.sub('^graphs/(?=(framework|solutions)/)', '', name)}"


def _belongs(name: str) -> bool:
    """Pictures, and the sources of the compiled modules, stay out of the wheel."""
    left_out = (".jpg", "/CMakeLists.txt", ".cpp")
    return bool(name) and not name.endswith(left_out) and not name.startswith("runtime/chw/core/")


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
    wanted = {_home(name) for name in tracked.stdout.split("\n") if _belongs(name)}
    modules = ("pocketgraph/runtime/chw/_core.", "pocketgraph/runtime/vision/_warp.")
    compiled = {name for name in packed if name.startswith(modules) and name.endswith(".so")}
    assert len(compiled) == len(modules)
    assert packed - compiled == wanted | {"pocketgraph/__init__.py", "pocketgraph/__main__.py"}


def test_the_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'ScikitBuild' not in type(f).__name__];"
        f"sys.path.insert(0, {str(tmp_path)!r});"
        "import pocketgraph.convert, pocketgraph.runtime as r, pocketgraph.solutions.hands; print(r.__file__);"
        "from pocketgraph.framework.formats import landmark_pb2;"
        "from pocketgraph.graphs import graph_names, load_graph; [load_graph(name) for name in graph_names()]"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(tmp_path))
