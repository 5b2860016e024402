"""The committed stubs of the compiled modules are what nanobind makes of them."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["runtime.chw._core", "runtime.vision._warp"])
def test_the_stub_is_fresh(name: str) -> None:
    stubgen = pytest.importorskip(
        "nanobind.stubgen", reason="nanobind is not installed: pip install 'pocketgraph[dev]'"
    )
    module = importlib.import_module(f"pocketgraph.{name}")
    made = stubgen.StubGen(module=module)
    made.put(module)
    stub = Path(name.replace(".", "/")).with_suffix(".pyi")
    command = f"python -m nanobind.stubgen -m pocketgraph.{name} -o {stub}"
    assert made.get() == (ROOT / stub).read_text(encoding="utf-8"), f"run: {command}"
