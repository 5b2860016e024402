"""The CHW delegate: sparse models run on any processor, what the engine does not know goes to LiteRT."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pocketgraph.models.decompress import Decompress
from pocketgraph.models.errors import UnsupportedError, UsageError
from pocketgraph.models.graph import DType, Graph, Model, Op, Tensor
from pocketgraph.models.tflite_write import write_tflite
from pocketgraph.runtime.chw.late_resize import resize_late
from pocketgraph.runtime.chw.partition import Part, partition
from pocketgraph.runtime.chw.plan import Plan, profile
from pocketgraph.runtime.delegate import Array, TensorSpec
from pocketgraph.runtime.fastest import ISA_VARIABLE
from pocketgraph.runtime.litert import LiteRT

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


@dataclass(eq=False)
class _Own:
    plan: Plan
    graph: Graph
    inputs: list[Tensor]
    outputs: list[Tensor]


@dataclass(eq=False)
class _Lent:
    """Ops that LiteRT runs."""

    engine: LiteRT
    graph: Graph
    inputs: list[Tensor]
    outputs: list[Tensor]


@dataclass(frozen=True)
class PartTime:
    """The median seconds of each step of a part; of a part that LiteRT runs (`plan` is None) all in one, with what
    handing over its tensors takes."""

    graph: Graph
    plan: Plan | None
    steps: list[float]


class Chw:
    """A model in the CHW engine. Runs of one instance take turns; instances run side by side."""

    def __init__(self, model: Model, threads: int, *, keeps_weights: bool = False) -> None:
        """Compile `model`. With `keeps_weights` the graphs of its parts keep their constants, for who looks at them."""
        self._lock = threading.Lock()
        graph, parts = compiled_parts(model)
        self._inputs, self._outputs = graph.inputs, graph.outputs
        isa = os.environ.get(ISA_VARIABLE, "")
        try:
            self._parts = [
                _compile(part, threads, isa, keeps_weights=keeps_weights or len(parts) > 1) for part in parts
            ]
        except ValueError as error:
            if (isa and "instruction set" in str(error)) or "processor has no" in str(error):
                raise UsageError(
                    f"{ISA_VARIABLE} is {isa!r}: {error}; there are avx512, avx2, neon and portable"
                ) from error
            raise UnsupportedError(f"the CHW engine refuses the model: {error}") from error
        self.inputs = [_spec(tensor) for tensor in self._inputs]
        self.outputs = [_spec(tensor) for tensor in self._outputs]
        self._between = {
            tensor: np.empty(tensor.shape, tensor.dtype.numpy)
            for part in self._parts
            for tensor in part.outputs
            if tensor not in self._outputs
        }

    def run(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None) -> dict[str, Array]:
        with self._lock:
            found = {t: np.require(inputs[t.name], requirements=["C", "A"]) for t in self._inputs}
            for part in self._parts:
                given = [found[tensor] for tensor in part.inputs]
                if isinstance(part, _Lent):
                    results = part.engine.run({t.name: a for t, a in zip(part.inputs, given, strict=True)})
                    found.update({tensor: results[tensor.name] for tensor in part.outputs})
                else:
                    made = [self._buffer(tensor, outputs, inputs) for tensor in part.outputs]
                    part.plan.program.run(given, made)
                    found.update(zip(part.outputs, made, strict=True))
        results = {}
        for tensor in self._outputs:
            value = found[tensor] if tensor in found else tensor.dense()
            if tensor in self._inputs or tensor.is_constant:
                value = value.copy()
            if outputs is not None and tensor.name in outputs and outputs[tensor.name] is not value:
                outputs[tensor.name][...] = value
                value = outputs[tensor.name]
            results[tensor.name] = value
        return results

    def profile(self, inputs: Mapping[str, Array], runs: int = 10) -> list[tuple[str, str, float]]:
        """The op's name and kind and the median seconds of each step of the engine's own parts."""
        return [
            (*label, seconds)
            for part in self.time_parts(inputs, runs)
            if part.plan is not None
            for label, seconds in zip(part.plan.labels, part.steps, strict=True)
        ]

    def time_parts(self, inputs: Mapping[str, Array], runs: int = 10) -> list[PartTime]:
        """What every part takes, in the order they run."""
        times: list[PartTime] = []
        with self._lock:
            found = {t: np.require(inputs[t.name], requirements=["C", "A"]) for t in self._inputs}
            for part in self._parts:
                given = [found[tensor] for tensor in part.inputs]
                if isinstance(part, _Lent):
                    seconds = []
                    for _ in range(runs):
                        start = time.perf_counter()
                        results = part.engine.run({t.name: a for t, a in zip(part.inputs, given, strict=True)})
                        seconds.append(time.perf_counter() - start)
                        found.update({tensor: results[tensor.name] for tensor in part.outputs})
                    times.append(PartTime(part.graph, None, [float(np.median(seconds))]))
                    continue
                made = [np.empty(tensor.shape, np.float32) for tensor in part.outputs]
                steps = [seconds for _, _, seconds in profile(part.plan, given, made, runs)]
                times.append(PartTime(part.graph, part.plan, steps))
                found.update(zip(part.outputs, made, strict=True))
        return times

    def plans(self) -> list[Plan]:
        """The plans of the parts that the engine runs itself."""
        return [part.plan for part in self._parts if isinstance(part, _Own)]

    def close(self) -> None:
        with self._lock:
            for part in self._parts:
                if isinstance(part, _Lent):
                    part.engine.close()
            self._parts = []

    def _buffer(self, tensor: Tensor, outputs: Mapping[str, Array] | None, inputs: Mapping[str, Array]) -> Array:
        if tensor in self._between:
            return self._between[tensor]
        given = None if outputs is None else outputs.get(tensor.name)
        if (
            given is not None
            and given.flags.c_contiguous
            and given.flags.aligned
            and not any(np.may_share_memory(given, array) for array in inputs.values())  # a later part may read it
        ):
            return given
        return np.empty(tensor.shape, np.float32)


def compiled_parts(model: Model) -> tuple[Graph, list[Part]]:
    """The main graph with plain float32 weights, cut into parts. Ops with graphs of their own go to LiteRT whole."""
    if len(model.graphs) > 1 or any(tensor.is_variable for tensor in model.main.tensors()):
        return model.main, [Part(False, model.main)]
    plain = model.copy()
    Decompress()(plain)
    plain.main.prune_dead()
    resize_late(plain.main)
    parts = partition(plain.main)
    products = {True: 0, False: 0}
    for part in parts:
        products[part.own] += sum(_products(op) for op in part.graph.ops)
    if not any(part.own for part in parts) or products[False] > products[True]:
        return model.main, [Part(False, model.main)]  # as stored: quantised weights stay so
    return plain.main, parts


def _products(op: Op) -> int:
    """Roughly the multiplications of an op."""
    filters = op.inputs[1] if op.kind in _WEIGHTED and len(op.inputs) > 1 else None
    if filters is None or not op.outputs or not filters.shape:
        return 0
    inner = filters.size // max(1, filters.shape[-1] if op.kind == "DEPTHWISE_CONV_2D" else filters.shape[0])
    return op.outputs[0].size * inner


def _compile(part: Part, threads: int, isa: str, *, keeps_weights: bool) -> _Own | _Lent:
    graph = part.graph
    if part.own:
        return _Own(Plan(graph, threads, isa, keeps_weights=keeps_weights), graph, graph.inputs, graph.outputs)
    return _Lent(LiteRT(write_tflite(Model([graph])), threads), graph, graph.inputs, graph.outputs)


def _spec(tensor: Tensor) -> TensorSpec:
    if tensor.dtype.numpy is None or tensor.dtype in (DType.STRING, DType.RESOURCE):
        raise UnsupportedError(f"{tensor.name!r} is {tensor.dtype.value}; only plain numeric tensors can be passed")
    return TensorSpec(tensor.name, tensor.shape, np.dtype(tensor.dtype.numpy))
