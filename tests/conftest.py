"""Fixtures and markers that every test may use; what is not at hand is skipped with its reason."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"
EMULATOR = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
NODE_MODULES = ROOT / "tests" / "browser" / "node_modules"


def _missing(marker: str) -> str | None:
    """Why tests with `marker` cannot run here, or None."""
    if marker == "data" and not SHARED_DATA.is_dir():
        return "the folder ../shared/data is not beside the checkout"
    if marker == "train" and importlib.util.find_spec("tensorflow") is None:
        return "TensorFlow is not installed: pip install 'pocketgraph[train]'"
    if marker == "browser":
        if shutil.which("chromium") is None:
            return "chromium is not installed: sudo apt-get install chromium"
        if shutil.which("node") is None or not NODE_MODULES.is_dir():
            return "the JavaScript packages are not installed: make browser"
    if marker == "qemu":
        tools = ("aarch64-linux-gnu-g++", "g++")
        if any(shutil.which(tool) is None for tool in tools) or EMULATOR is None:
            return (
                "the cross-compiler is not installed: sudo apt-get install g++ g++-aarch64-linux-gnu qemu-user-static"
            )
    if marker == "gpu":
        return None if shutil.which("nvidia-smi") else "there is no GPU"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reasons = {name: _missing(name) for name in ("data", "train", "browser", "qemu", "gpu")}
    for item in items:
        for name, reason in reasons.items():
            if reason is not None and item.get_closest_marker(name) is not None:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images, audio, video and weights (use with the marker `data`)."""
    return SHARED_DATA
