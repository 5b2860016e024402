"""Throttling: a full queue holds back the sources and graph inputs that feed it, until it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pocketgraph.runtime.graph.streams import InputStream


class Gate:
    """Stands before one source or graph input; closed while any queue behind it is full."""

    __slots__ = ("full", "is_input", "name", "opened")

    def __init__(self, name: str, opened: Callable[[], None], *, is_input: bool) -> None:
        self.name = name
        self.full: dict[InputStream, None] = {}
        self.opened = opened
        self.is_input = is_input


class Throttle:
    """Knows which gates lie before which stream."""

    def __init__(self) -> None:
        self.gates_of: dict[InputStream, list[Gate]] = {}
        self.input_gates: list[Gate] = []
        self.grown: dict[InputStream, None] = {}
        self.fixed: set[InputStream] = set()
        """Queues that are never grown: of pollers, whose user decides when to read."""

    def changed(self, stream: InputStream) -> None:
        """A queue became full, or is no longer."""
        for gate in self.gates_of.get(stream, ()):
            if stream.full:
                gate.full[stream] = None
            else:
                gate.full.pop(stream, None)
                if not gate.full:
                    gate.opened()

    def held_back(self) -> bool:
        """Whether a graph input waits for a queue."""
        return any(gate.full for gate in self.input_gates)

    def full_streams(self) -> list[InputStream]:
        """The full queues that could be grown to let a source go on."""
        found: dict[InputStream, Any] = {}
        for gates in self.gates_of.values():
            for gate in gates:
                found.update(gate.full)
        return [stream for stream in found if stream not in self.fixed]

    def reset(self) -> None:
        for gates in self.gates_of.values():
            for gate in gates:
                gate.full.clear()
