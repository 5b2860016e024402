from __future__ import annotations

import math

import numpy as np

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.calculators.vision.common import refuse
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output, SideInput
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.detections import Detections, decode_detections


@register("TensorsToDetectionsCalculator")
class TensorsToDetections(Calculator):
    """Decodes boxes, keypoints and scores of a detector of one class.

    Inputs: TENSORS: boxes [1, num_boxes, num_coords] and scores [1, num_boxes, 1], logits.
    Side packets: ANCHORS (float32 [num_boxes, 2]) of `SsdAnchorsCalculator`.
    Outputs: DETECTIONS (Detections): best first, normalised to the model's input; none is a list too.
    Options (TensorsToDetectionsCalculatorOptions):
        num_boxes, num_coords, num_keypoints: of the model; num_coords is 4 + 2 num_keypoints.
        x_scale, y_scale: width and height of the input in pixels; w_scale and h_scale must be the same.
        min_score_thresh: least score, 0 to 1. max_results: at most so many; -1, the default, all.
        num_classes must be 1, sigmoid_score and reverse_output_order (x before y) true, keypoint_coord_offset 4.
        score_clipping_thresh: at least 20: there logits say as good as 0 or 1.

    Example:
        node {
          calculator: "TensorsToDetectionsCalculator"
          input_stream: "TENSORS:results"
          input_side_packet: "ANCHORS:anchors"
          output_stream: "DETECTIONS:detections"
          options: {
            [mediapipe.TensorsToDetectionsCalculatorOptions.ext] {
              num_classes: 1 num_boxes: 896 num_coords: 16 num_keypoints: 6 keypoint_coord_offset: 4
              x_scale: 128.0 y_scale: 128.0 w_scale: 128.0 h_scale: 128.0
              reverse_output_order: true sigmoid_score: true min_score_thresh: 0.5
            }
          }
        }
    """

    tensors = Input("TENSORS", list)
    anchors = SideInput("ANCHORS", np.ndarray)
    detections = Output("DETECTIONS", Detections)
    offset = 0
    Options = OptionsSpec("""
message TensorsToDetectionsCalculatorOptions extends CalculatorOptions at 335742639
  message TensorMapping
    int32 detections_tensor_index = 1
    int32 classes_tensor_index = 2
    int32 scores_tensor_index = 3
    int32 num_detections_tensor_index = 4
    int32 anchors_tensor_index = 5
  message BoxBoundariesIndices
    int32 ymin = 1 default 0
    int32 xmin = 2 default 1
    int32 ymax = 3 default 2
    int32 xmax = 4 default 3
  enum BoxFormat UNSPECIFIED=0 YXHW=1 XYWH=2 XYXY=3
  int32 num_classes = 1
  int32 num_boxes = 2
  int32 num_coords = 3
  int32 keypoint_coord_offset = 9
  int32 num_keypoints = 10 default 0
  int32 num_values_per_keypoint = 11 default 2
  int32 box_coord_offset = 12 default 0
  float x_scale = 4 default 0.0
  float y_scale = 5 default 0.0
  float w_scale = 6 default 0.0
  float h_scale = 7 default 0.0
  bool apply_exponential_on_box_size = 13 default false
  bool reverse_output_order = 14 default false
  repeated int32 ignore_classes = 8
  repeated int32 allow_classes = 21
  bool sigmoid_score = 15 default false
  float score_clipping_thresh = 16
  bool flip_vertically = 18 default false
  float min_score_thresh = 19
  int32 max_results = 20 default -1
  int32 max_classes_per_detection = 25 default 1
  TensorMapping tensor_mapping = 22
  BoxBoundariesIndices box_boundaries_indices = 23
  BoxFormat box_format = 24 default UNSPECIFIED
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        options = contract.options
        refuse(contract, "apply_exponential_on_box_size", "flip_vertically", "tensor_mapping", "box_boundaries_indices",
               "num_values_per_keypoint", "box_coord_offset", "max_classes_per_detection")  # fmt: skip
        if options.ignore_classes or options.allow_classes:
            raise GraphConfigError("ignore_classes and allow_classes are not carried out here")
        right_order = options.reverse_output_order or options.box_format == options.XYWH
        if options.num_classes != 1 or not options.sigmoid_score or not right_order:
            raise GraphConfigError(
                "num_classes must be 1, sigmoid_score true and reverse_output_order true (or box_format XYWH) here"
            )
        if options.num_boxes < 1 or options.num_coords != 4 + 2 * options.num_keypoints:
            raise GraphConfigError(
                f"num_boxes is at least 1, it is {options.num_boxes}, and num_coords 4 + 2 num_keypoints,"
                f" it is {options.num_coords} for {options.num_keypoints} keypoints"
            )
        if options.num_keypoints and options.keypoint_coord_offset != 4:
            raise GraphConfigError(f"keypoint_coord_offset must be 4 here, it is {options.keypoint_coord_offset}")
        scales = options.x_scale, options.y_scale
        if min(scales) <= 0 or scales != (options.w_scale, options.h_scale):
            raise GraphConfigError("x_scale and y_scale are above 0, w_scale and h_scale the same as they")
        if options.HasField("score_clipping_thresh") and options.score_clipping_thresh < 20:
            raise GraphConfigError(f"score_clipping_thresh is at least 20 here, not {options.score_clipping_thresh:g}")

    def open(self, context: Context) -> None:
        options = self.options
        self._anchors = context[self.anchors].value
        self._least = options.min_score_thresh if options.HasField("min_score_thresh") else -math.inf
        self._scale = options.x_scale, options.y_scale
        self._most = options.max_results if options.max_results > 0 else None

    def process(self, context: Context) -> None:
        view = context[self.tensors]
        if not view:
            return
        shapes = [tensor.shape for tensor in view.value]
        count = self.options.num_boxes
        if shapes != [(1, count, self.options.num_coords), (1, count, 1)]:
            raise GraphRuntimeError(
                f"tensors [1, {count}, {self.options.num_coords}] and [1, {count}, 1] were expected,"
                f" {' and '.join(str(list(shape)) for shape in shapes) or 'none'} came"
            )
        boxes, scores = view.value
        found = decode_detections(boxes[0], scores.reshape(-1), self._anchors, self._scale, self._least)
        context[self.detections].send(found[: self._most])
