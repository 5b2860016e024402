from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Inputs, Output, Outputs
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.image_to_tensor import Crop
from pocketgraph.runtime.vision.landmarks import (
    Landmarks,
    project_by_matrix,
    project_landmarks,
    rotate_world,
    unletterbox_landmarks,
)
from pocketgraph.runtime.vision.rect import Rect


def _move_all(context: Context, sources: Inputs[Any], targets: Outputs[Any], move: Callable[[Any], Any]) -> None:
    for source, target in zip(context[sources], context[targets], strict=True):
        if source:
            target.send(move(source.value))


def _check_pairs(contract: Contract, sources: Inputs[Any], targets: Outputs[Any]) -> None:
    if contract.count(sources) != contract.count(targets):
        raise GraphConfigError(
            f"it has {contract.count(targets)} outputs {targets.tag} for {contract.count(sources)} inputs"
        )


@register("LandmarkLetterboxRemovalCalculator")
class LandmarkLetterboxRemoval(Calculator):
    """Landmarks of a letterboxed input, as parts of what lies inside the padding.

    Inputs: LANDMARKS:0, … (Landmarks); LETTERBOX_PADDING (two floats) of `ImageToTensorCalculator`.
    Outputs: LANDMARKS:0, …, as many.

    Example:
        node {
          calculator: "LandmarkLetterboxRemovalCalculator"
          input_stream: "LANDMARKS:landmarks_in_tensor"
          input_stream: "LETTERBOX_PADDING:padding"
          output_stream: "LANDMARKS:landmarks_in_rect"
        }
    """

    landmarks = Inputs("LANDMARKS", Landmarks)
    padding = Input("LETTERBOX_PADDING", tuple)
    moved = Outputs("LANDMARKS", Landmarks)
    offset = 0

    @classmethod
    def check(cls, contract: Contract) -> None:
        _check_pairs(contract, cls.landmarks, cls.moved)

    def process(self, context: Context) -> None:
        if context[self.padding]:
            padding = context[self.padding].value
            _move_all(context, self.landmarks, self.moved, lambda given: unletterbox_landmarks(given, padding))


@register("LandmarkProjectionCalculator")
class LandmarkProjection(Calculator):
    """Landmarks in a rectangle, as parts of the picture; depth on the scale of x.

    Inputs: NORM_LANDMARKS:0, … (Landmarks); NORM_RECT (Rect): the rectangle, which must be a square in pixels where
    IMAGE_DIMENSIONS (tuple of width and height, optional) does not tell its aspect; or PROJECTION_MATRIX ([4, 4]):
    MATRIX of `ImageToTensorCalculator`. Outputs: NORM_LANDMARKS:0, …, as many.
    Options (LandmarkProjectionCalculatorOptions): ignore_rotation: take the rectangle for upright; default false.

    Example:
        node {
          calculator: "LandmarkProjectionCalculator"
          input_stream: "NORM_LANDMARKS:landmarks_in_rect"
          input_stream: "NORM_RECT:rect"
          output_stream: "NORM_LANDMARKS:landmarks"
        }
    """

    landmarks = Inputs("NORM_LANDMARKS", Landmarks)
    rect = Input("NORM_RECT", Rect, optional=True)
    image_size = Input("IMAGE_DIMENSIONS", tuple, optional=True)
    matrix = Input("PROJECTION_MATRIX", np.ndarray, optional=True)
    moved = Outputs("NORM_LANDMARKS", Landmarks)
    offset = 0
    Options = OptionsSpec("""
message LandmarkProjectionCalculatorOptions extends CalculatorOptions at 263371892
  bool ignore_rotation = 1 default false
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        _check_pairs(contract, cls.landmarks, cls.moved)
        if contract.has(cls.rect) == contract.has(cls.matrix):
            raise GraphConfigError("it takes one of NORM_RECT and PROJECTION_MATRIX")
        if contract.has(cls.matrix) and contract.has(cls.image_size):
            raise GraphConfigError("IMAGE_DIMENSIONS goes with NORM_RECT, not with PROJECTION_MATRIX")

    def process(self, context: Context) -> None:
        if context[self.rect] is None:
            if context[self.matrix]:
                self._by_matrix(context, context[self.matrix].value)
            return
        if not context[self.rect]:
            return
        rect = context[self.rect].value
        if self.options.ignore_rotation:
            rect = replace(rect, rotation=0.0)
        if context[self.image_size] is None:
            _move_all(context, self.landmarks, self.moved, lambda given: project_landmarks(given, rect))
        elif context[self.image_size]:
            self._by_matrix(context, Crop(rect, context[self.image_size].value).matrix())

    def _by_matrix(self, context: Context, matrix: Any) -> None:
        _move_all(context, self.landmarks, self.moved, lambda given: project_by_matrix(given, matrix))


@register("WorldLandmarkProjectionCalculator")
class WorldLandmarkProjection(Calculator):
    """World landmarks of a turned crop, turned to the axes of the picture.

    Inputs: LANDMARKS (Landmarks, in metres); NORM_RECT (Rect). Outputs: LANDMARKS.

    Example:
        node {
          calculator: "WorldLandmarkProjectionCalculator"
          input_stream: "LANDMARKS:world_landmarks_of_crop"
          input_stream: "NORM_RECT:rect"
          output_stream: "LANDMARKS:world_landmarks"
        }
    """

    landmarks = Input("LANDMARKS", Landmarks)
    rect = Input("NORM_RECT", Rect)
    moved = Output("LANDMARKS", Landmarks)
    offset = 0

    def process(self, context: Context) -> None:
        if context[self.landmarks] and context[self.rect]:
            found = rotate_world(context[self.landmarks].value, context[self.rect].value.rotation)
            context[self.moved].send(found)
