from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import SideOutputs
from pocketgraph.runtime.graph.registry import register


@register("ConstantSidePacketCalculator")
class ConstantSidePacket(Calculator):
    """Makes side packets of values written in the graph file.

    Side packets, output: PACKET, or PACKET:0, PACKET:1, …, one for each `packet` of the options, in order.
    Options (ConstantSidePacketCalculatorOptions): packet { … } with one of int_value, uint64_value, int64_value,
    float_value, double_value, bool_value, string_value, string_vector_value, float_vector_value, int_vector_value.

    Example:
        node {
          calculator: "ConstantSidePacketCalculator"
          output_side_packet: "PACKET:most_hands"
          options: { [mediapipe.ConstantSidePacketCalculatorOptions.ext] { packet { int_value: 2 } } }
        }
    """

    packets = SideOutputs[Any]("PACKET")
    Options = OptionsSpec("""
message ConstantSidePacketCalculatorOptions extends CalculatorOptions at 291214597
  message StringVector
    repeated string string_value = 1
  message FloatVector
    repeated float float_value = 1
  message IntVector
    repeated int32 int_value = 1
  message ConstantSidePacket
    int32 int_value = 1
    float float_value = 2
    bool bool_value = 3
    string string_value = 4
    uint64 uint64_value = 5
    double double_value = 9
    int64 int64_value = 11
    StringVector string_vector_value = 13
    FloatVector float_vector_value = 14
    IntVector int_vector_value = 15
  repeated ConstantSidePacket packet = 1
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        if len(contract.options.packet) != len(contract.side_outputs):
            raise GraphConfigError(
                f"it has {len(contract.side_outputs)} output side packets for {len(contract.options.packet)} values"
            )
        for number, packet in enumerate(contract.options.packet):
            if len(packet.ListFields()) != 1:
                raise GraphConfigError(f"packet {number} of its options has {len(packet.ListFields())} values, not one")

    def open(self, context: Context) -> None:
        for view, packet in zip(context[self.packets], self.options.packet, strict=True):
            ((field, value),) = packet.ListFields()
            if field.message_type is not None:
                value = [item for _, items in value.ListFields() for item in items]
            view.set(value)
