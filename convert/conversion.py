"""`convert_model`: read, prune, recover, export, verify, account; what the `convert` command calls."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pocketgraph.convert.account import layers_of, versions, zeros_among
from pocketgraph.convert.calibrate import load_inputs
from pocketgraph.convert.checker import Checker
from pocketgraph.convert.explain import explain_model
from pocketgraph.convert.latency_file import as_written, missed, time_file
from pocketgraph.convert.prune.calibration import Calibration
from pocketgraph.convert.prune.config import PruneConfig
from pocketgraph.convert.prune.latency import LatencyProfile
from pocketgraph.convert.report import html_report
from pocketgraph.convert.result import Account, ConvertResult
from pocketgraph.convert.source import Progress, Source, open_source
from pocketgraph.convert.targets import WEIGHT_TYPES, export, names
from pocketgraph.convert.verify import Verification, guess_task
from pocketgraph.models.errors import MissingExtraError, UsageError
from pocketgraph.models.files import read_model
from pocketgraph.models.graph import Model, Tensor
from pocketgraph.models.preprocess import Preprocess
from pocketgraph.models.staging import Staging

if TYPE_CHECKING:
    from pocketgraph.convert.train.recover import Recovery

WeightType = Literal["f32", "f16", "int8"]


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
    dtype: WeightType | None = None,
    sparse_initializers: bool = False,
    recover: int = 0,
    recover_masks: Literal["fixed", "rigl"] = "fixed",
    report: str | Path | None = None,
    labels: Sequence[str] = (),
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
        A folder of pictures, a picture, a video, .npy or .npz, at most `samples` of it. Needed to prune (except
        by magnitude without re-estimation) and for `recover`; with int8 it quantises activations too.
    held_back
        Other inputs, to verify with; without it a quarter of `calibration` is held back for that.
    preprocess
        How a picture becomes an input; by default what the zoo says, else values 0..1.
    dtype
        How weights are stored; by default float16 where the source stores most of them so, else float32.
    sparse_initializers
        Keep sparse weights sparse in .onnx files too; ONNX Runtime reads that, few other engines do.
    recover
        Steps of fine-tuning to the dense model's outputs after pruning (extra `train`).
    recover_masks
        Whether zeros stay where they are meanwhile, or are moved by RigL.
    labels
        Names of a classifier's classes for the report; by default those packed in the model.
    threads, seed
        Of the engines that verify and time; of every random choice.

    Raises `PocketgraphError`. Returns the whole account.
    """
    started = time.monotonic()
    if prune is not None and not prune.prunes:
        prune = None
    settings = ({} if prune is None else asdict(prune)) | {
        "sparse_initializers": sparse_initializers,
        "recover": recover,
        "recover_masks": recover_masks,
        "threads": threads,
        "seed": seed,
    }
    files = [Path(output) for output in ([outputs] if isinstance(outputs, (str, Path)) else outputs)]
    extras = [Path(file) for file in (report, json_file) if file is not None]
    _check_options(files, report, dtype, samples, recover, prune)
    if calibration is None:
        _check_needs(prune, recover)
    with Staging([*files, *extras]) as staging:
        given = open_source(source, progress)
        dtype = dtype or ("f16" if given.half else "f32")
        _check_labels(labels, given.dense.main.outputs[0])
        engine: Literal["xnnpack", "chw"] = "xnnpack" if prune is None or prune.latency is None else prune.engine
        known = preprocess or given.preprocess
        loaded = load_inputs(calibration, given.dense.main, known, samples)
        checking = load_inputs(held_back, given.dense.main, known, samples)
        tuning, checking = (loaded, checking) if loaded is None or checking is not None else loaded.split()
        model, errors, recovery, latency = _prune(
            given,
            prune,
            tuning,
            recover=recover,
            recover_masks=recover_masks,
            threads=threads,
            seed=seed,
            progress=progress,
            written=lambda model: as_written(model, files[0], dtype, engine, sparse_initializers=sparse_initializers),
        )
        task = guess_task(given.kind, [tensor.shape for tensor in given.dense.main.outputs])
        chosen = known or Preprocess()
        checker = Checker(
            given, checking, chosen, task, labels=labels or given.labels, threads=threads, seed=seed, progress=progress
        )
        accounts = []
        for file in files:
            progress(f"write {file.name}", 0, 0)
            part = staging.temporary(file)
            rewrites = export(
                model,
                part,
                dtype=dtype,
                calibration=tuning,
                sparse_initializers=sparse_initializers,
                engine=engine,
            )
            verification, note = checker.check(part, file)
            accounts.append(
                _account(
                    given,
                    file,
                    part,
                    dtype=dtype,
                    rewrites=given.notes + rewrites,
                    verification=verification,
                    note=note,
                )
            )
        if latency is not None:
            progress(f"latency {files[0].name}", 0, 0)
            latency = time_file(latency, given.dense, staging.temporary(files[0]), files[0].name)
        layers = layers_of(model, errors)
        result = ConvertResult(
            source=given.name,
            source_bytes=given.bytes,
            task=task,
            parameters=sum(layer.parameters for layer in layers),
            sparsity=zeros_among([layer for layer in layers if layer.pruned]),
            overall=zeros_among(layers),
            outputs=accounts,
            layers=layers,
            settings=settings
            | {"dtype": dtype, "calibration": _describe(calibration, tuning), "preprocess": asdict(chosen)},
            versions=versions(),
            command=command or f"convert_model({given.name!r}, {[str(file) for file in files]!r}, …)",
            seconds=time.monotonic() - started,
            report="" if report is None else str(report),
            json_file="" if json_file is None else str(json_file),
            notes=[
                note
                for note in (
                    recovery,
                    missed(latency),
                    *_notes(given, known, loaded, prune, accounts, shared=held_back is None),
                )
                if note
            ],
            latency=latency,
        )
        if report is not None:
            progress("report", 0, 0)
            staging.temporary(Path(report)).write_text(html_report(result, checker.examples), encoding="utf-8")
        if json_file is not None:
            staging.temporary(Path(json_file)).write_text(
                json.dumps(result.to_dict(), indent=2) + "\n", encoding="utf-8"
            )
        staging.commit()
    return result


