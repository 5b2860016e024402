from __future__ import annotations

from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Inputs, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.association import associate


@register("AssociationNormRectCalculator")
class AssociationNormRect(Calculator):
    """One list of all regions; of those that overlap, the one from the latest input stays.

    Inputs: any number without a tag (list of Rect). Outputs: one without a tag.
    Options (AssociationCalculatorOptions):
        min_similarity_threshold: intersection over union above which two are the same; default 1: none are.

    Example:
        node {
          calculator: "AssociationNormRectCalculator"
          input_stream: "detected_rects"
          input_stream: "tracked_rects"
          output_stream: "rects"
          options: { [mediapipe.AssociationCalculatorOptions.ext] { min_similarity_threshold: 0.5 } }
        }
    """

    lists = Inputs("", list)
    rects = Output("", list)
    offset = 0
    Options = OptionsSpec("""
message AssociationCalculatorOptions extends CalculatorOptions at 275124847
  float min_similarity_threshold = 1 default 1.0
""")

    def process(self, context: Context) -> None:
        lists = [view.value for view in context[self.lists] if view]
        context[self.rects].send(associate(*lists, min_overlap=self.options.min_similarity_threshold))
