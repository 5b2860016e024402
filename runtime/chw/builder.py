"""`Builder`: collects the steps of a plan, gives every value its place in the arena, and makes the program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketgraph.models.errors import UnsupportedError
from pocketgraph.models.graph import Graph, Op, Tensor
from pocketgraph.runtime.chw import _core
from pocketgraph.runtime.chw.values import Floats, Value, fast_order, view

COPY, CLAMP = 0, 1
INFINITY = float("inf")
_MOST_FLOATS = 1 << 28  # a gigabyte


@dataclass(eq=False)
class Task:
    """Some steps of the program: what they read and write, and how to add them once every value has its place."""

    name: str
    kind: str
    reads: list[Value]
    writes: list[Value]
    emit: Callable[[Any], None]
    fills_gaps: bool = False


class Builder:
    """A graph on its way to a program.

    Rules (one per kind of op) call `value` for what they read, `result` for what they make, and `task` for the work.
    `sole_reader` and `absorb` let a rule take later ops into its own step.
    """

    def __init__(self, graph: Graph, lanes: int, threads: int) -> None:
        self.graph, self.lanes, self.threads = graph, lanes, threads
        self.tasks: list[Task] = []
        self.absorbed: set[Op] = set()
        self.padded: dict[Tensor, tuple[Tensor, tuple[int, int, int, int]]] = {}
        self._values: dict[Tensor, Value] = {}
        self._readers = graph.consumers()
        self._kept = set(graph.outputs)
        for tensor in graph.inputs:
            self.result(tensor)

    def value(self, tensor: Tensor) -> Value:
        """The value of a tensor that is constant or computed already."""
        if tensor not in self._values:
            if not tensor.is_constant:
                raise UnsupportedError(f"{tensor.name!r} is read before it is computed")
            data = np.ascontiguousarray(tensor.dense(), np.float32)
            self._values[tensor] = Value(tensor.shape, planes=False, data=data.ravel())
        return self._values[tensor]

    def result(self, tensor: Tensor, alias: Value | None = None) -> Value:
        """The value that `tensor` becomes; with `alias` the same floats as that one."""
        value = Value.of(tensor.shape)
        if alias is not None:
            value.alias, value.shared, alias.room.shared, alias.shared = alias, True, True, True
        self._values[tensor] = value
        return value

    def scratch(self, shape: tuple[int, ...]) -> Value:
        """A value between two tasks of one op."""
        return Value.of(shape)

    def constant(self, data: Floats) -> Value:
        """A constant that the graph does not have, row by row."""
        return Value(data.shape, planes=False, data=np.ascontiguousarray(data, np.float32).ravel())

    def is_ready(self, tensor: Tensor) -> bool:
        """Whether the tensor has been computed by the steps so far (constants have not)."""
        return tensor in self._values and not tensor.is_constant

    def sole_reader(self, tensor: Tensor) -> Op | None:
        """The one op that reads `tensor`, where there is just one and the graph does not give the tensor out."""
        readers = self._readers.get(tensor, [])
        if len(readers) != 1 or tensor in self._kept or readers[0] in self.absorbed:
            return None
        return readers[0]

    def readers(self, tensor: Tensor) -> list[Op]:
        return self._readers.get(tensor, [])

    def is_output(self, tensor: Tensor) -> bool:
        return tensor in self._kept

    def task(
        self,
        op: Op,
        reads: Sequence[Value],
        writes: Sequence[Value],
        emit: Callable[[Any], None],
        kind: str | None = None,
        *,
        fills_gaps: bool = False,
    ) -> None:
        """Add a task. With `fills_gaps` it writes the zeros behind planes itself, as products do."""
        self.tasks.append(Task(op.name, kind or op.kind, list(reads), list(writes), emit, fills_gaps))

    def copy(self, op: Op, source: Value, target: Value) -> None:
        """Copy between values of one shape, whatever their layouts."""
        self.task(op, [source], [target], lambda p: copy_views(p, source.view_args(), target.view_args()))

    def program(self, isa: str) -> Any:
        """A program without steps yet, its values placed and its constants written.

        External buffers are the graph's inputs, then its outputs, each row by row. Raises `UnsupportedError` where
        the arena would exceed a gigabyte.
        """
        given = [self._values[tensor] for tensor in self.graph.inputs]
        wanted = [self.value(tensor) for tensor in self.graph.outputs]
        size = self._place(given, wanted)
        if size > _MOST_FLOATS:
            raise UnsupportedError(f"the net needs {size * 4 / 1e9:.1f} GB for what it computes; at most 1 GB is given")
        sizes = [int(np.prod(v.shape, dtype=np.int64)) for v in given + wanted]
        program = _core.Program(size, sizes, self.threads, isa)
        for value in self._constants():
            assert value.data is not None
            program.write(value.offset, value.data)
        return program

    def emit(self, program: Any) -> Iterator[tuple[str, str]]:
        """Add the steps to `program`: for each, once it is there, the name and kind of the op it belongs to.

        A task is forgotten before the next adds its steps, and its weights with it where nothing else holds them.
        """
        done, filled = 0, set[Value]()

        def added(name: str, kind: str) -> Iterator[tuple[str, str]]:
            nonlocal done
            before, done = done, program.steps
            return iter([(name, kind)] * (done - before))

        for base, tensor in enumerate(self.graph.inputs, 1):
            value = self._values[tensor]
            _zero_margins(program, value, filled, gaps=True)
            rows = _row_strides(value.shape)
            copy_views(program, (0, value.shape, rows, base), (value.first, value.shape, value.strides, 0))
            yield from added(tensor.name, "input")
        while self.tasks:
            task = self.tasks.pop(0)
            for value in task.writes:
                _zero_margins(program, value, filled, gaps=not task.fills_gaps)
            task.emit(program)
            yield from added(task.name, task.kind)
        for base, tensor in enumerate(self.graph.outputs, len(self.graph.inputs) + 1):
            value = self.value(tensor)
            rows = _row_strides(value.shape)
            copy_views(program, (value.first, value.shape, value.strides, 0), (0, value.shape, rows, base))
            yield from added(tensor.name, "output")

    def _constants(self) -> list[Value]:
        found: dict[Value, None] = {}
        for task in self.tasks:
            found.update(dict.fromkeys(v.room for v in task.reads if v.room.data is not None))
        found.update(
            dict.fromkeys(v.room for t, v in self._values.items() if t in self._kept and v.room.data is not None)
        )
        return list(found)

    def _place(self, sources: list[Value], targets: list[Value]) -> int:
        """Give every value an offset so that what lives at the same time does not overlap; returns the arena's size.

        The largest values choose first, each the lowest gap that is free while it lives.
        """
        end = len(self.tasks)
        lives: dict[Value, list[int]] = {}

        def touch(value: Value, when: int) -> None:
            room = value.room
            life = lives.setdefault(room, [when, when])
            life[0], life[1] = min(life[0], when), max(life[1], when)

        for value in sources:
            touch(value, -1)
        for when, task in enumerate(self.tasks):
            for value in [*task.reads, *task.writes]:
                touch(value, when)
        for value in targets:
            touch(value, end)
        for value in self._constants():
            lives[value] = [-1, end]
        placed: list[tuple[Value, list[int]]] = []
        for value, life in sorted(lives.items(), key=lambda item: -item[0].size):
            taken = sorted(
                (other.offset, other.offset + other.size)
                for other, span in placed
                if span[0] <= life[1] and life[0] <= span[1]
            )
            offset = 0
            for start, stop in taken:
                if offset + value.size <= start:
                    break
                offset = max(offset, stop)
            value.offset = offset
            placed.append((value, life))
        return max((value.offset + value.size for value, _ in placed), default=0)


ViewArgs = tuple[int, tuple[int, ...], tuple[int, ...], int]


def copy_views(
    program: Any, source: ViewArgs, target: ViewArgs, kind: int = COPY, low: float = 0, high: float = 0
) -> None:
    """One elementwise step between two strided views (offset, shape, strides, base) of one shape."""
    order = fast_order(target[2], target[1])
    shape = tuple(target[1][axis] for axis in order)
    a = view(source[0], shape, tuple(source[2][axis] for axis in order), source[3])
    y = view(target[0], shape, tuple(target[2][axis] for axis in order), target[3])
    program.unary(kind, a, y, low, high)


def _row_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return Value(shape, planes=False).strides


def _zero_margins(program: Any, value: Value, done: set[Value], *, gaps: bool) -> None:
    """Write the zeros around planes that a depthwise step will read, before anything else is written there."""
    if not value.reach or value in done:
        return
    done.add(value)
    channels, gap = value.shape[3], value.stride - value.pixels
    program.fill(view(value.first - value.margin, (value.margin,), (1,)), 0.0)
    if gaps:
        program.fill(view(value.first + value.pixels, (channels, gap), (value.stride, 1)), 0.0)
