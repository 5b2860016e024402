from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.detections import Detection
from pocketgraph.runtime.vision.rect import (
    Rect,
    Size,
    hand_rect_from_pose,
    rect_from_alignment,
    rect_of_box,
    rect_of_keypoints,
    rotation_between,
)

DetectionsToRectsOptions = OptionsSpec("""
message DetectionsToRectsCalculatorOptions extends CalculatorOptions at 262691807
  enum ConversionMode DEFAULT=0 USE_BOUNDING_BOX=1 USE_KEYPOINTS=2
  int32 rotation_vector_start_keypoint_index = 1
  int32 rotation_vector_end_keypoint_index = 2
  float rotation_vector_target_angle = 3
  float rotation_vector_target_angle_degrees = 4
  bool output_zero_rect_for_empty_detections = 5
  ConversionMode conversion_mode = 6
""")
_NOTHING = Rect(0.0, 0.0, 0.0, 0.0)


@register("DetectionsToRectsCalculator")
class DetectionsToRects(Calculator):
    """Takes the box of a detection for a rectangle, turned so that a line between two keypoints has a wanted direction.

    Inputs: DETECTION (Detection) or DETECTIONS (list); IMAGE_SIZE (tuple of width and height), needed to turn.
    Outputs: NORM_RECT (Rect): of the only, or the first, detection; or NORM_RECTS (list of Rect): of all.
    Options (DetectionsToRectsCalculatorOptions):
        rotation_vector_start_keypoint_index, rotation_vector_end_keypoint_index: the line.
        rotation_vector_target_angle_degrees, or rotation_vector_target_angle in radians: 0 points right, 90 degrees up.
        conversion_mode: USE_KEYPOINTS takes the box around the keypoints instead.
        output_zero_rect_for_empty_detections: send a rectangle of size 0 for a list without detections, which otherwise
            gives nothing.

    Example:
        node {
          calculator: "DetectionsToRectsCalculator"
          input_stream: "DETECTIONS:palms"
          input_stream: "IMAGE_SIZE:size"
          output_stream: "NORM_RECTS:palm_rects"
          options: {
            [mediapipe.DetectionsToRectsCalculatorOptions.ext] {
              rotation_vector_start_keypoint_index: 0
              rotation_vector_end_keypoint_index: 2
              rotation_vector_target_angle_degrees: 90
            }
          }
        }
    """

    detection = Input("DETECTION", Detection, optional=True)
    detections = Input[Any]("DETECTIONS", Sequence, optional=True)
    image_size = Input("IMAGE_SIZE", tuple, optional=True)
    rect = Output("NORM_RECT", Rect, optional=True)
    rects = Output("NORM_RECTS", list, optional=True)
    offset = 0
    Options = DetectionsToRectsOptions
    needs_line = False

    @classmethod
    def check(cls, contract: Contract) -> None:
        options = contract.options
        if contract.has(cls.detection) == contract.has(cls.detections):
            raise GraphConfigError("it takes one of DETECTION and DETECTIONS")
        if contract.has(cls.rect) == contract.has(cls.rects):
            raise GraphConfigError("it gives one of NORM_RECT and NORM_RECTS")
        ends = [options.HasField(f"rotation_vector_{end}_keypoint_index") for end in ("start", "end")]
        angles = [options.HasField(f"rotation_vector_target_angle{unit}") for unit in ("", "_degrees")]
        if any(ends) or cls.needs_line:
            if not all(ends) or sum(angles) != 1:
                raise GraphConfigError("turning needs both keypoints of rotation_vector and one target angle")
            if not contract.has(cls.image_size):
                raise GraphConfigError("turning needs IMAGE_SIZE")

    def open(self, context: Context) -> None:  # noqa: ARG002
        options = self.options
        self._line: tuple[int, int] | None = None
        if options.HasField("rotation_vector_start_keypoint_index"):
            self._line = options.rotation_vector_start_keypoint_index, options.rotation_vector_end_keypoint_index
        self._degrees = options.rotation_vector_target_angle_degrees
        if options.HasField("rotation_vector_target_angle"):
            self._degrees = math.degrees(options.rotation_vector_target_angle)

    def process(self, context: Context) -> None:
        one = context[self.detection]
        view = context[self.detections] if one is None else one
        size = context[self.image_size]
        if not view or (size is not None and not size):
            return
        items = [view.value] if one is not None else view.value
        if context[self.rect] is not None:
            items = items[:1]
        rects = [self.convert(item, None if size is None else size.value) for item in items]
        if not rects:
            if not self.options.output_zero_rect_for_empty_detections:
                return
            rects = [_NOTHING]
        if context[self.rects] is not None:
            context[self.rects].send(rects)
        else:
            context[self.rect].send(rects[0])

    def convert(self, item: Detection, size: Size | None) -> Rect:
        """The rectangle of one detection."""
        rotation = 0.0
        if self._line is not None and size is not None:
            start, end = self.ends(item)
            rotation = rotation_between(start, end, self._degrees, size)
        if self.options.conversion_mode == self.options.USE_KEYPOINTS:
            return rect_of_keypoints(item.keypoints, rotation)
        return rect_of_box(item.box, rotation)

    def ends(self, item: Detection) -> Any:
        """The two keypoints of the line. Raises `GraphRuntimeError` where there is no such keypoint."""
        line = self._line or (0, 0)
        if not all(0 <= index < len(item.keypoints) for index in line):
            raise GraphRuntimeError(f"the detection has {len(item.keypoints)} keypoints, {line} are asked for")
        return item.keypoints[line[0]], item.keypoints[line[1]]


