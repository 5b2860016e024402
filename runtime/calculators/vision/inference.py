from __future__ import annotations

from typing import Any

import numpy as np

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.models.graph import Model
from pocketgraph.runtime.calculators.vision.common import one_at_a_time, refuse
from pocketgraph.runtime.calculators.vision.resources import find_resource
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output, SideInput
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.attention import load_vision_model

_NOTHING = np.zeros(0, np.float32)
_NOTHING.flags.writeable = False
_ENGINES = ("litert", "onnxruntime", "chw", "auto")


@register("InferenceCalculator", "InferenceCalculatorCpu", "InferenceCalculatorXnnpack")
class Inference(Calculator):
    """Runs a model. The engine releases Python's lock, so other nodes work meanwhile.

    Inputs: TENSORS (list of arrays, in the order of the model's inputs) or TENSOR (the only one).
    Side packets: MODEL (bytes of a .tflite or .onnx file, or a `Model`): instead of `model_path`; OPTIONAL_OUTPUTS
    (bool, optional): see the options; OP_RESOLVER: not needed.
    Outputs: TENSORS (list of arrays, in the order of the model's outputs) or TENSOR (the only one).
    Options (InferenceCalculatorOptions):
        model_path: a model of the zoo or a file, as in `resources.find_resource`.
        delegate: `xnnpack` { num_threads } or `tflite` { }, both LiteRT's; one thread unless told otherwise.
        cpu_num_thread: threads too, where the delegate does not say.
        input_output_config { output_tensor_indices_map { model_tensor_indices } }: which outputs to give, in which
            order; what only the others need is cut out of the model.
        engine: ours: "litert" (the default), "onnxruntime", "chw" or "auto", as in `load_model`.
        optional_outputs: ours: outputs to compute only where OPTIONAL_OUTPUTS is true; otherwise they come as empty
            arrays, and what only they need is cut out of the model.
    GPU and NNAPI are refused.

    Example:
        node {
          calculator: "InferenceCalculator"
          input_stream: "TENSORS:tensors"
          output_stream: "TENSORS:results"
          options: {
            [mediapipe.InferenceCalculatorOptions.ext] {
              model_path: "mediapipe/modules/face_detection/face_detection_short_range.tflite"
              delegate { xnnpack { num_threads: 2 } }
            }
          }
        }
    """

    tensors_in = Input("TENSORS", list, optional=True)
    tensor_in = Input("TENSOR", np.ndarray, optional=True)
    model = SideInput[Any]("MODEL", (bytes, Model), optional=True)
    optional_outputs = SideInput("OPTIONAL_OUTPUTS", bool, optional=True)
    resolver = SideInput[Any]("OP_RESOLVER", optional=True)
    tensors_out = Output("TENSORS", list, optional=True)
    tensor_out = Output("TENSOR", np.ndarray, optional=True)
    offset = 0
    Options = OptionsSpec("""
message InferenceCalculatorOptions extends CalculatorOptions at 336783863
  message Delegate
    message TfLite
    message Gpu
      enum Api ANY=0 OPENGL=1 OPENCL=2
      enum CacheWritingBehavior NO_WRITE=0 TRY_WRITE=1 WRITE_OR_ERROR=2
      enum InferenceUsage UNSPECIFIED=0 FAST_SINGLE_ANSWER=1 SUSTAINED_SPEED=2
      bool use_advanced_gpu_api = 1 default false
      Api api = 4 default ANY
      bool allow_precision_loss = 3 default true
      string cached_kernel_path = 2
      string serialized_model_dir = 7
      CacheWritingBehavior cache_writing_behavior = 10 default WRITE_OR_ERROR
      string model_token = 8
      InferenceUsage usage = 5 default SUSTAINED_SPEED
    message Nnapi
      string cache_dir = 1
      string model_token = 2
      string accelerator_name = 3
    message Xnnpack
      int32 num_threads = 1 default -1
      bool enable_zero_copy_tensor_io = 7
    TfLite tflite = 1
    Gpu gpu = 2
    Nnapi nnapi = 3
    Xnnpack xnnpack = 4
  message InputOutputConfig
    message TensorIndicesMap
      repeated int32 model_tensor_indices = 1
    message TensorNamesMap
      repeated string tensor_names = 1
    message FeedbackTensorLink
      string from_output_tensor_name = 1
      string to_input_tensor_name = 2
    TensorIndicesMap input_tensor_indices_map = 1
    TensorNamesMap input_tensor_names_map = 3
    TensorIndicesMap output_tensor_indices_map = 2
    TensorNamesMap output_tensor_names_map = 4
    repeated FeedbackTensorLink feedback_tensor_links = 5
  string model_path = 1
  bool try_mmap_model = 7
  bool use_gpu = 2 default false
  bool use_nnapi = 3 default false
  int32 cpu_num_thread = 4 default -1
  Delegate delegate = 5
  InputOutputConfig input_output_config = 8
  string engine = 20001 default litert
  repeated int32 optional_outputs = 20002
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        one_at_a_time(contract)
        options = contract.options
        if contract.has(cls.tensors_in) == contract.has(cls.tensor_in):
            raise GraphConfigError("it takes one of TENSORS and TENSOR")
        if contract.has(cls.tensors_out) == contract.has(cls.tensor_out):
            raise GraphConfigError("it gives one of TENSORS and TENSOR")
        if contract.has(cls.model) == bool(options.model_path):
            raise GraphConfigError("it needs the side packet MODEL or the option model_path, one of them")
        refuse(contract, "use_gpu", "use_nnapi")
        for name in ("gpu", "nnapi"):
            if options.delegate.HasField(name):
                raise GraphConfigError(f"there is no delegate {name} here; take xnnpack, or name an engine")
        if options.engine not in _ENGINES:
            raise GraphConfigError(f'there is no engine "{options.engine}"; there are {", ".join(_ENGINES)}')
        config = options.input_output_config
        for field, _ in config.ListFields():
            if field.name != "output_tensor_indices_map":
                raise GraphConfigError(f"the option input_output_config.{field.name} is not carried out here")
        if options.optional_outputs and config.HasField("output_tensor_indices_map"):
            raise GraphConfigError("optional_outputs and output_tensor_indices_map do not go together")

    def open(self, context: Context) -> None:
        options = self.options
        side = context[self.model]
        source = find_resource(options.model_path) if side is None else side.value
        threads = max(options.delegate.xnnpack.num_threads, options.cpu_num_thread, 1)
        config = options.input_output_config
        wanted = None
        if config.HasField("output_tensor_indices_map"):
            wanted = list(config.output_tensor_indices_map.model_tensor_indices)
        left_out = (
            () if context[self.optional_outputs] and context[self.optional_outputs].value else options.optional_outputs
        )
        self._model = load_vision_model(source, wanted, options.engine, threads, left_out=left_out)
        self._names: list[str | None] = [spec.name for spec in self._model.outputs]
        for place in sorted(left_out):
            self._names.insert(place, None)
        if context[self.tensor_out] is not None and len(self._names) != 1:
            raise GraphRuntimeError(f"the model has {len(self._names)} outputs, so they go to TENSORS, not to TENSOR")

    def process(self, context: Context) -> None:
        many = context[self.tensors_in]
        view = context[self.tensor_in] if many is None else many
        if not view:
            return
        given = view.value if many is not None else [view.value]
        specs = self._model.inputs
        if len(given) != len(specs):
            raise GraphRuntimeError(f"{len(given)} tensors came, the model takes {len(specs)}")
        results = self._model.run({spec.name: tensor for spec, tensor in zip(specs, given, strict=True)})
        if context[self.tensors_out] is not None:
            context[self.tensors_out].send([_NOTHING if name is None else results[name] for name in self._names])
        else:
            context[self.tensor_out].send(results[self._model.outputs[0].name])

    def close(self, context: Context) -> None:  # noqa: ARG002
        if hasattr(self, "_model"):
            self._model.close()
