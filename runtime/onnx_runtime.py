"""The ONNX Runtime delegate (extra `onnx`): .onnx on the CPU, or on the GPU that the installed build is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pocketgraph.models.errors import FormatError, MissingExtraError, UnsupportedError
from pocketgraph.runtime.delegate import Array, TensorSpec

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
_ERRORS_ONLY = 3


class OnnxRuntime:
    """An .onnx file in ONNX Runtime. A symbolic dimension counts as 1."""

    def __init__(self, content: bytes, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError("running an ONNX model", "onnx") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=_providers(onnxruntime))
        except Exception as error:  # onnxruntime's errors have no common base but Exception
            raise FormatError(f"ONNX Runtime refuses the model: {str(error).strip()}") from error
        self.inputs = [_spec(value) for value in self._session.get_inputs()]
        self.outputs = [_spec(value) for value in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None) -> dict[str, Array]:
        names = [spec.name for spec in self.outputs]
        if not outputs:
            return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))
        made = {spec.name: outputs.get(spec.name, np.empty(spec.shape, spec.dtype)) for spec in self.outputs}
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
        for name, array in made.items():
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        self._session.run_with_iobinding(binding)
        return made

    def close(self) -> None:
        del self._session


def _providers(onnxruntime: Any) -> list[str]:
    """What the installed build runs on, a GPU before the processor."""
    there = onnxruntime.get_available_providers()
    return [
        name for name in ("CUDAExecutionProvider", "CoreMLExecutionProvider", "DmlExecutionProvider") if name in there
    ] + ["CPUExecutionProvider"]


def _spec(value: Any) -> TensorSpec:
    if value.type not in _TYPES:
        raise UnsupportedError(f"{value.name!r} is a {value.type}; only plain numeric tensors can be passed from NumPy")
    shape = tuple(size if isinstance(size, int) else 1 for size in value.shape)
    return TensorSpec(value.name, shape, np.dtype(_TYPES[value.type]))
