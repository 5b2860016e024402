"""One cell of a bench while it runs: a worker that is paused between its turns, and what it has shown so far."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import EngineError
from pocketgraph.runtime.bench.client import Worker
from pocketgraph.runtime.bench.engines import USUAL_BASELINES, Engine, worker_command
from pocketgraph.runtime.bench.result import Cell
from pocketgraph.runtime.bench.subjects import Progress
from pocketgraph.runtime.bench.variants import Variant

Array = npt.NDArray[Any]
MOST_DIFFERENCE = 1e-3
"""Of the largest value of an output: an engine that is further from the first one computes something else."""

_LEAST_VALUE = 1e-4
"""An output that is smaller counts as this: a mask that noise leaves at 1e-8 may as well be 0."""

_NONSENSE = (LookupError, TypeError, ValueError, OSError)
"""What using an answer raises where it is JSON and yet not what was asked for."""


class Turn:
    """A worker with its model loaded. A failure ends the worker and goes into `cell.error`."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.versions: dict[str, str] = {}
        self.outputs: dict[str, Array] = {}
        self._worker: Worker | None = None

    def start(
        self, worker: Worker, file: Path, given: dict[str, Array] | None, folder: Path, seed: int
    ) -> dict[str, Array]:
        """Load `file`, feed `given` (by input name; None: make random inputs), keep the outputs; returns the inputs."""
        self._worker, self.versions = worker, worker.versions
        try:
            return self._start(worker, file, given, folder, seed)
        except EngineError:
            worker.close()
            raise
        except _NONSENSE as error:
            worker.close()
            raise _nonsense(worker, "load", error) from error

    def _start(
        self, worker: Worker, file: Path, given: dict[str, Array] | None, folder: Path, seed: int
    ) -> dict[str, Array]:
        self.cell.file_bytes = file.stat().st_size
        loaded = worker.ask("load", model=str(file), threads=self.cell.threads)
        self.cell.load_milliseconds = 1e3 * loaded["seconds"]
        given = random_inputs(loaded["inputs"], seed) if given is None else given
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            files = []
            for index, array in enumerate(_in_order(given, loaded["inputs"], worker.name)):
                files.append(str(Path(scratch) / f"input{index}.npy"))
                np.save(files[-1], array)
            worker.ask("feed", files=files)
            answers = worker.ask("outputs", folder=scratch)["files"]
            names = [port["name"] for port in loaded["outputs"]]
            self.outputs = {name: np.load(answer) for name, answer in zip(names, answers, strict=True)}
        worker.pause()
        return given

    def take(self, untimed: int, *, counts: bool) -> None:
        """Run once, timed, behind `untimed` runs; keep the time where it `counts`."""
        worker = self._worker
        if worker is None or self.cell.error:
            return
        try:
            answer = self._go_on("run", untimed=untimed, timed=1)
            self.cell.peak_bytes = answer["peak_bytes"]
            (milliseconds,) = answer["milliseconds"]
            if not 0 < milliseconds < float("inf"):
                raise ValueError(f"{milliseconds} ms")
        except (EngineError, *_NONSENSE) as error:
            known = error if isinstance(error, EngineError) else _nonsense(worker, "run", error)
            self.cell.error, self.cell.milliseconds = str(known), []
            worker.close()
            return
        if counts:
            self.cell.milliseconds.append(float(milliseconds))

    def profile(self) -> None:
        """Ask for the time of each op; engines that cannot tell leave it None."""
        with contextlib.suppress(EngineError, *_NONSENSE):  # the times are what counts
            self.cell.profile = None if self._worker is None or self.cell.error else self._go_on("profile")["ops"]

    def _go_on(self, do: str, **fields: Any) -> dict[str, Any]:
        assert self._worker is not None
        self._worker.resume()
        answer = self._worker.ask(do, **fields)
        self._worker.pause()
        return answer


def _nonsense(worker: Worker, do: str, error: Exception) -> EngineError:
    return EngineError(f"{worker.name}: its answer to {do!r} makes no sense ({type(error).__name__}: {error})")


