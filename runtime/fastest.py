"""The delegate `auto`: a short measurement of every engine, remembered per model, machine and thread count."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import pocketgraph
from pocketgraph.models.errors import PocketgraphError, UsageError
from pocketgraph.models.files import write_atomically
from pocketgraph.models.zoo import cache_dir
from pocketgraph.runtime.machine import machine_key

ISA_VARIABLE = "POCKETGRAPH_CPU"
"""Environment variable that forces an instruction set on our engine: avx512, avx2, neon or portable."""

if TYPE_CHECKING:
    from pocketgraph.runtime.model import RunnableModel

_SECONDS = 0.4  # of rounds, at least _ROUNDS of them
_ROUNDS = 5
_TURN = 3  # runs; the first does not count: threads of the engine before may still be spinning, waiting for work


def fastest(model: str, threads: int, names: Sequence[str], load: Callable[[str], RunnableModel]) -> RunnableModel:
    """The fastest of the engines `names` that load the model whose hash is `model`, loaded.

    Engines take turns on one random input. Raises the first engine's error where none loads.
    """
    key = machine_key(str(threads), os.environ.get(ISA_VARIABLE, ""), *_versions())
    file = cache_dir() / "fastest" / f"{key}.json"
    known = _read(file)
    if known.get(model) in names:
        with contextlib.suppress(PocketgraphError):  # installed otherwise by now: measured again
            return load(known[model])
    loaded: dict[str, RunnableModel] = {}
    errors: list[PocketgraphError] = []
    for name in names:
        try:
            loaded[name] = load(name)
        except UsageError:  # such as an instruction set that there is not: nothing to choose around
            raise
        except PocketgraphError as error:
            errors.append(error)
    if not loaded:
        raise errors[0]
    best = min(loaded, key=_medians(loaded).__getitem__) if len(loaded) > 1 else next(iter(loaded))
    for name, model_in in loaded.items():
        if name != best:
            model_in.close()
    _write(file, model, best)
    return loaded[best]


def _medians(loaded: dict[str, RunnableModel]) -> dict[str, float]:
    rng = np.random.default_rng(0)
    times: dict[str, list[float]] = {name: [] for name in loaded}
    feeds = {}
    for name, model in loaded.items():
        feeds[name] = {
            spec.name: (rng.random(spec.shape) if spec.dtype.kind == "f" else np.zeros(spec.shape)).astype(spec.dtype)
            for spec in model.inputs
        }
        try:
            model.run(feeds[name])  # the first run prepares
        except PocketgraphError:
            times[name].append(float("inf"))
    end, rounds = time.perf_counter() + _SECONDS, 0
    while rounds < _ROUNDS or time.perf_counter() < end:
        for name, model in loaded.items():
            if times[name][:1] == [float("inf")]:
                continue
            model.run(feeds[name])
            for _ in range(_TURN - 1):
                start = time.perf_counter()
                model.run(feeds[name])
                times[name].append(time.perf_counter() - start)
        rounds += 1
        if rounds >= 200:
            break
    return {name: float(np.median(values)) for name, values in times.items()}


def _versions() -> list[str]:
    """Of what competes: another version is measured again."""
    found = [f"pocketgraph {pocketgraph.__version__}"]
    for name in ("ai-edge-litert", "tflite-runtime", "onnxruntime"):
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return found


def _read(file: Path) -> dict[str, str]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _write(file: Path, model: str, name: str) -> None:
    """Remember; a cache that cannot be written is no reason to fail."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(_read(file) | {model: name}))
    except (OSError, PocketgraphError):
        return
