from __future__ import annotations

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.calculators.vision.common import refuse
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Inputs, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.landmarks import Landmarks
from pocketgraph.runtime.vision.refine import Depth, Refinement, refine_from_heatmap, refine_landmarks


@register("RefineLandmarksFromHeatmapCalculator")
class RefineLandmarksFromHeatmap(Calculator):
    """Moves landmarks to where a heatmap beside them is brightest.

    Inputs: NORM_LANDMARKS (Landmarks, normalised to the model's input); TENSORS (list): the first is the heatmap,
    [1, height, width, landmarks], logits. Outputs: NORM_LANDMARKS.
    Options (RefineLandmarksFromHeatmapCalculatorOptions):
        kernel_size: side of the window around each landmark, in cells; odd, default 9.
        min_confidence_to_refine: where the heatmap stays below, a landmark stays where it is; default 0.5.

    Example:
        node {
          calculator: "RefineLandmarksFromHeatmapCalculator"
          input_stream: "NORM_LANDMARKS:rough_landmarks"
          input_stream: "TENSORS:heatmap"
          output_stream: "NORM_LANDMARKS:landmarks"
        }
    """

    landmarks = Input("NORM_LANDMARKS", Landmarks)
    tensors = Input("TENSORS", list)
    refined = Output("NORM_LANDMARKS", Landmarks)
    offset = 0
    Options = OptionsSpec("""
message RefineLandmarksFromHeatmapCalculatorOptions extends CalculatorOptions at 362281653
  int32 kernel_size = 1 default 9
  float min_confidence_to_refine = 2 default 0.5
  bool refine_presence = 3 default false
  bool refine_visibility = 4 default false
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        refuse(contract, "refine_presence", "refine_visibility")
        if not 1 <= contract.options.kernel_size < 100 or contract.options.kernel_size % 2 == 0:
            raise GraphConfigError(f"kernel_size is odd and 1 to 99, not {contract.options.kernel_size}")

    def process(self, context: Context) -> None:
        if not context[self.landmarks] or not context[self.tensors]:
            return
        tensors = context[self.tensors].value
        if not tensors or tensors[0].ndim != 4:
            raise GraphRuntimeError("a heatmap [1, height, width, landmarks] was expected as the first tensor")
        options = self.options
        found = refine_from_heatmap(
            context[self.landmarks].value, tensors[0][0], options.kernel_size, options.min_confidence_to_refine
        )
        context[self.refined].send(found)


@register("LandmarksRefinementCalculator")
class LandmarksRefinement(Calculator):
    """Lays sets of landmarks over one another, as the eyes and lips of a face over its mesh.

    Inputs: LANDMARKS:0, … (Landmarks). Outputs: REFINED_LANDMARKS (Landmarks); nothing unless all inputs are there.
    Options (LandmarksRefinementCalculatorOptions): refinement, one for each input, in order:
        indexes_mapping: which landmarks of the output x and y go to.
        z_refinement: none { } leaves depths as they are, copy { } takes them too,
            assign_average { indexes_for_average } gives all the mean depth of those landmarks of the output.

    Example:
        node {
          calculator: "LandmarksRefinementCalculator"
          input_stream: "LANDMARKS:0:mesh"
          input_stream: "LANDMARKS:1:lips"
          output_stream: "REFINED_LANDMARKS:face"
          options: {
            [mediapipe.LandmarksRefinementCalculatorOptions.ext] {
              refinement { indexes_mapping: [0, 1, 2] z_refinement { copy { } } }
              refinement { indexes_mapping: [2, 1] z_refinement { none { } } }
            }
          }
        }
    """

    landmarks = Inputs("LANDMARKS", Landmarks)
    refined = Output("REFINED_LANDMARKS", Landmarks)
    offset = 0
    Options = OptionsSpec("""
message LandmarksRefinementCalculatorOptions extends CalculatorOptions at 381914658
  message ZRefinementNone
  message ZRefinementCopy
  message ZRefinementAssignAverage
    repeated int32 indexes_for_average = 1
  message ZRefinement
    ZRefinementNone none = 1
    ZRefinementCopy copy = 2
    ZRefinementAssignAverage assign_average = 3
  message Refinement
    repeated int32 indexes_mapping = 1
    ZRefinement z_refinement = 2
  repeated Refinement refinement = 1
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        parts = contract.options.refinement
        if len(parts) != contract.count(cls.landmarks):
            raise GraphConfigError(f"it has {len(parts)} refinement for {contract.count(cls.landmarks)} LANDMARKS")
        for number, part in enumerate(parts):
            if not part.indexes_mapping or len(part.z_refinement.ListFields()) != 1:
                raise GraphConfigError(f"refinement {number} needs indexes_mapping and one z_refinement")
        used = {index for part in parts for index in part.indexes_mapping}
        if used != set(range(len(used))):
            raise GraphConfigError(f"indexes_mapping of all must reach 0 to {len(used) - 1} without a gap")
        for number, part in enumerate(parts):
            average = part.z_refinement.assign_average
            if part.z_refinement.HasField("assign_average") and (
                not average.indexes_for_average or not used.issuperset(average.indexes_for_average)
            ):
                raise GraphConfigError(f"refinement {number}: indexes_for_average lists no landmarks, or unknown ones")

    def open(self, context: Context) -> None:  # noqa: ARG002
        self._parts = [Refinement(list(part.indexes_mapping), _depth(part)) for part in self.options.refinement]

    def process(self, context: Context) -> None:
        views = context[self.landmarks]
        if all(views):
            context[self.refined].send(refine_landmarks([view.value for view in views], self._parts))


def _depth(part: object) -> Depth:
    ((field, value),) = part.z_refinement.ListFields()  # type: ignore[attr-defined]
    if field.name == "assign_average":
        return list(value.indexes_for_average)
    return "copy" if field.name == "copy" else "keep"
