"""What a calculator sees while it runs: its context, and the view of each of its ports.

A context maps ports to views. `open`, `process` and `close` each get one; with `max_in_flight` above 1 several
contexts of a node exist at once, so a calculator keeps views in local variables, never in itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from pocketgraph.models.errors import GraphRuntimeError, UsageError
from pocketgraph.runtime.graph.packet import EMPTY, NOTHING, Packet, T
from pocketgraph.runtime.graph.ports import type_name
from pocketgraph.runtime.graph.timestamp import (
    DONE,
    ONE_OVER_POST_STREAM,
    POST_STREAM,
    PRE_STREAM,
    UNSET,
    UNSTARTED,
    next_allowed,
    text_of,
)

if TYPE_CHECKING:
    from pocketgraph.runtime.graph.ports import (
        Input,
        Inputs,
        Output,
        Outputs,
        SideInput,
        SideInputs,
        SideOutput,
        SideOutputs,
    )
    from pocketgraph.runtime.graph.streams import OutputStream


class InputView:
    """An input stream at the context's timestamp. True where there is a packet.

    `packet` is the packet, or an empty one that carries the time up to which the stream is settled; `header` is the
    packet set by the producer while it opened; `done` says that nothing more arrives.
    """

    __slots__ = ("done", "header", "name", "packet", "tag")

    def __init__(self, name: str, tag: str = "") -> None:
        self.name = name
        self.tag = tag
        self.packet: Packet = EMPTY
        self.header: Packet = EMPTY
        self.done = False

    def __bool__(self) -> bool:
        return self.packet[0] is not NOTHING

    @property
    def empty(self) -> bool:
        return self.packet[0] is NOTHING

    @property
    def value(self) -> Any:
        """The value. Raises `UsageError` where there is none."""
        value = self.packet[0]
        if value is NOTHING:
            raise UsageError(f'stream "{self.name}" has no packet at this timestamp; ask for it with `if view:` first')
        return value

    @property
    def timestamp(self) -> int:
        """The packet's timestamp; of an empty packet, the last one that is settled."""
        return self.packet[1]

    def get(self, kind: type[T]) -> T:
        """The value, checked to be a `kind`."""
        return self.packet.get(kind)


class OutputView:
    """An output stream during one call; what is sent is passed on when the call returns."""

    __slots__ = ("closed", "context", "header", "name", "offset", "packets", "stream", "tag", "type", "updated")

    def __init__(self, stream: OutputStream, kind: type | tuple[type, ...], context: Context, tag: str = "") -> None:
        self.stream = stream
        self.name = stream.name
        self.tag = tag
        self.type = kind
        self.context = context
        self.packets: list[Packet] = []
        self.updated = UNSET
        self.closed = False
        self.header: Packet = EMPTY
        self.offset: int | None = None

    @property
    def bound(self) -> int:
        """The lowest timestamp the next packet may have."""
        last = next_allowed(self.packets[-1][1]) if self.packets else UNSET
        return max(self.stream.bound, self.updated, last)

    def send(self, value: Any, at: int | None = None) -> None:
        """Send `value` at the input's timestamp, or at another."""
        self.add(Packet(value, self.context.timestamp if at is None else at))

    def add(self, packet: Packet) -> None:
        """Send a packet; an empty one moves the bound past its timestamp."""
        value, timestamp = packet
        if timestamp.__class__ is not int:
            timestamp = int(timestamp)
            packet = Packet(value, timestamp)
        if self.closed:
            raise GraphRuntimeError(f'a packet was sent to the closed stream "{self.name}"')
        if value is NOTHING:
            self.set_bound(next_allowed(timestamp))
            return
        if not PRE_STREAM <= timestamp <= POST_STREAM:
            raise GraphRuntimeError(f'stream "{self.name}": a packet cannot have the timestamp {text_of(timestamp)}')
        kind = self.type
        if kind is not object and not isinstance(value, kind):
            raise GraphRuntimeError(
                f'stream "{self.name}" carries {type_name(kind)}, but a {type(value).__name__} was sent'
            )
        self.packets.append(packet)

    def set_bound(self, timestamp: int) -> None:
        """Promise that no packet before `timestamp` follows."""
        if not PRE_STREAM <= timestamp <= ONE_OVER_POST_STREAM:
            raise GraphRuntimeError(f'stream "{self.name}": {text_of(timestamp)} cannot be a bound')
        self.updated = int(timestamp)

    def close(self) -> None:
        """Promise that nothing follows."""
        self.closed = True
        self.updated = DONE

    def set_header(self, value: Any) -> None:
        """Give consumers a value before the first packet; only while opening."""
        if self.closed or self.context.timestamp != UNSTARTED:
            raise GraphRuntimeError(f'stream "{self.name}": a header can be set only while opening, before closing it')
        packet = value if isinstance(value, Packet) else Packet(value)
        if packet.timestamp != UNSET:
            raise GraphRuntimeError(f'stream "{self.name}": a header has no timestamp, this one is at {packet[1]}')
        self.header = packet

    def set_offset(self, offset: int) -> None:
        """Promise that outputs lie `offset` µs after the input they come from, so bounds pass without a call."""
        if self.context.timestamp != UNSTARTED:
            raise GraphRuntimeError(f'stream "{self.name}": an offset can be set only while opening')
        self.offset = offset


