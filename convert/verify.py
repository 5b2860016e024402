"""Runs the dense model and a converted file on the same inputs and says how far apart their outputs are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import UnsupportedError
from pocketgraph.runtime import RunnableModel

Array = npt.NDArray[Any]
Sample = Mapping[str, Array]
Task = Literal["classifier", "segmentation", "landmarks", "other"]
Grade = Literal["equal", "good", "fair", "poor"]

MASK_THRESHOLD = 0.5
_EQUAL_DB = 60.0
_ROUNDING = 1e-5
_CAP_DB = 999.0
# (good from, fair from) on the number that a task is judged by
_GRADES: dict[str, tuple[float, float]] = {
    "mask IoU": (0.95, 0.85),
    "top-1 agreement": (0.95, 0.85),
    "landmark error": (-0.02, -0.05),  # 95th percentile, negated: less is better
    "signal to noise": (30.0, 15.0),
}


@dataclass(frozen=True)
class OutputError:
    """How one output differs. Errors are absolute; `relative` ones are divided by the dense output's range.

    `snr_db` is 10 log10(sum dense^2 / sum (dense - converted)^2) over all samples, None where both are equal.
    """

    name: str
    shape: tuple[int, ...]
    snr_db: float | None
    largest: float
    relative_largest: float
    relative_mean: float


@dataclass(frozen=True)
class Verification:
    """What comparing a converted file with the dense model gave over `samples` inputs.

    `measure` names the number that fits the task and `score` is its mean; `worst` is that of the worst sample. For
    landmarks `score` is the median and `worst` the 95th percentile of the error, relative to the output's range. With
    `alike` the dense model answered all samples nearly alike, so that agreeing with it says little.
    """

    engine: str
    samples: int
    random_inputs: bool
    outputs: list[OutputError]
    measure: str
    score: float
    worst: float
    grade: Grade
    per_sample: list[float] = field(default_factory=list)
    alike: bool = False

    @property
    def decibels(self) -> float | None:
        """The lowest signal to noise of all outputs, None where all are equal."""
        return min((output.snr_db for output in self.outputs if output.snr_db is not None), default=None)

    @property
    def summary(self) -> str:
        """One phrase: the measure and its value as a person reads it."""
        if self.grade == "equal" and self.measure in ("signal to noise", "landmark error"):
            return "outputs equal to the dense model's"
        if self.measure == "signal to noise":
            return f"signal to noise {self.score:.1f} dB"
        if self.measure == "landmark error":
            return f"landmark error {self.score:.2%} (median), {self.worst:.2%} (95th percentile) of the range"
        return f"{self.measure} {self.score:.2%}"


def guess_task(kind: str, output_shapes: Sequence[tuple[int, ...]]) -> Task:
    """The task a model is judged by: what the zoo says it is, or what the shape of its first output suggests."""
    if kind in ("classifier", "segmentation", "landmarks"):
        return kind  # type: ignore[return-value]
    if kind or not output_shapes:
        return "other"
    shape = output_shapes[0]
    if len(output_shapes) == 1 and len(shape) == 2 and shape[1] >= 10:
        return "classifier"
    if len(output_shapes) == 1 and len(shape) == 4 and min(shape[1:3]) >= 16 and shape[3] <= 2:
        return "segmentation"
    return "other"


def mask_iou(dense: Array, converted: Array) -> float:
    """Intersection over union of two masks [1, h, w, c] (mean over the classes present).

    One channel of probabilities is cut at 0.5, of logits at 0; several channels go by their argmax; an integer array
    holds class numbers. Two empty masks agree fully.
    """
    a, b = _classes(dense, dense), _classes(converted, dense)
    present = [value for value in np.unique(np.concatenate([a.ravel(), b.ravel()])) if value != 0]
    if not present:
        return 1.0
    ious = [np.count_nonzero((a == v) & (b == v)) / np.count_nonzero((a == v) | (b == v)) for v in present]
    return float(np.mean(ious))


def _classes(mask: Array, like: Array) -> npt.NDArray[np.int64]:
    if mask.dtype.kind in "iu":
        return mask.astype(np.int64)
    if mask.shape[-1] > 1:
        return np.argmax(mask, axis=-1).astype(np.int64)
    logits = float(like.min()) < -0.01 or float(like.max()) > 1.01
    return (mask > (0.0 if logits else MASK_THRESHOLD)).astype(np.int64)


def same_top1(dense: Array, converted: Array) -> float:
    """The share of rows [..., classes] whose largest entry is the same."""
    return float(np.mean(np.argmax(dense, axis=-1) == np.argmax(converted, axis=-1)))


class _Errors:
    """Running sums of one output's error, so that no sample needs to be kept."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self.name, self.shape = name, shape
        self.signal = self.noise = self.total = self.largest = 0.0
        self.count = 0
        self.low, self.high = np.inf, -np.inf
        self._least: Array | None = None
        self._most: Array | None = None

    def add(self, dense: Array, converted: Array) -> None:
        sound = np.isfinite(dense)  # where the dense model overflows there is nothing to be near to
        a, b = dense[sound].astype(np.float64), converted[sound].astype(np.float64)
        error = np.abs(a - b)
        self.signal += float(np.square(a).sum())
        self.noise += float(np.square(error).sum())
        self.total += float(error.sum())
        self.count += error.size
        self.largest = max(self.largest, float(error.max(initial=0.0)))
        values = np.where(sound, dense, 0)
        self._least = values if self._least is None else np.minimum(self._least, values)
        self._most = values if self._most is None else np.maximum(self._most, values)
        self.low = min(self.low, float(a.min(initial=np.inf)))
        self.high = max(self.high, float(a.max(initial=-np.inf)))

    @property
    def span(self) -> float:
        """The range of the dense output, for errors relative to it."""
        return self.high - self.low if self.high > self.low else max(abs(self.high), 1e-12)

    @property
    def alike(self) -> bool:
        """Whether no value of the dense output moved by a thousandth of its largest over the samples."""
        if self._least is None or self._most is None or self._least.dtype.kind != "f":
            return False
        moved = float((self._most - self._least).max(initial=0.0))
        return moved <= 1e-3 * max(abs(self.low), abs(self.high))

    def result(self) -> OutputError:
        decibel = 10 * float(np.log10(max(self.signal, 1e-30) / self.noise)) if self.noise else None
        mean = self.total / max(self.count, 1)
        return OutputError(self.name, self.shape, decibel, self.largest, self.largest / self.span, mean / self.span)