def _check_options(
    files: list[Path],
    report: str | Path | None,
    dtype: str | None,
    samples: int,
    recover: int,
    prune: PruneConfig | None,
) -> None:
    if not files:
        raise UsageError("no output is given: name at least one .tflite or .onnx file")
    for file in files:
        if file.suffix.lower().lstrip(".") not in names():
            raise UsageError(
                f"cannot tell the format of {file} from its suffix {file.suffix!r}: give a name that ends in"
                f" {' or '.join('.' + target for target in names())}"
            )
    if report is not None and Path(report).suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"the report is a page: give it a name that ends in .html, not {report}")
    if dtype is not None and dtype not in WEIGHT_TYPES:
        raise UsageError(f"the weight type is {dtype!r}: choose one of {', '.join(WEIGHT_TYPES)}")
    if samples < 1:
        raise UsageError(f"the number of calibration samples is {samples}: it must be at least 1")
    if recover < 0:
        raise UsageError(f"the number of recovery steps is {recover}: it must be 0 or more")
    if recover and prune is None:
        raise UsageError("recovery fine-tunes a pruned model: give a sparsity too")
    if dtype == "int8" and any(file.suffix.lower() != ".tflite" for file in files):
        raise UsageError("int8 is for .tflite only: give f32 or f16 for the other formats")
    if dtype == "int8" and prune is not None and prune.latency is not None:
        raise UsageError(
            "int8 weights are computed densely, so zeros do not make them faster: prune to a latency in f32 or f16"
        )
    if dtype == "int8" and find_spec("ai_edge_quantizer") is None:
        raise MissingExtraError("writing int8 weights", "int8")
    if recover and find_spec("tensorflow") is None:
        raise MissingExtraError("recovery", "train")


def _check_labels(labels: Sequence[str], output: Tensor) -> None:
    if labels and len(labels) != output.shape[-1]:
        raise UsageError(f"{len(labels)} class names are given, the model's output has {output.shape[-1]} classes")


def _check_needs(prune: PruneConfig | None, recover: int) -> None:
    """Refuse what cannot be done without calibration inputs."""
    if prune is not None and prune.latency is not None:
        raise UsageError(
            "pruning to a latency needs calibration inputs, to see what each layer can spare: give a folder of"
            " pictures, a video or an .npz (--calibration)"
        )
    if prune is not None and prune.needs_calibration:
        raise UsageError(
            f"pruning by {prune.method}{' with re-estimation' if prune.reestimate else ''} needs calibration inputs:"
            " give a folder of pictures, a video or an .npz (--calibration), or prune by magnitude without"
            " re-estimation (--method magnitude --no-reestimate), which costs much accuracy"
        )
    if recover:
        raise UsageError(
            "recovery needs calibration inputs: give a folder of pictures, a video or an .npz (--calibration)"
        )


