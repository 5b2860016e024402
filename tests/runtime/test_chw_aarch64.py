"""The CHW engine's NEON kernels, run by an emulator: what they compute is what this machine computes."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "runtime" / "chw" / "core"
SELFCHECK = Path(__file__).with_name("chw_selfcheck.cpp")


def build(compiler: str, target: Path, *flags: str) -> Path:
    sources = [SELFCHECK, CORE / "program.cpp", CORE / "kernels_portable.cpp"]
    command = [
        compiler,
        "-std=c++20",
        "-O1",
        "-pthread",
        "-static",
        f"-I{CORE}",
        *flags,
        *map(str, sources),
        "-o",
        str(target),
    ]
    subprocess.run(command, check=True)
    return target


def results(*command: str) -> tuple[str, np.ndarray]:
    isa, *values = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout.split()
    return isa, np.array(values, np.float32)


@pytest.mark.qemu
def test_neon_computes_what_this_machine_does(tmp_path: Path) -> None:
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    assert emulator is not None
    here = str(build("g++", tmp_path / "here"))
    there = str(build("aarch64-linux-gnu-g++", tmp_path / "there"))
    isa, expected = results(here, "1")
    assert isa == ("neon" if platform.machine() == "aarch64" else "portable")
    assert np.ptp(expected) > 1
    for threads in ("1", "3"):
        isa, found = results(emulator, there, threads)
        assert isa == "neon"
        assert np.abs(found - expected).max() <= 1e-4 * np.ptp(expected)
