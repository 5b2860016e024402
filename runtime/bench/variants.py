"""The files that engines are handed: a model at one sparsity, in each format that some engine reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pocketgraph.models.errors import PocketgraphError
from pocketgraph.models.files import write_model
from pocketgraph.runtime.bench.arithmetic import Work, work_of
from pocketgraph.runtime.bench.subjects import Subject
from pocketgraph.runtime.bench.thinning import pointwise_weights, thinned, zeros


@dataclass
class Variant:
    """One model at one sparsity. `files` and `errors` are by suffix: what was written, or why not.

    `zeros` is the share of zeros in the 1x1 convolutions, `work` None where the graph could not be read.
    """

    model: str
    sparsity: float
    zeros: float | None = None
    work: Work | None = None
    files: dict[str, Path] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def make_variant(subject: Subject, sparsity: float, pattern: str, suffixes: set[str], folder: Path) -> Variant:
    """Write `subject` at `sparsity` into `folder` for each of `suffixes`, zeros stored like other weights.

    At sparsity 0 a file that has a wanted suffix is used as it is. Raises `UsageError` where nothing can be pruned.
    """
    variant = Variant(subject.name, sparsity)
    graph = subject.model
    if graph is not None:
        graph = thinned(graph, sparsity, pattern) if sparsity else graph
        variant.zeros = zeros(pointwise_weights(graph.main))
        variant.work = work_of(graph)
    for suffix in sorted(suffixes):
        if not sparsity and subject.path is not None and subject.path.suffix.lower() == suffix:
            variant.files[suffix] = subject.path
            continue
        if graph is None:
            variant.errors[suffix] = f"{subject.name} has operators that pocketgraph cannot read"
            continue
        file = folder / f"model_{100 * sparsity:g}{suffix}"
        try:
            write_model(graph, file)
            variant.files[suffix] = file
        except PocketgraphError as error:
            variant.errors[suffix] = str(error)
    return variant
