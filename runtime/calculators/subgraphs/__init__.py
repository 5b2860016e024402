"""Graphs that are used as nodes, under MediaPipe's names: one `.pbtxt` file each, read when a graph first needs it.

A file is named for its type: `hand_landmark_cpu.pbtxt` has the type HandLandmarkCpu.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pocketgraph.runtime.graph.config import read_graph
from pocketgraph.runtime.graph.registry import register_subgraph

_FOLDER = Path(__file__).parent
NAMES = {"".join(word.capitalize() for word in file.stem.split("_")): file for file in sorted(_FOLDER.glob("*.pbtxt"))}
"""The types of all of them, with their files."""


@cache
def _read(name: str) -> Any:
    return read_graph(NAMES[name])


def _register(name: str) -> None:
    register_subgraph(name, lambda _: _read(name))


for _name in NAMES:
    _register(_name)
