"""Runs .tflite models in LiteRT.js (wasm, headless Chromium): outputs, and speed as a ratio measured in one run.

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

from pocketgraph.models.errors import PocketgraphError, UsageError
from pocketgraph.runtime import load_model

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
    with load_model(path) as model:
        return [
            rng.random(spec.shape, np.float32) if np.dtype(spec.dtype).kind == "f" else np.zeros(spec.shape, spec.dtype)
            for spec in model.inputs
        ]


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--rounds", default=30, show_default=True, type=click.IntRange(1))
@click.option("--warmup", default=5, show_default=True, type=click.IntRange(0))
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--packages", default=PACKAGES, show_default=True, type=click.Path(path_type=Path))
def main(models: tuple[Path, ...], rounds: int, warmup: int, threads: int, packages: Path) -> None:
    """Compare MODELS (the first is the baseline) in LiteRT.js."""
    runs, versions = run_in_browser(
        [(path, random_inputs(path)) for path in models],
        warmup=warmup,
        rounds=rounds,
        threads=threads,
        packages=packages,
    )
    table = Table(title=f"{versions}, wasm, {threads} thread(s), {rounds} interleaved rounds")
    for column in ("model", "median ms", "5..95 %", "times as fast"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for path, run in zip(models, runs, strict=True):
        if run.error is not None:
            table.add_row(path.name, "failed", run.error[:60], "")
            continue
        low, median, high = np.percentile(run.milliseconds, [5, 50, 95])
        ratio = float(np.median(np.array(runs[0].milliseconds or [np.nan]) / np.array(run.milliseconds)))
        table.add_row(path.name, f"{median:.2f}", f"{low:.2f}..{high:.2f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
