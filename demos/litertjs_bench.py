"""Runs .tflite models in LiteRT.js (wasm, headless Chromium): outputs, and speed as a ratio measured in one run.

    python -m pocketgraph.demos.litertjs_bench
    python -m pocketgraph.demos.litertjs_bench dense.tflite sparse.tflite --rounds 50

Needs Chromium, Node.js and the JavaScript packages of `tests/browser` (`make browser`). The models get the same random
input, take turns round by round after a warm-up, and the table gives medians and the ratio to the first model.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from pocketgraph.convert.targets import export
from pocketgraph.models.architectures.mobilenet_v1 import mobilenet_v1
from pocketgraph.models.errors import PocketgraphError, UsageError
from pocketgraph.runtime import load_model
from pocketgraph.runtime.bench.ratios import ratio
from pocketgraph.runtime.machine import processor

Array = npt.NDArray[Any]
DRIVER = Path(__file__).with_suffix(".mjs")
PACKAGES = Path(__file__).resolve().parent.parent / "tests" / "browser"


@dataclass
class BrowserRun:
    """What one model did: `outputs` in the model's order, `milliseconds` per timed round, `error` where it failed."""

    outputs: list[Array] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    error: str | None = None


def run_in_browser(
    models: Sequence[tuple[Path, Sequence[Array]]],
    *,
    warmup: int = 0,
    rounds: int = 0,
    threads: int = 1,
    packages: Path = PACKAGES,
) -> tuple[list[BrowserRun], str]:
    """Run each (model file, input arrays) once for its outputs, then `rounds` timed times, models interleaved.

    Returns one `BrowserRun` per model and the versions of engine and browser. Raises `UsageError` where Chromium,
    Node.js or the packages are missing, `PocketgraphError` where the browser itself fails.
    """
    chromium, node = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("node")
    if chromium is None or node is None:
        raise UsageError(
            "LiteRT.js runs in a browser: install Chromium and Node.js (sudo apt-get install chromium npm)"
        )
    if not (packages / "node_modules" / "@litertjs" / "core").is_dir():
        raise UsageError(f"{packages} has no node_modules/@litertjs/core: run npm ci there (make browser)")
    with tempfile.TemporaryDirectory(prefix="pocketgraph-") as scratch:
        spec = _write_spec(Path(scratch), models)
        spec |= {
            "packages": str(packages),
            "chromium": chromium,
            "warmup": warmup,
            "rounds": rounds,
            "threads": threads,
        }
        (Path(scratch) / "spec.json").write_text(json.dumps(spec))
        process = subprocess.run(
            [node, str(DRIVER), str(Path(scratch) / "spec.json")], capture_output=True, text=True, check=False
        )
        if process.returncode:
            raise PocketgraphError(f"the browser run failed: {process.stderr.strip()[-2000:]}")
        answer = json.loads(process.stdout)
        runs = [
            BrowserRun(
                [_read(Path(model["outputs"]) / f"{i}.bin", about) for i, about in enumerate(result["outputs"])],
                result["milliseconds"],
                result["log"],
                result["error"],
            )
            for model, result in zip(spec["models"], answer["models"], strict=True)
        ]
    return runs, f"LiteRT.js {answer['litertjs']}, Chromium {answer['chromium']}"


def _write_spec(scratch: Path, models: Sequence[tuple[Path, Sequence[Array]]]) -> dict[str, Any]:
    listed = []
    for number, (path, inputs) in enumerate(models):
        files = []
        for place, array in enumerate(inputs):
            file = scratch / f"{number}_{place}.bin"
            file.write_bytes(np.ascontiguousarray(array).tobytes())
            files.append(str(file))
        listed.append({"path": str(path.resolve()), "inputs": files, "outputs": str(scratch / f"out{number}")})
    return {"models": listed}


def _read(file: Path, about: dict[str, Any]) -> Array:
    return np.frombuffer(file.read_bytes(), about["dtype"]).reshape(about["shape"]).copy()


def random_inputs(path: Path, seed: int = 0) -> list[Array]:
    """One random array per input of the model, 0..1 for floats."""
    rng = np.random.default_rng(seed)
    with load_model(path, "litert") as model:
        return [
            rng.random(spec.shape, np.float32) if np.dtype(spec.dtype).kind == "f" else np.zeros(spec.shape, spec.dtype)
            for spec in model.inputs
        ]


def example_models(folder: Path) -> list[Path]:
    """MobileNetV1 1.0 at 224 with random weights: dense, and its 1x1 convolutions at 70, 80 and 90 % zeros."""
    files = []
    for share in (0.0, 0.7, 0.8, 0.9):
        model = mobilenet_v1()
        for op in model.main.ops if share else []:
            if op.kind == "CONV_2D" and op.input(1).shape[1:3] == (1, 1):
                weights = op.input(1).dense().copy()
                weights[np.abs(weights) <= np.quantile(np.abs(weights), share)] = 0
                op.input(1).data = weights
        files.append(folder / (f"mobilenet_v1_{share:.0%}.tflite" if share else "mobilenet_v1_dense.tflite"))
        export(model, files[-1])
    return files


@click.command()
@click.argument("models", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--rounds", default=30, show_default=True, type=click.IntRange(1))
@click.option("--warmup", default=5, show_default=True, type=click.IntRange(0))
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--packages", default=PACKAGES, type=click.Path(path_type=Path), help="Folder with node_modules.")
def main(models: tuple[Path, ...], rounds: int, warmup: int, threads: int, packages: Path) -> None:
    """Compare MODELS (the first is the baseline) in LiteRT.js; without any, MobileNetV1 dense and pruned."""
    with tempfile.TemporaryDirectory(prefix="pocketgraph-") as scratch:
        files = list(models) or example_models(Path(scratch))
        runs, versions = run_in_browser(
            [(path, random_inputs(path)) for path in files],
            warmup=warmup,
            rounds=rounds,
            threads=threads,
            packages=packages,
        )
    console = Console(highlight=False)
    console.print(_table(files, runs))
    console.print(f"{versions}, wasm, threads: {threads}; {rounds} interleaved rounds; {processor()}")


def _table(files: Sequence[Path], runs: Sequence[BrowserRun]) -> Table:
    table = Table()
    for column in ("model", "median ms", "5..95 %", "times as fast", "95 % interval"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for path, run in zip(files, runs, strict=True):
        if run.error is not None or runs[0].error is not None:
            table.add_row(path.name, "failed", (run.error or "")[:60], "", "")
            continue
        low, median, high = np.percentile(run.milliseconds, [5, 50, 95])
        times, least, most = ratio(runs[0].milliseconds, run.milliseconds)
        table.add_row(path.name, f"{median:.2f}", f"{low:.2f}..{high:.2f}", f"{times:.2f}", f"{least:.2f}..{most:.2f}")
    return table


if __name__ == "__main__":
    main()
