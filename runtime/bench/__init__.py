"""Speed, memory and agreement of engines, measured so that a number means something.

Every engine runs in a process of its own (`worker.py`), all take turns round by round, and a speed is a ratio of
medians with an interval. `run_bench` does it; `fake` has an engine for tests.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketgraph.runtime.bench.bench import Plan, run_bench
    from pocketgraph.runtime.bench.result import Cell, Result, read_result
    from pocketgraph.runtime.bench.subjects import open_subjects

_HOME = {
    "Cell": "result",
    "Plan": "bench",
    "Result": "result",
    "open_subjects": "subjects",
    "read_result": "result",
    "run_bench": "bench",
}
__all__ = ["Cell", "Plan", "Result", "open_subjects", "read_result", "run_bench"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
