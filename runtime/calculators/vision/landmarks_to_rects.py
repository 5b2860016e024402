from __future__ import annotations

import numpy as np

from pocketgraph.models.errors import GraphRuntimeError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.detections import Detection
from pocketgraph.runtime.vision.landmarks import Landmarks
from pocketgraph.runtime.vision.rect import Rect, box_around, hand_rect_from_landmarks

_HAND = 21


@register("LandmarksToDetectionCalculator")
class LandmarksToDetection(Calculator):
    """A detection whose box lies around landmarks and whose keypoints are those landmarks.

    Inputs: NORM_LANDMARKS (Landmarks). Outputs: DETECTION (Detection).
    Options (LandmarksToDetectionCalculatorOptions): selected_landmark_indices: which landmarks; default all.

    Example:
        node {
          calculator: "LandmarksToDetectionCalculator"
          input_stream: "NORM_LANDMARKS:face_landmarks"
          output_stream: "DETECTION:face"
        }
    """

    landmarks = Input("NORM_LANDMARKS", Landmarks)
    detection = Output("DETECTION", Detection)
    offset = 0
    Options = OptionsSpec("""
message LandmarksToDetectionCalculatorOptions extends CalculatorOptions at 260199669
  repeated int32 selected_landmark_indices = 1
""")

    def process(self, context: Context) -> None:
        if not context[self.landmarks]:
            return
        points = context[self.landmarks].value.points
        chosen = list(self.options.selected_landmark_indices)
        if chosen:
            if not all(0 <= index < len(points) for index in chosen):
                raise GraphRuntimeError(f"{len(points)} landmarks came, selected_landmark_indices asks for {chosen}")
            points = points[chosen]
        if not len(points):
            raise GraphRuntimeError("no landmarks came to lay a box around")
        context[self.detection].send(Detection(np.concatenate(box_around(points)), points[:, :2]))


@register("HandLandmarksToRectCalculator")
class HandLandmarksToRect(Calculator):
    """The turned box around the palm and the lower joints of a hand.

    Inputs: NORM_LANDMARKS (Landmarks, 21); IMAGE_SIZE (tuple of width and height). Outputs: NORM_RECT (Rect).

    Example:
        node {
          calculator: "HandLandmarksToRectCalculator"
          input_stream: "NORM_LANDMARKS:hand_landmarks"
          input_stream: "IMAGE_SIZE:size"
          output_stream: "NORM_RECT:palm_rect"
        }
    """

    landmarks = Input("NORM_LANDMARKS", Landmarks)
    image_size = Input("IMAGE_SIZE", tuple)
    rect = Output("NORM_RECT", Rect)
    offset = 0

    def process(self, context: Context) -> None:
        if context[self.landmarks] and context[self.image_size]:
            landmarks = context[self.landmarks].value
            if len(landmarks) != _HAND:
                raise GraphRuntimeError(f"a hand has {_HAND} landmarks, {len(landmarks)} came")
            context[self.rect].send(hand_rect_from_landmarks(landmarks.points, context[self.image_size].value))
