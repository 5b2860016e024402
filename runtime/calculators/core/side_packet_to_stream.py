from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.calculator import STOP, Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.ports import Input, Outputs, SideInput, SideInputs
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.graph.timestamp import POST_STREAM, PRE_STREAM

_TIMES = {"AT_PRESTREAM": PRE_STREAM, "AT_POSTSTREAM": POST_STREAM, "AT_ZERO": 0}


@register("SidePacketToStreamCalculator")
class SidePacketToStream(Calculator):
    """Sends side packets into streams, at a time the tag of the outputs says.

    Side packets: one without a tag for each output; TIMESTAMP (int) for AT_TIMESTAMP.
    Inputs: TICK (anything) for AT_TICK.
    Outputs, all with one of these tags: AT_PRESTREAM, AT_ZERO, AT_POSTSTREAM, AT_TIMESTAMP: once;
    AT_TICK: at each packet of TICK.

    Example:
        node {
          calculator: "SidePacketToStreamCalculator"
          input_stream: "TICK:frames"
          input_side_packet: "labels"
          output_stream: "AT_TICK:labels_of_frame"
        }
    """

    tick = Input[Any]("TICK", optional=True)
    values = SideInputs[Any]("")
    timestamp = SideInput("TIMESTAMP", int, optional=True)
    at_prestream = Outputs[Any]("AT_PRESTREAM", optional=True)
    at_poststream = Outputs[Any]("AT_POSTSTREAM", optional=True)
    at_zero = Outputs[Any]("AT_ZERO", optional=True)
    at_tick = Outputs[Any]("AT_TICK", optional=True)
    at_timestamp = Outputs[Any]("AT_TIMESTAMP", optional=True)

    @classmethod
    def check(cls, contract: Contract) -> None:
        tags = contract.outputs.tags()
        if len(tags) != 1:
            raise GraphConfigError(f"its outputs have one tag of AT_…, not {tags}")
        if contract.has(cls.at_tick) != contract.has(cls.tick):
            raise GraphConfigError("AT_TICK and TICK belong together")
        if contract.has(cls.at_timestamp) != contract.has(cls.timestamp):
            raise GraphConfigError("AT_TIMESTAMP and the side packet TIMESTAMP belong together")
        if len(contract.outputs) != contract.count(cls.values):
            raise GraphConfigError(
                f"it has {len(contract.outputs)} outputs for {contract.count(cls.values)} side packets"
            )

    def process(self, context: Context) -> Any:
        once = context[self.tick] is None
        if once:
            tag = context.outputs[0].tag
            time = context[self.timestamp].value if tag == "AT_TIMESTAMP" else _TIMES[tag]
        else:
            time = context.timestamp
        for side, target in zip(context[self.values], context.outputs, strict=True):
            target.send(side.value, time)
            if once:
                target.close()
        return STOP if once else None
