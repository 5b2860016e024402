from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.ports import Input, Inputs, Output, SideInput
from pocketgraph.runtime.graph.registry import register


@register("MuxCalculator")
class Mux(Calculator):
    """Hands on the packets of one of several inputs, the one SELECT names.

    Inputs: INPUT:0, INPUT:1, …; SELECT (int), at each timestamp, unless the side packet is given.
    Side packets: SELECT (int), for the whole run.
    Outputs: OUTPUT.
    Policy: Mux (it does not wait for inputs that are not selected); Default works as well.

    Example:
        node {
          calculator: "MuxCalculator"
          input_stream: "INPUT:0:small"
          input_stream: "INPUT:1:large"
          input_stream: "SELECT:which"
          output_stream: "OUTPUT:chosen"
        }
    """

    select = Input("SELECT", int, optional=True)
    side_select = SideInput("SELECT", int, optional=True)
    inputs = Inputs[Any]("INPUT")
    output = Output[Any]("OUTPUT", same_as=inputs)
    offset = 0

    @classmethod
    def check(cls, contract: Contract) -> None:
        if contract.has(cls.select) == contract.has(cls.side_select):
            raise GraphConfigError("it needs SELECT as a stream or as a side packet, one of them")
        if contract.has(cls.select) and not contract.node.HasField("input_stream_handler"):
            contract.policy = "MuxInputStreamHandler"

    def process(self, context: Context) -> None:
        view = context[self.select]
        if view is not None and not view:
            return
        number = view.value if view is not None else context[self.side_select].value
        inputs = context[self.inputs]
        if not 0 <= number < len(inputs):
            raise GraphRuntimeError(f"SELECT is {number}, but there are {len(inputs)} inputs")
        if inputs[number]:
            context[self.output].add(inputs[number].packet)
