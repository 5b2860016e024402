from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.ports import ANY, Inputs, Outputs
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.graph.timestamp import PRE_STREAM, next_allowed


@register("ImmediateMuxCalculator")
class ImmediateMux(Calculator):
    """Hands packets of all inputs on as they come, and drops those that come too late for ascending timestamps.

    Inputs: any number. At equal timestamps the input of the lower index wins.
    Outputs: the packets; optionally a second one, with True for each packet that came, dropped or not.
    Policy: meant for Immediate; what is dropped depends on timing there.

    Example:
        node {
          calculator: "ImmediateMuxCalculator"
          input_stream: "camera_a"
          input_stream: "camera_b"
          input_stream_handler { input_stream_handler: "ImmediateInputStreamHandler" }
          output_stream: "either"
        }
    """

    inputs = Inputs[Any](ANY)
    outputs = Outputs[Any](ANY)
    offset = 0

    @classmethod
    def check(cls, contract: Contract) -> None:
        if len(contract.outputs) > 2:
            raise GraphConfigError(f"it has one or two outputs, not {len(contract.outputs)}")

    def open(self, context: Context) -> None:  # noqa: ARG002
        self._next = PRE_STREAM

    def process(self, context: Context) -> None:
        targets = context[self.outputs]
        for view in context[self.inputs]:
            if view:
                if view.timestamp >= self._next:
                    targets[0].add(view.packet)
                    self._next = next_allowed(view.timestamp)
                if len(targets) > 1 and not targets[1].closed:
                    targets[1].send(True, max(context.timestamp, targets[1].bound))
