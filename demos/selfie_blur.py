"""The selfie-blur demo: the background blur of video calls with 70 % of its weights gone, seen on real pictures.

Fetches MediaPipe's selfie segmentation and a few pictures of people, prunes the model without training, writes it as
sparse .tflite and .onnx with a report, and puts original, dense mask, sparse mask and blurred background side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.convert import PruneConfig, convert_model
from pocketgraph.convert.pictures import Rgb, encode, fit_mask, overlay, probability
from pocketgraph.convert.prune.calibration import Calibration
from pocketgraph.convert.prune.frames import video_frames
from pocketgraph.convert.result import ConvertResult
from pocketgraph.convert.verify import mask_iou
from pocketgraph.demos import people
from pocketgraph.demos.canvas import Grid
from pocketgraph.demos.media import Media, fetch
from pocketgraph.models import zoo
from pocketgraph.models.errors import UsageError
from pocketgraph.models.files import write_atomically
from pocketgraph.models.preprocess import Preprocess
from pocketgraph.runtime import RunnableModel, load_model

Progress = Callable[[str, int, int], None]
MODEL = "selfie_segmentation"
_FRAMES = 24
_CROPS = 40
_SIDE = 300


@dataclass(frozen=True)
class Outcome:
    """What the demo made: the conversion's account, the picture, and the mask IoU of each picture shown."""

    result: ConvertResult
    picture: Path
    ious: dict[str, float]


def run(
    folder: Path, sparsity: float = 0.7, *, method: str = "obc", seed: int = 0, progress: Progress = lambda *_: None
) -> Outcome:
    """Run the demo, writing selfie.tflite, selfie.onnx, report.html, report.json and selfie_blur.png into `folder`.

    The pruning is tuned on crops of one person and the first half of a video of another; what is shown and measured is
    a third person and the second half of the video, and whole pictures. Raises `PocketgraphError`.
    """
    fetch(people.PEOPLE, progress)
    tuning, unseen = _calibration(seed)
    result = convert_model(
        MODEL,
        [folder / "selfie.tflite", folder / "selfie.onnx"],
        prune=PruneConfig(sparsity=sparsity, method=method, distribution="global"),  # type: ignore[arg-type]
        calibration=tuning,
        held_back=unseen,
        dtype="f16",
        report=folder / "report.html",
        json_file=folder / "report.json",
        seed=seed,
        progress=progress,
        command=f"pocketgraph demo selfie-blur -o {folder}",
    )
    with load_model(zoo.path(MODEL), "litert") as dense, load_model(folder / "selfie.tflite", "litert") as sparse:
        picture, ious = _compose(dense, sparse, result)
    write_atomically(folder / "selfie_blur.png", encode(picture, ".png"))
    return Outcome(result, folder / "selfie_blur.png", ious)


def _calibration(seed: int) -> tuple[Calibration, Calibration]:
    """Pictures to prune with, and others to measure on."""
    rng = np.random.default_rng(seed)
    frames = [picture for _, picture in video_frames(people.CARPHONE.path, 2 * _FRAMES)]
    astronaut, coffee, admiral = (_read(item) for item in (people.ASTRONAUT, people.COFFEE, people.ADMIRAL))
    tuning = {f"carphone {i}": _varied(frame, rng) for i, frame in enumerate(frames[:_FRAMES])}
    tuning |= {f"astronaut {i}": _varied(astronaut, rng) for i in range(_CROPS)}
    tuning |= {f"coffee {i}": _varied(coffee, rng) for i in range(4)}
    unseen = {f"carphone {_FRAMES + i}": frame for i, frame in enumerate(frames[_FRAMES:]) if i % 4 == 0}
    unseen |= {"admiral": admiral, "admiral, mirrored": np.ascontiguousarray(admiral[:, ::-1])}
    unseen |= {f"admiral, crop {i}": _varied(admiral, rng) for i in range(4)}
    return _as_inputs(tuning), _as_inputs(unseen)


