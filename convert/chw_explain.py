"""Explains, node by node, how our CHW engine runs a model on this machine, and what each step takes there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pocketgraph.convert.chw_advice import about_litert, about_zeros
from pocketgraph.convert.explanation import Explanation, NodeReport, Packing
from pocketgraph.convert.prune.clock import random_feed
from pocketgraph.models.graph import Model, Op
from pocketgraph.runtime.chw import Chw
from pocketgraph.runtime.chw.delegate import PartTime
from pocketgraph.runtime.chw.plan import Fused, Plan
from pocketgraph.runtime.chw.rules import why_not
from pocketgraph.runtime.machine import processor

_WEIGHTED = ("CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
_RUNS = 30
_LEGEND = (
    "1x4 7v /128: weights in blocks of 1 output channel, 4 of them side by side, over 7 registers of pixels, 128 inputs"
    " at a time; which is fastest was measured for each layer"
)


def explain(model: Model, progress: Callable[[int, int], None] = lambda *_: None) -> Explanation:
    """Compile `model`, run it on random input, and say what became of each op of its main graph.

    Then the same with zeros in its dense layers, to say what pruning them would bring here.
    """
    engine = Chw(model, 1, keeps_weights=True)
    try:
        feed = random_feed(engine)
        engine.run(feed)
        parts = engine.time_parts(feed, _RUNS)
    finally:
        engine.close()
    total = sum(sum(part.steps) for part in parts)
    places = {op.name: index for index, op in enumerate(model.main.ops)}
    reports: list[NodeReport] = []
    for part in parts:
        if part.plan is None:
            reports += _lent(part, places, total)
        else:
            reports += _own(part, part.plan, places, total)
    reports.sort(key=lambda report: report.index)
    hints = [_where(parts, total), _LEGEND, *about_litert(parts, total), *about_zeros(model, reports, total, progress)]
    return Explanation("chw", reports, [], hints, microseconds=1e6 * total)


def _own(part: PartTime, plan: Plan, places: Mapping[str, int], total: float) -> list[NodeReport]:
    """The ops of a part that the engine runs itself."""
    reports: list[NodeReport] = []
    for group in plan.fused:
        leader = _leader(group, plan)
        for op in group.ops:
            report = _report(op, places)
            if not group.steps:
                report.runs = "in what reads it"
            elif op is leader:
                _measured(report, sum(part.steps[step] for step in group.steps), total)
                _packed(report, group, plan)
            else:
                report.runs = f"with node {places.get(leader.name, -1)}"
            reports.append(report)
    return reports


def _leader(group: Fused, plan: Plan) -> Op:
    """The op that the group's steps are named for."""
    named = {plan.labels[step][0] for step in group.steps}
    return next((op for op in group.ops if op.name in named), group.ops[0])


def _packed(report: NodeReport, group: Fused, plan: Plan) -> None:
    """How the weights of a step are packed, as measured; what has no weights runs plane by plane."""
    found = [plan.packings[step] for step in group.steps if step in plan.packings]
    if not found:
        report.runs = "dense, row by row" if report.kind in _WEIGHTED else "channels first"
        return
    layer, (block, lines, vectors, slice_, storage) = found[0]
    size = layer.rows * layer.columns
    held = layer.filled[(1, 2, 4, 8).index(block)] * block
    zeros = size - layer.filled[0]
    report.sparse = zeros > 0 and size - min(held, size) >= zeros / 2
    report.block = block
    report.packing = Packing(block, lines, vectors, slice_, ("f32", "f16", "int8")[storage])
    report.runs = f"{'sparse' if report.sparse else 'dense'} {report.packing}"


def _lent(part: PartTime, places: Mapping[str, int], total: float) -> list[NodeReport]:
    """The ops of a part that goes to LiteRT; the first one has the time of all."""
    reports: list[NodeReport] = []
    for op in part.graph.ops:
        report = _report(op, places)
        report.runs = "LiteRT"
        report.rule = why_not(op) or "goes along: most of the model's multiplications are in ops without a kernel"
        if op is part.graph.ops[0]:
            _measured(report, part.steps[0], total)
        else:
            report.runs = f"LiteRT, node {reports[0].index}"
        reports.append(report)
    return reports


def _report(op: Op, places: Mapping[str, int]) -> NodeReport:
    report = NodeReport(places.get(op.name, -1), op.custom_code or op.kind, op.name)
    if op.kind in _WEIGHTED and len(op.inputs) > 1 and op.input(1).is_constant:
        weights = op.input(1).dense()
        report.weights, report.zeros = weights.size, int(weights.size - np.count_nonzero(weights))
    return report


def _measured(report: NodeReport, seconds: float, total: float) -> None:
    report.microseconds, report.share = 1e6 * seconds, seconds / max(total, 1e-12)


def _where(parts: list[PartTime], total: float) -> str:
    isa = next((part.plan.program.isa for part in parts if part.plan is not None), "")
    moves = sum(
        seconds
        for part in parts
        if part.plan is not None
        for (_, kind), seconds in zip(part.plan.labels, part.steps, strict=True)
        if kind in ("input", "output")
    )
    return (
        f"measured here, {processor()}{f' ({isa})' if isa else ''}, 1 thread, on random input: {1e6 * total:,.0f} µs a"
        f" run, {1e6 * moves:,.0f} of them to take inputs in and give outputs back"
    )