class SideInputView:
    """An input side packet; False where it is optional and absent."""

    __slots__ = ("name", "packet", "tag")

    def __init__(self, name: str, packet: Packet, tag: str = "") -> None:
        self.name = name
        self.packet = packet
        self.tag = tag

    def __bool__(self) -> bool:
        return self.packet[0] is not NOTHING

    @property
    def empty(self) -> bool:
        return self.packet[0] is NOTHING

    @property
    def value(self) -> Any:
        value = self.packet[0]
        if value is NOTHING:
            raise UsageError(f'the side packet "{self.name}" was not given')
        return value

    def get(self, kind: type[T]) -> T:
        return self.packet.get(kind)


class SideOutputView:
    """An output side packet: `set` gives it to whoever waits for it."""

    __slots__ = ("name", "packet", "tag", "type")

    def __init__(self, name: str, kind: type | tuple[type, ...], tag: str = "") -> None:
        self.name = name
        self.type = kind
        self.tag = tag
        self.packet: Packet = EMPTY

    def set(self, value: Any) -> None:
        packet = value if isinstance(value, Packet) else Packet(value)
        if packet.timestamp != UNSET:
            raise GraphRuntimeError(f'the side packet "{self.name}" cannot have a timestamp')
        if not self.packet.empty:
            raise GraphRuntimeError(f'the side packet "{self.name}" was already set')
        if self.type is not object and not isinstance(packet[0], self.type):
            raise GraphRuntimeError(
                f'the side packet "{self.name}" holds {type_name(self.type)}, but a {type(packet[0]).__name__} was set'
            )
        self.packet = packet


class Context(dict[Any, Any]):
    """Maps the ports of a calculator to their views.

    `timestamp` is that of the inputs (Unstarted while opening, Done while closing); `node` is the node's name; `error`
    is what ended the run, seen by `close`. An optional port that is not connected maps to None, a plural one to [].
    """

    __slots__ = ("error", "inputs", "node", "outputs", "timestamp")

    def __init__(self, node: str) -> None:
        super().__init__()
        self.node = node
        self.timestamp = UNSTARTED
        self.inputs: list[InputView] = []
        self.outputs: list[OutputView] = []
        self.error: BaseException | None = None

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, port: Input[Any]) -> InputView: ...
        @overload
        def __getitem__(self, port: Output[Any]) -> OutputView: ...
        @overload
        def __getitem__(self, port: SideInput[Any]) -> SideInputView: ...
        @overload
        def __getitem__(self, port: SideOutput[Any]) -> SideOutputView: ...
        @overload
        def __getitem__(self, port: Inputs[Any]) -> list[InputView]: ...
        @overload
        def __getitem__(self, port: Outputs[Any]) -> list[OutputView]: ...
        @overload
        def __getitem__(self, port: SideInputs[Any]) -> list[SideInputView]: ...
        @overload
        def __getitem__(self, port: SideOutputs[Any]) -> list[SideOutputView]: ...
        def __getitem__(self, port: Any) -> Any: ...

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)
