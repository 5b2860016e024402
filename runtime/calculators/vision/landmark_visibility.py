from __future__ import annotations

from dataclasses import replace

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.landmarks import Landmarks


@register("LandmarkVisibilityCalculator")
class LandmarkVisibility(Calculator):
    """The visibility of the only landmark there is.

    Inputs: NORM_LANDMARKS or LANDMARKS (Landmarks, one). Outputs: VISIBILITY (float, 0..1).

    Example:
        node {
          calculator: "LandmarkVisibilityCalculator"
          input_stream: "NORM_LANDMARKS:wrist"
          output_stream: "VISIBILITY:wrist_visibility"
        }
    """

    norm_landmarks = Input("NORM_LANDMARKS", Landmarks, optional=True)
    landmarks = Input("LANDMARKS", Landmarks, optional=True)
    visibility = Output("VISIBILITY", float)
    offset = 0

    @classmethod
    def check(cls, contract: Contract) -> None:
        if len(contract.inputs) != 1:
            raise GraphConfigError("it takes one of NORM_LANDMARKS and LANDMARKS")

    def process(self, context: Context) -> None:
        view = context.inputs[0]
        if not view:
            return
        landmarks = view.value
        if len(landmarks) != 1 or landmarks.visibility is None:
            told = "without visibility" if landmarks.visibility is None else "with visibility"
            raise GraphRuntimeError(f"one landmark with visibility was expected, {len(landmarks)} {told} came")
        context[self.visibility].send(float(landmarks.visibility[0]))


@register("VisibilityCopyCalculator")
class VisibilityCopy(Calculator):
    """Gives landmarks the visibility and presence of others.

    Inputs: NORM_LANDMARKS_FROM or LANDMARKS_FROM; NORM_LANDMARKS_TO or LANDMARKS_TO (Landmarks, as many).
    Outputs: NORM_LANDMARKS_TO or LANDMARKS_TO, as the input.
    Options (VisibilityCopyCalculatorOptions): copy_visibility, copy_presence: default true.

    Example:
        node {
          calculator: "VisibilityCopyCalculator"
          input_stream: "NORM_LANDMARKS_FROM:pose_landmarks"
          input_stream: "LANDMARKS_TO:world_landmarks_alone"
          output_stream: "LANDMARKS_TO:world_landmarks"
        }
    """

    norm_from = Input("NORM_LANDMARKS_FROM", Landmarks, optional=True)
    world_from = Input("LANDMARKS_FROM", Landmarks, optional=True)
    norm_to = Input("NORM_LANDMARKS_TO", Landmarks, optional=True)
    world_to = Input("LANDMARKS_TO", Landmarks, optional=True)
    norm_out = Output("NORM_LANDMARKS_TO", Landmarks, optional=True)
    world_out = Output("LANDMARKS_TO", Landmarks, optional=True)
    offset = 0
    Options = OptionsSpec("""
message VisibilityCopyCalculatorOptions extends CalculatorOptions at 363728421
  bool copy_visibility = 1 default true
  bool copy_presence = 2 default true
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        if contract.has(cls.norm_from) == contract.has(cls.world_from):
            raise GraphConfigError("it takes one of NORM_LANDMARKS_FROM and LANDMARKS_FROM")
        if contract.has(cls.norm_to) == contract.has(cls.world_to):
            raise GraphConfigError("it takes one of NORM_LANDMARKS_TO and LANDMARKS_TO")
        if contract.has(cls.norm_to) != contract.has(cls.norm_out) or len(contract.outputs) != 1:
            raise GraphConfigError("its output has the tag of what it copies to")

    def process(self, context: Context) -> None:
        source = context[self.norm_from] or context[self.world_from]
        target = context[self.norm_to] or context[self.world_to]
        if not source or not target:
            return
        given, landmarks = source.value, target.value
        if len(given) != len(landmarks):
            raise GraphRuntimeError(f"visibility of {len(given)} landmarks cannot go to {len(landmarks)}")
        if self.options.copy_visibility:
            landmarks = replace(landmarks, visibility=given.visibility)
        if self.options.copy_presence:
            landmarks = replace(landmarks, presence=given.presence)
        context.outputs[0].send(landmarks)
