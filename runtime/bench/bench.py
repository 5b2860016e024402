"""`run_bench`: engines take turns on models, round by round, and what they took is put into one result."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketgraph import __version__
from pocketgraph.models.errors import EngineError, UsageError
from pocketgraph.runtime.bench.engines import USUAL_BASELINES, Engine
from pocketgraph.runtime.bench.ratios import ratio
from pocketgraph.runtime.bench.result import Result
from pocketgraph.runtime.bench.subjects import Progress, Subject
from pocketgraph.runtime.bench.thinning import PATTERNS
from pocketgraph.runtime.bench.turns import Turn, start_turns
from pocketgraph.runtime.bench.variants import Variant, make_variant
from pocketgraph.runtime.machine import describe_machine, measure_peak

UNTIMED_BEFORE_EACH = 1
"""Runs before each timed one: other engines had the caches in the meantime."""

_FEW_ROUNDS = 10


@dataclass(frozen=True)
class Plan:
    """What to measure. `sparsities` are 0 to 1; `rounds` timed ones follow `warmup` untimed ones.

    `baseline` is an engine's name, empty for the usual choice. `timeout` is how many seconds one answer of an engine
    may take. `peaks` measures the machine's most, `profile` asks the engines that can tell for the time of each op.
    """

    engines: tuple[Engine, ...]
    threads: tuple[int, ...] = (1,)
    sparsities: tuple[float, ...] = (0.0,)
    pattern: str = "1x1"
    baseline: str = ""
    rounds: int = 30
    warmup: int = 5
    seed: int = 0
    timeout: float = 120.0
    peaks: bool = False
    profile: bool = False

    def check(self) -> None:
        """Raises `UsageError` where the plan cannot be carried out."""
        names = [engine.name for engine in self.engines]
        if not names:
            raise UsageError("no engine to bench: install one, such as pip install 'pocketgraph[onnx]'")
        if len(set(names)) < len(names):
            raise UsageError(f"an engine is given twice: {', '.join(names)}")
        if self.baseline and self.baseline not in names:
            raise UsageError(f"the baseline {self.baseline} is not among the engines {', '.join(names)}")
        if not all(0 <= value < 1 for value in self.sparsities):
            raise UsageError(f"sparsities must be at least 0 and below 1, got {self.sparsities}")
        if self.pattern not in PATTERNS:
            raise UsageError(f"no pattern {self.pattern!r}; there are {', '.join(PATTERNS)}")
        if self.rounds < 1 or self.warmup < 0 or not all(count >= 1 for count in self.threads):
            raise UsageError("rounds and threads must be at least 1, warm-up at least 0")


def run_bench(
    subjects: Sequence[Subject], plan: Plan, progress: Progress = lambda *_: None, command: str = ""
) -> Result:
    """Measure every engine of `plan` on every subject, thread count and sparsity, interleaved.

    An engine that fails has its reason in its cells and the others go on. Raises `UsageError` for a plan or model that
    cannot be benched, `EngineError` where no engine ran at all.
    """
    plan.check()
    machine = describe_machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pocketgraph-bench-")))
        variants = _variants(subjects, plan, folder, progress)
        peaks = [asdict(measure_peak(count)) for count in plan.threads] if plan.peaks else []
        turns = start_turns(variants, plan.engines, plan.threads, folder, plan.seed, plan.timeout, stack, progress)
        _take_turns(turns, plan, progress)
        if plan.profile:
            for done, turn in enumerate(turns):
                progress("profile", done, len(turns))
                turn.profile()
    cells = [turn.cell for turn in turns]
    if not any(cell.milliseconds for cell in cells):
        raise EngineError(f"no engine ran: {next(cell.error for cell in cells if cell.error)}")
    result = Result(
        cells,
        machine | {"load_at_the_end": describe_machine()["load"]},
        {"pocketgraph": {"pocketgraph": __version__, "numpy": np.__version__}}
        | {turn.cell.engine: turn.versions for turn in turns if turn.versions},
        _settings(plan),
        peaks=peaks,
        created=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        command=command,
    )
    for cell in cells:
        cell.summarise()
    _choose_baselines(result, plan.baseline)
    _note(result, plan)
    return result


def _variants(subjects: Sequence[Subject], plan: Plan, folder: Path, progress: Progress) -> list[Variant]:
    suffixes = {engine.suffix for engine in plan.engines}
    variants: list[Variant] = []
    total = len(subjects) * len(plan.sparsities)
    for number, subject in enumerate(subjects):
        place = folder / str(number)
        place.mkdir()
        for sparsity in plan.sparsities:
            progress(f"write {subject.name}", len(variants), total)
            variants.append(make_variant(subject, sparsity, plan.pattern, suffixes, place))
    return variants


def _take_turns(turns: Sequence[Turn], plan: Plan, progress: Progress) -> None:
    order = np.random.default_rng(plan.seed)
    for number in range(plan.warmup + plan.rounds):
        progress("round", number, plan.warmup + plan.rounds)
        for index in order.permutation(len(turns)):
            turns[index].take(UNTIMED_BEFORE_EACH, counts=number >= plan.warmup)
    progress("round", plan.warmup + plan.rounds, plan.warmup + plan.rounds)


def _choose_baselines(result: Result, wanted: str) -> None:
    """Set baselines and ratios: each cell to the baseline's engine and sparsity on the same model and threads."""
    for model in result.models():
        cells = result.of(model)
        lowest = min(cell.sparsity for cell in cells)
        dense = [cell for cell in cells if cell.timed and cell.sparsity == lowest]
        known = [cell for cell in dense if cell.engine in ((wanted,) if wanted else USUAL_BASELINES)]
        pool = known if known or wanted else dense
        if not pool:
            continue
        fewest = min(cell.threads for cell in pool)
        best = min((cell for cell in pool if cell.threads == fewest), key=lambda cell: cell.median or 0.0)
        result.baselines[model] = (best.engine, best.sparsity)
        base = {cell.threads: cell for cell in pool if cell.engine == best.engine}
        for cell in cells:
            if cell.timed and cell.threads in base:
                cell.ratio = ratio(base[cell.threads].milliseconds, cell.milliseconds)


