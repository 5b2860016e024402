"""Timestamps: whole microseconds, with special values below and above them for what surrounds a stream.

In the order of the number line:

    Unset < Unstarted < PreStream < Min … Max < PostStream < OneOverPostStream < Done

`Min … Max` are the values of ordinary packets, counted from any origin the user likes. A packet at PreStream or
PostStream must be the only one of its stream. Unstarted is the input timestamp while a calculator opens and Done while
it closes; as bounds, OneOverPostStream and Done mean that nothing more arrives.

The runtime itself computes with plain integers and the functions below; `Timestamp` is the same integer with checks,
for people.
"""

from __future__ import annotations

from typing_extensions import Self

from pocketgraph.models.errors import UsageError

UNSET = -(2**63)
UNSTARTED = UNSET + 1
PRE_STREAM = UNSET + 2
MIN = UNSET + 3
MAX = 2**63 - 1 - 3
POST_STREAM = MAX + 1
ONE_OVER_POST_STREAM = MAX + 2
DONE = MAX + 3

PER_SECOND = 1_000_000
"""Units of a timestamp in a second."""

_NAMES = {
    UNSET: "UNSET",
    UNSTARTED: "UNSTARTED",
    PRE_STREAM: "PRE_STREAM",
    MIN: "MIN",
    MAX: "MAX",
    POST_STREAM: "POST_STREAM",
    ONE_OVER_POST_STREAM: "ONE_OVER_POST_STREAM",
    DONE: "DONE",
}


def is_range(value: int) -> bool:
    """Whether `value` is one of an ordinary packet, Min and Max included."""
    return MIN <= value <= MAX


def is_special(value: int) -> bool:
    """Whether `value` has a name; Min and Max are both special and in the range."""
    return value <= MIN or value >= MAX


def is_allowed_in_stream(value: int) -> bool:
    """Whether a packet may carry `value`."""
    return PRE_STREAM <= value <= POST_STREAM


def next_allowed(value: int) -> int:
    """The lowest timestamp a packet may carry after one at `value`; OneOverPostStream where there is none."""
    if MIN <= value < MAX:
        return value + 1
    return ONE_OVER_POST_STREAM if value >= MAX or value == PRE_STREAM else MIN


def has_next_allowed(value: int) -> bool:
    """Whether a packet may follow one at `value` in the same stream."""
    return value < MAX and value != PRE_STREAM


def previous_allowed(value: int) -> int:
    """The highest timestamp a packet may have carried before one at `value`; Unstarted where there is none."""
    if MIN < value <= MAX:
        return value - 1
    return UNSTARTED if value <= MIN or value == POST_STREAM else MAX


def shifted(value: int, offset: int) -> int:
    """`value` moved by `offset` microseconds, kept within Min … Max.

    Raises `UsageError` for a value outside that range, whose place on the line has no distance to others.
    """
    if not MIN <= value <= MAX:
        raise UsageError(f"{text_of(value)} cannot be moved by {offset} µs; only ordinary timestamps can")
    return max(MIN, min(MAX, int(value) + int(offset)))


def text_of(value: int) -> str:
    """`value` as messages show it: the number, or the name of a special value."""
    name = _NAMES.get(value)
    return f"Timestamp.{name}" if name else str(int(value))


class Timestamp(int):
    """One timestamp in microseconds: an integer that refuses special values and arithmetic beyond the range.

    Special values are attributes: `Timestamp.PRE_STREAM`, `Timestamp.DONE`. Adding or subtracting a number of
    microseconds saturates at Min and Max; the difference of two timestamps is a plain integer.
    """

    __slots__ = ()
    UNSET: Timestamp
    UNSTARTED: Timestamp
    PRE_STREAM: Timestamp
    MIN: Timestamp
    MAX: Timestamp
    POST_STREAM: Timestamp
    ONE_OVER_POST_STREAM: Timestamp
    DONE: Timestamp

    def __new__(cls, microseconds: int) -> Self:
        if isinstance(microseconds, Timestamp):
            return microseconds  # type: ignore[return-value]
        if not MIN < microseconds < MAX:
            raise UsageError(f"{text_of(microseconds)} is a special value, or none: use the attributes of Timestamp")
        return int.__new__(cls, microseconds)

    @classmethod
    def of(cls, value: int) -> Timestamp:
        """`value` as a Timestamp, special values included."""
        if not UNSET <= value <= DONE:
            raise UsageError(f"{value} does not fit the 64 bits of a timestamp")
        return int.__new__(cls, value)

    @classmethod
    def from_seconds(cls, seconds: float) -> Timestamp:
        """The timestamp nearest to `seconds`."""
        return cls(round(seconds * PER_SECOND))

    @property
    def seconds(self) -> float:
        return int(self) / PER_SECOND

    @property
    def milliseconds(self) -> float:
        return int(self) / 1000

    @property
    def microseconds(self) -> int:
        return int(self)

    def is_range(self) -> bool:
        return is_range(self)

    def is_special(self) -> bool:
        return is_special(self)

    def is_allowed_in_stream(self) -> bool:
        return is_allowed_in_stream(self)

    def has_next_allowed(self) -> bool:
        return has_next_allowed(self)

    def next_allowed(self) -> Timestamp:
        return Timestamp.of(next_allowed(self))

    def previous_allowed(self) -> Timestamp:
        return Timestamp.of(previous_allowed(self))

    def __add__(self, offset: int) -> Timestamp:
        if isinstance(offset, Timestamp):
            raise UsageError("two timestamps cannot be added, only a number of microseconds to one of them")
        return Timestamp.of(shifted(self, offset))

    __radd__ = __add__

    def __sub__(self, other: int) -> int:
        if isinstance(other, Timestamp):
            if not (is_range(self) and is_range(other)):
                raise UsageError(f"there is no distance between {text_of(self)} and {text_of(other)}")
            return int(self) - int(other)
        return Timestamp.of(shifted(self, -other))

    def __str__(self) -> str:
        return text_of(self)

    def __repr__(self) -> str:
        return text_of(self) if int(self) in _NAMES else f"Timestamp({int(self)})"


for _value, _name in _NAMES.items():
    setattr(Timestamp, _name, Timestamp.of(_value))
