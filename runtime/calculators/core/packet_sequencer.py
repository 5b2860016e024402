from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.ports import Inputs, Outputs
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.graph.timestamp import MAX, MIN, has_next_allowed, next_allowed


@register("PacketSequencerCalculator")
class PacketSequencer(Calculator):
    """Moves packets to the next timestamp that TICK has not passed yet, so that they can steer later ones.

    Inputs: INPUT:0, … (anything), at any timestamps; TICK:0, … (anything).
    Outputs: OUTPUT:0, …: the packets of INPUT, each at the lowest timestamp still open.
    Policy: Immediate.

    Example:
        node {
          calculator: "PacketSequencerCalculator"
          input_stream: "INPUT:switch"
          input_stream: "TICK:frames"
          output_stream: "OUTPUT:switch_at_frames"
        }
    """

    inputs = Inputs[Any]("INPUT")
    ticks = Inputs[Any]("TICK", optional=True)
    outputs = Outputs[Any]("OUTPUT", same_as=inputs)
    policy = "ImmediateInputStreamHandler"

    @classmethod
    def check(cls, contract: Contract) -> None:
        if contract.count(cls.inputs) != contract.count(cls.outputs):
            raise GraphConfigError("it has as many OUTPUT as INPUT")

    def process(self, context: Context) -> None:
        for source, target in zip(context[self.inputs], context[self.outputs], strict=True):
            if source and not target.closed and target.bound <= MAX:
                target.send(source.value, max(MIN, target.bound))
        ticked = [view.timestamp for view in context[self.ticks] if view.timestamp == context.timestamp]
        tick = max([MIN, *ticked])
        for target in context[self.outputs]:
            if tick >= target.bound and not target.closed:
                if has_next_allowed(tick):
                    target.set_bound(next_allowed(tick))
                else:
                    target.close()
