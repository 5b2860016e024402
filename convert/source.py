"""What is to be converted: a zoo name, a file or a graph, read and made ready as dense float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketgraph.convert.passes import Dequantize
from pocketgraph.models import zoo
from pocketgraph.models.decompress import Decompress
from pocketgraph.models.errors import FormatError, UnsupportedError, UsageError
from pocketgraph.models.files import read_model
from pocketgraph.models.graph import DType, Model
from pocketgraph.models.preprocess import Preprocess

Progress = Callable[[str, int, int], None]
"""`progress(stage, done, total)`: told again and again as work goes on; `total` 0 where the length is unknown."""


_MOST_VALUES = 1 << 27  # half a gigabyte of float32


@dataclass(frozen=True)
class Source:
    """A model as given, and as the dense float32 graph that pruning and export start from.

    `path` is the file it was read from, None for a graph in memory; `kind` and `preprocess` are the zoo's word on it.
    `notes` are the rewrites that made it dense float32.
    """

    name: str
    path: Path | None
    bytes: int
    model: Model
    dense: Model
    notes: list[str]
    kind: str = ""
    preprocess: Preprocess | None = None

    @property
    def half(self) -> bool:
        """Whether most of the constants are stored in half precision."""
        constants = [t for graph in self.model.graphs for t in graph.tensors() if t.data is not None]
        stored = sum(t.data.size for t in constants if t.data is not None)
        return 2 * sum(t.data.size for t in constants if t.data is not None and t.dtype is DType.FLOAT16) > stored

    @property
    def labels(self) -> list[str]:
        """The class names that a label file packed in the model gives, one a line; empty where there is none."""
        for name, data in self.model.files.items():
            if name.endswith(".txt"):
                return data.decode("utf-8", errors="replace").splitlines()
        return []


def open_source(source: str | Path | Model, progress: Progress = lambda *_: None) -> Source:
    """Read `source` and make it ready.

    Raises `FormatError` for what is no sound model, `ZooError`, `UsageError`, `UnsupportedError`.
    """
    if isinstance(source, Model):
        return _ready("model", None, 0, source)
    model = read_source(source, progress)
    name = str(source)
    if _in_zoo(name):
        entry, file = zoo.entry(name), zoo.path(name)
        return _ready(name, file, _size(file), model, entry.kind, entry.preprocess)
    return _ready(name, Path(name), _size(Path(name)), model)


def read_source(source: str | Path, progress: Progress = lambda *_: None) -> Model:
    """The model of a file or zoo name as it is. A file goes before a zoo model of the same name."""
    name = str(source)
    if _in_zoo(name):
        return zoo.load(name, lambda done, total: progress(f"fetch {zoo.entry(name).package}", done, total))
    if not Path(name).exists():
        if not Path(name).suffix and "/" not in name:
            zoo.entry(name)  # raises with the nearest names
        raise UsageError(f"there is no file {name}; give a model file or a name of `pocketgraph models list`")
    return read_model(name)


def _in_zoo(name: str) -> bool:
    return name in zoo.names() and not Path(name).exists()


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; a TensorFlow.js model counts with the weights beside it."""
    if path.is_dir() or path.name == "model.json":
        folder = path if path.is_dir() else path.parent
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return path.stat().st_size


def _ready(
    name: str, path: Path | None, size: int, model: Model, kind: str = "", preprocess: Preprocess | None = None
) -> Source:
    dense = model.copy()
    notes = Decompress()(dense) + Dequantize()(dense)
    dense.validate()
    _check(name, dense)
    return Source(name, path, size, model, dense, notes, kind, preprocess)


def _check(name: str, model: Model) -> None:
    """Refuse what cannot be converted, or only in more memory than a model has any use for."""
    if not model.main.inputs or not model.main.outputs:
        raise FormatError(
            f"{name}: the model has {len(model.main.inputs)} inputs and {len(model.main.outputs)} outputs"
        )
    for tensor in [tensor for graph in model.graphs for tensor in graph.tensors()]:
        if tensor.size > _MOST_VALUES:
            raise UnsupportedError(
                f"{name}: the tensor {tensor.name!r} is {list(tensor.shape)}, {tensor.size:,} values;"
                f" at most {_MOST_VALUES:,} are handled"
            )
        if tensor.dtype is DType.FLOAT32 and tensor.data is not None and np.isnan(tensor.data).any():
            bad = int(np.count_nonzero(np.isnan(tensor.data)))
            raise FormatError(
                f"{name}: the constant {tensor.name!r} holds {bad} NaN among its {tensor.size} values;"
                " a model with such weights cannot be converted: export it again"
            )
