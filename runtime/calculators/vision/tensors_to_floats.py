from __future__ import annotations

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output, SideInput
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.landmarks import sigmoid


@register("TensorsToFloatsCalculator")
class TensorsToFloats(Calculator):
    """Takes the numbers of one tensor out of it.

    Inputs: TENSORS (list of one array). Outputs: FLOAT (float): the first; FLOATS (list of float): all.
    Options (TensorsToFloatsCalculatorOptions): activation: SIGMOID where the model gives logits; default NONE.

    Example:
        node {
          calculator: "TensorsToFloatsCalculator"
          input_stream: "TENSORS:hand_flag_tensor"
          output_stream: "FLOAT:hand_score"
        }
    """

    tensors = Input("TENSORS", list)
    first = Output("FLOAT", float, optional=True)
    numbers = Output("FLOATS", list, optional=True)
    offset = 0
    Options = OptionsSpec("""
message TensorsToFloatsCalculatorOptions extends CalculatorOptions at 343499115
  enum Activation NONE=0 SIGMOID=1
  Activation activation = 1 default NONE
""")

    def process(self, context: Context) -> None:
        if not context[self.tensors]:
            return
        tensors = context[self.tensors].value
        if len(tensors) != 1 or not tensors[0].size:
            raise GraphRuntimeError(
                f"one tensor with numbers is taken, {len(tensors)} came: {[t.shape for t in tensors]}"
            )
        values = tensors[0].reshape(-1)
        if self.options.activation == self.options.SIGMOID:
            values = sigmoid(values)
        if context[self.first] is not None:
            context[self.first].send(float(values[0]))
        if context[self.numbers] is not None:
            context[self.numbers].send([float(value) for value in values])


@register("ThresholdingCalculator")
class Thresholding(Calculator):
    """Tells whether a number is above a threshold.

    Inputs: FLOAT (float). Side packets: THRESHOLD (float, optional): instead of the option.
    Outputs: FLAG (bool); ACCEPT (True) where it is above; REJECT (True) where it is not.
    Options (ThresholdingCalculatorOptions): threshold.

    Example:
        node {
          calculator: "ThresholdingCalculator"
          input_stream: "FLOAT:hand_score"
          output_stream: "FLAG:hand_is_there"
          options: { [mediapipe.ThresholdingCalculatorOptions.ext] { threshold: 0.5 } }
        }
    """

    number = Input("FLOAT", float)
    limit = SideInput[float]("THRESHOLD", (float, int), optional=True)
    flag = Output("FLAG", bool, optional=True)
    accept = Output("ACCEPT", bool, optional=True)
    reject = Output("REJECT", bool, optional=True)
    offset = 0
    Options = OptionsSpec("""
message ThresholdingCalculatorOptions extends CalculatorOptions at 259990498
  double threshold = 1
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        if contract.has(cls.limit) == contract.options.HasField("threshold"):
            raise GraphConfigError("it needs the side packet THRESHOLD or the option threshold, one of them")

    def open(self, context: Context) -> None:
        self._threshold = self.options.threshold if context[self.limit] is None else context[self.limit].value

    def process(self, context: Context) -> None:
        if not context[self.number]:
            return
        above = context[self.number].value > self._threshold
        if context[self.flag] is not None:
            context[self.flag].send(above)
        target = context[self.accept if above else self.reject]
        if target is not None:
            target.send(True)
