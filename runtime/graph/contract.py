"""A node's contract: what its class declares, bound to the streams and side packets its graph file gives it."""

from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.options import refuse_twice
from pocketgraph.runtime.graph.ports import ANY, INPUT, KINDS, OUTPUT, Port
from pocketgraph.runtime.graph.tags import TagMap

Type = type | tuple[type, ...]


class Contract:
    """What one node takes and gives. `check` of the calculator may change `policy` and `process_bounds`.

    `places` maps each port to the places of its entries in the tag map of its kind; `types` has the type of every
    entry; `inputs`, `outputs`, `side_inputs`, `side_outputs` are the tag maps.
    """

    def __init__(self, calculator: type[Calculator], node: Any, name: str) -> None:
        self.calculator = calculator
        self.node = node
        self.name = name
        self.policy = calculator.policy
        self.process_bounds = calculator.process_bounds
        self.inputs = self._tags("input streams", node.input_stream)
        self.outputs = self._tags("output streams", node.output_stream)
        self.side_inputs = self._tags("input side packets", node.input_side_packet)
        self.side_outputs = self._tags("output side packets", node.output_side_packet)
        self.maps = dict(zip(KINDS, (self.inputs, self.outputs, self.side_inputs, self.side_outputs), strict=True))
        refuse_twice(node.node_options, name)
        self.options: Any = calculator.Options.read(node) if calculator.Options is not None else None
        self.places: dict[Port[Any], tuple[int, ...]] = {}
        self.types: dict[str, list[Type]] = {kind: [object] * len(tags) for kind, tags in self.maps.items()}
        self._optional: set[tuple[str, int]] = set()
        self.same_as: dict[int, int] = {}
        for kind in KINDS:
            self._bind(kind)
        self._share_types()
        try:
            calculator.check(self)
        except GraphConfigError as error:
            raise GraphConfigError(f'node "{name}" ({node.calculator}): {error}') from error

    def has(self, port: Port[Any]) -> bool:
        """Whether anything is connected to `port`."""
        return bool(self.places[port])

    def count(self, port: Port[Any]) -> int:
        """How many entries are connected to `port`."""
        return len(self.places[port])

    def is_optional(self, kind: str, place: int) -> bool:
        return (kind, place) in self._optional

    def _tags(self, what: str, texts: Any) -> TagMap:
        try:
            return TagMap(texts)
        except GraphConfigError as error:
            raise GraphConfigError(f'{what} of node "{self.name}" ({self.node.calculator}): {error}') from error

    def _bind(self, kind: str) -> None:
        tags = self.maps[kind]
        free = dict.fromkeys(range(len(tags)))
        ports = [port for port in self.calculator.ports if port.kind == kind]
        for port in sorted(ports, key=lambda port: port.tag == ANY):
            if port.tag == ANY:
                found = list(free)
            elif port.many:
                found = [place for place in free if tags.entries[place].tag == port.tag]
            else:
                place = tags.place(port.tag, port.index)
                found = [] if place is None or place not in free else [place]
            if len(found) < port.least:
                raise GraphConfigError(
                    f'node "{self.name}" ({self.node.calculator}) needs '
                    f"{port if port.least == 1 else f'{port.least} of {port}'}, its {kind}s are {tags.texts()}"
                )
            for place in found:
                del free[place]
                self.types[kind][place] = port.type
                if port.optional:
                    self._optional.add((kind, place))
            self.places[port] = tuple(found)
        if free:
            extra = [str(tags.entries[place]) for place in free]
            known = ", ".join(str(port) for port in ports) or "none"
            raise GraphConfigError(
                f'node "{self.name}" ({self.node.calculator}) has no {kind} {", ".join(extra)}; it has {known}'
            )

    def _share_types(self) -> None:
        for port, places in self.places.items():
            if port.same_as is None:
                continue
            sources = self.places[port.same_as]
            for number, place in enumerate(places):
                if sources and port.kind == OUTPUT and port.same_as.kind == INPUT:
                    self.same_as[place] = sources[number] if number < len(sources) else sources[0]
                self.types[port.kind][place] = port.same_as.type


def input_names(contract: Contract) -> list[str]:
    """The streams a node reads, in the order of its tag map."""
    return contract.inputs.names()
