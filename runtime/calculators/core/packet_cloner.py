from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.packet import EMPTY
from pocketgraph.runtime.graph.ports import Input, Inputs, Outputs
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.graph.timestamp import next_allowed


@register("PacketClonerCalculator")
class PacketCloner(Calculator):
    """Repeats the latest packet of each input at every packet of TICK.

    Inputs: any number without a tag; TICK (anything).
    Outputs: as many without a tag, at the timestamps of TICK.
    Options (PacketClonerCalculatorOptions):
        output_only_when_all_inputs_received: send nothing before every input had a packet; default false.
        output_packets_only_when_all_inputs_received: the same, but move the bound.

    Example:
        node {
          calculator: "PacketClonerCalculator"
          input_stream: "slow"
          input_stream: "TICK:frames"
          output_stream: "slow_at_frames"
        }
    """

    inputs = Inputs[Any]("")
    tick = Input[Any]("TICK")
    clones = Outputs[Any]("", same_as=inputs)
    Options = OptionsSpec("""
message PacketClonerCalculatorOptions extends CalculatorOptions at 258872085
  bool output_only_when_all_inputs_received = 1 default false
  bool output_packets_only_when_all_inputs_received = 2 default false
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        if contract.count(cls.inputs) != contract.count(cls.clones):
            raise GraphConfigError("it has as many outputs as inputs")

    def open(self, context: Context) -> None:
        self._latest = [EMPTY for _ in context[self.inputs]]

    def process(self, context: Context) -> None:
        for place, view in enumerate(context[self.inputs]):
            if view:
                self._latest[place] = view.packet
        if not context[self.tick]:
            return
        if not all(packet is not EMPTY for packet in self._latest):
            if self.options.output_only_when_all_inputs_received:
                return
            if self.options.output_packets_only_when_all_inputs_received:
                for target in context[self.clones]:
                    target.set_bound(next_allowed(context.timestamp))
                return
        for packet, target in zip(self._latest, context[self.clones], strict=True):
            if packet is EMPTY:
                target.set_bound(next_allowed(context.timestamp))
            else:
                target.send(packet.value)
