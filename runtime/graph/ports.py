"""Ports: what a calculator class declares once about its inputs, outputs and side packets.

A port is a class attribute and the key under which the calculator finds the stream in its context:

    class Scale(Calculator):
        numbers = Input("NUMBERS", float)
        factor = SideInput("FACTOR", float, optional=True)
        scaled = Output("SCALED", float)

        def process(self, context):
            if source := context[self.numbers]:
                context[self.scaled].send(source.value * 2)

The plural classes stand for any number of entries with one tag (`Inputs("INPUT")`), or, with the tag `ANY`, for every
entry that no other port claims; the context then gives a list.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Generic, TypeVar

T = TypeVar("T")

ANY: Final = "*"
"""The tag of a plural port that takes every entry left over by the others, whatever its tag."""

INPUT, OUTPUT, SIDE_INPUT, SIDE_OUTPUT = "input stream", "output stream", "input side packet", "output side packet"
KINDS = (INPUT, OUTPUT, SIDE_INPUT, SIDE_OUTPUT)


class Port(Generic[T]):
    """One declaration; `type` is what its packets must hold (`object`: anything).

    A port that is not `optional` must be connected; a plural one needs at least `least` entries. `same_as` names
    the port whose type an output shares, entry by entry where both are plural.
    """

    kind: ClassVar[str]
    many: ClassVar[bool] = False

    def __init__(
        self,
        tag: str = "",
        type: type[T] | tuple[type, ...] = object,  # type: ignore[assignment]  # noqa: A002 - reads as it means
        *,
        index: int = 0,
        optional: bool = False,
        least: int = 1,
        same_as: Port[Any] | None = None,
    ) -> None:
        self.tag = tag
        self.type = type
        self.index = index
        self.optional = optional
        self.least = 0 if optional else least
        self.same_as = same_as
        self.name = tag.lower()

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return f'{self.kind} "{self.tag}"' if self.tag else f"{self.kind} {self.index}"


class Input(Port[T]):
    """One input stream."""

    kind = INPUT


class Output(Port[T]):
    """One output stream."""

    kind = OUTPUT


class SideInput(Port[T]):
    """One input side packet: a value that is there before the calculator opens."""

    kind = SIDE_INPUT


class SideOutput(Port[T]):
    """One output side packet, set at most once, usually while opening."""

    kind = SIDE_OUTPUT


class Inputs(Port[T]):
    """All input streams with one tag."""

    kind = INPUT
    many = True


class Outputs(Port[T]):
    """All output streams with one tag."""

    kind = OUTPUT
    many = True


class SideInputs(Port[T]):
    """All input side packets with one tag."""

    kind = SIDE_INPUT
    many = True


class SideOutputs(Port[T]):
    """All output side packets with one tag."""

    kind = SIDE_OUTPUT
    many = True


def ports_of(owner: type) -> list[Port[Any]]:
    """The ports a class and its bases declare; a base's port is replaced by one of the same attribute name."""
    found: dict[str, Port[Any]] = {}
    for base in reversed(owner.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, Port):
                found[name] = value
            else:
                found.pop(name, None)
    return list(found.values())


def type_name(kind: type | tuple[type, ...]) -> str:
    """A port's type as messages show it."""
    if isinstance(kind, tuple):
        return " or ".join(item.__name__ for item in kind)
    return "anything" if kind is object else kind.__name__