def start_turns(
    variants: Sequence[Variant],
    engines: Sequence[Engine],
    threads: Sequence[int],
    folder: Path,
    seed: int,
    timeout: float,
    stack: ExitStack,
    progress: Progress,
) -> list[Turn]:
    """A turn for every variant, thread count and engine, outputs compared.

    Workers end with `stack`.
    """
    turns: list[Turn] = []
    total = len(variants) * len(engines) * len(threads)
    inputs: dict[str, dict[str, Array]] = {}
    for variant in variants:
        loaded: list[Turn] = []
        prepared: dict[str, Path | str] = {}
        for engine in engines:
            for count in threads:
                progress(f"load {engine.name} {variant.model}", len(turns), total)
                cell = Cell(variant.model, engine.name, count, variant.sparsity, variant.zeros)
                if variant.work is not None:
                    cell.flops, cell.dense_flops = variant.work.flops, variant.work.dense_flops
                    cell.moved_bytes = variant.work.bytes
                turn = Turn(cell)
                turns.append(turn)
                try:
                    file = _prepared(engine, variant, folder, timeout, prepared)
                    worker = stack.enter_context(_worker(engine, folder, timeout))
                    inputs[variant.model] = turn.start(worker, file, inputs.get(variant.model), folder, seed)
                except EngineError as error:
                    cell.error = str(error)
                    continue
                loaded.append(turn)
        _compare(loaded)
    return turns


def _compare(turns: Sequence[Turn]) -> None:
    """Compare outputs with a well-tried engine's where there is one, else the first's: a wrong one may be first."""
    tried = [turn for name in USUAL_BASELINES for turn in turns if turn.cell.engine == name]
    for turn in turns:
        turn.cell.difference, turn.cell.wrong = compared((tried or turns)[0].outputs, turn.outputs)
    for turn in turns:
        turn.outputs = {}


def _worker(engine: Engine, folder: Path, timeout: float) -> Worker:
    return Worker(worker_command(engine), name=engine.name, timeout=timeout, folder=str(folder))


def _prepared(engine: Engine, variant: Variant, folder: Path, timeout: float, done: dict[str, Path | str]) -> Path:
    """The file that the engine itself reads, made by a worker of its own: its memory is not that of running."""
    if engine.name not in done:
        if engine.suffix in variant.errors:
            done[engine.name] = f"{engine.name}: {variant.errors[engine.suffix]}"
        elif not engine.prepares:
            done[engine.name] = variant.files[engine.suffix]
        else:
            try:
                with _worker(engine, folder, timeout) as worker:
                    place = tempfile.mkdtemp(dir=folder)
                    answer = worker.ask("prepare", model=str(variant.files[engine.suffix]), folder=place)
                    done[engine.name] = Path(answer["model"])
            except EngineError as error:
                done[engine.name] = str(error)
            except _NONSENSE as error:
                done[engine.name] = f"{engine.name}: its answer to 'prepare' makes no sense ({error})"
    found = done[engine.name]
    if isinstance(found, str):
        raise EngineError(found)
    return found


def random_inputs(ports: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Array]:
    """A random array for each port: 0 to 1 for floats, all values for 8 bits, zeros for indices and flags."""
    random = np.random.default_rng(seed)
    arrays: dict[str, Array] = {}
    for port in ports:
        dtype, shape = np.dtype(port["dtype"]), tuple(port["shape"])
        if dtype.kind == "f":
            arrays[port["name"]] = random.random(shape, np.float32).astype(dtype)
        elif dtype in {np.dtype(np.int8), np.dtype(np.uint8)}:
            limits = np.iinfo(dtype)
            arrays[port["name"]] = random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        else:
            arrays[port["name"]] = np.zeros(shape, dtype)
    return arrays


def _in_order(given: Mapping[str, Array], ports: Sequence[Mapping[str, Any]], engine: str) -> list[Array]:
    """The arrays for `ports`: by name, or by position where an engine has other names. Raises `EngineError`."""
    by_name = {port["name"] for port in ports} == set(given)
    arrays = [given[port["name"]] for port in ports] if by_name else list(given.values())
    wanted = [(tuple(port["shape"]), str(port["dtype"])) for port in ports]
    found = [(array.shape, array.dtype.name) for array in arrays]
    if wanted != found:
        raise EngineError(f"{engine}: takes inputs {wanted}, the engine before it took {found}")
    return arrays


def compared(reference: Mapping[str, Array], outputs: Mapping[str, Array]) -> tuple[float | None, bool]:
    """The largest difference as part of the largest value of its output, and whether that is too much.

    Outputs go by name, or by position where the names differ. None where shapes differ or values are not finite.
    """
    names = list(reference) if set(reference) == set(outputs) else list(outputs)
    if len(reference) != len(outputs):
        return None, True
    largest = 0.0
    for array, other in zip(reference.values(), (outputs[name] for name in names), strict=True):
        if array.shape != other.shape or not np.isfinite(other).all() or not np.isfinite(array).all():
            return None, True
        if not array.size:
            continue
        difference = float(np.abs(array.astype(np.float64) - other.astype(np.float64)).max())
        scale = max(float(np.abs(array.astype(np.float64)).max()), _LEAST_VALUE)
        largest = max(largest, difference / scale)
    return largest, largest > MOST_DIFFERENCE
