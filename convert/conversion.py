"""`convert_model`: read, prune, recover, export, verify and account, in that order; what the `convert` command calls."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pocketgraph import __version__
from pocketgraph.convert.examples import Example, make_examples
from pocketgraph.convert.prune.calibration import Calibration
from pocketgraph.convert.prune.config import PruneConfig
from pocketgraph.convert.report import html_report
from pocketgraph.convert.result import Account, ConvertResult, Layer
from pocketgraph.convert.source import Progress, Source, open_source
from pocketgraph.convert.staging import Staging
from pocketgraph.convert.verify import Array, Task, Verification, guess_task, random_samples, verify
from pocketgraph.models.errors import MissingExtraError, PocketgraphError, UsageError
from pocketgraph.models.graph import Model
from pocketgraph.models.preprocess import Preprocess
from pocketgraph.runtime import RunnableModel, load_model

WeightType = Literal["f32", "f16", "int8"]
TARGETS = ("tflite", "onnx")
WEIGHT_TYPES: tuple[WeightType, ...] = ("f32", "f16", "int8")
_RANDOM_SAMPLES = 4
_EXAMPLES = 4
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


def _silent(stage: str, done: int, total: int) -> None:
    """The progress of a caller who does not want any."""


def convert_model(
    source: str | Path | Model,
    outputs: str | Path | Sequence[str | Path],
    *,
    prune: PruneConfig | None = None,
    calibration: str | Path | Calibration | None = None,
    held_back: str | Path | Calibration | None = None,
    samples: int = 64,
    preprocess: Preprocess | None = None,
    dtype: WeightType = "f32",
    recover: int = 0,
    report: str | Path | None = None,
    json_file: str | Path | None = None,
    threads: int = 1,
    seed: int = 0,
    progress: Progress = _silent,
    command: str = "",
) -> ConvertResult:
    """Convert `source` (a zoo name, model file or graph) to `outputs`, verified against the dense model.

    Parameters
    ----------
    outputs
        One or more files; the suffix, .tflite or .onnx, gives the format. All of them (and `report`, `json_file`) are
        written, or none: what exists there stays as it was until everything has succeeded.
    prune
        What to prune; None converts without pruning.
    calibration
        A folder of pictures, a picture, a video, .npy or .npz, at most `samples` of it. Needed for pruning (but by magnitude without re-estimation), `recover` and int8.
    held_back
        Other inputs, to verify with; without it a quarter of `calibration` is held back for that.
    preprocess
        How a picture becomes an input; by default what the zoo says, else values 0..1.
    dtype
        How weights are stored.
    recover
        Steps of fine-tuning to the dense model's outputs after pruning (extra `train`).
    threads, seed
        Of the engines that verify; of every random choice.

    Raises `PocketgraphError`. Returns the whole account.
    """
    started = time.monotonic()
    files = [Path(output) for output in ([outputs] if isinstance(outputs, (str, Path)) else outputs)]
    extras = [Path(file) for file in (report, json_file) if file is not None]
    _check_options(files, dtype, samples, recover, prune)
    with Staging([*files, *extras]) as staging:
        given = open_source(source, progress)
        loaded = _load_calibration(calibration, given, preprocess, samples)
        _check_needs(prune, recover, dtype, loaded)
        checking = _load_calibration(held_back, given, preprocess, samples)
        tuning, checking = (loaded, checking) if loaded is None or checking is not None else loaded.split()
        model, errors = _prune(given, prune, tuning, recover, seed, progress)
        task = guess_task(given.kind, [tensor.shape for tensor in given.dense.main.outputs])
        checker = _Checker(given, checking, task, threads, seed, progress)
        accounts = []
        for file in files:
            part = staging.temporary(file)
            accounts.append(_export(given, model, file, part, dtype, tuning, checker, progress))
        layers = _layers(given.dense, model, errors)
        result = ConvertResult(
            source=given.name,
            source_bytes=given.bytes,
            task=task,
            parameters=sum(layer.parameters for layer in layers),
            sparsity=_zeros([layer for layer in layers if layer.pruned]),
            overall=_zeros(layers),
            outputs=accounts,
            layers=layers,
            settings=_settings(prune, calibration, loaded, given.preprocess, preprocess, dtype, recover, threads, seed),
            versions=_versions(),
            command=command or f"convert_model({given.name!r}, {[str(file) for file in files]!r}, …)",
            seconds=time.monotonic() - started,
            report="" if report is None else str(report),
        )
        if report is not None:
            progress("report", 0, 0)
            staging.temporary(Path(report)).write_text(html_report(result, checker.examples), encoding="utf-8")
        if json_file is not None:
            staging.temporary(Path(json_file)).write_text(json.dumps(result.to_dict(), indent=2) + "\n", encoding="utf-8")
        staging.commit()
    return result


def _check_options(files: list[Path], dtype: str, samples: int, recover: int, prune: PruneConfig | None) -> None:
    if not files:
        raise UsageError("no output is given: name at least one .tflite or .onnx file")
    for file in files:
        if file.suffix.lower().lstrip(".") not in TARGETS:
            raise UsageError(
                f"cannot tell the format of {file} from its suffix {file.suffix!r}: give a name that ends in"
                f" {' or '.join('.' + target for target in TARGETS)}"
            )
    if dtype not in WEIGHT_TYPES:
        raise UsageError(f"the weight type is {dtype!r}: choose one of {', '.join(WEIGHT_TYPES)}")
    if samples < 1:
        raise UsageError(f"the number of calibration samples is {samples}: it must be at least 1")
    if recover < 0:
        raise UsageError(f"the number of recovery steps is {recover}: it must be 0 or more")
    if recover and prune is None:
        raise UsageError("recovery fine-tunes a pruned model: give a sparsity too")


def _load_calibration(
    calibration: str | Path | Calibration | None, given: Source, preprocess: Preprocess | None, samples: int
) -> Calibration | None:
    if calibration is None or isinstance(calibration, Calibration):
        return calibration
    return Calibration.load(calibration, given.dense.main, preprocess or given.preprocess, samples)


def _check_needs(prune: PruneConfig | None, recover: int, dtype: str, calibration: Calibration | None) -> None:
    if calibration is not None:
        return
    if prune is not None and prune.needs_calibration:
        raise UsageError(
            f"pruning by {prune.method}{' with re-estimation' if prune.reestimate else ''} needs calibration inputs:"
            " give a folder of pictures, a video or an .npz (--calibration), or prune by magnitude without"
            " re-estimation (--method magnitude --no-reestimate), which costs much accuracy"
        )
    if recover or dtype == "int8":
        raise UsageError(
            f"{'recovery' if recover else 'int8'} needs calibration inputs: give a folder of pictures, a video or an"
            " .npz (--calibration)"
        )


def _prune(
    given: Source, prune: PruneConfig | None, calibration: Calibration | None, recover: int, seed: int, progress: Progress
) -> tuple[Model, dict[str, float]]:
    """The pruned model and each pruned layer's output error."""
    if prune is None or (prune.sparsity == 0 and not any(prune.layers.values())):
        return given.dense.copy(), {}
    from pocketgraph.convert.prune.prune import prune_model

    pruned = prune_model(
        given.dense, prune, calibration, lambda done, total, layer: progress(f"prune {layer}", done, total)
    )
    model = pruned.model
    if recover:
        assert calibration is not None
        from pocketgraph.convert.train.recover import recover as fine_tune

        inputs = next(iter(calibration.inputs.values()))
        model = fine_tune(
            given.dense,
            model,
            inputs,
            recover,
            seed=seed,
            progress=lambda done, total, loss: progress(f"recover, loss {loss:.4g}", done, total),
        )
    return model, {layer.name: layer.error for layer in pruned.layers}


