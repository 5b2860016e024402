"""A fully integer model becomes the float32 model that it approximates."""

from __future__ import annotations

import numpy as np

from pocketgraph.convert.passes._edit import bypass
from pocketgraph.models.decompress import real_values
from pocketgraph.models.errors import UnsupportedError
from pocketgraph.models.graph import DType, FloatArray, Graph, Model, Op, Tensor
from pocketgraph.models.operands import check_operands

_STORED = {DType.INT8: (-128, 127), DType.UINT8: (0, 255), DType.INT16: (-32768, 32767)}
_WITH_BIAS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}
_ACTIVATED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "MUL", "SUB"}
# These look at stored bits, or keep integer state between steps, so they have no float twin.
_NO_FLOAT_TWIN = {"CAST", "BITCAST", "LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "SVDF"}


class Dequantize:
    """Every quantised tensor takes the real values it stands for: real = scale * (stored - zero_point).

    Weights and biases become float32, QUANTIZE and DEQUANTIZE go, and graph inputs and outputs become float32 with
    real values (a uint8 picture input of scale 1/128 and zero point 128 then wants x/128 - 1). A quantised tensor can
    only hold its range, and converters leave an activation out where the range does its work; where an op has no fused
    activation but its output range starts at 0 (or is -1..1), the activation is put back. Float models and ops between
    float tensors stay as they are; integer weights beside float activations (hybrid models) become float as well.
    """

    def __call__(self, model: Model) -> list[str]:
        """Edit `model` in place. Raises `UnsupportedError` where an op has no float twin."""
        check_operands(model)
        notes: list[str] = []
        for graph in model.graphs:
            quantised = [tensor for tensor in graph.tensors() if _is_quantised(tensor)]
            biases = _implied_biases(graph)
            if not quantised and not biases:
                continue
            _refuse(graph, set(quantised))
            restored = sum(_restore_activation(op) for op in graph.ops)
            notes += _input_notes(graph)
            for tensor, scale in biases.items():
                tensor.data = (tensor.dense().astype(np.float64) * scale).astype(np.float32)
                tensor.dtype, tensor.quantization = DType.FLOAT32, None
            for tensor in quantised:
                if tensor.is_constant:
                    tensor.data = real_values(tensor)
                    tensor.sparsity = None
                tensor.dtype, tensor.quantization = DType.FLOAT32, None
            for op in [op for op in graph.ops if op.kind in ("QUANTIZE", "DEQUANTIZE")]:
                if op.input(0).dtype is DType.FLOAT32:
                    bypass(model, graph, op)
            notes.append(f"{len(quantised) + len(biases)} quantised tensors became float32")
            if restored:
                notes.append(f"{restored} activations that the quantised range implied were written out")
        return notes


def _is_quantised(tensor: Tensor) -> bool:
    if tensor.quantization is None or tensor.quantization.scale.size == 0:
        return False
    return tensor.dtype in _STORED or (tensor.dtype in (DType.INT32, DType.INT64) and tensor.is_constant)


def _implied_biases(graph: Graph) -> dict[Tensor, FloatArray]:
    """Integer biases that carry no scale of their own: theirs is input scale times weight scale."""
    found: dict[Tensor, FloatArray] = {}
    for op in graph.ops:
        place = 3 if op.kind == "TRANSPOSE_CONV" else 2
        bias = op.inputs[place] if op.kind in _WITH_BIAS and len(op.inputs) > place else None
        if bias is None or bias.dtype not in (DType.INT32, DType.INT64) or not bias.is_constant or _is_quantised(bias):
            continue
        source, weights = op.input(place - 2 if place == 2 else 2).quantization, op.input(1).quantization
        if source is None or weights is None or source.scale.size == 0 or weights.scale.size == 0:
            raise UnsupportedError(f"{op.kind} {op.name!r} has an integer bias and no scale to read it by")
        found[bias] = source.scale.astype(np.float32) * weights.scale.astype(np.float32)
    return found


def _refuse(graph: Graph, quantised: set[Tensor]) -> None:
    for op in graph.ops:
        if op.kind in _NO_FLOAT_TWIN and any(tensor in quantised for tensor in op.inputs):
            raise UnsupportedError(f"{op.kind} {op.name!r} works on quantised values and has no float32 twin")


def _restore_activation(op: Op) -> bool:
    fused = op.attrs.get("fused_activation_function", "NONE")
    if op.kind not in _ACTIVATED or fused not in ("NONE", "RELU") or not op.outputs:
        return False
    limits = _range(op.outputs[0])
    if limits is None:
        return False
    low, high, step = limits
    implied = fused
    if low == 0 and abs(high - 6) <= max(0.05, 2 * step):
        implied = "RELU6"
    elif low == 0:
        implied = "RELU"
    elif fused == "NONE" and abs(low + 1) <= 2 * step and abs(high - 1) <= 2 * step:
        implied = "RELU_N1_TO_1"
    op.attrs["fused_activation_function"] = implied
    return bool(implied != fused)


def _range(tensor: Tensor) -> tuple[float, float, float] | None:
    if tensor.is_constant or not _is_quantised(tensor) or tensor.quantization is None:
        return None
    if tensor.quantization.scale.size != 1:
        return None
    low, high = _STORED[tensor.dtype]
    scale = float(tensor.quantization.scale[0])
    zero = int(tensor.quantization.zero_point[0]) if tensor.quantization.zero_point.size else 0
    return (low - zero) * scale, (high - zero) * scale, scale


def _input_notes(graph: Graph) -> list[str]:
    notes = []
    for tensor in graph.inputs:
        limits = _range(tensor)
        if limits is not None:
            low, high, step = limits
            notes.append(
                f"input {tensor.name!r} takes real values {low:.6g}..{high:.6g}"
                f" ({tensor.dtype.value} x gave {step:.6g} * x + {_offset(tensor):.6g})"
            )
    return notes


def _offset(tensor: Tensor) -> float:
    limits = _range(tensor)
    return 0.0 if limits is None else limits[0] - _STORED[tensor.dtype][0] * limits[2]
