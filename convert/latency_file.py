"""The latency of the file that was written in the end, rewrites and all: that is what a budget is for."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from pocketgraph.convert.prune.budget import milliseconds
from pocketgraph.convert.prune.clock import CLOCKS
from pocketgraph.convert.prune.latency import TOLERANCE, LatencyProfile
from pocketgraph.convert.targets import export
from pocketgraph.models.files import read_model
from pocketgraph.models.graph import Model

_BUSY = 1.1


def as_written(
    model: Model, file: Path, dtype: str, engine: Literal["xnnpack", "chw"], *, sparse_initializers: bool
) -> Model:
    """What an engine gets to read of `model` in a file of that name: with the rewrites of its format."""
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / file.name
        export(model, part, dtype=dtype, sparse_initializers=sparse_initializers, engine=engine)
        return read_model(part)


def time_file(profile: LatencyProfile, dense: Model, part: Path, name: str) -> LatencyProfile:
    """`profile` with the times of the file at `part`, to be called `name`, in turns with the dense model's."""
    clock = CLOCKS[profile.engine](profile.threads)
    before, after = clock.measure([dense, read_model(part)], lambda *_: None)
    return profile.remeasured(before, after, name)


def missed(profile: LatencyProfile | None) -> str:
    """What to say where the file is not within `TOLERANCE` of the budget, else nothing."""
    if profile is None or abs(profile.off) <= TOLERANCE:
        return ""
    busy = f", but the dense model now takes {profile.slower:.2f}x as long as when its layers were timed"
    return (
        f"{profile.measured_on} takes {milliseconds(profile.measured)}, {abs(profile.off):.0%}"
        f" {'more' if profile.off > 0 else 'less'} than the budget of {milliseconds(profile.budget)}"
        f"{busy if profile.slower > _BUSY else ''}: measure again when the machine is idle, or ask for another latency"
    )
