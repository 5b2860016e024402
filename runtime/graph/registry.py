"""Names of graph files: one decorator registers a calculator, one function a subgraph; a name given twice raises."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pocketgraph.models.errors import GraphConfigError, UsageError

if TYPE_CHECKING:
    from pocketgraph.runtime.graph.calculator import Calculator

C = TypeVar("C", bound="type[Calculator]")
SubgraphMaker = Callable[[Any], Any]
"""Takes the node of the subgraph, gives the CalculatorGraphConfig that replaces it."""

_calculators: dict[str, type[Calculator]] = {}
_subgraphs: dict[str, SubgraphMaker] = {}
_HOMES = ["pocketgraph.runtime.calculators"]


def register(*names: str) -> Callable[[C], C]:
    """Make a calculator class known to graph files by `names`; the first is its own, others are spellings of it."""

    def mark(calculator: C) -> C:
        for name in names:
            _refuse_taken(name)
            _calculators[name] = calculator
        calculator.registered_name = names[0]
        return calculator

    if not names:
        raise UsageError('register needs the name used in graph files: @register("MyCalculator")')
    return mark


def register_subgraph(name: str, subgraph: Any) -> None:
    """Make a graph usable as a node: `subgraph` is a CalculatorGraphConfig, or a function from the node to one."""
    _refuse_taken(name)
    _subgraphs[name] = subgraph if callable(subgraph) else lambda _: subgraph


def _refuse_taken(name: str) -> None:
    if name in _calculators or name in _subgraphs:
        taken = _calculators.get(name) or "a subgraph"
        raise UsageError(f'the name "{name}" is taken by {taken}; choose another')


def _load() -> None:
    while _HOMES:
        importlib.import_module(_HOMES.pop())


def _spellings(name: str, package: str) -> Iterator[str]:
    """The full names a short one may stand for: in the graph's package, in those around it, and alone."""
    name = name.replace("::", ".").strip(".")
    parts = package.split(".") if package else []
    while parts:
        yield ".".join([*parts, name])
        parts.pop()
    yield name
    yield name.removeprefix("mediapipe.")


def find_calculator(name: str, package: str = "") -> type[Calculator] | None:
    """The class registered as `name`, looked up in `package` first, or None."""
    _load()
    return next((_calculators[full] for full in _spellings(name, package) if full in _calculators), None)


def find_subgraph(name: str, package: str = "") -> SubgraphMaker | None:
    """The subgraph registered as `name`, or None."""
    _load()
    return next((_subgraphs[full] for full in _spellings(name, package) if full in _subgraphs), None)


def known_names() -> list[str]:
    """All names that may stand as `calculator:` in a graph file."""
    _load()
    return sorted([*_calculators, *_subgraphs])


def unknown(name: str, node: str) -> GraphConfigError:
    """The error for a name nobody registered, with the nearest ones that are."""
    near = difflib.get_close_matches(name, known_names(), 3, 0.7)
    hint = f"; near it: {', '.join(near)}" if near else ""
    return GraphConfigError(f'node "{node}": no calculator or subgraph is registered as "{name}"{hint}')


@contextmanager
def isolated() -> Iterator[None]:
    """Forget, at the end, what is registered inside: for tests."""
    _load()
    calculators, subgraphs = dict(_calculators), dict(_subgraphs)
    try:
        yield
    finally:
        tables: list[tuple[dict[str, Any], dict[str, Any]]] = [(_calculators, calculators), (_subgraphs, subgraphs)]
        for table, before in tables:
            table.clear()
            table.update(before)