def _export(
    given: Source,
    model: Model,
    file: Path,
    part: Path,
    dtype: WeightType,
    calibration: Calibration | None,
    checker: _Checker,
    progress: Progress,
) -> Account:
    """Write one output to `part`, run it against the dense model, and account for it as `file`."""
    from pocketgraph.convert.explain import explain_model
    from pocketgraph.convert.targets import export

    target = file.suffix.lower().lstrip(".")
    progress(f"write {file.name}", 0, 0)
    rewrites = export(model, part, dtype=dtype, calibration=calibration)
    verification, note = checker.check(part, file)
    return Account(
        path=str(file),
        target=target,
        dtype=dtype,
        bytes=part.stat().st_size,
        dense_bytes=len(_dense_file(given.dense, target)),
        verification=verification,
        note=note,
        rewrites=given.notes + rewrites,
        explanation=explain_model(part) if target == "tflite" else None,
    )


def _dense_file(dense: Model, target: str) -> bytes:
    if target == "tflite":
        from pocketgraph.models.tflite_write import write_tflite

        return write_tflite(dense)
    from pocketgraph.models.onnx_write import write_onnx

    return write_onnx(dense)


class _Checker:
    """Runs outputs against the dense model; the first that runs gives the report's example pictures."""

    def __init__(
        self, given: Source, held_back: Calibration | None, task: Task, threads: int, seed: int, progress: Progress
    ) -> None:
        self.examples: list[Example] = []
        self._given, self._task, self._threads, self._progress = given, task, threads, progress
        self._held_back = held_back
        self._why = ""
        try:
            self._dense: RunnableModel | None = self._load_dense()
        except PocketgraphError as error:
            self._dense, self._why = None, f"not verified: the source does not run: {error}"
            return
        if held_back is None:
            self._samples = random_samples(self._dense, _RANDOM_SAMPLES, seed)
        else:
            self._samples = [sample(held_back, index, self._dense) for index in range(len(held_back))]

    def _load_dense(self) -> RunnableModel:
        """The file as it was given where LiteRT runs it and its inputs are float, else the dense float32 graph."""
        path, graph = self._given.path, self._given.dense.main
        if path is not None and path.suffix == ".tflite":
            runnable = load_model(path, "litert", self._threads)
            wanted = [(tensor.shape, tensor.dtype.numpy) for tensor in graph.inputs]
            if [(spec.shape, spec.dtype) for spec in runnable.inputs] == wanted:
                return runnable
            runnable.close()
        return load_model(self._given.dense, "litert", self._threads)

    def check(self, part: Path, file: Path) -> tuple[Verification | None, str]:
        """The comparison of the file at `part`, or why there is none. Raises where the converted model is broken."""
        if self._dense is None:
            return None, self._why
        engine = "litert" if file.suffix.lower() == ".tflite" else "onnxruntime"
        try:
            converted = load_model(part, engine, self._threads)  # type: ignore[arg-type]
        except MissingExtraError as error:
            return None, f"not verified: {error}"
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
            if not self.examples and self._held_back is not None and self._held_back.pictures:
                chosen = _spread(total, _EXAMPLES)
                self.examples = make_examples(
                    self._dense,
                    converted,
                    [self._samples[i] for i in chosen],
                    [self._held_back.pictures[i] for i in chosen],
                    [self._held_back.names[i] for i in chosen],
                    self._task,
                    self._given.labels,
                )
        return verification, ""


