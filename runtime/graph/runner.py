"""`CalculatorRunner` runs one node alone: for tests of calculators, yours too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.config import CalculatorGraphConfig, Node, parse_text
from pocketgraph.runtime.graph.graph import CalculatorGraph
from pocketgraph.runtime.graph.packet import Packet
from pocketgraph.runtime.graph.tags import Entry, TagMap


class CalculatorRunner:
    """Feeds one node and collects what it gives.

        runner = CalculatorRunner('calculator: "MergeCalculator" input_stream: ["a", "b"] output_stream: "c"')
        assert runner.run({"a": [(1, "x")], "b": [(1, "y"), (2, "z")]}) == {"c": [(1, "x"), (2, "z")]}

    Streams and side packets are called by their names in the node. `outputs` keeps the packets of the last run,
    `side_outputs` the values of its side packets. Bounds are recorded with `bounds`.
    """

    def __init__(self, node: Any, *, threads: int = 0, **options: Any) -> None:
        config = CalculatorGraphConfig()
        if isinstance(node, str):
            config.CopyFrom(parse_text(f"node {{ {node} }}"))
        else:
            config.node.add().CopyFrom(node)
        (only,) = config.node
        if options:
            self._set_options(only, options)
        for field in ("input_stream", "output_stream", "input_side_packet", "output_side_packet"):
            getattr(config, field).extend(_without_repeats(TagMap(getattr(only, field))))
        self.graph = CalculatorGraph(config, threads=threads)
        self.outputs: dict[str, list[Packet]] = {}
        self.side_outputs: dict[str, Any] = {}
        self.headers: dict[str, Any] = {}
        for name in self.graph.output_names():
            self.graph.observe(name, partial(self._collect, name))

    def _collect(self, name: str, packet: Packet) -> None:
        self.outputs[name].append(packet)

    @staticmethod
    def of(calculator: type[Calculator], node: str, **options: Any) -> CalculatorRunner:
        """A runner for a class with this registered name; `node` is its streams in text."""
        return CalculatorRunner(f'calculator: "{calculator.registered_name}" {node}', **options)

    @staticmethod
    def _set_options(node: Any, options: Mapping[str, Any]) -> None:
        from pocketgraph.runtime.graph.registry import find_calculator

        calculator = find_calculator(node.calculator)
        if calculator is None or calculator.Options is None:
            raise UsageError(f"{node.calculator} takes no options")
        calculator.Options.put(node, options)

    def run(
        self,
        inputs: Mapping[str, Iterable[tuple[int, Any] | Packet]] | None = None,
        side_packets: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> dict[str, list[tuple[int, Any]]]:
        """Run from open to close; packets are added in the order of their timestamps, then of the streams.

        Inputs are `(timestamp, value)` or packets; so is what comes back, by stream. Raises `GraphRuntimeError`.
        """
        self.outputs = {name: [] for name in self.graph.output_names()}
        packets = [
            (packet.timestamp, place, name, packet)
            for place, (name, items) in enumerate((inputs or {}).items())
            for packet in (item if isinstance(item, Packet) else Packet(item[1], item[0]) for item in items)
        ]
        self.graph.start(side_packets, headers)
        for _, _, name, packet in sorted(packets, key=lambda item: item[:2]):
            self.graph.add_packet(name, packet)
        self.graph.finish()
        self.side_outputs = {
            name: self.graph.scheduler.side_packets[name].value
            for name in self.graph.plan.side_outputs.names()
            if name in self.graph.scheduler.side_packets
        }
        return {name: [(packet.timestamp, packet.value) for packet in found] for name, found in self.outputs.items()}


def _without_repeats(tags: TagMap) -> list[str]:
    """The entries with each stream once: two ports may read the same one."""
    first: dict[str, Entry] = {}
    for entry in tags:
        first.setdefault(entry.name, entry)
    return list(first)


def make_node(**fields: Any) -> Any:
    """A node from keyword arguments, `make_node(calculator="MergeCalculator", input_stream=["a", "b"], …)`."""
    return Node(**fields)
