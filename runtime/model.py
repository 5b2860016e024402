"""`load_model`: a model file, zoo name or in-memory graph, ready to run with NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal

from typing_extensions import Self

from pocketgraph.models import zoo
from pocketgraph.models.errors import FormatError, UsageError
from pocketgraph.models.graph import Model
from pocketgraph.models.tflite_read import read_tflite
from pocketgraph.models.tflite_write import write_tflite
from pocketgraph.runtime.delegate import Array, Delegate, TensorSpec
from pocketgraph.runtime.litert import LiteRT
from pocketgraph.runtime.onnx_runtime import OnnxRuntime

DelegateName = Literal["litert", "onnxruntime"]
_DELEGATES: dict[str, tuple[str, Callable[[bytes, int], Delegate]]] = {
    "litert": ("tflite", LiteRT),
    "onnxruntime": ("onnx", OnnxRuntime),
}
_MAX_THREADS = 1024


class RunnableModel:
    """A model that runs: call it with arrays in the order of `inputs`, or `run` it by name; close it, or use `with`.

    `inputs` and `outputs` list name, shape and dtype in the model's order.
    """

    def __init__(self, delegate: Delegate) -> None:
        self._delegate: Delegate | None = delegate
        self.inputs: list[TensorSpec] = delegate.inputs
        self.outputs: list[TensorSpec] = delegate.outputs

    def __call__(self, *arrays: Array) -> Array | tuple[Array, ...]:
        """Run with positional inputs. One output comes back as an array, several as a tuple in the model's order."""
        if len(arrays) != len(self.inputs):
            wanted = ", ".join(f"{s.name} {list(s.shape)}" for s in self.inputs)
            raise UsageError(f"the model takes {len(self.inputs)} inputs ({wanted}), {len(arrays)} were given")
        results = self.run({spec.name: array for spec, array in zip(self.inputs, arrays, strict=True)})
        values = tuple(results[spec.name] for spec in self.outputs)
        return values[0] if len(values) == 1 else values

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run with inputs by name; every output by name. Raises `UsageError` on a wrong name, shape or dtype."""
        if self._delegate is None:
            raise UsageError("the model is closed: load it again to run it")
        unknown = sorted(set(inputs) - {spec.name for spec in self.inputs})
        if unknown:
            raise UsageError(f"no input named {unknown[0]!r}; the model has {[spec.name for spec in self.inputs]}")
        for spec in self.inputs:
            if spec.name not in inputs:
                raise UsageError(f"input {spec.name!r} {list(spec.shape)} {spec.dtype} is missing")
            array = inputs[spec.name]
            if array.shape != spec.shape or array.dtype != spec.dtype:
                raise UsageError(
                    f"input {spec.name!r} must be {spec.dtype}{list(spec.shape)}, got {array.dtype}{list(array.shape)}"
                )
        return self._delegate.run(inputs)

    def close(self) -> None:
        """Release the engine. Closing twice is fine; running afterwards raises `UsageError`."""
        if self._delegate is not None:
            self._delegate.close()
            self._delegate = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load_model(
    source: str | Path | bytes | Model, delegate: DelegateName | None = None, threads: int = 1
) -> RunnableModel:
    """Load `source` (a .tflite or .onnx path, their bytes, a zoo name or a `Model`) into an engine.

    `delegate` is `"litert"` or `"onnxruntime"`; by default the one whose own format `source` is in, LiteRT for a graph.
    A file of the other engine's format is converted on the way. Raises `PocketgraphError`.
    """
    if not 1 <= threads <= _MAX_THREADS:
        raise UsageError(f"threads must be 1 to {_MAX_THREADS}, got {threads}")
    if delegate is not None and delegate not in _DELEGATES:
        raise UsageError(f"no delegate {delegate!r}; there are {', '.join(_DELEGATES)}")
    content = _content(source)
    found = "model" if isinstance(content, Model) else "tflite" if content[4:8] == b"TFL3" else "onnx"
    name = delegate or ("onnxruntime" if found == "onnx" else "litert")
    native, make = _DELEGATES[name]
    return RunnableModel(make(_as_format(content, found, native), threads))


def _content(source: str | Path | bytes | Model) -> bytes | Model:
    if isinstance(source, (bytes, Model)):
        return source
    if isinstance(source, str) and source in zoo.names():
        return zoo.load(source)
    if Path(source).is_dir() or Path(source).suffix.lower() in {".keras", ".h5", ".json"}:
        raise UsageError(f"no engine reads {source} as it is: give load_model what pocketgraph.read_model makes of it")
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise FormatError(f"cannot read {source}: {error.strerror}") from error


def _as_format(content: bytes | Model, found: str, native: str) -> bytes:
    if found == "tflite" and isinstance(content, bytes):
        model = read_tflite(content)  # LiteRT trusts the offsets in a file: check them even where it reads it itself
        if native == "tflite":
            return content
        content = model
    if native == "tflite":
        if isinstance(content, bytes):
            from pocketgraph.models.onnx_read import read_onnx

            content = read_onnx(content)
        return write_tflite(content)
    if isinstance(content, Model):
        from pocketgraph.models.onnx_write import write_onnx

        return write_onnx(content)
    return content
