"""The base class of calculators: ports and options declared once, then `open`, `process`, `close`.

The smallest useful calculator:

    @register("DoublingCalculator")
    class Doubling(Calculator):
        numbers = Input("NUMBERS", int)
        doubled = Output("DOUBLED", int)
        offset = 0

        def process(self, context: Context) -> None:
            context[self.doubled].send(2 * context[self.numbers].value)

A node of a graph file (`node { calculator: "DoublingCalculator" input_stream: "NUMBERS:n" … }`) makes one object of
it per run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from pocketgraph.runtime.graph.ports import Port, ports_of

if TYPE_CHECKING:
    from pocketgraph.runtime.graph.context import Context
    from pocketgraph.runtime.graph.contract import Contract
    from pocketgraph.runtime.graph.options import OptionsSpec


class _Stop:
    """What `process` returns to end the run without an error."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "STOP"


STOP: Final = _Stop()
"""Returned by `process`: a source has nothing more; anywhere else, all sources end and what is queued is worked off."""


class Calculator:
    """One node's work. Subclasses declare class attributes and override the methods they need.

    - ports: `Input`, `Output`, … (see `ports`); a calculator without connected inputs is a source.
    - `Options`: the message its `options` in graph files must be; `self.options` is that message, defaults filled in.
    - `policy`: the input policy where the node names none, "DefaultInputStreamHandler" unless said otherwise.
    - `process_bounds`: call `process` also for timestamps that are settled without a packet.
    - `offset`: outputs lie that many µs after their input, so that bounds pass this node without a call.

    Errors raised by any method end the run; the message names the node and the timestamp.
    """

    Options: ClassVar[OptionsSpec | None] = None
    policy: ClassVar[str] = ""
    process_bounds: ClassVar[bool] = False
    offset: ClassVar[int | None] = None
    registered_name: ClassVar[str] = ""
    ports: ClassVar[list[Port[Any]]] = []
    options: Any = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.ports = ports_of(cls)

    @classmethod
    def check(cls, contract: Contract) -> None:
        """Refuse wirings and options that the ports alone allow, by raising `GraphConfigError`; may set its policy."""

    def open(self, context: Context) -> None:
        """Called once, before anything arrives; side packets and headers are there."""

    def process(self, context: Context) -> Any:
        """Called for each set of inputs, in ascending timestamps; returns None or `STOP`."""

    def close(self, context: Context) -> None:
        """Called once at the end, after an error too (then `context.error` is set)."""
