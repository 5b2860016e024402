"""The LiteRT delegate: .tflite through TensorFlow Lite's interpreter with XNNPACK."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.native_log import without_lines
from pocketgraph.runtime.delegate import Array, TensorSpec

CUSTOM_OPS = frozenset({"Convolution2DTransposeBias", "MaxPoolingWithArgmax2D", "MaxUnpooling2D"})
"""The custom operators that LiteRT brings along (MediaPipe's)."""
_greeting_due = [True]

_MOST_VALUES = 1 << 27  # half a gigabyte of float32


def _interpreter(content: bytes, threads: int) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter
    return Interpreter(model_content=content, num_threads=threads)


def _without_greeting() -> contextlib.AbstractContextManager[None]:
    """Hold back the INFO line that LiteRT's C++ writes to standard error when the first model is loaded."""
    if not _greeting_due:
        return contextlib.nullcontext()
    _greeting_due.pop()
    return without_lines(b"INFO: Created TensorFlow Lite XNNPACK")


class LiteRT:
    """A .tflite file in LiteRT. The first signature's names are not used: tensors keep the names of the graph."""

    def __init__(self, content: bytes, threads: int) -> None:
        self._turn = threading.Lock()  # runs of one interpreter take turns
        try:
            with _without_greeting():
                self._interpreter = _interpreter(content, threads)
                self._interpreter.allocate_tensors()
            self._input_details = self._interpreter.get_input_details()
            self._output_details = self._interpreter.get_output_details()
        except ValueError as error:  # a name that is no UTF-8 is one too
            raise FormatError(f"LiteRT refuses the model: {_first_line(error)}") from error
        except RuntimeError as error:
            raise UnsupportedError(f"LiteRT cannot prepare the model: {_first_line(error)}") from error
        _check_sizes(self._interpreter.get_tensor_details())
        self.inputs = [_spec(detail) for detail in self._input_details]
        self.outputs = [_spec(detail) for detail in self._output_details]

    def run(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None) -> dict[str, Array]:
        with self._turn:
            for detail in self._input_details:
                self._interpreter.set_tensor(detail["index"], inputs[detail["name"]])
            try:
                self._interpreter.invoke()
            except RuntimeError as error:
                raise UnsupportedError(f"LiteRT failed to run the model: {_first_line(error)}") from error
            results = {}
            for detail in self._output_details:
                given = None if outputs is None else outputs.get(detail["name"])
                if given is None:
                    given = self._interpreter.get_tensor(detail["index"])
                else:
                    np.copyto(given, self._interpreter.tensor(detail["index"])())
                results[detail["name"]] = given
        return results

    def close(self) -> None:
        del self._interpreter


def _check_sizes(details: list[dict[str, Any]]) -> None:
    """Refuse a model that would need memory without measure: shapes that follow from constants are known now."""
    for detail in details:
        size = int(np.prod(detail["shape"], dtype=np.int64))
        if size > _MOST_VALUES:
            raise UnsupportedError(
                f"the tensor {detail['name']!r} would be {detail['shape'].tolist()}, {size:,} values;"
                f" at most {_MOST_VALUES:,} are handled"
            )


def _spec(detail: dict[str, Any]) -> TensorSpec:
    return TensorSpec(detail["name"], tuple(int(size) for size in detail["shape"]), np.dtype(detail["dtype"]))


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