def _describe(calibration: str | Path | Calibration | None, tuning: Calibration | None) -> str:
    if tuning is None:
        return "none"
    where = "given in memory" if isinstance(calibration, Calibration) else str(calibration)
    return f"{where}, {len(tuning)} samples to tune with"


def _prune(
    given: Source,
    prune: PruneConfig | None,
    calibration: Calibration | None,
    *,
    recover: int,
    recover_masks: Literal["fixed", "rigl"],
    threads: int,
    seed: int,
    progress: Progress,
    written: Callable[[Model], Model],
) -> tuple[Model, dict[str, float | None], str, LatencyProfile | None]:
    """The pruned model, each pruned layer's output error, what recovery did, in words, and how a latency was kept."""
    if prune is None:
        return given.dense.copy(), {}, "", None
    from pocketgraph.convert.prune.prune import prune_model

    pruned = prune_model(
        given.dense,
        prune,
        calibration,
        lambda done, total, layer: progress(f"prune {layer}", done, total),
        threads,
        written,
    )
    model, words = pruned.model, ""
    if recover:
        assert calibration is not None
        from pocketgraph.convert.train.recover import recover as fine_tune

        inputs = next(iter(calibration.inputs.values()))
        recovery = fine_tune(
            given.dense,
            model,
            inputs,
            recover,
            masks=recover_masks,
            block=prune.block,
            seed=seed,
            progress=lambda done, total, loss: progress(f"recover, loss {loss:.4g}", done, total),
        )
        model, words = recovery.model, _recovered(recovery, recover)
    return model, {layer.name: layer.error for layer in pruned.layers}, words, pruned.latency


def _notes(
    given: Source,
    known: Preprocess | None,
    loaded: Calibration | None,
    prune: PruneConfig | None,
    accounts: Sequence[Account],
    *,
    shared: bool,
) -> list[str]:
    """`shared` says that no other inputs were given to verify with."""
    notes = []
    if known is None and loaded is not None and loaded.pictures:
        notes.append(
            f"pictures were read as values 0..1, since nothing says what {given.name} expects: where that is another"
            " range give --scale and --offset, e.g. 0.00784314 and -1 for -1..1"
        )
    if prune is not None and any(account.dtype == "int8" for account in accounts):
        notes.append(
            "int8 weights are stored and computed densely: their zeros make the file neither smaller nor faster"
        )
    if loaded is not None and len(loaded) == 1 and shared:
        notes.append("the only calibration input served to tune with and to verify: give others with --verify-with")
    if any(account.verification is not None and account.verification.alike for account in accounts):
        notes.append("the dense model answers all these inputs nearly alike, so agreeing with it says little")
    return notes


def _recovered(recovery: Recovery, steps: int) -> str:
    if recovery.before is None or recovery.after is None:
        return f"recovery: {steps} steps, too few inputs to judge what they did"
    on = f"on {recovery.inputs} inputs that recovery did not train on"
    if not recovery.share:
        return f"recovery: {steps} steps brought nothing {on}; their change was taken back"
    return (
        f"recovery: {steps} steps, output error {recovery.before:.3g} -> {recovery.after:.3g} {on}"
        f" ({recovery.share:.0%} of the change kept)"
    )


def _account(
    given: Source,
    file: Path,
    part: Path,
    *,
    dtype: str,
    rewrites: list[str],
    verification: Verification | None,
    note: str,
) -> Account:
    """What there is to say about the output `file`, which lies at `part` for now."""
    target = file.suffix.lower().lstrip(".")
    return Account(
        path=str(file),
        target=target,
        dtype=dtype,
        bytes=part.stat().st_size,
        dense_bytes=len(_dense_file(given.dense, target)),
        verification=verification,
        note=note,
        rewrites=rewrites,
        explanation=explain_model(read_model(part)) if target == "tflite" else None,
    )


def _dense_file(dense: Model, target: str) -> bytes:
    if target == "tflite":
        from pocketgraph.models.tflite_write import write_tflite

        return write_tflite(dense)
    from pocketgraph.models.onnx_write import write_onnx

    return write_onnx(dense)
