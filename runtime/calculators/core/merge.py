from __future__ import annotations

from typing import Any

from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.ports import Inputs, Output
from pocketgraph.runtime.graph.registry import register


@register("MergeCalculator")
class Merge(Calculator):
    """Sends, at each timestamp, the packet of the first input that has one.

    Inputs: any number without a tag, in order of preference.
    Outputs: one without a tag.

    Example:
        node {
          calculator: "MergeCalculator"
          input_stream: "roi_from_landmarks"
          input_stream: "roi_from_detection"
          output_stream: "roi"
        }
    """

    inputs = Inputs[Any]("")
    merged = Output[Any]("", same_as=inputs)
    offset = 0

    def process(self, context: Context) -> None:
        for view in context[self.inputs]:
            if view:
                context[self.merged].add(view.packet)
                return
