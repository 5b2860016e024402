from __future__ import annotations

from typing import Any

from pocketgraph.runtime.calculators.core.kinds import typed
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register


@register(*typed("EndLoop{}Calculator"))
class EndLoop(Calculator):
    """Puts the results of a loop together: one list, at the timestamp of the list that `BeginLoop` took apart.

    A list none of whose items gave a result only moves the bound.

    Inputs: ITEM (anything), at times of the loop; BATCH_END (int) of `BeginLoop`.
    Outputs: ITERABLE (list).

    Example:
        node {
          calculator: "EndLoopCalculator"
          input_stream: "ITEM:landmarks_of_face"
          input_stream: "BATCH_END:faces_end"
          output_stream: "ITERABLE:landmarks"
        }
    """

    item = Input[Any]("ITEM")
    batch_end = Input("BATCH_END", int)
    iterable = Output("ITERABLE", list)

    def open(self, context: Context) -> None:  # noqa: ARG002
        self._items: list[Any] = []

    def process(self, context: Context) -> None:
        if context[self.item]:
            self._items.append(context[self.item].value)
        if context[self.batch_end]:
            timestamp = context[self.batch_end].value
            if self._items:
                context[self.iterable].send(self._items, timestamp)
                self._items = []
            else:
                context[self.iterable].set_bound(timestamp + 1)
