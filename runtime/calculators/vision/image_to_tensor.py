from __future__ import annotations

import numpy as np

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.calculators.vision.common import check_side, one_at_a_time, refuse
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.image_to_tensor import Border, ImageToTensor, as_picture
from pocketgraph.runtime.vision.rect import WHOLE, Rect


@register("ImageToTensorCalculator")
class ImageToTensorNode(Calculator):
    """Warps a rectangle of a picture straight into the input of a model.

    Inputs: IMAGE (RGB, uint8 [height, width, 3]), or IMAGE_CPU; NORM_RECT (Rect, optional): which rectangle; a time
    without one gives nothing, and one of width and height 0 stands for the whole picture.
    Outputs: TENSORS (list of one float32 [1, height, width, 3]) or TENSOR (that array); LETTERBOX_PADDING (two floats:
    the part of the tensor at the left and right each, and at the top and bottom each, that lies beside the rectangle);
    MATRIX ([4, 4], from normalised coordinates in the tensor to those in the picture).
    Options (ImageToTensorCalculatorOptions):
        output_tensor_width, output_tensor_height: in pixels.
        output_tensor_float_range { min max }: values of black and white.
        keep_aspect_ratio: pad the rectangle to the aspect ratio of the tensor instead of stretching it.
        border_mode: BORDER_ZERO (black) or BORDER_REPLICATE (the nearest pixel, the default), beside the picture.
        gpu_origin: of no meaning here.

    Example:
        node {
          calculator: "ImageToTensorCalculator"
          input_stream: "IMAGE:frame"
          input_stream: "NORM_RECT:hand_rect"
          output_stream: "TENSORS:tensors"
          output_stream: "LETTERBOX_PADDING:padding"
          options: {
            [mediapipe.ImageToTensorCalculatorOptions.ext] {
              output_tensor_width: 224
              output_tensor_height: 224
              keep_aspect_ratio: true
              output_tensor_float_range { min: 0.0 max: 1.0 }
            }
          }
        }
    """

    image = Input("IMAGE", np.ndarray, optional=True)
    image_cpu = Input("IMAGE_CPU", np.ndarray, optional=True)
    rect = Input("NORM_RECT", Rect, optional=True)
    tensors = Output("TENSORS", list, optional=True)
    tensor = Output("TENSOR", np.ndarray, optional=True)
    padding = Output("LETTERBOX_PADDING", tuple, optional=True)
    matrix = Output("MATRIX", np.ndarray, optional=True)
    offset = 0
    Options = OptionsSpec("""
message ImageToTensorCalculatorOptions extends CalculatorOptions at 334361939
  message FloatRange
    float min = 1
    float max = 2
  message IntRange
    int64 min = 1
    int64 max = 2
  message UIntRange
    uint64 min = 1
    uint64 max = 2
  enum BorderMode BORDER_UNSPECIFIED=0 BORDER_ZERO=1 BORDER_REPLICATE=2
  int32 output_tensor_width = 1
  int32 output_tensor_height = 2
  bool keep_aspect_ratio = 3
  FloatRange output_tensor_float_range = 4
  IntRange output_tensor_int_range = 7
  UIntRange output_tensor_uint_range = 8
  GpuOrigin.Mode gpu_origin = 5
  BorderMode border_mode = 6
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        one_at_a_time(contract)
        if contract.has(cls.image) == contract.has(cls.image_cpu):
            raise GraphConfigError("it takes one of IMAGE and IMAGE_CPU")
        if contract.has(cls.tensors) == contract.has(cls.tensor):
            raise GraphConfigError("it gives one of TENSORS and TENSOR")
        refuse(contract, "output_tensor_int_range", "output_tensor_uint_range")
        options = contract.options
        for name in ("output_tensor_width", "output_tensor_height"):
            check_side(name, getattr(options, name))
        wanted = options.output_tensor_float_range
        if not wanted.min < wanted.max:
            raise GraphConfigError(f"output_tensor_float_range must rise, it is {wanted.min:g} to {wanted.max:g}")

    def open(self, context: Context) -> None:  # noqa: ARG002
        options = self.options
        size = options.output_tensor_width, options.output_tensor_height
        wanted = options.output_tensor_float_range
        border: Border = "zero" if options.border_mode == options.BORDER_ZERO else "replicate"
        self._warp = ImageToTensor(size, wanted.min, wanted.max, options.keep_aspect_ratio, border)

    def process(self, context: Context) -> None:
        view = context[self.image] or context[self.image_cpu]
        place = context[self.rect]
        if not view or (place is not None and not place):
            return
        rect = WHOLE if place is None else place.value
        if not rect.width and not rect.height:
            rect = WHOLE
        # a fresh tensor for each packet: the one before may still be read
        tensor = np.empty_like(self._warp.tensor)
        crop = self._warp(as_picture(view.value), rect, tensor)
        if context[self.tensors] is not None:
            context[self.tensors].send([tensor])
        else:
            context[self.tensor].send(tensor)
        if context[self.padding] is not None:
            context[self.padding].send(crop.padding)
        if context[self.matrix] is not None:
            context[self.matrix].send(crop.matrix())
