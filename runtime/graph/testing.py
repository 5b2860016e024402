"""Doubles for tests of graphs: calculators whose work is given as functions, a counting source, and a short way to run.

Import this module to make `LambdaCalculator`, `LambdaSourceCalculator` and `CountingSourceCalculator` known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pocketgraph.runtime.graph.calculator import STOP, Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.graph import CalculatorGraph
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.packet import Packet
from pocketgraph.runtime.graph.ports import ANY, Inputs, Output, Outputs, SideInput, SideInputs, SideOutputs
from pocketgraph.runtime.graph.registry import register


@register("LambdaCalculator", "LambdaSourceCalculator")
class Lambda(Calculator):
    """Does what functions in its side packets do, each called with the context.

    Side packets: OPEN, PROCESS, CLOSE (functions, optional); any others. Inputs, outputs: any.
    Options (LambdaCalculatorOptions): process_bounds, and offset of the outputs in µs.

    Example:
        node {
          calculator: "LambdaCalculator"
          input_stream: "a"
          input_side_packet: "PROCESS:double_it"
          output_stream: "b"
        }
    """

    inputs = Inputs[Any](ANY, optional=True)
    outputs = Outputs[Any](ANY, optional=True)
    sides = SideInputs[Any](ANY, optional=True)
    made_sides = SideOutputs[Any](ANY, optional=True)
    opening = SideInput[Any]("OPEN", optional=True)
    processing = SideInput[Any]("PROCESS", optional=True)
    closing = SideInput[Any]("CLOSE", optional=True)
    Options = OptionsSpec("""
message LambdaCalculatorOptions extends CalculatorOptions at 500000001
  bool process_bounds = 1
  int64 offset = 2
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        contract.process_bounds = contract.options.process_bounds

    def open(self, context: Context) -> None:
        if self.options.HasField("offset"):
            for view in context.outputs:
                view.set_offset(self.options.offset)
        if context[self.opening]:
            context[self.opening].value(context)

    def process(self, context: Context) -> Any:
        return context[self.processing].value(context) if context[self.processing] else None

    def close(self, context: Context) -> None:
        if context[self.closing]:
            context[self.closing].value(context)


@register("CountingSourceCalculator")
class CountingSource(Calculator):
    """A source of the numbers 0, 1, … at timestamps of the same value.

    Side packets: MAX_COUNT (int): how many. Outputs: one without a tag.

    Example:
        node {
          calculator: "CountingSourceCalculator"
          input_side_packet: "MAX_COUNT:how_many"
          output_stream: "numbers"
        }
    """

    most = SideInput("MAX_COUNT", int)
    numbers = Output("", int)

    def open(self, context: Context) -> None:  # noqa: ARG002
        self._next = 0

    def process(self, context: Context) -> Any:
        if self._next >= context[self.most].value:
            return STOP
        context[self.numbers].send(self._next, self._next)
        self._next += 1
        return None


def run_graph(
    graph: Any,
    inputs: Mapping[str, Iterable[tuple[int, Any] | Packet]] | None = None,
    side_packets: Mapping[str, Any] | None = None,
    *,
    threads: int = 0,
    bounds: bool = False,
) -> dict[str, list[tuple[int, Any]]]:
    """Run a graph over `inputs`, added in the order of timestamps, then of streams; returns what came out by stream.

    With `bounds` settled times without a packet are in it too, with the value NOTHING.
    """
    running = CalculatorGraph(graph, threads=threads)
    result: dict[str, list[tuple[int, Any]]] = {name: [] for name in running.output_names()}

    def note(name: str, packet: Packet) -> None:
        result[name].append((packet.timestamp, packet.value))

    for name in running.output_names():
        running.observe(name, lambda packet, to=name: note(to, packet), bounds=bounds)  # type: ignore[misc]
    packets = sorted(
        (
            (packet.timestamp, place, name, packet)
            for place, (name, items) in enumerate((inputs or {}).items())
            for packet in (item if isinstance(item, Packet) else Packet(item[1], item[0]) for item in items)
        ),
        key=lambda item: item[:2],
    )
    running.start(side_packets)
    for _, _, name, packet in packets:
        running.add_packet(name, packet)
    running.finish(timeout=60)
    return result
