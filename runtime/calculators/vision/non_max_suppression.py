from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.calculators.vision.common import refuse
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Inputs, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.nms import greedy_nms, weighted_nms


@register("NonMaxSuppressionCalculator")
class NonMaxSuppression(Calculator):
    """Leaves one detection of those that overlap.

    Inputs: lists of detections without a tag, as many as num_detection_streams says.
    Outputs: one without a tag (Detections), best first; nothing where there are none.
    Options (NonMaxSuppressionCalculatorOptions):
        algorithm: DEFAULT keeps the best one, WEIGHTED their mean, weighted by score.
        overlap_type: must be INTERSECTION_OVER_UNION.
        min_suppression_threshold: overlap above which they are the same; default 1.
        min_score_threshold: least score. max_num_detections: at most so many; -1, the default, all.
        return_empty_detections: send an empty list where there are none.

    Example:
        node {
          calculator: "NonMaxSuppressionCalculator"
          input_stream: "detections"
          output_stream: "faces"
          options: {
            [mediapipe.NonMaxSuppressionCalculatorOptions.ext] {
              min_suppression_threshold: 0.3
              overlap_type: INTERSECTION_OVER_UNION
              algorithm: WEIGHTED
            }
          }
        }
    """

    lists = Inputs[Any]("", Sequence)
    kept = Output("", Detections)
    offset = 0
    Options = OptionsSpec("""
message NonMaxSuppressionCalculatorOptions extends CalculatorOptions at 55383100
  enum OverlapType UNSPECIFIED_OVERLAP_TYPE=0 JACCARD=1 MODIFIED_JACCARD=2 INTERSECTION_OVER_UNION=3
  enum NmsAlgorithm DEFAULT=0 WEIGHTED=1
  int32 num_detection_streams = 1 default 1
  int32 max_num_detections = 2 default -1
  float min_score_threshold = 6 default -1.0
  float min_suppression_threshold = 3 default 1.0
  OverlapType overlap_type = 4 default JACCARD
  bool return_empty_detections = 5
  NmsAlgorithm algorithm = 7 default DEFAULT
  bool multiclass_nms = 8 default false
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        options = contract.options
        refuse(contract, "multiclass_nms")
        if options.overlap_type != options.INTERSECTION_OVER_UNION:
            raise GraphConfigError("overlap_type must be INTERSECTION_OVER_UNION here")
        if contract.count(cls.lists) != options.num_detection_streams:
            raise GraphConfigError(
                f"it has {contract.count(cls.lists)} inputs, num_detection_streams says {options.num_detection_streams}"
            )
        if not options.max_num_detections:
            raise GraphConfigError("max_num_detections is above 0, or -1 for all")

    def open(self, context: Context) -> None:  # noqa: ARG002
        options = self.options
        self._merge = weighted_nms if options.algorithm == options.WEIGHTED else greedy_nms
        self._most = options.max_num_detections if options.max_num_detections > 0 else None

    def process(self, context: Context) -> None:
        options = self.options
        lists = [view.value for view in context[self.lists] if view]
        found = Detections.of(lists[0] if len(lists) == 1 else [item for items in lists for item in items])
        if len(lists) > 1:
            found = found.sorted()
        if options.min_score_threshold > 0:
            found = found.take(found.scores >= options.min_score_threshold)
        if len(found):
            context[self.kept].send(self._merge(found, options.min_suppression_threshold)[: self._most])
        elif options.return_empty_detections:
            context[self.kept].send(found)
