from __future__ import annotations

from dataclasses import replace

from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.landmarks import Landmarks
from pocketgraph.runtime.vision.rect import Rect
from pocketgraph.runtime.vision.tracking import TrackingLimits, tracked_rect


@register("RoiTrackingCalculator")
class RoiTracking(Calculator):
    """Keeps the region of the last frame as long as it agrees with a fresh one.

    Inputs: RECROP_RECT (Rect): the fresh region; without it nothing comes out. PREV_LANDMARKS (Landmarks) and
    PREV_LANDMARKS_RECT (Rect): of the last frame. IMAGE_SIZE (tuple of width and height).
    Outputs: TRACKING_RECT (Rect): the last frame's, or the fresh one.
    Options (RoiTrackingCalculatorOptions), each only asked for where it is given:
        rect_requirements { rotation_degrees translation scale }: most difference, the latter as parts of the fresh
            region's sides.
        landmarks_requirements { recrop_rect_margin }: all landmarks must lie in the fresh region, widened by so much.
        iou_requirements { min_iou }: least overlap.

    Example:
        node {
          calculator: "RoiTrackingCalculator"
          input_stream: "PREV_LANDMARKS:hand_before"
          input_stream: "PREV_LANDMARKS_RECT:hand_rect_before"
          input_stream: "RECROP_RECT:hand_rect_from_pose"
          input_stream: "IMAGE_SIZE:size"
          output_stream: "TRACKING_RECT:hand_rect"
          options: {
            [mediapipe.RoiTrackingCalculatorOptions.ext] {
              rect_requirements: { rotation_degrees: 40.0 translation: 0.2 scale: 0.4 }
              landmarks_requirements: { recrop_rect_margin: -0.1 }
            }
          }
        }
    """

    previous_landmarks = Input("PREV_LANDMARKS", Landmarks)
    previous = Input("PREV_LANDMARKS_RECT", Rect)
    fresh = Input("RECROP_RECT", Rect)
    image_size = Input("IMAGE_SIZE", tuple)
    tracked = Output("TRACKING_RECT", Rect)
    offset = 0
    Options = OptionsSpec("""
message RoiTrackingCalculatorOptions extends CalculatorOptions at 329994630
  message IouRequirements
    float min_iou = 1 default 0.5
  message RectRequirements
    float rotation_degrees = 1 default 10.0
    float translation = 2 default 0.1
    float scale = 3 default 0.1
  message LandmarksRequirements
    float recrop_rect_margin = 1 default 0.0
  IouRequirements iou_requirements = 1
  RectRequirements rect_requirements = 2
  LandmarksRequirements landmarks_requirements = 3
""")

    def open(self, context: Context) -> None:  # noqa: ARG002
        options = self.options
        rect = options.rect_requirements
        limits = TrackingLimits()
        if options.HasField("rect_requirements"):
            limits = TrackingLimits(rect.rotation_degrees, rect.translation, rect.scale)
        if options.HasField("landmarks_requirements"):
            limits = replace(limits, margin=options.landmarks_requirements.recrop_rect_margin)
        if options.HasField("iou_requirements"):
            limits = replace(limits, overlap=options.iou_requirements.min_iou)
        self._limits = limits

    def process(self, context: Context) -> None:
        if not context[self.fresh] or not context[self.image_size]:
            return
        rect, landmarks = context[self.previous], context[self.previous_landmarks]
        found = tracked_rect(
            context[self.fresh].value,
            rect.value if rect else None,
            landmarks.value.points if landmarks else None,
            context[self.image_size].value,
            self._limits,
        )
        context[self.tracked].send(found)
