"""Calibration inputs for a model as it is, also one that reads its pictures channels first."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pocketgraph.convert.prune.calibration import Calibration
from pocketgraph.models.graph import DType, Graph, Tensor
from pocketgraph.models.preprocess import Preprocess


def load_inputs(
    source: str | Path | Calibration | None, graph: Graph, preprocess: Preprocess | None, samples: int
) -> Calibration | None:
    """At most `samples` inputs for `graph` from `source`; what is in memory already, or None, is handed back.

    A graph whose one input is [1, 3, height, width], as PyTorch exports them, gets its pictures in that layout. Raises
    `UsageError` as `Calibration.load` does.
    """
    if source is None or isinstance(source, Calibration):
        return source
    path = Path(source)
    channels_first = _channels_first(graph)
    arrays = path.suffix.lower() in (".npy", ".npz")
    if channels_first is None or (arrays and not _holds_pictures(path)):
        return Calibration.load(path, graph, preprocess, samples)
    _, channels, height, width = channels_first.shape
    seen = Tensor(channels_first.name, (1, height, width, channels))
    loaded = Calibration.load(path, Graph(graph.name, [seen], [], []), preprocess, samples)
    loaded.inputs[seen.name] = np.ascontiguousarray(np.moveaxis(loaded.inputs[seen.name], -1, 1))
    return loaded


def _channels_first(graph: Graph) -> Tensor | None:
    """The only input of `graph` where it is a picture [1, 3, height, width], else None."""
    if len(graph.inputs) != 1:
        return None
    tensor = graph.inputs[0]
    picture = tensor.dtype is DType.FLOAT32 and len(tensor.shape) == 4 and tensor.shape[:2] == (1, 3)
    return tensor if picture and tensor.shape[3] != 3 else None


def _holds_pictures(path: Path) -> bool:
    """Whether an .npy file holds RGB pictures (uint8 [samples, height, width, 3]) and not inputs as they are."""
    if path.suffix.lower() != ".npy":
        return False
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return False  # which `Calibration.load` will say
    return array.dtype == np.uint8 and array.ndim == 4 and array.shape[-1] == 3
