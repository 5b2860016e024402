from __future__ import annotations

import math

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.calculators.vision.resources import find_resource
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.classification import classify


@register("TensorsToClassificationCalculator")
class TensorsToClassification(Calculator):
    """Names the classes whose scores are in a tensor.

    Inputs: TENSORS (list of one array). Outputs: CLASSIFICATIONS (list of Classification).
    Options (TensorsToClassificationCalculatorOptions):
        top_k: only so many, best first. sort_by_descending_score: all, best first. min_score_threshold: least score.
        binary_classification: the model has one score, of class 0; class 1 has the rest to 1.
        allow_classes, ignore_classes: which to tell, or not to tell, by index.
        label_map_path: a text file with a label a line; or label_items { key value { name } }; or
        label_map { entries { id label } }: the labels, one for each class.

    Example:
        node {
          calculator: "TensorsToClassificationCalculator"
          input_stream: "TENSORS:handedness_tensor"
          output_stream: "CLASSIFICATIONS:handedness"
          options: {
            [mediapipe.TensorsToClassificationCalculatorOptions.ext] {
              top_k: 1
              binary_classification: true
              label_map { entries { id: 0 label: "Left" } entries { id: 1 label: "Right" } }
            }
          }
        }
    """

    tensors = Input("TENSORS", list)
    classes = Output("CLASSIFICATIONS", list)
    offset = 0
    Options = OptionsSpec("""
message LabelMapItem
  string name = 1
  string display_name = 2
  repeated string child_name = 3
message TensorsToClassificationCalculatorOptions extends CalculatorOptions at 335742638
  message LabelMap
    message Entry
      int32 id = 1
      string label = 2
    repeated Entry entries = 1
  message LabelItemsEntry
    int64 key = 1
    LabelMapItem value = 2
  float min_score_threshold = 1
  int32 top_k = 2
  bool sort_by_descending_score = 9
  string label_map_path = 3
  LabelMap label_map = 5
  repeated LabelItemsEntry label_items = 6
  bool binary_classification = 4
  repeated int32 ignore_classes = 7
  repeated int32 allow_classes = 8
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        options = contract.options
        if options.ignore_classes and options.allow_classes:
            raise GraphConfigError("only one of ignore_classes and allow_classes can be given")
        if options.binary_classification and (options.ignore_classes or options.allow_classes):
            raise GraphConfigError("with binary_classification no classes are allowed or ignored")

    def open(self, context: Context) -> None:  # noqa: ARG002
        options = self.options
        if options.HasField("label_map_path"):
            lines = find_resource(options.label_map_path).decode(errors="replace").splitlines()
            self._labels = dict(enumerate(lines))
        elif options.label_items:
            self._labels = {item.key: item.value.name for item in options.label_items}
        else:
            self._labels = {entry.id: entry.label for entry in options.label_map.entries}

    def process(self, context: Context) -> None:
        if not context[self.tensors]:
            return
        options = self.options
        tensors = context[self.tensors].value
        count = tensors[0].size if len(tensors) == 1 else 0
        wanted = 1 if options.binary_classification else len(self._labels) or count
        if not count or count != wanted:
            raise GraphRuntimeError(
                f"one tensor with {wanted or 'some'} scores was expected, {[list(t.shape) for t in tensors]} came"
            )
        allowed, ignored = set(options.allow_classes), set(options.ignore_classes)
        left_out = ignored if not allowed else set(range(count)) - allowed
        found = classify(
            tensors[0],
            self._labels,
            binary=options.binary_classification,
            min_score=options.min_score_threshold if options.HasField("min_score_threshold") else -math.inf,
            top_k=max(options.top_k, 0),
            descending=options.sort_by_descending_score,
            left_out=left_out,
        )
        context[self.classes].send(found)
