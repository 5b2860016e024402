from __future__ import annotations

import numpy as np

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.mask import blend_masks, probabilities, resize_mask, softmax


@register("TensorsToSegmentationCalculator")
class TensorsToSegmentation(Calculator):
    """Makes a mask of the first tensor.

    Inputs: TENSORS (list; the first is [1, height, width, 1], or 2 channels for SOFTMAX); OUTPUT_SIZE (tuple of width
    and height, optional): stretch the mask to it.
    Outputs: MASK (float32 [height, width], 0..1).
    Options (TensorsToSegmentationCalculatorOptions):
        activation: NONE (the default), SIGMOID or SOFTMAX. output_layer_index: which channel SOFTMAX tells; default 1.
        gpu_origin: of no meaning here.

    Example:
        node {
          calculator: "TensorsToSegmentationCalculator"
          input_stream: "TENSORS:results"
          input_stream: "OUTPUT_SIZE:frame_size"
          output_stream: "MASK:mask"
          options: { [mediapipe.TensorsToSegmentationCalculatorOptions.ext] { activation: SIGMOID } }
        }
    """

    tensors = Input("TENSORS", list)
    output_size = Input("OUTPUT_SIZE", tuple, optional=True)
    mask = Output("MASK", np.ndarray)
    offset = 0
    Options = OptionsSpec("""
message TensorsToSegmentationCalculatorOptions extends CalculatorOptions at 374311106
  enum Activation NONE=0 SIGMOID=1 SOFTMAX=2
  GpuOrigin.Mode gpu_origin = 1
  Activation activation = 2 default NONE
  int32 output_layer_index = 3 default 1
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        if contract.options.output_layer_index not in (0, 1):
            raise GraphConfigError(f"output_layer_index is 0 or 1, not {contract.options.output_layer_index}")

    def process(self, context: Context) -> None:
        size = context[self.output_size]
        if not context[self.tensors] or (size is not None and not size):
            return
        options = self.options
        channels = 2 if options.activation == options.SOFTMAX else 1
        tensors = context[self.tensors].value
        if not tensors or tensors[0].ndim not in (3, 4) or tensors[0].shape[-1] != channels:
            raise GraphRuntimeError(
                f"the first tensor must be [1, height, width, {channels}], {[list(t.shape) for t in tensors]} came"
            )
        values = tensors[0].reshape(tensors[0].shape[-3:])
        mask = values[:, :, 0]
        if options.activation == options.SIGMOID:
            mask = probabilities(mask)
        elif options.activation == options.SOFTMAX:
            mask = softmax(values, options.output_layer_index)
        context[self.mask].send(mask if size is None else resize_mask(mask, size.value))


@register("SegmentationSmoothingCalculator")
class SegmentationSmoothing(Calculator):
    """Blends a mask with the one before, most where the new one is undecided.

    Inputs: MASK, MASK_PREVIOUS (float32 [height, width], 0..1); without the latter the mask passes as it is.
    Outputs: MASK_SMOOTHED.
    Options (SegmentationSmoothingCalculatorOptions):
        combine_with_previous_ratio: the part of the old mask where the new one says 0.5; 0..1, default 0.

    Example:
        node {
          calculator: "SegmentationSmoothingCalculator"
          input_stream: "MASK:mask"
          input_stream: "MASK_PREVIOUS:mask_before"
          output_stream: "MASK_SMOOTHED:steady_mask"
          options: { [mediapipe.SegmentationSmoothingCalculatorOptions.ext] { combine_with_previous_ratio: 0.7 } }
        }
    """

    mask = Input("MASK", np.ndarray)
    previous = Input("MASK_PREVIOUS", np.ndarray)
    smoothed = Output("MASK_SMOOTHED", np.ndarray)
    offset = 0
    Options = OptionsSpec("""
message SegmentationSmoothingCalculatorOptions extends CalculatorOptions at 377425128
  float combine_with_previous_ratio = 1 default 0.0
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        if not 0 <= contract.options.combine_with_previous_ratio <= 1:
            raise GraphConfigError(
                f"combine_with_previous_ratio is 0 to 1, not {contract.options.combine_with_previous_ratio:g}"
            )

    def process(self, context: Context) -> None:
        if not context[self.mask]:
            return
        mask, before = context[self.mask].value, context[self.previous]
        if before:
            mask = blend_masks(mask, before.value, self.options.combine_with_previous_ratio)
        context[self.smoothed].send(mask)