def sample(calibration: Calibration, index: int, model: RunnableModel) -> dict[str, Array]:
    """One calibration sample as the inputs of `model`, paired by position."""
    arrays = list(calibration.inputs.values())
    return {
        spec.name: np.ascontiguousarray(array[index].reshape(spec.shape), spec.dtype)
        for spec, array in zip(model.inputs, arrays, strict=True)
    }


def _spread(count: int, wanted: int) -> list[int]:
    return sorted({index * count // wanted for index in range(wanted)}) if count > wanted else list(range(count))


def _layers(dense: Model, model: Model, errors: Mapping[str, float]) -> list[Layer]:
    found = []
    for op in model.main.ops:
        if op.kind not in _WEIGHTED or len(op.inputs) < 2 or not op.input(1).is_constant:
            continue
        weight = op.input(1)
        zeros = 1 - np.count_nonzero(weight.dense()) / max(weight.size, 1)
        pruned = op.name in errors
        found.append(Layer(op.name, op.kind, weight.shape, weight.size, zeros, errors.get(op.name), pruned))
    return found


def _zeros(layers: Sequence[Layer]) -> float:
    total = sum(layer.parameters for layer in layers)
    return sum(layer.sparsity * layer.parameters for layer in layers) / total if total else 0.0


def _settings(
    prune: PruneConfig | None,
    calibration: str | Path | Calibration | None,
    loaded: Calibration | None,
    known: Preprocess | None,
    chosen: Preprocess | None,
    dtype: str,
    recover: int,
    threads: int,
    seed: int,
) -> dict[str, Any]:
    settings: dict[str, Any] = {} if prune is None else asdict(prune)
    if loaded is not None:
        where = "given in memory" if isinstance(calibration, Calibration) else str(calibration)
        settings["calibration"] = f"{where}: {len(loaded)} samples"
        settings["preprocess"] = asdict(chosen or known or Preprocess())
    return settings | {"dtype": dtype, "recover": recover, "threads": threads, "seed": seed}


def _versions() -> dict[str, str]:
    versions = {"pocketgraph": __version__, "Python": platform.python_version(), "NumPy": np.__version__}
    for package in ("ai-edge-litert", "onnx", "onnxruntime", "tensorflow"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions | {"machine": f"{platform.machine()}, {platform.system()}"}


def _engine_version(engine: str) -> str:
    names = {"litert": ("LiteRT", "ai-edge-litert"), "onnxruntime": ("ONNX Runtime", "onnxruntime")}
    name, package = names[engine]
    try:
        return f"{name} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return name
