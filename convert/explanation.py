"""What `explain` found out: per node and per cluster, as plain data that turns into JSON or a terminal table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Role = Literal["start", "inside", "end", "outside"]
_STEPS = frozenset(
    {
        "BiasAdd",
        "Conv",
        "Conv2D",
        "FusedBatchNormV",
        "MatMul",
        "Pad",
        "Relu",
        "Relu6",
        "add",
        "add_fold",
        "depthwise",
        "depthwise_Fold",
    }
)


def short_name(name: str, most: int = 32) -> str:
    """A tensor's name cut for reading.

    TensorFlow joins the names of fused ops by semicolons, each a path that ends in the step that made it: of the first
    path the last part that names a layer is kept.
    """
    path = name.partition(";")[0].split("/")
    parts = [part for part in path if not _is_step(part)]
    last = parts[-1] if parts and parts[-1] else name
    return last if len(last) <= most else f"…{last[1 - most :]}"


def telling_names(names: Sequence[str], most: int = 32) -> dict[str, str]:
    """Each of `names` -> as much of the end of its path as sets it apart from the others, cut to `most` letters."""
    paths = {
        name: [part for part in name.partition(";")[0].split("/") if not _is_step(part)] or [name] for name in names
    }
    found: dict[str, str] = {}
    for name, path in paths.items():
        others = [other for key, other in paths.items() if key != name]
        count = next((n for n in range(1, len(path)) if not any(o[-n:] == path[-n:] for o in others)), len(path))
        shown = "/".join(path[-count:])
        found[name] = shown if len(shown) <= most else f"…{shown[1 - most :]}"
    return found


def _is_step(part: str) -> bool:
    """Whether a part of a path names what a fused op does, and not which one it is."""
    return part in _STEPS or part.rstrip("0123456789_") in _STEPS


def distinct_names(names: Sequence[str], most: int = 32) -> dict[str, str]:
    """Each of `names` -> what to print for it: `short_name`, or the whole name where others would look the same."""
    short = {name: short_name(name, most) for name in names}
    seen = Counter(short.values())
    return {name: shown if seen[shown] == 1 else name for name, shown in short.items()}


@dataclass(frozen=True)
class Packing:
    """How the CHW engine packs the weights of a step.

    `block` output channels share their columns, `lines` blocks run side by side over tiles of `vectors` registers of
    pixels; columns are cut into slices of `slice` (0: all at once); `storage` is the type that weights lie in. In short
    `1x4 7v /128` is blocks of 1, 4 side by side, 7 vectors, slices of 128.
    """

    block: int
    lines: int
    vectors: int
    slice: int
    storage: str

    def __str__(self) -> str:
        cut = f" /{self.slice}" if self.slice else ""
        stored = f" {self.storage}" if self.storage != "f32" else ""
        return f"{self.block}x{self.lines} {self.vectors}v{cut}{stored}"


@dataclass
class NodeReport:
    """One op of the graph.

    `runs` says in words how the engine runs it.

    `role`: where it stands in a cluster that the engine could lay out channels-first; `"outside"` means in none.
    `sparse`: its weights are multiplied sparsely. `in_cluster`: it runs channels-first in an active cluster. `rule` is
    what keeps it from either, `fix` what to change, `danger` what the engine would compute wrongly. `zeros` of
    `weights` count for 1x1 convolutions and fully connected layers; `block` is the output-channel block (1, 2 or 4)
    that the engine would choose on processors with block kernels. Engines of this machine are measured: `packing` is
    how the weights lie, `microseconds` what the step takes, `share` that part of a run.
    """

    index: int
    kind: str
    name: str
    role: Role = "outside"
    cluster: int | None = None
    in_cluster: bool = False
    sparse: bool = False
    zeros: int = 0
    weights: int = 0
    block: int | None = None
    rule: str = ""
    fix: str = ""
    danger: str = ""
    runs: str = ""
    packing: Packing | None = None
    microseconds: float | None = None
    share: float | None = None

    @property
    def sparsity(self) -> float:
        """Share of zeros among the weights, 0 where there are none."""
        return self.zeros / self.weights if self.weights else 0.0


@dataclass
class ClusterReport:
    """Ops that would run channels-first together: `starts` take pictures in, `ends` give the usual layout back.

    `zeros` of `weights` are summed over its 1x1 convolutions and fully connected layers; the cluster is `active` when
    it is sound and `zeros` exceed `threshold` of `weights`. `rules` say what stops it, each with its fix.
    """

    number: int
    nodes: list[int]
    starts: list[int]
    ends: list[int]
    zeros: int
    weights: int
    threshold: float
    active: bool = False
    rules: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Explanation:
    """Whether and why the nodes of a model's main graph run sparse in `engine`; `hints` concern the whole model.

    `microseconds` is what a run took, where the engine was asked itself.
    """

    engine: str
    nodes: list[NodeReport]
    clusters: list[ClusterReport]
    hints: list[str]
    microseconds: float | None = None

    @property
    def runs_sparse(self) -> bool:
        """Whether any layer is multiplied sparsely."""
        return any(node.sparse for node in self.nodes)

    @property
    def dangers(self) -> list[str]:
        """What the engine would compute wrongly, one line per node."""
        return [f"{node.kind} {short_name(node.name)!r}: {node.danger}" for node in self.nodes if node.danger]

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries, lists, strings and numbers."""
        return {
            "engine": self.engine,
            "runs_sparse": self.runs_sparse,
            "microseconds": self.microseconds,
            "hints": self.hints,
            "clusters": [
                asdict(cluster) | {"rules": [{"rule": rule, "fix": fix} for rule, fix in cluster.rules]}
                for cluster in self.clusters
            ],
            "nodes": [asdict(node) | {"sparsity": node.sparsity} for node in self.nodes],
        }
