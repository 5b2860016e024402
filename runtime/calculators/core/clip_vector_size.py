from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.calculators.core.kinds import typed
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output, SideInput
from pocketgraph.runtime.graph.registry import register


@register(*typed("Clip{}VectorSizeCalculator"))
class ClipVectorSize(Calculator):
    """Keeps the first items of a list.

    Inputs: a list, without a tag.
    Side packets: one int without a tag (optional): the most items, instead of the option.
    Outputs: the list, shortened where it was longer.
    Options (ClipVectorSizeCalculatorOptions): max_vec_size: at least 1, the default.

    Example:
        node {
          calculator: "ClipVectorSizeCalculator"
          input_stream: "detections"
          output_stream: "two_detections"
          options: { [mediapipe.ClipVectorSizeCalculatorOptions.ext] { max_vec_size: 2 } }
        }
    """

    items = Input[Any]("", Sequence)
    most = SideInput("", int, optional=True)
    clipped = Output[Any]("", Sequence)
    offset = 0
    Options = OptionsSpec("""
message ClipVectorSizeCalculatorOptions extends CalculatorOptions at 274674998
  int32 max_vec_size = 1 default 1
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        if contract.options.max_vec_size < 1:
            raise GraphConfigError(f"max_vec_size is at least 1, not {contract.options.max_vec_size}")

    def open(self, context: Context) -> None:
        side = context[self.most]
        self._most = side.value if side else self.options.max_vec_size
        if self._most < 1:
            raise GraphRuntimeError(f"the most items are at least 1, not {self._most}")

    def process(self, context: Context) -> None:
        if context[self.items]:
            context[self.clipped].send(context[self.items].value[: self._most])
