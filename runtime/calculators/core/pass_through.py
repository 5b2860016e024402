from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.packet import NOTHING
from pocketgraph.runtime.graph.ports import ANY, Inputs, Outputs, SideInputs, SideOutputs
from pocketgraph.runtime.graph.registry import register


@register("PassThroughCalculator")
class PassThrough(Calculator):
    """Hands every packet, header and side packet on as it is.

    Inputs: any number, with any tags. Side packets: likewise, if there are outputs for them.
    Outputs: the same tags and indexes as the inputs, with the same types and timestamps.

    Example:
        node {
          calculator: "PassThroughCalculator"
          input_stream: "VIDEO:frames"
          output_stream: "VIDEO:same_frames"
        }
    """

    inputs = Inputs[Any](ANY, optional=True)
    outputs = Outputs[Any](ANY, optional=True, same_as=inputs)
    side_inputs = SideInputs[Any](ANY, optional=True)
    side_outputs = SideOutputs[Any](ANY, optional=True, same_as=side_inputs)
    offset = 0

    @classmethod
    def check(cls, contract: Contract) -> None:
        for taken, given, needed in (
            (contract.inputs, contract.outputs, True),
            (contract.side_inputs, contract.side_outputs, len(contract.side_outputs) > 0),
        ):
            ports = [[(entry.tag, entry.index) for entry in tags] for tags in (taken, given)]
            if needed and ports[0] != ports[1]:
                raise GraphConfigError(
                    f"its inputs {taken.texts()} and outputs {given.texts()} must have the same tags"
                )

    def open(self, context: Context) -> None:
        for source, target in zip(context[self.inputs], context[self.outputs], strict=True):
            if not source.header.empty:
                target.set_header(source.header)
        for given, made in zip(context[self.side_inputs], context[self.side_outputs], strict=False):
            made.set(given.packet)

    def process(self, context: Context) -> None:
        for source, target in zip(context.inputs, context.outputs):  # noqa: B905 - checked to be as many
            packet = source.packet
            if packet[0] is not NOTHING:
                # it comes from a stream of the same type: `add` has nothing to check
                target.packets.append(packet)
