from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphRuntimeError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.ports import Input, SideOutput
from pocketgraph.runtime.graph.registry import register


@register("StreamToSidePacketCalculator")
class StreamToSidePacket(Calculator):
    """Makes the one packet of a stream a side packet.

    Inputs: one without a tag, which carries exactly one packet. Side packets, output: one without a tag.

    Example:
        node {
          calculator: "StreamToSidePacketCalculator"
          input_stream: "model"
          output_side_packet: "model_for_all"
        }
    """

    stream = Input[Any]("")
    side = SideOutput[Any]("", same_as=stream)

    def open(self, context: Context) -> None:  # noqa: ARG002
        self._seen = False

    def process(self, context: Context) -> None:
        if self._seen:
            raise GraphRuntimeError("a second packet came, only one can become the side packet")
        self._seen = True
        context[self.side].set(context[self.stream].value)
