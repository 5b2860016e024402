from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphRuntimeError
from pocketgraph.runtime.calculators.core.split_vector import SplitVector
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Inputs, Output, Outputs
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.landmarks import Landmarks, join


@register("SplitNormalizedLandmarkListCalculator", "SplitLandmarkListCalculator")
class SplitLandmarks(SplitVector):
    """Cuts landmarks into ranges, as `SplitVectorCalculator` does lists.

    Inputs: Landmarks, without a tag. Outputs: one without a tag for each range; with `combine_outputs` one for all.
    Options (SplitVectorCalculatorOptions): ranges { begin end }, combine_outputs; element_only asks for ranges of one.

    Example:
        node {
          calculator: "SplitNormalizedLandmarkListCalculator"
          input_stream: "pose_landmarks"
          output_stream: "face_of_pose"
          options: { [mediapipe.SplitVectorCalculatorOptions.ext] { ranges: { begin: 0 end: 11 } } }
        }
    """

    items = Input[Any]("", Landmarks)
    parts = Outputs[Any]("", Landmarks)

    def process(self, context: Context) -> None:
        if not context[self.items]:
            return
        landmarks = context[self.items].value
        if len(landmarks) < self._longest:
            raise GraphRuntimeError(f"{len(landmarks)} landmarks came, ranges reach to {self._longest}")
        targets = context[self.parts]
        if self.options.combine_outputs:
            targets[0].send(landmarks.take([index for begin, end in self._ranges for index in range(begin, end)]))
            return
        for target, (begin, end) in zip(targets, self._ranges, strict=True):
            target.send(landmarks.take(slice(begin, end)))


@register("ConcatenateNormalizedLandmarkListCalculator", "ConcatenateLandmarkListCalculator")
class ConcatenateLandmarks(Calculator):
    """Joins landmarks into one set.

    Inputs: any number without a tag (Landmarks). Outputs: one without a tag, of what is there at the timestamp.
    Options (ConcatenateVectorCalculatorOptions):
        only_emit_if_all_present: send nothing unless every input has a packet; default false.

    Example:
        node {
          calculator: "ConcatenateNormalizedLandmarkListCalculator"
          input_stream: "body"
          input_stream: "face"
          output_stream: "all_landmarks"
        }
    """

    inputs = Inputs("", Landmarks)
    joined = Output("", Landmarks)
    offset = 0
    Options = OptionsSpec.named("mediapipe.ConcatenateVectorCalculatorOptions")

    def process(self, context: Context) -> None:
        given = [view.value for view in context[self.inputs] if view]
        if not self.options.only_emit_if_all_present or len(given) == len(context[self.inputs]):
            context[self.joined].send(join(given))
