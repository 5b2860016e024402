"""What the tensors of a graph hold on a set of inputs, computed by LiteRT as far as asked and no further.

Pruning goes through a model layer by layer and needs each layer's inputs and outputs, before and after the layers
above it changed. `Activations` keeps the tensors that cross the current position for all samples, as long as they fit
its memory budget, and computes onwards from there: a walk through the whole model costs about one run per sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.models.graph import Graph, Model, Op, Tensor
from pocketgraph.models.tflite_write import write_tflite
from pocketgraph.runtime.litert import LiteRT

Array = npt.NDArray[Any]
CHUNK = 16
"""Samples whose tensors are held at once beyond what is kept."""


class Activations:
    """The tensors of `graph` on `inputs` (graph input -> `[samples, …]`), for a walk from its first op to its last.

    The graph's constants may be replaced during the walk for ops at or after the current position only.
    """

    def __init__(self, graph: Graph, inputs: Mapping[Tensor, Array], budget: int = 1 << 30, threads: int = 2) -> None:
        self.graph = graph
        self.samples = len(next(iter(inputs.values())))
        self._known: dict[Tensor, Array] = {t: a.reshape(len(a), *t.shape) for t, a in inputs.items()}
        self._budget = budget
        self._threads = threads

    def advance(self, position: int) -> None:
        """Go to just before `graph.ops[position]`, keeping what the ops from there on read."""
        made = set(self.graph.inputs).union(*(op.outputs for op in self.graph.ops[:position]))
        needed = dict.fromkeys(t for op in self.graph.ops[position:] for t in op.inputs if t in made)
        needed.update(dict.fromkeys(t for t in self.graph.outputs if t in made))
        live: list[Tensor] = [t for t in needed if t is not None]
        if self.samples * sum(t.size for t in live) * 4 > self._budget:
            return
        missing = [t for t in live if t not in self._known]
        if missing:
            kept = {t: np.empty((self.samples, *t.shape), t.dtype.numpy) for t in missing}
            for start, values in self.chunks(missing):
                for tensor, value in values.items():
                    kept[tensor][start : start + len(value)] = value
            self._known.update(kept)
        self._known = {t: self._known[t] for t in live}

    def chunks(
        self, tensors: Sequence[Tensor], extra: Sequence[Op] = (), samples: int | None = None
    ) -> Iterator[tuple[int, dict[Tensor, Array]]]:
        """`tensors` (of the graph, or results of the `extra` ops) chunk by chunk: first sample, tensor -> values.

        Only the first `samples` are computed where given.
        """
        count = self.samples if samples is None else min(samples, self.samples)
        made = {t for op in extra for t in op.outputs}
        wanted = dict.fromkeys(t for t in tensors if t not in made)
        wanted.update(dict.fromkeys(t for op in extra for t in op.inputs if t is not None and not t.is_constant))
        part = self.graph.extract([t for t in wanted if t not in made], list(self._known))
        part.ops.extend(extra)
        computed = [t for t in tensors if t not in self._known]
        if not computed:
            for start in range(0, count, CHUNK):
                yield start, {t: self._known[t][start : min(start + CHUNK, count)] for t in tensors}
            return
        read = {t for op in part.ops for t in op.inputs if t is not None}
        part.inputs = [t for t in part.inputs if t in read]
        part.outputs = computed
        yield from self._run(part, tensors, count)

    def _run(self, part: Graph, tensors: Sequence[Tensor], count: int) -> Iterator[tuple[int, dict[Tensor, Array]]]:
        content, names = _compiled(part)
        engines = [LiteRT(content, 1) for _ in range(self._threads)]

        def work(engine: LiteRT, start: int, stop: int, step: int, into: dict[Tensor, Array]) -> None:
            for i in range(start, stop):
                if (i - start) % self._threads == step:
                    found = engine.run({names[t]: self._known[t][i] for t in part.inputs})
                    for tensor in part.outputs:
                        into[tensor][i - start] = found[names[tensor]]

        with ThreadPoolExecutor(self._threads) as pool:
            for start in range(0, count, CHUNK):
                stop = min(start + CHUNK, count)
                values = {t: np.empty((stop - start, *t.shape), t.dtype.numpy) for t in part.outputs}
                jobs = [pool.submit(work, e, start, stop, i, values) for i, e in enumerate(engines)]
                for job in jobs:
                    job.result()
                values.update({t: self._known[t][start:stop] for t in tensors if t in self._known})
                yield start, values
        for engine in engines:
            engine.close()


def _compiled(part: Graph) -> tuple[bytes, dict[Tensor, str]]:
    """`part` as a .tflite file whose inputs and outputs have names of their own."""
    model = Model([part])
    copied = model.copy()
    names: dict[Tensor, str] = {}
    for old, new in zip(part.inputs + part.outputs, copied.main.inputs + copied.main.outputs, strict=True):
        new.name = names.setdefault(old, f"tensor_{len(names)}")
    return write_tflite(copied), names


def probe(op: Op) -> Op:
    """A copy of `op` that computes what goes into its fused activation function."""
    output = op.outputs[0]
    copied = Tensor(**{**vars(output), "name": f"{output.name}/before_activation"})
    attrs = {**op.attrs, "fused_activation_function": "NONE"}
    return Op(op.kind, list(op.inputs), [copied], attrs, op.version)
