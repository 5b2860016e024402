from __future__ import annotations

import numpy as np

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.calculators.vision.common import refuse
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.landmarks import Landmarks, decode_landmarks


@register("TensorsToLandmarksCalculator")
class TensorsToLandmarks(Calculator):
    """Reads landmarks out of the first tensor: x, y, perhaps z, perhaps visibility and presence, one after the other.

    Inputs: TENSORS (list) or TENSOR. Outputs: LANDMARKS (Landmarks): as they are; NORM_LANDMARKS (Landmarks): as parts
    of the model's input.
    Options (TensorsToLandmarksCalculatorOptions):
        num_landmarks: how many; a tensor with more numbers has more a landmark.
        input_image_width, input_image_height: of the model's input, for NORM_LANDMARKS.
        normalize_z: NORM_LANDMARKS have z / input_image_width / normalize_z; default 1.
        visibility_activation, presence_activation: SIGMOID where the model gives logits; default NONE.

    Example:
        node {
          calculator: "TensorsToLandmarksCalculator"
          input_stream: "TENSORS:landmark_tensors"
          output_stream: "NORM_LANDMARKS:landmarks"
          options: {
            [mediapipe.TensorsToLandmarksCalculatorOptions.ext] {
              num_landmarks: 21 input_image_width: 224 input_image_height: 224 normalize_z: 0.4
            }
          }
        }
    """

    tensors = Input("TENSORS", list, optional=True)
    tensor = Input("TENSOR", np.ndarray, optional=True)
    landmarks = Output("LANDMARKS", Landmarks, optional=True)
    norm_landmarks = Output("NORM_LANDMARKS", Landmarks, optional=True)
    offset = 0
    Options = OptionsSpec("""
message TensorsToLandmarksCalculatorOptions extends CalculatorOptions at 335742640
  enum Activation NONE=0 SIGMOID=1
  int32 num_landmarks = 1
  int32 input_image_width = 2
  int32 input_image_height = 3
  bool flip_vertically = 4 default false
  bool flip_horizontally = 6 default false
  float normalize_z = 5 default 1.0
  Activation visibility_activation = 7 default NONE
  Activation presence_activation = 8 default NONE
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        options = contract.options
        refuse(contract, "flip_vertically", "flip_horizontally")
        if contract.has(cls.tensors) == contract.has(cls.tensor):
            raise GraphConfigError("it takes one of TENSORS and TENSOR")
        if options.num_landmarks < 1:
            raise GraphConfigError(f"num_landmarks is at least 1, not {options.num_landmarks}")
        if contract.has(cls.norm_landmarks) and min(options.input_image_width, options.input_image_height) < 1:
            raise GraphConfigError("NORM_LANDMARKS needs input_image_width and input_image_height, at least 1")
        if not options.normalize_z > 0:
            raise GraphConfigError(f"normalize_z is above 0, not {options.normalize_z:g}")

    def process(self, context: Context) -> None:
        view = context[self.tensors] or context[self.tensor]
        if not view:
            return
        tensor = view.value
        if isinstance(tensor, list):
            if not tensor:
                raise GraphRuntimeError("a list without tensors came, the first one has the landmarks")
            tensor = tensor[0]
        options = self.options
        logits = options.visibility_activation == options.SIGMOID, options.presence_activation == options.SIGMOID
        if context[self.landmarks] is not None:
            context[self.landmarks].send(decode_landmarks(tensor, options.num_landmarks, logits=logits))
        if context[self.norm_landmarks] is not None:
            size = options.input_image_width, options.input_image_height
            found = decode_landmarks(tensor, options.num_landmarks, size, options.normalize_z, logits)
            context[self.norm_landmarks].send(found)
