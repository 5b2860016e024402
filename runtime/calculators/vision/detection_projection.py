from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.detections import Detections, project_detections, remove_letterbox


@register("DetectionLetterboxRemovalCalculator")
class DetectionLetterboxRemoval(Calculator):
    """Detections in a letterboxed input, as parts of what lies inside the padding.

    Inputs: DETECTIONS (list); LETTERBOX_PADDING (two floats) of `ImageToTensorCalculator`.
    Outputs: DETECTIONS (Detections).

    Example:
        node {
          calculator: "DetectionLetterboxRemovalCalculator"
          input_stream: "DETECTIONS:palms_in_tensor"
          input_stream: "LETTERBOX_PADDING:padding"
          output_stream: "DETECTIONS:palms"
        }
    """

    detections = Input[Any]("DETECTIONS", Sequence)
    padding = Input("LETTERBOX_PADDING", tuple)
    moved = Output("DETECTIONS", Detections)
    offset = 0

    def process(self, context: Context) -> None:
        if context[self.detections] and context[self.padding]:
            found = Detections.of(context[self.detections].value)
            context[self.moved].send(remove_letterbox(found, context[self.padding].value))


@register("DetectionProjectionCalculator")
class DetectionProjection(Calculator):
    """Detections in a crop, as parts of the picture; a turned box becomes the upright box around it.

    Inputs: DETECTIONS (list); PROJECTION_MATRIX ([4, 4]): MATRIX of `ImageToTensorCalculator`.
    Outputs: DETECTIONS (Detections).

    Example:
        node {
          calculator: "DetectionProjectionCalculator"
          input_stream: "DETECTIONS:faces_in_tensor"
          input_stream: "PROJECTION_MATRIX:matrix"
          output_stream: "DETECTIONS:faces"
        }
    """

    detections = Input[Any]("DETECTIONS", Sequence)
    matrix = Input("PROJECTION_MATRIX", np.ndarray)
    moved = Output("DETECTIONS", Detections)
    offset = 0

    def process(self, context: Context) -> None:
        if context[self.detections] and context[self.matrix]:
            found = Detections.of(context[self.detections].value)
            context[self.moved].send(project_detections(found, context[self.matrix].value))
