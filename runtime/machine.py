"""The machine a time was measured on: processor, instruction sets, cores, load, and what it can do at most."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_CPUINFO = Path("/proc/cpuinfo")
_FLAGS = {
    "sse4_1": "sse4.1",
    "avx": "avx",
    "avx2": "avx2",
    "fma": "fma",
    "avx512f": "avx512",
    "avx512_vnni": "avx512-vnni",
    "avx512_bf16": "avx512-bf16",
    "amx_tile": "amx",
    "asimd": "neon",
    "neon": "neon",
    "asimdhp": "neon-f16",
    "asimddp": "neon-dot",
    "sve": "sve",
}
"""What Linux calls an instruction set, and what people do."""
_SGEMM_SIZE = 1024
_COPY_BYTES = 64 << 20
_TRIES = 5


@dataclass(frozen=True)
class Peak:
    """The most this machine did with `threads` threads: GFLOP/s of NumPy's sgemm, GB/s of a copy (one thread)."""

    threads: int
    gflops: float
    gbytes: float


def processor() -> str:
    """The processor's name and how many cores there are."""
    return f"{_name()}, {os.cpu_count()} cores"


def describe_machine() -> dict[str, Any]:
    """Processor, `flags` (instruction sets that matter here), cores, system, Python, load of the last minute."""
    return {
        "processor": _name(),
        "flags": _flags(),
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


@cache
def _model_name() -> str:
    found = re.findall(r"^(?:cpu family|model|stepping)\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)[:3]
    return " ".join([_name(), *found])


def machine_key(*about: str) -> str:
    """Names this machine (processor, instruction sets, cores) and whatever else a measurement depends on, briefly."""
    text = "|".join([_model_name(), *_flags(), str(os.cpu_count()), *about])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def measure_peak(threads: int) -> Peak:
    """What NumPy's sgemm (1024 x 1024) and a copy of 64 MiB reach here: the best of a few tries, under a second.

    These are what a well-tuned library gets, not the processor's data sheet; a copy counts the bytes read and written.
    """
    from threadpoolctl import threadpool_limits

    random = np.random.default_rng(0)
    a = random.random((_SGEMM_SIZE, _SGEMM_SIZE), np.float32)
    b, c = a.copy(), np.empty_like(a)
    with threadpool_limits(threads):
        compute = min(_timed(lambda: np.matmul(a, b, out=c)) for _ in range(_TRIES))
    source = np.ones(_COPY_BYTES, np.uint8)
    target = np.zeros_like(source)
    moved = min(_timed(lambda: np.copyto(target, source)) for _ in range(_TRIES))
    return Peak(threads, 2 * _SGEMM_SIZE**3 / compute / 1e9, 2 * _COPY_BYTES / moved / 1e9)


def _timed(what: Any) -> float:
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def _cpuinfo() -> str:
    return _CPUINFO.read_text(errors="replace") if _CPUINFO.exists() else ""


def _name() -> str:
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def _flags() -> list[str]:
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    present = set(found[1].split()) if found else set()
    names = [name for flag, name in _FLAGS.items() if flag in present]
    if not found and platform.machine().lower() in {"arm64", "aarch64"}:
        names = ["neon"]  # part of every 64-bit ARM
    return list(dict.fromkeys(names))
