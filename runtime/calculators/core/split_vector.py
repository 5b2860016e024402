from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.calculators.core.kinds import typed
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Outputs
from pocketgraph.runtime.graph.registry import register


@register(*typed("Split{}VectorCalculator"))
class SplitVector(Calculator):
    """Cuts a list into ranges.

    Inputs: a list, without a tag.
    Outputs: one without a tag for each range; with `combine_outputs` one for all.
    Options (SplitVectorCalculatorOptions):
        ranges { begin end }: from begin up to, not including, end.
        element_only: each range has one element, and that element is sent instead of a list of one.
        combine_outputs: send one list of all ranges, which must not overlap.

    Example:
        node {
          calculator: "SplitVectorCalculator"
          input_stream: "tensors"
          output_stream: "boxes"
          output_stream: "scores"
          options: {
            [mediapipe.SplitVectorCalculatorOptions.ext] {
              ranges: { begin: 0 end: 1 }
              ranges: { begin: 1 end: 2 }
            }
          }
        }
    """

    items = Input[Any]("", Sequence)
    parts = Outputs[Any]("")
    offset = 0
    Options = OptionsSpec("""
message Range
  int32 begin = 1
  int32 end = 2
message SplitVectorCalculatorOptions extends CalculatorOptions at 259438222
  repeated Range ranges = 1
  bool element_only = 2 default false
  bool combine_outputs = 3 default false
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        options = contract.options
        ranges = [(part.begin, part.end) for part in options.ranges]
        if not ranges:
            raise GraphConfigError("ranges says nothing")
        if any(begin < 0 or end <= begin for begin, end in ranges):
            raise GraphConfigError(f"each range begins at 0 or later and ends after it begins; they are {ranges}")
        if options.element_only and any(end - begin != 1 for begin, end in ranges):
            raise GraphConfigError(f"with element_only each range has one element; they are {ranges}")
        if options.combine_outputs:
            ordered = sorted(ranges)
            if any(before[1] > after[0] for before, after in itertools.pairwise(ordered)):
                raise GraphConfigError(f"with combine_outputs ranges must not overlap; they are {ranges}")
            if len(contract.outputs) != 1:
                raise GraphConfigError(f"with combine_outputs it has one output, not {len(contract.outputs)}")
        elif len(contract.outputs) != len(ranges):
            raise GraphConfigError(f"it has {len(contract.outputs)} outputs for {len(ranges)} ranges")

    def open(self, context: Context) -> None:  # noqa: ARG002
        self._ranges = [(part.begin, part.end) for part in self.options.ranges]
        self._longest = max(end for _, end in self._ranges)

    def process(self, context: Context) -> None:
        if not context[self.items]:
            return
        items = context[self.items].value
        if len(items) < self._longest:
            raise GraphRuntimeError(f"a list of {len(items)} came, ranges reach to {self._longest}")
        targets = context[self.parts]
        if self.options.combine_outputs:
            targets[0].send([item for begin, end in self._ranges for item in items[begin:end]])
            return
        for target, (begin, end) in zip(targets, self._ranges, strict=True):
            target.send(items[begin] if self.options.element_only else items[begin:end])
