"""Compiles a graph of ops that the engine knows into a program: fused, placed, its weights packed as measured."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketgraph.models.graph import Graph, Op
from pocketgraph.runtime.chw import _core
from pocketgraph.runtime.chw.builder import Builder
from pocketgraph.runtime.chw.rules import RULES, key
from pocketgraph.runtime.chw.tune import Choices, Layer, Packing, choose
from pocketgraph.runtime.chw.values import Floats


@dataclass(frozen=True)
class Fused:
    """Ops that became steps together, and the numbers of these steps: none where the reader does an op's work."""

    ops: list[Op]
    steps: list[int]


class Plan:
    """A program and what its steps are.

    `labels` has the op's name and kind for every step, `packings` the layer and its packing for every step that
    multiplies weights, `fused` which ops became which steps.
    """

    def __init__(self, graph: Graph, threads: int, isa: str, *, keeps_weights: bool = True) -> None:
        """Compile `graph`. Without `keeps_weights` it lets go of each constant once that is packed."""
        builder = Builder(graph, _core.lanes(isa), threads)
        groups: list[tuple[list[Op], set[str]]] = []
        for op in graph.ops:
            if op not in builder.absorbed:
                before, tasks = set(builder.absorbed), len(builder.tasks)
                RULES[key(op)].emit(builder, op)
                taken = [other for other in graph.ops if other is op or other in builder.absorbed - before]
                groups.append((taken, {task.name for task in builder.tasks[tasks:]}))
        self.program = builder.program(isa)
        if not keeps_weights:
            for tensor in graph.tensors():
                if tensor not in graph.outputs:
                    tensor.data = None
        self.labels: list[tuple[str, str]] = []
        self.packings: dict[int, tuple[Layer, Packing]] = {}
        choices = Choices(threads, self.program.isa)
        for step, label in enumerate(builder.emit(self.program)):
            self.labels.append(label)
            if self.program.packable(step):
                self._pack(step, choices)
                self.program.release(step)
        choices.save()
        self.program.seal()
        inner = [(step, name) for step, (name, kind) in enumerate(self.labels) if kind not in ("input", "output")]
        self.fused = [Fused(ops, [step for step, name in inner if name in names]) for ops, names in groups]

    def _pack(self, step: int, choices: Choices) -> None:
        kind, weights, pixels = self.program.layer(step)
        exact = _exact_storages(weights)
        layer = Layer(kind, weights.shape[0], weights.shape[1], pixels, filled_blocks(weights), exact)
        known = choices.get(layer)
        if known is not None:
            with contextlib.suppress(ValueError, TypeError):  # a cache that somebody else wrote
                self.program.pack(step, *known)
                self.packings[step] = layer, known
                return
        packing = choose(self.program, step, layer)
        choices.put(layer, packing)
        self.packings[step] = layer, packing


def filled_blocks(weights: Floats) -> tuple[int, int, int, int]:
    """How many blocks of 1, 2, 4 and 8 rows by one column hold a weight that is not zero."""
    mask = weights != 0
    counts = []
    for block in (1, 2, 4, 8):
        rows = -(-mask.shape[0] // block) * block
        padded = np.zeros((rows, mask.shape[1]), np.bool_)
        padded[: mask.shape[0]] = mask
        counts.append(int(padded.reshape(-1, block, mask.shape[1]).any(axis=1).sum()))
    return counts[0], counts[1], counts[2], counts[3]


def _exact_storages(weights: Floats) -> tuple[int, ...]:
    """Narrower storages that hold exactly these weights: 1 for float16, 2 for int8 with a scale per row."""
    found: tuple[int, ...] = (1, 2)
    for first in range(0, weights.shape[0], 16):  # few rows at a time, for small temporary arrays
        here = _exact_for(weights[first : first + 16])
        found = tuple(storage for storage in found if storage in here)
        if not found:
            break
    return found


def _exact_for(weights: Floats) -> tuple[int, ...]:
    found: list[int] = []
    with np.errstate(all="ignore"):  # weights may be infinite, or vanish beside others
        if np.array_equal(weights.astype(np.float16).astype(np.float32), weights):
            found.append(1)
        scale = np.abs(weights).max(axis=1, keepdims=True) / np.float32(127)
        steps = np.divide(weights, scale, out=np.zeros_like(weights), where=scale > 0)
        if np.abs(steps - np.round(steps)).max(initial=0) < 1e-4:
            found.append(2)
    return tuple(found)


def profile(plan: Plan, inputs: list[Any], outputs: list[Any], runs: int) -> list[tuple[str, str, float]]:
    """The op's name and kind and the median seconds of each step."""
    seconds = np.array([plan.program.profile(inputs, outputs) for _ in range(runs)])
    return [(name, kind, float(t)) for (name, kind), t in zip(plan.labels, np.median(seconds, axis=0), strict=True)]
