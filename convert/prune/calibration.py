"""Calibration inputs: a folder of pictures, a picture, a video or NumPy arrays, as the model's input arrays."""

from __future__ import annotations

import logging
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.convert.prune.frames import video_frames
from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import DType, Graph, Tensor
from pocketgraph.models.preprocess import Preprocess

Array = npt.NDArray[Any]
Picture = npt.NDArray[np.uint8]
PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
_MAX_BYTES = 4 << 30
_LOG = logging.getLogger(__name__)


@dataclass
class Calibration:
    """Sample inputs of a model.

    Parameters
    ----------
    inputs
        Input name -> `[samples, *shape without its batch of one]`, float32 `[samples, height, width, 3]` for pictures.
    names
        Where each sample comes from, for messages and reports.
    pictures
        What the model sees of each sample as RGB `[height, width, 3]` uint8; empty where the samples are not pictures.
    skipped
        Files that were left out because they could not be read.
    """

    inputs: dict[str, Array]
    names: list[str]
    pictures: list[Picture] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def load(
        cls, path: str | Path, graph: Graph, preprocess: Preprocess | None = None, limit: int = 128
    ) -> Calibration:
        """Read at most `limit` samples from `path` for the inputs of `graph`.

        A folder is searched for pictures, also in its sub-folders, and a video for frames; where there are more than
        `limit`, an even spread of them is taken, the same one every time. `.npy` and `.npz` arrays of uint8 are taken
        for RGB pictures, float32 arrays for what the model reads, unchanged. A model with several inputs, or one that
        reads no picture, needs a `.npz` with an array by each input's name.
        Raises `UsageError` saying what was found and what is needed.
        """
        path = Path(path)
        if limit < 1:
            raise UsageError(f"the limit of calibration samples is {limit}: it must be at least 1")
        if not path.exists():
            raise UsageError(f"calibration input {path} does not exist")
        suffix = path.suffix.lower()
        if suffix in (".npy", ".npz") and path.is_file():
            return _from_arrays(path, graph, preprocess, limit)
        tensor = _picture_input(graph, path)
        skipped: list[str] = []
        if path.is_dir():
            found = _read_pictures(_spread(_pictures_in(path), limit), path, skipped)
        elif suffix in VIDEOS:
            found = video_frames(path, limit)
        elif suffix in PICTURES:
            found = _read_pictures([path], path.parent, skipped)
        else:
            raise UsageError(
                f"calibration input {path} is of no known kind: give a folder of pictures, a picture"
                f" ({' '.join(PICTURES)}), a video ({' '.join(VIDEOS)}), or a .npy or .npz file"
            )
        return _from_pictures(found, tensor, preprocess or Preprocess(), path, skipped)

    def take(self, samples: Sequence[int]) -> Calibration:
        """The samples of these positions."""
        inputs = {name: array[list(samples)] for name, array in self.inputs.items()}
        pictures = [self.pictures[i] for i in samples] if self.pictures else []
        return Calibration(inputs, [self.names[i] for i in samples], pictures, list(self.skipped))

    def split(self, held_back: float = 0.25) -> tuple[Calibration, Calibration]:
        """Samples to prune with, and a fraction `held_back` spread evenly among them to verify with.

        With a single sample both parts hold it: there is nothing to hold back.
        """
        if not 0 < held_back < 1:
            raise UsageError(f"the fraction of samples held back is {held_back!r}: it must lie between 0 and 1")
        count = len(self)
        if count < 2:
            return self, self
        back = min(count - 1, max(1, round(count * held_back)))
        chosen = {(2 * i + 1) * count // (2 * back) for i in range(back)}
        return self.take([i for i in range(count) if i not in chosen]), self.take(sorted(chosen))


def _from_pictures(
    found: Iterator[tuple[str, Picture]], tensor: Tensor, preprocess: Preprocess, path: Path, skipped: list[str]
) -> Calibration:
    height, width = tensor.shape[1:3]
    names: list[str] = []
    pictures: list[Picture] = []
    rows: list[Array] = []
    for name, picture in found:
        names.append(name)
        pictures.append(preprocess.resize(picture, height, width))
        rows.append(preprocess(picture, height, width))
    if skipped:
        _LOG.warning(
            "%d of %d pictures cannot be read: %s", len(skipped), len(skipped) + len(names), ", ".join(skipped)
        )
    if not rows:
        raise UsageError(f"none of the {len(skipped)} pictures in {path} can be read: {', '.join(skipped[:5])}")
    return Calibration({tensor.name: np.stack(rows)}, names, pictures, skipped)


def _pictures_in(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    pictures = [p for p in files if p.suffix.lower() in PICTURES]
    if not pictures:
        kinds = Counter(p.suffix.lower() or "files without suffix" for p in files)
        seen = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5)) or "nothing"
        raise UsageError(f"no pictures in {folder}: found {seen}; expected files of {' '.join(PICTURES)}")
    return pictures