def verify(
    dense: RunnableModel,
    converted: RunnableModel,
    samples: Sequence[Sample],
    task: Task,
    *,
    engine: str,
    random_inputs: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> Verification:
    """Run both models on `samples` (inputs by the dense model's names) and compare what pairs by position.

    Raises `UnsupportedError` where the outputs do not pair, or the converted model gives NaN or infinity where the
    dense one does not.
    """
    if len(dense.outputs) != len(converted.outputs) or len(dense.inputs) != len(converted.inputs):
        raise UnsupportedError(
            f"the converted model has {len(converted.inputs)} inputs and {len(converted.outputs)} outputs,"
            f" the dense one {len(dense.inputs)} and {len(dense.outputs)}"
        )
    errors = [_Errors(spec.name, spec.shape) for spec in dense.outputs]
    scores: list[float] = []
    deviations: list[npt.NDArray[np.float64]] = []
    for sample in samples:
        expected = dense.run(sample)
        given = {b.name: sample[a.name] for a, b in zip(dense.inputs, converted.inputs, strict=True)}
        results = converted.run(given)
        pairs = [(expected[a.name], results[b.name]) for a, b in zip(dense.outputs, converted.outputs, strict=True)]
        for error, (a, b) in zip(errors, pairs, strict=True):
            _check(error.name, a, b)
            error.add(a, b)
        scores += _score(task, pairs)
        if task == "landmarks":
            deviations.append(np.abs(pairs[0][0].astype(np.float64) - pairs[0][1]).ravel())
        advance()
    outputs = [error.result() for error in errors]
    snr = min((output.snr_db for output in outputs if output.snr_db is not None), default=np.inf)
    if deviations:
        relative = np.concatenate(deviations) / errors[0].span
        measure, score, worst = "landmark error", float(np.median(relative)), float(np.percentile(relative, 95))
    elif scores:
        measure = "mask IoU" if task == "segmentation" else "top-1 agreement"
        score, worst = float(np.mean(scores)), float(np.min(scores))
    else:
        measure, score, worst = "signal to noise", float(min(snr, _CAP_DB)), float(min(snr, _CAP_DB))
    # on inputs that mean nothing to a model its answers may all be next to zero, and any rounding loud beside them
    same = snr >= _EQUAL_DB or max((output.largest for output in outputs), default=0.0) <= _ROUNDING
    grade: Grade = "equal" if same else _grade(measure, -worst if deviations else score)
    alike = len(samples) > 1 and all(error.alike for error in errors)
    return Verification(engine, len(samples), random_inputs, outputs, measure, score, worst, grade, scores, alike)


def _grade(measure: str, value: float) -> Grade:
    good, fair = _GRADES[measure]
    return "good" if value >= good else "fair" if value >= fair else "poor"


def _check(name: str, dense: Array, converted: Array) -> None:
    if dense.shape != converted.shape:
        raise UnsupportedError(
            f"output {name!r} is {list(converted.shape)} after conversion, {list(dense.shape)} in the dense model"
        )
    if not np.isfinite(converted[np.isfinite(dense)]).all():
        raise UnsupportedError(
            f"output {name!r} of the converted model holds NaN or infinity, the dense model's does not"
        )


def _score(task: Task, pairs: list[tuple[Array, Array]]) -> list[float]:
    if task == "segmentation":
        masks = [pair for pair in pairs if pair[0].ndim >= 3]
        return [mask_iou(*masks[0])] if masks else []
    if task == "classifier":
        return [same_top1(*pairs[0])]
    return []


def random_samples(model: RunnableModel, count: int, seed: int) -> list[dict[str, Array]]:
    """Inputs for want of real ones: uniform in [0, 1) for floats, over all values for unsigned bytes, else 0 and 1."""
    rng = np.random.default_rng(seed)
    samples: list[dict[str, Array]] = []
    for _ in range(count):
        sample: dict[str, Array] = {}
        for spec in model.inputs:
            if spec.dtype.kind == "f":
                sample[spec.name] = rng.random(spec.shape, np.float32).astype(spec.dtype)
            else:
                high = 256 if spec.dtype.itemsize == 1 and spec.dtype.kind == "u" else 2
                sample[spec.name] = rng.integers(0, high, spec.shape).astype(spec.dtype)
        samples.append(sample)
    return samples
