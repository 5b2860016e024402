from __future__ import annotations

from typing import Any

from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.graph.timestamp import MAX


@register("PacketPresenceCalculator")
class PacketPresence(Calculator):
    """Says at each timestamp whether there is a packet.

    Inputs: PACKET (anything). Outputs: PRESENCE (bool).
    Settled timestamps are processed.

    Example:
        node {
          calculator: "PacketPresenceCalculator"
          input_stream: "PACKET:face"
          output_stream: "PRESENCE:has_face"
        }
    """

    packet = Input[Any]("PACKET")
    presence = Output("PRESENCE", bool)
    process_bounds = True
    offset = 0

    def process(self, context: Context) -> None:
        # the time before Done stands for the end of the stream, not for a missing packet
        if context.timestamp != MAX:
            context[self.presence].send(bool(context[self.packet]))
