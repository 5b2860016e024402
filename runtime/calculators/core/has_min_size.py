from __future__ import annotations

from collections.abc import Sized
from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.calculators.core.kinds import typed
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output, SideInput
from pocketgraph.runtime.graph.registry import register


@register(*typed("{}VectorHasMinSizeCalculator"))
class HasMinSize(Calculator):
    """Tells whether a list has at least so many items.

    Inputs: ITERABLE (a list). Side packets: one int without a tag (optional): how many, instead of the option.
    Outputs: one bool without a tag.
    Options (CollectionHasMinSizeCalculatorOptions): min_size: at least 0, the default.

    Example:
        node {
          calculator: "VectorHasMinSizeCalculator"
          input_stream: "ITERABLE:hand_rects"
          output_stream: "there_are_two_hands"
          options: { [mediapipe.CollectionHasMinSizeCalculatorOptions.ext] { min_size: 2 } }
        }
    """

    items = Input[Any]("ITERABLE", Sized)
    least = SideInput("", int, optional=True)
    enough = Output("", bool)
    offset = 0
    Options = OptionsSpec("""
message CollectionHasMinSizeCalculatorOptions extends CalculatorOptions at 259397840
  int32 min_size = 1 default 0
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        if contract.options.min_size < 0:
            raise GraphConfigError(f"min_size is at least 0, not {contract.options.min_size}")

    def open(self, context: Context) -> None:
        self._least = context[self.least].value if context[self.least] else self.options.min_size

    def process(self, context: Context) -> None:
        if context[self.items]:
            context[self.enough].send(len(context[self.items].value) >= self._least)
