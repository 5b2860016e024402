"""What a conversion gives back: files, layers, rewrites and settings, as table, JSON and report show them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pocketgraph.convert.explanation import Explanation
from pocketgraph.convert.prune.latency import LatencyProfile
from pocketgraph.convert.verify import Verification
from pocketgraph.convert.xnnpack_rules import THRESHOLD


@dataclass(frozen=True)
class Layer:
    """One layer with weights: its size, the share of zeros in its weights (0..1), and its relative output error.

    `error` is the squared error of the layer's output on the calibration inputs over the dense output's variance, None
    where it was not measured. `pruned` says whether pruning touched it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    sparsity: float
    error: float | None = None
    pruned: bool = False


@dataclass(frozen=True)
class Account:
    """One written file. `dense_bytes` is the size of the same model written dense in f32 in the same format."""

    path: str
    target: str
    dtype: str
    bytes: int
    dense_bytes: int
    verification: Verification | None
    note: str = ""
    rewrites: list[str] = field(default_factory=list)
    explanation: Explanation | None = None

    @property
    def ratio(self) -> float:
        """Size over the dense f32 file's."""
        return self.bytes / max(self.dense_bytes, 1)


@dataclass(frozen=True)
class ConvertResult:
    """The whole account of a conversion. `sparsity` is over the layers that were pruned, `overall` over all weights.

    `notes` are what the user should know beside the figures, a sentence each; `latency` is how a budget was spent.
    """

    source: str
    source_bytes: int
    task: str
    parameters: int
    sparsity: float
    overall: float
    outputs: list[Account]
    layers: list[Layer]
    settings: dict[str, Any]
    versions: dict[str, str]
    command: str
    seconds: float
    report: str = ""
    json_file: str = ""
    notes: list[str] = field(default_factory=list)
    latency: LatencyProfile | None = None

    @property
    def verdict(self) -> str:
        """The conversion in one sentence."""
        smallest = min(self.outputs, key=lambda output: output.ratio)
        size = f"{Path(smallest.path).name} is {_ratio_words(smallest.ratio)} the dense f32 file"
        given = smallest.bytes / max(self.source_bytes, 1)
        if self.source_bytes and _ratio_words(given) != _ratio_words(smallest.ratio):
            size += f" and {_ratio_words(given)} the file given"
        checked = [output.verification for output in self.outputs if output.verification is not None]
        if not checked:
            return f"{size}; no output was verified."
        worst = min(checked, key=lambda v: ("poor", "fair", "good", "equal").index(v.grade))
        words = {
            "equal": "it answers as the dense model does",
            "good": "it stays close to the dense model",
            "fair": "it differs visibly from the dense model",
            "poor": "it has drifted far from the dense model",
        }[worst.grade]
        on = f" on {worst.samples} {'random ' if worst.random_inputs else ''}input{'s' * (worst.samples != 1)}"
        return f"{size}, and {words}: {worst.summary}{on}{'' if worst.random_inputs else ' it was not tuned on'}."

    @property
    def hint(self) -> str:
        """How to make the file smaller yet, where one layer that stayed dense holds much of the model; else empty."""
        spared = [layer for layer in self.layers if not layer.pruned and layer.parameters > self.parameters / 8]
        if not self.sparsity or not spared or any(output.dtype == "int8" for output in self.outputs):
            return ""
        largest = max(spared, key=lambda layer: layer.parameters)
        return (
            f"{largest.name} stayed dense and holds {largest.parameters / self.parameters:.0%} of the weights;"
            f" --layer '{largest.name}={self.sparsity:.2g}' prunes it too"
        )

    @property
    def grade(self) -> str:
        """The worst grade of the verified outputs, or "unverified"."""
        grades = [output.verification.grade for output in self.outputs if output.verification is not None]
        return min(grades, key=("poor", "fair", "good", "equal").index, default="unverified")

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types; numbers that are not finite become None."""
        plain = _plain(dataclasses.asdict(self))
        assert isinstance(plain, dict)
        for account, output in zip(plain["outputs"], self.outputs, strict=True):
            account["ratio"] = output.ratio
        plain["verdict"] = self.verdict
        plain["hint"] = self.hint
        plain["grade"] = self.grade
        return plain


def explanation_summary(explanation: Explanation) -> str:
    """How much of a model runs sparse, in one sentence."""
    weighted = [node for node in explanation.nodes if node.weights]
    sparse = [node for node in weighted if node.sparse]
    if not sparse:
        zeros, weights = sum(node.zeros for node in weighted), sum(node.weights for node in weighted)
        if 0 < zeros <= THRESHOLD * weights:
            return f"nothing runs sparse: {zeros / weights:.1%} of the weights are zero, it takes over {THRESHOLD:.1%}"
        rules = [rule for cluster in explanation.clusters for rule, _ in cluster.rules] + [n.rule for n in weighted]
        why = next((rule for rule in rules if rule), "")
        return "nothing runs sparse" + (f": {why}" if why else "")
    zeros, weights = sum(node.zeros for node in sparse), sum(node.weights for node in sparse)
    return (
        f"{len(sparse)} of {len(weighted)} 1x1 convolutions and fully connected layers run sparse,"
        f" {zeros / weights:.0%} of their weights are zero"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _ratio_words(ratio: float) -> str:
    if 0.98 < ratio < 1.02:
        return "as large as"
    return f"{ratio:.0%} of" if ratio < 1 else f"{ratio:.2f} times"


def human_bytes(count: float) -> str:
    """A size as people read it, in powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"
