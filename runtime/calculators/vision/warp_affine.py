from __future__ import annotations

import numpy as np

from pocketgraph.models.errors import GraphRuntimeError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.mask import warp_affine


@register("InverseMatrixCalculator")
class InverseMatrix(Calculator):
    """The inverse of a matrix.

    Inputs: MATRIX ([4, 4]). Outputs: MATRIX ([4, 4]).

    Example:
        node {
          calculator: "InverseMatrixCalculator"
          input_stream: "MATRIX:tensor_to_picture"
          output_stream: "MATRIX:picture_to_tensor"
        }
    """

    matrix = Input("MATRIX", np.ndarray)
    inverse = Output("MATRIX", np.ndarray)
    offset = 0

    def process(self, context: Context) -> None:
        if context[self.matrix]:
            try:
                context[self.inverse].send(np.linalg.inv(context[self.matrix].value))
            except np.linalg.LinAlgError as error:
                raise GraphRuntimeError(f"the matrix has no inverse: {context[self.matrix].value.tolist()}") from error


@register("WarpAffineCalculator", "WarpAffineCalculatorCpu")
class WarpAffine(Calculator):
    """A picture or mask, each of its points fetched from where a matrix leads in another.

    Inputs: IMAGE (array [height, width, …]); MATRIX ([4, 4]: from normalised coordinates of the result to those of
    IMAGE); OUTPUT_SIZE (tuple of width and height).
    Outputs: IMAGE.
    Options (WarpAffineCalculatorOptions):
        border_mode: BORDER_ZERO (the default) or BORDER_REPLICATE, beside the picture.
        interpolation: INTER_LINEAR (the default) or INTER_CUBIC. gpu_origin: of no meaning here.

    Example:
        node {
          calculator: "WarpAffineCalculator"
          input_stream: "IMAGE:mask_of_tensor"
          input_stream: "MATRIX:picture_to_tensor"
          input_stream: "OUTPUT_SIZE:size"
          output_stream: "IMAGE:mask"
        }
    """

    image = Input("IMAGE", np.ndarray)
    matrix = Input("MATRIX", np.ndarray)
    output_size = Input("OUTPUT_SIZE", tuple)
    warped = Output("IMAGE", np.ndarray)
    offset = 0
    Options = OptionsSpec("""
message WarpAffineCalculatorOptions extends CalculatorOptions at 373693895
  enum BorderMode BORDER_UNSPECIFIED=0 BORDER_ZERO=1 BORDER_REPLICATE=2
  enum Interpolation INTER_UNSPECIFIED=0 INTER_LINEAR=1 INTER_CUBIC=2
  BorderMode border_mode = 1
  GpuOrigin.Mode gpu_origin = 2
  Interpolation interpolation = 3
""")

    def process(self, context: Context) -> None:
        if not (context[self.image] and context[self.matrix] and context[self.output_size]):
            return
        options = self.options
        warped = warp_affine(
            context[self.image].value,
            context[self.matrix].value,
            context[self.output_size].value,
            "replicate" if options.border_mode == options.BORDER_REPLICATE else "zero",
            cubic=options.interpolation == options.INTER_CUBIC,
        )
        context[self.warped].send(warped)
