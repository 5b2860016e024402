"""What a bench measured, as plain data: one cell for every (model, engine, threads, sparsity), and how it was done."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.bench.ratios import spread

FORMAT = "pocketgraph bench 1"
Key = tuple[str, str, int, float]


@dataclass
class Cell:
    """One engine on one model. Times are milliseconds, sizes bytes, `sparsity` 0 to 1 (0: the model as given).

    `milliseconds` has one entry a round. `zeros` is the share of zeros that the 1x1 convolutions then have. `ratio` is
    (times as fast as the baseline, low, high); `difference` the largest difference of an output from the reference
    engine's as part of its largest value; `wrong` says that this is too much. `error` is why there is nothing here.
    """

    model: str
    engine: str
    threads: int
    sparsity: float
    zeros: float | None = None
    file_bytes: int | None = None
    load_milliseconds: float | None = None
    peak_bytes: int | None = None
    milliseconds: list[float] = field(default_factory=list)
    median: float | None = None
    p10: float | None = None
    p90: float | None = None
    ratio: tuple[float, float, float] | None = None
    difference: float | None = None
    wrong: bool = False
    flops: float | None = None
    dense_flops: float | None = None
    moved_bytes: float | None = None
    profile: list[dict[str, Any]] | None = None
    error: str = ""

    @property
    def key(self) -> Key:
        return (self.model, self.engine, self.threads, self.sparsity)

    @property
    def timed(self) -> bool:
        """Whether there are times that count: the engine ran, and computed what the others did."""
        return bool(self.milliseconds) and not self.wrong and not self.error

    @property
    def gflops(self) -> float | None:
        """GFLOP/s, counting weights that are not zero alone."""
        return self.flops / self.median / 1e6 if self.flops and self.median else None

    def summarise(self) -> None:
        """Fill median and percentiles from the rounds."""
        if self.milliseconds:
            found = spread(self.milliseconds)
            self.median, self.p10, self.p90 = found.median, found.p10, found.p90


@dataclass
class Result:
    """A whole run. `peaks` is the measured most of the machine per thread count; `notes` are for the reader.

    `baselines` maps a model's name to the (engine, sparsity) its ratios are to.
    """

    cells: list[Cell]
    machine: dict[str, Any]
    versions: dict[str, dict[str, str]]
    settings: dict[str, Any]
    baselines: dict[str, tuple[str, float]] = field(default_factory=dict)
    peaks: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    created: str = ""
    command: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"format": FORMAT, **asdict(self)}

    def models(self) -> list[str]:
        return list(dict.fromkeys(cell.model for cell in self.cells))

    def of(self, model: str) -> list[Cell]:
        return [cell for cell in self.cells if cell.model == model]


def read_result(path: str | Path) -> Result:
    """The result that `bench --json` wrote to `path`. Raises `UsageError` where it holds none."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from error
    if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
        raise UsageError(f"{path} was not written by this version of `pocketgraph bench --json` (format {FORMAT!r})")
    try:
        cells = [_cell(cell) for cell in data.pop("cells")]
        result = Result(cells, **data)
        result.baselines = {model: (engine, sparsity) for model, (engine, sparsity) in result.baselines.items()}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    return result


def _cell(data: dict[str, Any]) -> Cell:
    unknown = set(data) - {f.name for f in fields(Cell)}
    if unknown:
        raise ValueError(f"unknown field {min(unknown)!r}")
    cell = Cell(**data)
    times = [float(value) for value in cell.milliseconds]
    if any(not 0 < value < float("inf") for value in times):
        raise ValueError(f"{cell.engine} has a time that is no positive number")
    cell.milliseconds, cell.threads, cell.sparsity = times, int(cell.threads), float(cell.sparsity)
    cell.ratio = None if cell.ratio is None else (cell.ratio[0], cell.ratio[1], cell.ratio[2])
    cell.summarise()
    return cell
