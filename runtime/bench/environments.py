"""Virtual environments for engines whose needs clash with ours: one folder an engine, below the user's cache.

Each is built beside its place and renamed when the engine has been imported in it, so a failure leaves what was there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pocketgraph.models import zoo
from pocketgraph.models.errors import UsageError

_MARK = "ready.json"
_PROBE = "import ensurepip, json, sys, venv; print(json.dumps([*sys.version_info[:2], sys.executable]))"
_PROBE_SECONDS = 20
Versions = tuple[tuple[int, int], tuple[int, int]]


def folder(name: str) -> Path:
    """Where the environment of engine `name` lies, or would."""
    return zoo.cache_dir() / "bench" / name


def interpreter(name: str) -> Path:
    """The Python of that environment."""
    return _python_in(folder(name))


def is_ready(name: str) -> bool:
    """Whether it has been set up, and its Python is still there."""
    return (folder(name) / _MARK).is_file() and interpreter(name).exists()


def facts(name: str) -> dict[str, Any]:
    """What was set up: `packages` as asked for, `python` and engine `versions`. Empty where nothing was."""
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads((folder(name) / _MARK).read_text())
        return found
    return {}


def set_up(
    name: str,
    packages: Sequence[str],
    pythons: Versions,
    check: Callable[[Path], dict[str, str]],
    *,
    python: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Make the environment of engine `name` anew and install `packages` with pip; returns its folder.

    `python` is an interpreter to use, by default the newest on PATH within `pythons`. `check(interpreter)` must start
    the engine in it and return its versions, or raise. `say` is told each step. Raises `UsageError`.
    """
    target = folder(name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent, ignore_cleanup_errors=True) as scratch:
            made = Path(scratch) / name
            chosen, version = find_python(pythons, python)
            say(f"making an environment of Python {version[0]}.{version[1]} ({chosen})")
            _run([chosen, "-m", "venv", str(made)], f"making an environment with {chosen}")
            say(f"installing {' '.join(packages)}")
            pip = [str(_python_in(made)), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
            _run([*pip, "--progress-bar=off", *packages], f"installing {' '.join(packages)}")
            say("starting it once")
            versions = check(_python_in(made))
            mark = {"packages": list(packages), "python": f"{version[0]}.{version[1]}", "versions": versions}
            (made / _MARK).write_text(json.dumps(mark, indent=2))
            if target.exists():
                target.rename(Path(scratch) / "replaced")
            made.rename(target)
    except OSError as error:
        raise UsageError(f"cannot set up {name} in {target}: {error.strerror or error}") from error
    return target


def find_python(pythons: Versions, wanted: str | None = None) -> tuple[str, tuple[int, int]]:
    """A Python with the venv module whose version lies in `pythons`, both ends included, and that version.

    `wanted` (a path or command) is taken or refused; else this interpreter, else the newest `python3.N` on PATH that
    works. Raises `UsageError` saying what to install.
    """
    oldest, newest = pythons
    span = f"Python {oldest[0]}.{oldest[1]}" + (f" to {newest[0]}.{newest[1]}" if newest[1] < 99 else " or newer")
    if wanted is not None:
        found = _probe(shutil.which(wanted) or wanted)
        if found is None:
            raise UsageError(f"--python {wanted} is no working Python with the modules venv and ensurepip")
        if not oldest <= found[1] <= newest:
            raise UsageError(f"--python {wanted} is Python {found[1][0]}.{found[1][1]}; {span} is needed")
        return found
    for candidate in _candidates(oldest, newest):
        found = _probe(candidate)
        if found is not None and oldest <= found[1] <= newest:
            return found
    raise UsageError(f"found no {span} with venv on PATH: install one, or name it with --python")


def _candidates(oldest: tuple[int, int], newest: tuple[int, int]) -> Iterator[str]:
    if oldest <= sys.version_info[:2] <= newest:
        yield sys.executable
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    for minor in range(min(newest[1], 30), oldest[1] - 1, -1):
        for place in folders:
            found = shutil.which(f"python3.{minor}", path=place)
            if found is not None:
                yield found


def _probe(python: str) -> tuple[str, tuple[int, int]] | None:
    """The interpreter behind a command (a version manager's stand-in may answer for another) and its version."""
    try:
        done = subprocess.run(
            [python, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=True
        )
        major, minor, executable = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return str(executable), (int(major), int(minor))


def _python_in(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _run(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or ["it said nothing"])[-1]
    raise UsageError(f"{what} failed: {last!r}")