def _as_inputs(pictures: dict[str, Rgb]) -> Calibration:
    tensor, preprocess = zoo.load(MODEL).main.inputs[0], _preprocess()
    height, width = tensor.shape[1:3]
    arrays = np.stack([preprocess(picture, height, width) for picture in pictures.values()])
    seen = [preprocess.resize(picture, height, width).astype(np.uint8) for picture in pictures.values()]
    return Calibration({tensor.name: arrays}, list(pictures), seen)


def _preprocess() -> Preprocess:
    return zoo.entry(MODEL).preprocess


def _varied(picture: Rgb, rng: np.random.Generator) -> Rgb:
    """A crop of at least 60 % of each side, mirrored half of the time, a little brighter or darker."""
    height, width = picture.shape[:2]
    rows, columns = (round(side * rng.uniform(0.6, 1.0)) for side in (height, width))
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    part = picture[top : top + rows, left : left + columns]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return np.clip(part * rng.uniform(0.75, 1.2), 0, 255).astype(np.uint8)


def _read(item: Media) -> Rgb:
    import cv2

    picture = cv2.imread(str(item.path), cv2.IMREAD_COLOR)
    if picture is None:
        raise UsageError(f"{item.path} cannot be read as a picture")
    return np.ascontiguousarray(picture[..., ::-1]).astype(np.uint8)


def shown() -> dict[str, Rgb]:
    """The pictures of the demo's comparison by the name they are labelled with."""
    frames = [picture for _, picture in video_frames(people.CARPHONE.path, 2 * _FRAMES)]
    return {
        "Grace Hopper, not seen while pruning": _read(people.ADMIRAL),
        "Eileen Collins, seen in crops": _read(people.ASTRONAUT),
        "a later frame of the video": frames[-8],
    }


def segment(model: RunnableModel, picture: Rgb) -> npt.NDArray[Any]:
    """The mask [1, h, w, 1] that `model` gives for an RGB picture of any size."""
    spec = model.inputs[0]
    mask = model(_preprocess()(picture, spec.shape[1], spec.shape[2])[None])
    assert isinstance(mask, np.ndarray)
    return mask


def blur_background(picture: Rgb, mask: npt.NDArray[np.float32]) -> Rgb:
    """`picture` as a video call shows it: what `mask` [h', w'] in 0..1 leaves out is blurred."""
    import cv2

    height, width = picture.shape[:2]
    weight = fit_mask(mask, height, width)
    # a background blurred together with the person would glow around them: leave the person out of the average
    sigma = max(height, width) / 28
    behind = (1 - weight)[..., None] + 1e-3
    colours = cv2.GaussianBlur((picture * behind).astype(np.float32), (0, 0), sigma)
    weights = cv2.GaussianBlur(behind.astype(np.float32), (0, 0), sigma)
    blurred = colours / weights[..., None]
    edge = np.clip((weight - 0.25) / 0.5, 0, 1)[..., None]
    return np.clip(edge * picture + (1 - edge) * blurred, 0, 255).astype(np.uint8)


def _compose(dense: RunnableModel, sparse: RunnableModel, result: ConvertResult) -> tuple[Rgb, dict[str, float]]:
    grid = Grid(
        ["original", "dense mask", f"sparse mask, {result.sparsity:.0%} zeros", "blurred by the sparse mask"], _SIDE
    )
    ious: dict[str, float] = {}
    for name, picture in shown().items():
        part = grid.square(picture)
        masks = [segment(model, part) for model in (dense, sparse)]
        ious[name] = mask_iou(masks[0], masks[1])
        planes = [probability(mask) for mask in masks]
        large = grid.fit(part)
        row: Sequence[Rgb] = (
            large,
            overlay(large, planes[0]),
            overlay(large, planes[1]),
            blur_background(large, planes[1]),
        )
        grid.add(row, f"{name}: mask IoU {ious[name]:.1%}")
    return grid.picture(), ious


if __name__ == "__main__":
    import sys

    from pocketgraph.__main__ import main

    sys.exit(main(["demo", "selfie-blur", *sys.argv[1:]]))
