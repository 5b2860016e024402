from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.calculators.vision.resources import find_resource
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import SideInput, SideInputs, SideOutput, SideOutputs
from pocketgraph.runtime.graph.registry import register

_IDENTIFIER = b"TFL3"


@register("ResourceProviderCalculator")
class ResourceProvider(Calculator):
    """Reads files that a graph names: see `resources.find_resource` for what a name may be.

    Side packets: RESOURCE_ID:0, … (str, optional). Output: RESOURCE:0, … (bytes, or str with READ_MODE_TEXT): first
    those of the side packets, then those of the options.
    Options (ResourceProviderCalculatorOptions, in node_options): resource_id: more names;
    read_mode: READ_MODE_BINARY or READ_MODE_TEXT (UTF-8).

    Example:
        node {
          calculator: "ResourceProviderCalculator"
          input_side_packet: "RESOURCE_ID:model_path"
          output_side_packet: "RESOURCE:model_bytes"
        }
    """

    names = SideInputs("RESOURCE_ID", str, optional=True)
    contents = SideOutputs[Any]("RESOURCE", (bytes, str))
    Options = OptionsSpec("""
message ResourceProviderCalculatorOptions
  enum ReadMode READ_MODE_UNDEFINED=0 READ_MODE_BINARY=1 READ_MODE_TEXT=2
  repeated string resource_id = 1
  ReadMode read_mode = 2
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        given = contract.count(cls.names) + len(contract.options.resource_id)
        if given != contract.count(cls.contents):
            raise GraphConfigError(f"it has {contract.count(cls.contents)} RESOURCE for {given} names")

    def open(self, context: Context) -> None:
        names = [side.value for side in context[self.names]] + list(self.options.resource_id)
        for name, target in zip(names, context[self.contents], strict=True):
            content = find_resource(name)
            if self.options.read_mode != self.options.READ_MODE_TEXT:
                target.set(content)
                continue
            try:
                target.set(content.decode())
            except UnicodeDecodeError as error:
                raise GraphRuntimeError(f"{name!r} is not text: {error}") from error


@register("TfLiteModelCalculator")
class TfLiteModel(Calculator):
    """Takes the bytes of a .tflite file for a model.

    Side packets: MODEL_RESOURCE or MODEL_BLOB (bytes). Output: MODEL (bytes): the same, for `InferenceCalculator`.

    Example:
        node {
          calculator: "TfLiteModelCalculator"
          input_side_packet: "MODEL_RESOURCE:model_bytes"
          output_side_packet: "MODEL:model"
        }
    """

    resource = SideInput("MODEL_RESOURCE", bytes, optional=True)
    blob = SideInput("MODEL_BLOB", bytes, optional=True)
    model = SideOutput("MODEL", bytes)

    @classmethod
    def check(cls, contract: Contract) -> None:
        if contract.has(cls.resource) == contract.has(cls.blob):
            raise GraphConfigError("it takes one of the side packets MODEL_RESOURCE and MODEL_BLOB")

    def open(self, context: Context) -> None:
        side = context[self.resource] if context[self.resource] is not None else context[self.blob]
        if side.value[4:8] != _IDENTIFIER:
            raise GraphRuntimeError(
                f"these {len(side.value)} bytes are not a .tflite file: they begin {side.value[:8]!r}"
            )
        context[self.model].set(side.value)


@register("TfLiteCustomOpResolverCalculator")
class TfLiteCustomOpResolver(Calculator):
    """Stands for the custom operators that `InferenceCalculator` knows anyway; its output says nothing.

    Side packets, output: OP_RESOLVER. Options (TfLiteCustomOpResolverCalculatorOptions): use_gpu: must be false.

    Example:
        node {
          calculator: "TfLiteCustomOpResolverCalculator"
          output_side_packet: "OP_RESOLVER:op_resolver"
        }
    """

    resolver = SideOutput[Any]("OP_RESOLVER")
    Options = OptionsSpec("""
message TfLiteCustomOpResolverCalculatorOptions extends CalculatorOptions at 252087553
  bool use_gpu = 1 default false
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        if contract.options.use_gpu:
            raise GraphConfigError("use_gpu is not carried out here; leave it out")

    def open(self, context: Context) -> None:
        context[self.resolver].set("the custom operators of MediaPipe's models")
