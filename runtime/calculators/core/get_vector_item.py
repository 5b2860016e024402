from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.calculators.core.kinds import typed
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register


@register(*typed("Get{}VectorItemCalculator"))
class GetVectorItem(Calculator):
    """Sends one item of a list.

    Inputs: VECTOR (list); INDEX (int, optional): which, instead of the option.
    Outputs: ITEM.
    Options (GetVectorItemCalculatorOptions):
        item_index: which item.
        output_empty_on_oob: send nothing for an index outside the list, instead of failing; default false.

    Example:
        node {
          calculator: "GetVectorItemCalculator"
          input_stream: "VECTOR:faces"
          output_stream: "ITEM:first_face"
          options: { [mediapipe.GetVectorItemCalculatorOptions.ext] { item_index: 0 output_empty_on_oob: true } }
        }
    """

    vector = Input[Any]("VECTOR", Sequence)
    index = Input("INDEX", int, optional=True)
    item = Output[Any]("ITEM")
    offset = 0
    Options = OptionsSpec("""
message GetVectorItemCalculatorOptions extends CalculatorOptions at 463538543
  int32 item_index = 1
  bool output_empty_on_oob = 2
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        if contract.has(cls.index) == contract.options.HasField("item_index"):
            raise GraphConfigError("it needs the input INDEX or the option item_index, one of them")

    def process(self, context: Context) -> None:
        if not context[self.vector]:
            return
        index = context[self.index]
        if index is not None and not index:
            return
        number = self.options.item_index if index is None else index.value
        items = context[self.vector].value
        if 0 <= number < len(items):
            context[self.item].send(items[number])
        elif not self.options.output_empty_on_oob:
            raise GraphRuntimeError(f"item {number} of a list of {len(items)} was asked for")
