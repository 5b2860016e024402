from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.rect import Rect, Size, normalize_radians, transform_rect


@register("RectTransformationCalculator")
class RectTransformation(Calculator):
    """Shifts, squares and scales rectangles.

    Inputs: NORM_RECT (Rect) or NORM_RECTS (list of Rect); IMAGE_SIZE (tuple of width and height).
    Outputs: one without a tag (Rect, or list of Rect).
    Options (RectTransformationCalculatorOptions):
        shift_x, shift_y: along the rectangle's own axes, in parts of its sides before they change.
        rotation (radians) or rotation_degrees: turns those axes for the shift; the rectangle keeps its own.
        square_long, square_short: both sides become the longer, or the shorter, in pixels.
        scale_x, scale_y: of the sides, at last; default 1.

    Example:
        node {
          calculator: "RectTransformationCalculator"
          input_stream: "NORM_RECT:palm_rect"
          input_stream: "IMAGE_SIZE:size"
          output_stream: "hand_rect"
          options: {
            [mediapipe.RectTransformationCalculatorOptions.ext] {
              shift_y: -0.5
              square_long: true
              scale_x: 2.6
              scale_y: 2.6
            }
          }
        }
    """

    rect = Input("NORM_RECT", Rect, optional=True)
    rects = Input("NORM_RECTS", list, optional=True)
    image_size = Input("IMAGE_SIZE", tuple)
    transformed = Output[Any]("", (Rect, list))
    offset = 0
    Options = OptionsSpec("""
message RectTransformationCalculatorOptions extends CalculatorOptions at 262226312
  float scale_x = 1 default 1.0
  float scale_y = 2 default 1.0
  float rotation = 3
  int32 rotation_degrees = 4
  float shift_x = 5
  float shift_y = 6
  bool square_long = 7
  bool square_short = 8
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        options = contract.options
        if contract.has(cls.rect) == contract.has(cls.rects):
            raise GraphConfigError("it takes one of NORM_RECT and NORM_RECTS")
        for one, other in (("rotation", "rotation_degrees"), ("square_long", "square_short")):
            if options.HasField(one) and options.HasField(other):
                raise GraphConfigError(f"only one of {one} and {other} can be given")

    def open(self, context: Context) -> None:  # noqa: ARG002
        options = self.options
        self._square: Literal["long", "short", "no"] = (
            "long" if options.square_long else "short" if options.square_short else "no"
        )
        self._turn: float = options.rotation + math.radians(options.rotation_degrees)

    def process(self, context: Context) -> None:
        view, size = context[self.rect] or context[self.rects], context[self.image_size]
        if not view or not size:
            return
        given = view.value
        if isinstance(given, list):
            context[self.transformed].send([self._transform(rect, size.value) for rect in given])
        else:
            context[self.transformed].send(self._transform(given, size.value))

    def _transform(self, rect: Rect, size: Size) -> Rect:
        options = self.options
        turned = rect
        if self._turn:
            turned = replace(rect, rotation=normalize_radians(rect.rotation + self._turn))
        scale = options.scale_x, options.scale_y
        moved = transform_rect(turned, size, scale, options.shift_x, options.shift_y, self._square)
        return replace(moved, rotation=rect.rotation) if self._turn else moved
