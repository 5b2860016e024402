from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pocketgraph.runtime.calculators.core.kinds import typed
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Inputs, Output
from pocketgraph.runtime.graph.registry import register


@register(*typed("Concatenate{}VectorCalculator"))
class ConcatenateVector(Calculator):
    """Joins lists into one; an input that is no list counts as a list of one.

    Inputs: any number without a tag.
    Outputs: one list without a tag, of what is there at the timestamp, an empty one included.
    Options (ConcatenateVectorCalculatorOptions):
        only_emit_if_all_present: send nothing unless every input has a packet; default false.

    Example:
        node {
          calculator: "ConcatenateVectorCalculator"
          input_stream: "left_hand"
          input_stream: "right_hand"
          output_stream: "hands"
        }
    """

    inputs = Inputs[Any]("")
    joined = Output("", list)
    offset = 0
    Options = OptionsSpec("""
message ConcatenateVectorCalculatorOptions extends CalculatorOptions at 259397839
  bool only_emit_if_all_present = 1 default false
""")

    def process(self, context: Context) -> None:
        views = context[self.inputs]
        if self.options.only_emit_if_all_present and not all(views):
            return
        result: list[Any] = []
        for view in views:
            if view:
                value = view.value
                result.extend(value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else [value])
        context[self.joined].send(result)