@register("AlignmentPointsRectsCalculator")
class AlignmentPointsRects(DetectionsToRects):
    """The square around one keypoint whose half side reaches to another, turned so that this lies where wanted.

    Inputs: DETECTION or DETECTIONS; IMAGE_SIZE. Outputs: NORM_RECT or NORM_RECTS.
    Options, as for `DetectionsToRectsCalculator`: rotation_vector_start_keypoint_index is the centre,
    rotation_vector_end_keypoint_index the other; rotation_vector_target_angle_degrees.

    Example:
        node {
          calculator: "AlignmentPointsRectsCalculator"
          input_stream: "DETECTION:person"
          input_stream: "IMAGE_SIZE:size"
          output_stream: "NORM_RECT:person_rect"
          options: {
            [mediapipe.DetectionsToRectsCalculatorOptions.ext] {
              rotation_vector_start_keypoint_index: 0
              rotation_vector_end_keypoint_index: 1
              rotation_vector_target_angle_degrees: 90
            }
          }
        }
    """

    needs_line = True

    def convert(self, item: Detection, size: Size | None) -> Rect:
        """The square of one detection."""
        center, edge = self.ends(item)
        return rect_from_alignment(center, edge, self._degrees, size or (1, 1))


@register("HandDetectionsFromPoseToRectsCalculator")
class HandDetectionsFromPoseToRects(DetectionsToRects):
    """A square around a hand, from wrist, pinky and index of a body.

    Inputs: DETECTION or DETECTIONS, with those three keypoints in this order; IMAGE_SIZE.
    Outputs: NORM_RECT or NORM_RECTS.
    Options, as for `DetectionsToRectsCalculator`: output_zero_rect_for_empty_detections.

    Example:
        node {
          calculator: "HandDetectionsFromPoseToRectsCalculator"
          input_stream: "DETECTION:hand_of_pose"
          input_stream: "IMAGE_SIZE:size"
          output_stream: "NORM_RECT:hand_rect"
        }
    """

    @classmethod
    def check(cls, contract: Contract) -> None:
        super().check(contract)
        if not contract.has(cls.image_size):
            raise GraphConfigError("it needs IMAGE_SIZE")

    def convert(self, item: Detection, size: Size | None) -> Rect:
        """The square of one hand."""
        if len(item.keypoints) != 3:
            raise GraphRuntimeError(f"wrist, pinky and index are three keypoints, {len(item.keypoints)} came")
        wrist, pinky, index = item.keypoints
        return hand_rect_from_pose(wrist, pinky, index, size or (1, 1))