def _note(result: Result, plan: Plan) -> None:
    if any(plan.sparsities):
        result.notes.append(
            "pruned for the timing alone: the smallest weights of every 1x1 convolution but the first layer were set"
            f" to zero, alike in each, pattern {plan.pattern}; what such a model answers is of no use"
        )
    if plan.rounds < _FEW_ROUNDS:
        result.notes.append(f"with {plan.rounds} rounds the intervals are rough: give --rounds {_FEW_ROUNDS} or more")
    for cell in result.cells:
        where = f"{cell.engine} on {cell.model}, {cell.threads} threads, {cell.sparsity:.0%} zeros"
        if cell.wrong:
            how = "not a number" if cell.difference is None else f"{cell.difference:.2g} of the largest value"
            result.notes.append(
                f"{where}: its outputs differ from the reference engine's ({how}); its times do not count"
            )
    errors: dict[str, dict[str, None]] = {}
    for cell in result.cells:
        if cell.error:
            errors.setdefault(cell.error, {})[cell.model] = None
    result.notes += [f"{error} (on {', '.join(models)})" for error, models in errors.items()]
    for model in result.models():
        if model not in result.baselines:
            result.notes.append(f"{model}: the baseline has no times that count, so there are no ratios")


def _settings(plan: Plan) -> dict[str, Any]:
    settings = asdict(plan) | {"engines": [engine.name for engine in plan.engines]}
    for name in ("threads", "sparsities"):
        settings[name] = list(settings[name])
    return settings | {
        "untimed_before_each": UNTIMED_BEFORE_EACH,
        "pruned_for_timing_only": any(plan.sparsities),
        "baseline": plan.baseline or "fastest of " + ", ".join(USUAL_BASELINES),
    }
