"""The options of the subgraph FaceDetection, which make one graph serve several models."""

from __future__ import annotations

from pocketgraph.runtime.calculators.vision import inference
from pocketgraph.runtime.graph.options import OptionsSpec

assert inference.Inference.Options, "the message Delegate is described there"

FaceDetectionOptions = OptionsSpec("""
message FaceDetectionOptions extends CalculatorOptions at 374290926
  string model_path = 1
  GpuOrigin.Mode gpu_origin = 11
  int32 tensor_width = 21
  int32 tensor_height = 22
  int32 num_layers = 23
  repeated int32 strides = 24
  float interpolated_scale_aspect_ratio = 25 default 1.0
  int32 num_boxes = 31
  float x_scale = 32 default 0.0
  float y_scale = 33 default 0.0
  float w_scale = 34 default 0.0
  float h_scale = 35 default 0.0
  float min_score_thresh = 36
  InferenceCalculatorOptions.Delegate delegate = 6
""")
