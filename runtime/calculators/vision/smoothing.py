from __future__ import annotations

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.vision.landmarks import Landmarks
from pocketgraph.runtime.vision.rect import Rect
from pocketgraph.runtime.vision.smoothing import LandmarkSmoothing
from pocketgraph.runtime.vision.smoothing import VisibilitySmoothing as Visibilities


class _Smoothing(Calculator):
    """What both have in common: landmarks of either kind in, the same kind out."""

    norm_in = Input("NORM_LANDMARKS", Landmarks, optional=True)
    world_in = Input("LANDMARKS", Landmarks, optional=True)
    norm_out = Output("NORM_FILTERED_LANDMARKS", Landmarks, optional=True)
    world_out = Output("FILTERED_LANDMARKS", Landmarks, optional=True)
    offset = 0

    @classmethod
    def check(cls, contract: Contract) -> None:
        if contract.has(cls.norm_in) == contract.has(cls.world_in):
            raise GraphConfigError("it takes one of NORM_LANDMARKS and LANDMARKS")
        if contract.has(cls.norm_in) != contract.has(cls.norm_out) or len(contract.outputs) != 1:
            raise GraphConfigError("NORM_LANDMARKS go out as NORM_FILTERED_LANDMARKS, LANDMARKS as FILTERED_LANDMARKS")
        if len(contract.options.ListFields()) != 1:
            names = ", ".join(field.name for field in contract.options.DESCRIPTOR.fields)
            raise GraphConfigError(f"its options name one of the filters {names}")


@register("VisibilitySmoothingCalculator")
class VisibilitySmoothing(_Smoothing):
    """An exponential mean of each landmark's visibility; times without landmarks are left out of it.

    Inputs: NORM_LANDMARKS or LANDMARKS (Landmarks). Outputs: NORM_FILTERED_LANDMARKS or FILTERED_LANDMARKS.
    Options (VisibilitySmoothingCalculatorOptions), one of:
        low_pass_filter { alpha }: the part of the new value, 0..1; default 0.1.
        no_filter { }: landmarks pass as they are.

    Example:
        node {
          calculator: "VisibilitySmoothingCalculator"
          input_stream: "NORM_LANDMARKS:landmarks"
          output_stream: "NORM_FILTERED_LANDMARKS:steady_landmarks"
          options: { [mediapipe.VisibilitySmoothingCalculatorOptions.ext] { low_pass_filter { alpha: 0.1 } } }
        }
    """

    Options = OptionsSpec("""
message VisibilitySmoothingCalculatorOptions extends CalculatorOptions at 360207350
  message NoFilter
  message LowPassFilter
    float alpha = 1 default 0.1
  NoFilter no_filter = 1
  LowPassFilter low_pass_filter = 2
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        super().check(contract)
        if not 0 <= contract.options.low_pass_filter.alpha <= 1:
            raise GraphConfigError(f"alpha is 0 to 1, not {contract.options.low_pass_filter.alpha:g}")

    def open(self, context: Context) -> None:  # noqa: ARG002
        self._filter = Visibilities(self.options.low_pass_filter.alpha)

    def process(self, context: Context) -> None:
        view = context.inputs[0]
        if view:
            smooth = self.options.HasField("low_pass_filter")
            context.outputs[0].send(self._filter(view.value) if smooth else view.value)


@register("LandmarksSmoothingCalculator")
class LandmarksSmoothing(_Smoothing):
    """Steadies landmarks over time; called at a time without them (because IMAGE_SIZE is there), it begins anew.

    Inputs: NORM_LANDMARKS with IMAGE_SIZE (tuple of width and height), or LANDMARKS (in metres);
    OBJECT_SCALE_ROI (Rect, optional): how large the object is; without it, the extent of its landmarks.
    Outputs: NORM_FILTERED_LANDMARKS or FILTERED_LANDMARKS.
    Options (LandmarksSmoothingCalculatorOptions), one of:
        one_euro_filter { frequency min_cutoff beta derivate_cutoff min_allowed_object_scale disable_value_scaling }:
            see `pocketgraph.runtime.vision.smoothing`; frequency (Hz) counts until two timestamps tell it.
        no_filter { }: landmarks pass as they are.

    Example:
        node {
          calculator: "LandmarksSmoothingCalculator"
          input_stream: "NORM_LANDMARKS:landmarks"
          input_stream: "IMAGE_SIZE:size"
          output_stream: "NORM_FILTERED_LANDMARKS:steady_landmarks"
          options: {
            [mediapipe.LandmarksSmoothingCalculatorOptions.ext] {
              one_euro_filter { min_cutoff: 0.05 beta: 80.0 derivate_cutoff: 1.0 }
            }
          }
        }
    """

    image_size = Input("IMAGE_SIZE", tuple, optional=True)
    extent = Input("OBJECT_SCALE_ROI", Rect, optional=True)
    Options = OptionsSpec("""
message LandmarksSmoothingCalculatorOptions extends CalculatorOptions at 325671429
  message NoFilter
  message VelocityFilter
    int32 window_size = 1 default 5
    float velocity_scale = 2 default 10.0
    float min_allowed_object_scale = 3 default 1e-6
    bool disable_value_scaling = 4 default false
  message OneEuroFilter
    float frequency = 1 default 30.0
    float min_cutoff = 2 default 1.0
    float beta = 3 default 0.0
    float derivate_cutoff = 4 default 1.0
    float min_allowed_object_scale = 5 default 1e-6
    bool disable_value_scaling = 6 default false
  NoFilter no_filter = 1
  VelocityFilter velocity_filter = 2
  OneEuroFilter one_euro_filter = 3
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        super().check(contract)
        if contract.options.HasField("velocity_filter"):
            raise GraphConfigError("velocity_filter is not carried out here; take one_euro_filter")
        if contract.has(cls.norm_in) != contract.has(cls.image_size):
            raise GraphConfigError("IMAGE_SIZE goes with NORM_LANDMARKS, and with them alone")
        one = contract.options.one_euro_filter
        if min(one.frequency, one.min_cutoff, one.derivate_cutoff) <= 0:
            raise GraphConfigError("frequency, min_cutoff and derivate_cutoff are above 0")

    def open(self, context: Context) -> None:  # noqa: ARG002
        one = self.options.one_euro_filter
        self._filter = LandmarkSmoothing(
            one.min_cutoff, one.beta, one.derivate_cutoff, not one.disable_value_scaling, one.frequency,
            one.min_allowed_object_scale,
        )  # fmt: skip

    def process(self, context: Context) -> None:
        view = context[self.norm_in] if context[self.norm_in] is not None else context[self.world_in]
        size, extent = context[self.image_size], context[self.extent]
        if not view:
            self._filter.reset()
        elif not self.options.HasField("one_euro_filter"):
            context.outputs[0].send(view.value)
        elif size is None or size:
            rect = extent.value if extent else None
            steady = self._filter(view.value, context.timestamp, (1, 1) if size is None else size.value, rect)
            context.outputs[0].send(steady)
