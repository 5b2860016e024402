"""Loads the dense model once and runs every written file against it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pocketgraph.convert.examples import Example, make_examples
from pocketgraph.convert.pictures import from_input
from pocketgraph.convert.prune.calibration import Calibration
from pocketgraph.convert.source import Progress, Source
from pocketgraph.convert.verify import Array, Task, Verification, random_samples, verify
from pocketgraph.models.errors import MissingExtraError, PocketgraphError, UsageError
from pocketgraph.models.graph import Graph
from pocketgraph.models.preprocess import Preprocess
from pocketgraph.runtime import RunnableModel, load_model
from pocketgraph.runtime.model import DelegateName

_RANDOM_SAMPLES = 4
_EXAMPLES = 4


class Checker:
    """Runs outputs against the dense model; the first that runs gives the report's example pictures.

    `held_back` are the inputs to compare on; without them random ones are used.
    """

    def __init__(
        self,
        given: Source,
        held_back: Calibration | None,
        preprocess: Preprocess,
        task: Task,
        *,
        labels: Sequence[str],
        threads: int,
        seed: int,
        progress: Progress,
    ) -> None:
        self.examples: list[Example] = []
        self._given, self._task, self._threads, self._progress = given, task, threads, progress
        self._held_back, self._preprocess, self._labels = held_back, preprocess, labels
        self._why = ""
        try:
            self._dense: RunnableModel | None = self._load_dense()
        except PocketgraphError as error:
            self._dense, self._why = None, f"not verified: the source does not run: {error}"
            return
        if held_back is None:
            self._samples = random_samples(self._dense, _RANDOM_SAMPLES, seed)
        else:
            self._samples = [
                _sample(held_back, index, given.dense.main, self._dense) for index in range(len(held_back))
            ]

    def _load_dense(self) -> RunnableModel:
        """The file as it was given, in its own engine, else the dense float32 graph in LiteRT.

        The latter where there is no engine for the file, or its inputs are not those of the graph: integers in a
        quantised model.
        """
        path = self._given.path
        engine = None if path is None else _engine(path)
        if path is not None and engine is not None:
            runnable = load_model(path, engine, self._threads)
            wanted = [(tensor.shape, tensor.dtype.numpy) for tensor in self._given.dense.main.inputs]
            if [(spec.shape, spec.dtype) for spec in runnable.inputs] == wanted:
                return runnable
            runnable.close()
        return load_model(self._given.dense, "litert", self._threads)

    def check(self, part: Path, file: Path) -> tuple[Verification | None, str]:
        """The comparison of the file at `part`, or why there is none. Raises where the converted model is broken."""
        if self._dense is None:
            return None, self._why
        engine = _engine(file)
        if engine is None:
            return None, f"not verified: {MissingExtraError('running an ONNX model', 'onnx')}"
        converted = load_model(part, engine, self._threads)
        done = 0
        total = len(self._samples)

        def advance() -> None:
            nonlocal done
            done += 1
            self._progress(f"verify {file.name}", done, total)

        with converted:
            verification = verify(
                self._dense,
                converted,
                self._samples,
                self._task,
                engine=_engine_version(engine),
                random_inputs=self._held_back is None,
                advance=advance,
            )
            if not self.examples and self._held_back is not None:
                self.examples = self._show(self._dense, converted, self._held_back)
        return verification, ""

    def _show(self, dense: RunnableModel, converted: RunnableModel, held_back: Calibration) -> list[Example]:
        chosen = _spread(len(self._samples), _EXAMPLES)
        if held_back.pictures:
            originals = [held_back.pictures[i] for i in chosen]
        else:
            first = next(iter(held_back.inputs.values()))
            found = [from_input(first[i][None], self._preprocess) for i in chosen]
            originals = [picture for picture in found if picture is not None]
            chosen = chosen if len(originals) == len(chosen) else []
        samples, names = [self._samples[i] for i in chosen], [held_back.names[i] for i in chosen]
        return make_examples(dense, converted, samples, originals, names, self._task, self._labels)


def _sample(calibration: Calibration, index: int, graph: Graph, model: RunnableModel) -> dict[str, Array]:
    """One calibration sample, which has the names of `graph`, as the inputs of `model`, paired by position."""
    missing = [tensor.name for tensor in graph.inputs if tensor.name not in calibration.inputs]
    if missing:
        raise UsageError(f"the calibration inputs are for {list(calibration.inputs)}, not for the input {missing[0]!r}")
    return {
        spec.name: np.ascontiguousarray(calibration.inputs[tensor.name][index].reshape(spec.shape), spec.dtype)
        for spec, tensor in zip(model.inputs, graph.inputs, strict=True)
    }


def _spread(count: int, wanted: int) -> list[int]:
    return sorted({index * count // wanted for index in range(wanted)}) if count > wanted else list(range(count))


def _engine(file: Path) -> DelegateName | None:
    """The engine for a file by its suffix, None where there is none or it is not installed."""
    suffix = file.suffix.lower()
    if suffix == ".onnx":
        return "onnxruntime" if find_spec("onnxruntime") is not None else None
    return "litert" if suffix == ".tflite" else None


def _engine_version(engine: str) -> str:
    names = {"litert": ("LiteRT", "ai-edge-litert"), "onnxruntime": ("ONNX Runtime", "onnxruntime")}
    name, package = names[engine]
    try:
        return f"{name} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return name
