from __future__ import annotations

import numpy as np

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.calculators.vision.common import check_side, refuse
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import SideOutput
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.anchors import ssd_anchors

_MOST_CELLS = 1 << 20
_NEEDED = {"anchor_offset_x": 0.5, "anchor_offset_y": 0.5, "fixed_anchor_size": True}


@register("SsdAnchorsCalculator")
class SsdAnchors(Calculator):
    """Makes the anchors that a detector places its boxes from: centres of a grid for each stride, all of size 1.

    Side packets, output: one without a tag (float32 [n, 2], normalised x and y).
    Options (SsdAnchorsCalculatorOptions):
        input_size_width, input_size_height: of the model's input, in pixels.
        strides: one for each of the num_layers layers; neighbours of the same stride share a grid.
        interpolated_scale_aspect_ratio: 0 leaves the second anchor of each cell and layer out; default 1.
        anchor_offset_x and anchor_offset_y must be 0.5, fixed_anchor_size true, aspect_ratios 1, as in MediaPipe's
        detectors of faces, palms and people; then min_scale and max_scale say nothing.

    Example:
        node {
          calculator: "SsdAnchorsCalculator"
          output_side_packet: "anchors"
          options: {
            [mediapipe.SsdAnchorsCalculatorOptions.ext] {
              input_size_width: 128
              input_size_height: 128
              num_layers: 4
              strides: [8, 16, 16, 16]
              aspect_ratios: 1.0
              fixed_anchor_size: true
            }
          }
        }
    """

    anchors = SideOutput("", np.ndarray)
    Options = OptionsSpec("""
message Anchor
  float x_center = 1
  float y_center = 2
  float h = 3
  float w = 4
message SsdAnchorsCalculatorOptions extends CalculatorOptions at 247258239
  int32 input_size_width = 1
  int32 input_size_height = 2
  float min_scale = 3
  float max_scale = 4
  float anchor_offset_x = 5 default 0.5
  float anchor_offset_y = 6 default 0.5
  int32 num_layers = 7
  repeated int32 feature_map_width = 8
  repeated int32 feature_map_height = 9
  repeated int32 strides = 10
  repeated float aspect_ratios = 11
  bool reduce_boxes_in_lowest_layer = 12 default false
  float interpolated_scale_aspect_ratio = 13 default 1.0
  bool fixed_anchor_size = 14 default false
  bool multiscale_anchor_generation = 15 default false
  int32 min_level = 16 default 3
  int32 max_level = 17 default 7
  float anchor_scale = 18 default 4.0
  int32 scales_per_octave = 19 default 2
  bool normalize_coordinates = 20 default true
  repeated Anchor fixed_anchors = 21
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        options = contract.options
        refuse(contract, "reduce_boxes_in_lowest_layer", "multiscale_anchor_generation")
        if options.feature_map_width or options.feature_map_height or options.fixed_anchors:
            raise GraphConfigError("feature_map_width, feature_map_height and fixed_anchors are not carried out here")
        for name, wanted in _NEEDED.items():
            if getattr(options, name) != wanted:
                raise GraphConfigError(f"{name} must be {wanted} here, it is {getattr(options, name)}")
        if list(options.aspect_ratios) != [1.0] or options.interpolated_scale_aspect_ratio not in (0.0, 1.0):
            raise GraphConfigError(
                f"aspect_ratios must be 1 here, they are {list(options.aspect_ratios)}, and"
                f" interpolated_scale_aspect_ratio 0 or 1, it is {options.interpolated_scale_aspect_ratio:g}"
            )
        if not options.strides or len(options.strides) != options.num_layers or min(options.strides) < 1:
            raise GraphConfigError(
                f"there must be a stride of at least 1 for each of the {options.num_layers} layers of num_layers,"
                f" there are {list(options.strides)}"
            )
        for name in ("input_size_width", "input_size_height"):
            check_side(name, getattr(options, name))
        cells = sum(
            (options.input_size_width // at + 1) * (options.input_size_height // at + 1) for at in options.strides
        )
        if cells > _MOST_CELLS:
            raise GraphConfigError(f"the grids have some {cells} cells, more than the {_MOST_CELLS} that are handled")

    def open(self, context: Context) -> None:
        options = self.options
        size = options.input_size_width, options.input_size_height
        extra = options.interpolated_scale_aspect_ratio > 0
        context[self.anchors].set(ssd_anchors(size, list(options.strides), extra))
