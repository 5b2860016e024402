"""The people in front: how likely each pixel is a person."""

from __future__ import annotations

from pocketgraph.graphs.selfie_segmentation import SelfieSegmentation as SelfieSegmentationPipeline
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.solutions.solution_base import SolutionBase, SolutionOutputs, choice


class SelfieSegmentation(SolutionBase[SelfieSegmentationPipeline]):
    """A mask for each picture. `model_selection` 1 takes the faster model for wide pictures.

    Result: `segmentation_mask`, float32 `[height, width]`, 0 background to 1 person.
    """

    def __init__(self, model_selection: int = 0) -> None:
        landscape = choice("model_selection", model_selection, (False, True))
        super().__init__(SelfieSegmentationPipeline(landscape=landscape, delegate=self.delegate))

    def _outputs(self, pipeline: SelfieSegmentationPipeline, picture: Image) -> SolutionOutputs:
        return SolutionOutputs(segmentation_mask=pipeline(picture))
