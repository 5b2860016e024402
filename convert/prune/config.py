"""What to prune and how much: the one configuration that every pruning driver reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from pocketgraph.convert.prune.budget import Budget
from pocketgraph.models.errors import UsageError

Distribution = Literal["uniform", "erk", "global", "measured"]
Engine = Literal["chw"]
Method = Literal["magnitude", "obc"]
Pattern = Literal["1x1", "2x1", "4x1", "8x1"]


@dataclass(frozen=True)
class PruneConfig:
    """How a model is pruned.

    Parameters
    ----------
    sparsity
        Fraction of the weights to remove, 0..1, over the prunable layers that `layers` does not name.
    layers
        Glob over layer and weight names -> the sparsity of the layers it matches; where several match, the last wins.
        A name here also makes a layer prunable that is not by default (an ordinary 3x3 convolution, a head); 0 keeps
        a layer dense.
    distribution
        `"uniform"`: every layer the same. `"erk"`: Erdos-Renyi kernel (RigL, arXiv 1911.11134, section 3). `"global"`:
        the weights that matter least anywhere in the model go first. `"measured"`: each layer is pruned alone first,
        fitted on one half of the calibration inputs, and what that does to the outputs on the other half says how much
        it can lose; needs calibration inputs.
    pattern
        `"1x1"`, or `"2x1"`, `"4x1"`, `"8x1"`: blocks of that many output channels share one mask.
    method
        `"magnitude"`, or `"obc"` (Optimal Brain Compression, arXiv 2208.11580), which needs calibration inputs.
    reestimate
        Restore the dense mean and variance of every layer's output after pruning; needs calibration inputs.
    reorder
        With a block pattern, put output channels that lose the same weights next to each other first.
    latency
        Prune until the model takes no longer than this in `engine` on this machine: `"3ms"`, `"1500us"`, or `"0.6x"` of
        the dense model's time. Each layer gets the sparsity that keeps this at the least error, as measured;
        `sparsity` and `distribution` are not read then. Needs calibration inputs.
    engine
        The engine that `latency` is measured in.
    """

    sparsity: float = 0.7
    layers: Mapping[str, float] = field(default_factory=dict)
    distribution: Distribution = "uniform"
    pattern: Pattern = "1x1"
    method: Method = "obc"
    reestimate: bool = True
    reorder: bool = True
    latency: str | None = None
    engine: Engine = "chw"

    def __post_init__(self) -> None:
        _check_fraction("sparsity", self.sparsity)
        for glob, value in self.layers.items():
            _check_fraction(f"sparsity of {glob!r}", value)
        _check_choice("distribution", self.distribution, get_args(Distribution))
        _check_choice("pattern", self.pattern, get_args(Pattern))
        _check_choice("method", self.method, get_args(Method))
        _check_choice("engine", self.engine, get_args(Engine))
        _ = self.budget

    @property
    def budget(self) -> Budget | None:
        """The latency to prune to. Raises `UsageError` where `latency` cannot be read."""
        return None if self.latency is None else Budget.parse(self.latency)

    @property
    def prunes(self) -> bool:
        """Whether there is anything to do."""
        return self.latency is not None or self.sparsity > 0 or any(self.layers.values())

    @property
    def block(self) -> int:
        """Output channels that share one mask."""
        return int(self.pattern.partition("x")[0])

    @property
    def needs_calibration(self) -> bool:
        return self.method == "obc" or self.reestimate or self.measures_errors

    @property
    def measures_errors(self) -> bool:
        """Whether each layer is pruned alone first to see what that does to the outputs."""
        return self.distribution == "measured" or self.latency is not None


def _check_fraction(what: str, value: float) -> None:
    if not isinstance(value, (int, float)) or not math.isfinite(value) or not 0 <= value <= 1:
        raise UsageError(f"{what} is {value!r}: give a fraction from 0 (dense) to 1 (nothing left), e.g. 0.7")


def _check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{what} is {value!r}: choose one of {', '.join(choices)}")
