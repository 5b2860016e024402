from __future__ import annotations

import numpy as np

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register


class _OneImage(Calculator):
    """What takes one picture, whichever of its two tags it comes with."""

    image = Input("IMAGE", np.ndarray, optional=True)
    image_cpu = Input("IMAGE_CPU", np.ndarray, optional=True)
    offset = 0

    @classmethod
    def check(cls, contract: Contract) -> None:
        if contract.has(cls.image) == contract.has(cls.image_cpu):
            raise GraphConfigError("it takes one of IMAGE and IMAGE_CPU")


@register("ImagePropertiesCalculator")
class ImageProperties(_OneImage):
    """Tells how large a picture is.

    Inputs: IMAGE or IMAGE_CPU (array [height, width, …]).
    Outputs: SIZE (tuple of width and height, in pixels).

    Example:
        node {
          calculator: "ImagePropertiesCalculator"
          input_stream: "IMAGE:frame"
          output_stream: "SIZE:frame_size"
        }
    """

    size = Output("SIZE", tuple)

    def process(self, context: Context) -> None:
        view = context.inputs[0]
        if view:
            height, width = view.value.shape[:2]
            context[self.size].send((width, height))


@register("ToImageCalculator")
class ToImage(_OneImage):
    """Hands a picture on: here pictures on the CPU and pictures of any place are the same arrays.

    Inputs: IMAGE or IMAGE_CPU. Outputs: IMAGE.

    Example:
        node {
          calculator: "ToImageCalculator"
          input_stream: "IMAGE_CPU:frame"
          output_stream: "IMAGE:image"
        }
    """

    out = Output("IMAGE", np.ndarray)

    def process(self, context: Context) -> None:
        if context.inputs[0]:
            context[self.out].add(context.inputs[0].packet)


@register("FromImageCalculator")
class FromImage(Calculator):
    """The opposite of `ToImageCalculator`: hands the same array on.

    Inputs: IMAGE. Outputs: IMAGE_CPU; SOURCE_ON_GPU (bool, optional): always False.

    Example:
        node {
          calculator: "FromImageCalculator"
          input_stream: "IMAGE:mask"
          output_stream: "IMAGE_CPU:mask_for_all"
        }
    """

    image = Input("IMAGE", np.ndarray)
    out = Output("IMAGE_CPU", np.ndarray)
    on_gpu = Output("SOURCE_ON_GPU", bool, optional=True)
    offset = 0

    def process(self, context: Context) -> None:
        if context[self.image]:
            context[self.out].add(context[self.image].packet)
            if context[self.on_gpu] is not None:
                context[self.on_gpu].send(False)
