"""The people in front: how likely each pixel is a person."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pocketgraph.graphs.stage import Stage
from pocketgraph.graphs.streaming import Streaming
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.image_to_tensor import Image, as_picture
from pocketgraph.runtime.vision.mask import resize_mask


class SelfieSegmentation(Streaming[npt.NDArray[np.float32]]):
    """A mask for each picture. MediaPipe: `solutions.selfie_segmentation`.

    `landscape` takes the faster model for wide pictures.
    """

    kind = "mask"

    def __init__(self, *, landscape: bool = False, delegate: DelegateName = "auto", threads: int = 1) -> None:
        name = "selfie_segmentation_landscape" if landscape else "selfie_segmentation"
        self._stage = Stage(name, keep_aspect=False, border="zero", delegate=delegate, threads=threads)

    def __call__(self, image: Image) -> npt.NDArray[np.float32]:
        """The mask `[height, width]` of an RGB picture, 0 background to 1 person."""
        self._stage(as_picture(image))
        return resize_mask(self._stage.outputs[0][0, :, :, 0], (image.shape[1], image.shape[0]))

    def close(self) -> None:
        """Release the engine."""
        super().close()
        self._stage.close()
