"""A packet: any Python object, with the timestamp at which it holds. Packets do not change; `at` makes another one."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeVar

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.graph.timestamp import UNSET, text_of

T = TypeVar("T")


class _Nothing:
    """The value of a packet that has none. `None` is a value like any other."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NOTHING"

    def __bool__(self) -> bool:
        return False


NOTHING: Final = _Nothing()


class Packet(NamedTuple):
    """A value and its timestamp; the value is shared, never copied, so whoever receives it leaves it as it is.

    `Packet()` is the empty packet. On a stream an empty packet carries the time up to which nothing has arrived.
    A side packet keeps the timestamp Unset.
    """

    value: Any = NOTHING
    timestamp: int = UNSET

    @property
    def empty(self) -> bool:
        """Whether there is no value."""
        return self.value is NOTHING

    def at(self, timestamp: int) -> Packet:
        """The same value at another time."""
        return Packet(self.value, timestamp)

    def get(self, kind: type[T]) -> T:
        """The value, checked to be a `kind`. Raises `UsageError` for an empty packet and for another type."""
        if self.value is NOTHING:
            raise UsageError(f"an empty packet at {text_of(self.timestamp)} has no value; expected {kind.__name__}")
        if not isinstance(self.value, kind):
            raise UsageError(
                f"the packet at {text_of(self.timestamp)} holds {type(self.value).__name__}, expected {kind.__name__}"
            )
        return self.value

    # tuples compare by value, which arrays cannot: a packet is equal to itself alone
    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        held = "empty" if self.value is NOTHING else type(self.value).__name__
        return f"<Packet {held} at {text_of(self.timestamp)}>"


EMPTY: Final = Packet()