def _read_pictures(paths: Sequence[Path], root: Path, skipped: list[str]) -> Iterator[tuple[str, Picture]]:
    import cv2

    for path in paths:
        name = str(path.relative_to(root))
        try:
            content = np.frombuffer(path.read_bytes(), np.uint8)
            picture = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
        except (OSError, cv2.error):
            picture = None
        if picture is None:
            skipped.append(name)
        else:
            yield name, np.ascontiguousarray(picture[..., ::-1]).astype(np.uint8, copy=False)


def _spread(items: list[Path], limit: int) -> list[Path]:
    return [items[i] for i in _even(len(items), limit)]


def _even(count: int, limit: int) -> list[int]:
    return list(range(count)) if count <= limit else [i * count // limit for i in range(limit)]


def _picture_input(graph: Graph, path: Path) -> Tensor:
    if len(graph.inputs) == 1:
        tensor = graph.inputs[0]
        if tensor.dtype is DType.FLOAT32 and len(tensor.shape) == 4 and tensor.shape[0] == 1 and tensor.shape[3] == 3:
            return tensor
    wanted = ", ".join(f"{t.name!r} {t.dtype.value}{list(t.shape)}" for t in graph.inputs)
    raise UsageError(
        f"the model does not read one picture (float32 [1, height, width, 3]) but {wanted}:"
        f" {path} cannot calibrate it; give a .npz with an array [samples, …] by each input's name"
    )


def _from_arrays(path: Path, graph: Graph, preprocess: Preprocess | None, limit: int) -> Calibration:
    arrays = _load_arrays(path)
    if len(graph.inputs) == 1 and len(arrays) == 1:
        arrays = {graph.inputs[0].name: next(iter(arrays.values()))}
    missing = [t.name for t in graph.inputs if t.name not in arrays]
    if missing:
        raise UsageError(
            f"{path} holds {', '.join(map(repr, arrays)) or 'nothing'}: an array is needed for each input of the model,"
            f" {', '.join(repr(t.name) for t in graph.inputs)}"
        )
    lengths: dict[str, int] = {}
    inputs: dict[str, Array] = {}
    pictures: list[Picture] = []
    for tensor in graph.inputs:
        array = arrays[tensor.name]
        if array.ndim == len(tensor.shape) - 1:
            array = array[None]
        lengths[tensor.name] = len(array) if array.ndim else 0
        array = array[_even(len(array), limit)] if array.ndim else array
        if array.dtype == np.uint8 and tensor.dtype is DType.FLOAT32 and array.ndim == 4 and array.shape[-1] == 3:
            height, width = _picture_input(graph, path).shape[1:3]
            chosen = preprocess or Preprocess()
            pictures = [chosen.resize(picture, height, width) for picture in array]
            inputs[tensor.name] = np.stack([chosen(picture, height, width) for picture in array])
        else:
            inputs[tensor.name] = _checked(array, tensor, preprocess, path)
    if len(set(lengths.values())) != 1:
        raise UsageError(f"the arrays of {path} differ in their number of samples: {lengths}")
    if not next(iter(lengths.values())):
        raise UsageError(f"{path} holds no samples")
    count = len(next(iter(inputs.values())))
    return Calibration(inputs, [f"{path.name}[{i}]" for i in range(count)], pictures)


def _checked(array: Array, tensor: Tensor, preprocess: Preprocess | None, path: Path) -> Array:
    """`array` as samples of `tensor`, `[samples, *shape]` without the batch of one, or `UsageError`."""
    shape = tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape
    what = f"{path}: the array for {tensor.name!r}"
    if array.shape[1:] != shape or array.ndim == 0:
        raise UsageError(f"{what} is {list(array.shape)}: expected [samples, {', '.join(map(str, shape))}]")
    if tensor.dtype is DType.FLOAT32 and array.dtype in (np.float64, np.float16):
        array = array.astype(np.float32)
    if array.dtype != tensor.dtype.numpy:
        raise UsageError(f"{what} is of {array.dtype}: expected {tensor.dtype.value} (or uint8 for RGB pictures)")
    if array.dtype == np.float32 and not np.isfinite(array).all():
        raise UsageError(f"{what} holds NaN or infinite values: remove those samples")
    if preprocess is not None and array.dtype == np.float32 and array.size:
        black = np.asarray(preprocess.offset, np.float64)
        white = black + 255 * np.asarray(preprocess.scale, np.float64)
        low, high = float(np.minimum(black, white).min()), float(np.maximum(black, white).max())
        slack = 0.1 * (high - low)
        if array.min() < low - slack or array.max() > high + slack:
            raise UsageError(
                f"{what} ranges over {array.min():.4g}..{array.max():.4g}: the model reads {low:.4g}..{high:.4g};"
                " scale the values, or give RGB pictures as uint8"
            )
    return np.ascontiguousarray(array)


def _load_arrays(path: Path) -> Mapping[str, Array]:
    try:
        if path.suffix.lower() == ".npy":
            return {path.name: np.load(path, mmap_mode="r", allow_pickle=False)}
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > _MAX_BYTES:
            raise UsageError(f"{path} unpacks to {size >> 20} MiB: at most {_MAX_BYTES >> 20} are read")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, MemoryError) as error:
        raise UsageError(f"{path} is not a NumPy file of plain numbers: {error}") from error
