"""The engines that `pocketgraph bench` knows: what they read, where they live, and how their worker is started."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.bench import environments
from pocketgraph.runtime.model import DelegateName

_WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Engine:
    """An engine by name: `suffix` is the file it is handed, `packages` what its own environment needs.

    Without packages it runs in this interpreter, as a delegate of `load_model`; `module` is what that needs installed.
    Without a suffix it runs whole pipelines and no models: it can be set up, and measured by `bench graph`.
    One that `prepares` makes a file of its own from the one it is handed.
    `pythons` are the oldest and newest version it has wheels for. `command` replaces the whole command (a test double).
    """

    name: str
    suffix: str
    packages: tuple[str, ...] = ()
    pythons: tuple[tuple[int, int], tuple[int, int]] = ((3, 9), (3, 99))
    module: str = ""
    prepares: bool = False
    command: tuple[str, ...] = ()


ENGINES = {
    engine.name: engine
    for engine in (
        Engine("chw", ".tflite"),
        Engine("litert", ".tflite"),
        Engine("onnxruntime", ".onnx", module="onnxruntime"),
        Engine("openvino", ".onnx", ("openvino>=2024.4", "numpy")),
        Engine("mnn", ".onnx", ("MNN>=3.0", "numpy"), prepares=True),
        Engine("deepsparse", ".onnx", ("deepsparse==1.8.0",), ((3, 8), (3, 11))),  # 1.9 is an empty package
        Engine("mediapipe", "", ("mediapipe==0.10.21",), ((3, 9), (3, 12))),  # the last with graphs and solutions
    )
}
USUAL_BASELINES = ("litert", "onnxruntime", "openvino")
"""Well-tried engines: the fastest on the model as given is the baseline, the first says what outputs should be."""
PEERS = tuple(name for name, engine in ENGINES.items() if engine.packages)
"""Engines with an environment of their own, made by `pocketgraph bench setup`."""


def engine_named(name: str) -> Engine:
    """The engine called `name`. Raises `UsageError` with those there are."""
    if name not in ENGINES:
        raise UsageError(f"no engine {name!r}; there are {', '.join(ENGINES)}")
    return ENGINES[name]


def obstacle(engine: Engine) -> str | None:
    """Why `engine` cannot run here, with the command that mends it; None where it can."""
    if engine.packages and not environments.is_ready(engine.name):
        return f"{engine.name} is not set up: run `pocketgraph bench setup {engine.name}`"
    if engine.module and importlib.util.find_spec(engine.module) is None:
        return f"{engine.name} is not installed: pip install 'pocketgraph[onnx]'"
    return None


def default_engines() -> list[Engine]:
    """Every engine that can run here now."""
    delegates = get_args(DelegateName)
    return [e for e in ENGINES.values() if e.suffix and (e.packages or e.name in delegates) and obstacle(e) is None]


def worker_command(engine: Engine) -> list[str]:
    """The command line of a worker for `engine`."""
    if engine.command:
        return list(engine.command)
    if engine.packages:
        return worker_command_in(environments.interpreter(engine.name), engine)
    return [sys.executable, str(_WORKER), engine.name]


def worker_command_in(python: Path, engine: Engine) -> list[str]:
    """The same with the interpreter `python`, isolated from PYTHONPATH and the user's packages, made for others."""
    return [str(python), "-I", str(_WORKER), engine.name]
