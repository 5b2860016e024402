from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.calculators.core.kinds import typed
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.ports import Input, Inputs, Output, Outputs
from pocketgraph.runtime.graph.registry import register


@register(*typed("BeginLoop{}Calculator"))
class BeginLoop(Calculator):
    """Takes a list apart: its items follow one another at times of the loop's own, counted from 0.

    Each list, an empty or missing one too, uses up at least one time of the loop; there BATCH_END says at which
    timestamp the list was, for `EndLoop` to put the results together again. Between the two, nodes see items only.

    Inputs: ITERABLE (any iterable); CLONE:0… (anything): repeated beside every item; TICK (anything, not needed any
    more).
    Outputs: ITEM; BATCH_END (int); CLONE:0….
    Settled timestamps are processed.

    Example:
        node {
          calculator: "BeginLoopCalculator"
          input_stream: "ITERABLE:faces"
          input_stream: "CLONE:frame"
          output_stream: "ITEM:face"
          output_stream: "CLONE:frame_of_face"
          output_stream: "BATCH_END:faces_end"
        }
    """

    iterable = Input[Any]("ITERABLE")
    clones = Inputs[Any]("CLONE", optional=True)
    tick = Input[Any]("TICK", optional=True)
    item = Output[Any]("ITEM")
    batch_end = Output("BATCH_END", int)
    cloned = Outputs[Any]("CLONE", optional=True, same_as=clones)
    process_bounds = True

    @classmethod
    def check(cls, contract: Contract) -> None:
        if contract.count(cls.clones) != contract.count(cls.cloned):
            raise GraphConfigError("it has as many CLONE outputs as CLONE inputs")

    def open(self, context: Context) -> None:  # noqa: ARG002
        self._time = 0

    def process(self, context: Context) -> None:
        first = self._time
        items = context[self.iterable]
        if items:
            for item in items.value:
                context[self.item].send(item, self._time)
                for source, target in zip(context[self.clones], context[self.cloned], strict=True):
                    if source:
                        target.send(source.value, self._time)
                self._time += 1
        if self._time == first:
            self._time += 1
            for view in context.outputs:
                if view.name != context[self.batch_end].name:
                    view.set_bound(self._time)
        context[self.batch_end].send(int(context.timestamp), self._time - 1)
