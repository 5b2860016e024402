"""int8 weights, and activations where there is calibration, by ai-edge-quantizer."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketgraph.models.errors import MissingExtraError, UnsupportedError
from pocketgraph.models.graph import Model, Signature
from pocketgraph.models.tflite_write import write_tflite

if TYPE_CHECKING:
    from pocketgraph.convert.prune.calibration import Calibration

_KEY = "serving_default"


def quantise(model: Model, calibration: Calibration | None) -> tuple[bytes, list[str]]:
    """The bytes of `model` with int8 weights, and what was done.

    With calibration inputs every op the quantiser knows computes in int8 and the graph's inputs and outputs stay
    float32; without, weights alone are int8 and ops compute in float32 from them or quantise as they run. Raises
    `MissingExtraError` without ai-edge-quantizer, `UnsupportedError` where it refuses the model.
    """
    try:
        with _quiet():
            from ai_edge_quantizer import quantizer, recipe
    except ImportError as error:
        raise MissingExtraError("writing int8 weights", "int8") from error
    source = _with_signature(model)
    try:
        with _quiet():
            chosen = recipe.dynamic_wi8_afp32() if calibration is None else recipe.static_wi8_ai8()
            worker = quantizer.Quantizer(write_tflite(source), chosen)
            if calibration is not None:  # float32 outside: callers feed the same arrays whatever the weights are
                for place in ("INPUT", "OUTPUT"):
                    worker.update_quantization_recipe(".*", place, algorithm_key="no_quantize")
            ranges = None
            if calibration is not None:
                ranges = worker.calibrate(
                    {source.signatures[0].key: list(_samples(source, calibration))}, num_threads=1
                )
            data = worker.quantize(ranges, enable_progress_report=False).quantized_model
    except (ValueError, RuntimeError, NotImplementedError, KeyError) as error:
        raise UnsupportedError(f"ai-edge-quantizer cannot quantise this model: {error}") from error
    if data is None:
        raise UnsupportedError("ai-edge-quantizer returned no model")
    what = "weights and activations" if calibration is not None else "weights (activations stay float32)"
    return bytes(data), [f"quantised {what} to int8; zeros stay zeros but are multiplied densely"]


def _with_signature(model: Model) -> Model:
    """The quantiser calibrates by signature: a model without one gets one."""
    if any(signature.graph == 0 for signature in model.signatures):
        return model
    named = model.copy()
    inputs = {tensor.name: tensor for tensor in named.main.inputs}
    outputs = {tensor.name: tensor for tensor in named.main.outputs}
    named.signatures.append(Signature(_KEY, inputs, outputs))
    return named


def _samples(model: Model, calibration: Calibration) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    inputs = model.signatures[0].inputs
    for number in range(len(calibration)):
        yield {
            key: np.ascontiguousarray(calibration.inputs[tensor.name][number].reshape(tensor.shape), np.float32)
            for key, tensor in inputs.items()
        }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser and its TensorFlow parts print progress and advice; a library does not."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
