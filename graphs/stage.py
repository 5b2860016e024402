"""One model in a pipeline: a crop of the frame warped into its input, the engine, and its outputs in fixed buffers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.attention import load_vision_model
from pocketgraph.runtime.vision.image_to_tensor import Border, Crop, Image, ImageToTensor
from pocketgraph.runtime.vision.rect import WHOLE, Rect, Size

FloatArray = npt.NDArray[np.float32]


class Stage:
    """A model of the zoo that looks at a rectangle of a picture.

    `outputs` are the indices of the outputs to compute; what only the others need is cut out of the graph. Results are
    overwritten by the next call. One stage serves one thread at a time.
    """

    watcher: ClassVar[Callable[[str, int, int], None] | None] = None
    """Told of every run of every stage, on its thread: the model's name, begin and end in ns (`perf_counter_ns`)."""

    def __init__(
        self,
        name: str,
        *,
        low: float = 0.0,
        keep_aspect: bool = True,
        border: Border = "replicate",
        outputs: Sequence[int] | None = None,
        delegate: DelegateName = "auto",
        threads: int = 1,
    ) -> None:
        """`low` is the value of black, -1 or 0; white is 1. The rest is as in `ImageToTensor` and `load_model`."""
        self.name = name
        self._model = load_vision_model(name, outputs, delegate, threads)
        spec = self._model.inputs[0]
        self.input_size: Size = (spec.shape[2], spec.shape[1])
        self._to_tensor = ImageToTensor(self.input_size, low, 1.0, keep_aspect, border)
        self._inputs: dict[str, npt.NDArray[Any]] = {spec.name: self._to_tensor.tensor}
        results = {spec.name: np.zeros(spec.shape, np.float32) for spec in self._model.outputs}
        self._results: dict[str, npt.NDArray[Any]] = dict(results)
        self.outputs: tuple[FloatArray, ...] = tuple(results.values())

    def __call__(self, image: Image, rect: Rect = WHOLE) -> Crop:
        """Look at `rect` of `image` and fill `outputs`."""
        began = time.perf_counter_ns()
        crop = self._to_tensor(image, rect)
        self._model.run(self._inputs, self._results)
        if Stage.watcher is not None:
            Stage.watcher(self.name, began, time.perf_counter_ns())
        return crop

    def close(self) -> None:
        """Release the engine."""
        self._model.close()
