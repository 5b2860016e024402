"""The committed stub of the compiled module is what nanobind makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocketgraph.runtime.chw import _core

STUB = Path(__file__).resolve().parents[2] / "runtime" / "chw" / "_core.pyi"


def test_the_stub_is_fresh() -> None:
    stubgen = pytest.importorskip(
        "nanobind.stubgen", reason="nanobind is not installed: pip install 'pocketgraph[dev]'"
    )
    made = stubgen.StubGen(module=_core)
    made.put(_core)
    command = "python -m nanobind.stubgen -m pocketgraph.runtime.chw._core -o runtime/chw/_core.pyi"
    assert made.get() == STUB.read_text(encoding="utf-8"), f"run: {command}"
