"""`load_model`: a model file, zoo name or in-memory graph, ready to run with NumPy arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
from typing_extensions import Self

from pocketgraph.models import zoo
from pocketgraph.models.errors import FormatError, UsageError
from pocketgraph.models.graph import Graph, Model, Tensor
from pocketgraph.models.tflite_read import read_tflite
from pocketgraph.models.tflite_write import write_tflite
from pocketgraph.runtime.delegate import Array, Delegate, TensorSpec

DelegateName = Literal["auto", "litert", "onnxruntime", "chw"]
Range = tuple[float, float]
_MAX_THREADS = 1024
_AUTO = "auto"


class RunnableModel:
    """A model that runs: call it with arrays in the order of `inputs`, or `run` it by name; close it, or use `with`.

    `inputs` and `outputs` list name, shape, dtype and, where it is known, range, in the model's order. `delegate` names
    the engine. Runs release Python's lock, so that several instances run side by side in several threads.
    """

    def __init__(self, delegate: Delegate, name: str = "") -> None:
        """`delegate` may be one of your own, `pocketgraph.runtime.fake_delegate.FakeDelegate` for tests."""
        self._delegate: Delegate | None = delegate
        self.delegate = name
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

    def run(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """Run with inputs by name; every output by name.

        `outputs` are arrays to write results into, all of them or some; the others are fresh. Raises `UsageError` on a
        wrong name, shape or dtype, or where an output cannot be written.
        """
        if self._delegate is None:
            raise UsageError("the model is closed: load it again to run it")
        _check(self.inputs, inputs, "input")
        missing = [spec for spec in self.inputs if spec.name not in inputs]
        if missing:
            raise UsageError(f"input {missing[0].name!r} {list(missing[0].shape)} {missing[0].dtype} is missing")
        if outputs is None:
            return self._delegate.run(inputs)
        _check(self.outputs, outputs, "output")
        for name, array in outputs.items():
            if not array.flags.writeable or not array.flags.c_contiguous:
                raise UsageError(f"output {name!r} must be a writeable array without gaps")
        return self._delegate.run(inputs, outputs)

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


def load_model(source: str | Path | bytes | Model, delegate: DelegateName = "auto", threads: int = 1) -> RunnableModel:
    """Load `source` (a .tflite or .onnx path, their bytes, a zoo name or a `Model`) into an engine.

    `delegate` is `"litert"` (XNNPACK), `"onnxruntime"`, `"chw"` (our engine for sparse weights) or `"auto"`: whichever
    is fastest here, measured for a moment when a model is first loaded and remembered for this model, machine and
    thread count. A file of another engine's format is converted on the way. Raises `PocketgraphError`.
    """
    if not isinstance(threads, int) or not 1 <= threads <= _MAX_THREADS:
        raise UsageError(f"threads must be 1 to {_MAX_THREADS}, got {threads!r}")
    if delegate != _AUTO and delegate not in _DELEGATES:
        raise UsageError(f"no delegate {delegate!r}; there are {', '.join((_AUTO, *_DELEGATES))}")
    loader = _Loader(source, threads)
    if delegate == _AUTO:
        return loader.fastest()
    return loader.load(delegate)


class _Loader:
    """A model on its way into one of the engines."""

    def __init__(self, source: str | Path | bytes | Model, threads: int) -> None:
        self._threads = threads
        content = _content(source)
        self._model = content if isinstance(content, Model) else None
        self._bytes = content if isinstance(content, bytes) else b""
        if self._bytes[4:8] == b"TFL3":
            # engines trust the offsets in a file: check them even where one reads it itself
            self._model = read_tflite(self._bytes)
        self._pixels = _zoo_range(source)

    def load(self, name: str) -> RunnableModel:
        delegate = _DELEGATES[name](self, self._threads)
        model = RunnableModel(delegate, name)
        model.inputs = [replace(spec, range=_stored_range(spec) or self._pixels) for spec in model.inputs]
        if self._model is not None:
            made = [_result_range(self._model.main, tensor) for tensor in self._model.main.outputs]
            pairs = zip(model.outputs, made, strict=True)
            model.outputs = [replace(spec, range=_stored_range(spec) or found) for spec, found in pairs]
        return model

    def fastest(self) -> RunnableModel:
        from pocketgraph.runtime.fastest import fastest

        content = self._bytes or self.tflite()
        return fastest(hashlib.sha256(content).hexdigest(), self._threads, list(_DELEGATES), self.load)

    def model(self) -> Model:
        """The graph, whatever the format was."""
        if self._model is None:
            from pocketgraph.models.onnx_read import read_onnx

            self._model = read_onnx(self._bytes)
        return self._model

    def tflite(self) -> bytes:
        return self._bytes if self._bytes[4:8] == b"TFL3" else write_tflite(self.model())

    def onnx(self) -> bytes:
        if self._bytes and self._bytes[4:8] != b"TFL3":
            return self._bytes
        from pocketgraph.models.onnx_write import write_onnx

        return write_onnx(self.model())


def _litert(loader: _Loader, threads: int) -> Delegate:
    from pocketgraph.runtime.litert import LiteRT

    return LiteRT(loader.tflite(), threads)


def _onnxruntime(loader: _Loader, threads: int) -> Delegate:
    from pocketgraph.runtime.onnx_runtime import OnnxRuntime

    return OnnxRuntime(loader.onnx(), threads)


def _chw(loader: _Loader, threads: int) -> Delegate:
    from pocketgraph.runtime.chw import Chw

    return Chw(loader.model(), threads)


_DELEGATES: dict[str, Callable[[_Loader, int], Delegate]] = {
    "litert": _litert,
    "onnxruntime": _onnxruntime,
    "chw": _chw,
}


def _check(specs: list[TensorSpec], arrays: Mapping[str, Array], what: str) -> None:
    known = {spec.name: spec for spec in specs}
    for name, array in arrays.items():
        spec = known.get(name)
        if spec is None:
            raise UsageError(f"no {what} named {name!r}; the model has {list(known)}")
        if not isinstance(array, np.ndarray):
            raise UsageError(f"{what} {name!r} must be a NumPy array, got a {type(array).__name__}")
        if array.shape != spec.shape or array.dtype != spec.dtype:
            raise UsageError(
                f"{what} {name!r} must be {spec.dtype}{list(spec.shape)}, got {array.dtype}{list(array.shape)}"
            )


def _zoo_range(source: str | Path | bytes | Model) -> Range | None:
    """The range of the pictures that a zoo model takes."""
    if not isinstance(source, str) or source not in zoo.names():
        return None
    preprocess = zoo.entry(source).preprocess
    return None if preprocess is None else preprocess.range


def _stored_range(spec: TensorSpec) -> Range | None:
    """What an integer or truth value can be."""
    if spec.dtype.kind == "b":
        return 0.0, 1.0
    if spec.dtype.kind in "iu" and spec.dtype.itemsize == 1:
        about = np.iinfo(spec.dtype)
        return float(about.min), float(about.max)
    return None


_RESULT_RANGES: dict[str, Range] = {
    "LOGISTIC": (0.0, 1.0),
    "RELU": (0.0, float("inf")),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "SOFTMAX": (0.0, 1.0),
    "TANH": (-1.0, 1.0),
}


def _result_range(graph: Graph, tensor: Tensor) -> Range | None:
    """The range that the op which makes an output confines it to."""
    op = graph.producers().get(tensor)
    while op is not None and op.kind in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE"):
        op = graph.producers().get(op.input(0))
    if op is None:
        return None
    return _RESULT_RANGES.get(op.kind) or _RESULT_RANGES.get(op.attrs.get("fused_activation_function") or "")


def _content(source: str | Path | bytes | Model) -> bytes | Model:
    if isinstance(source, (bytes, Model)):
        return source
    if isinstance(source, str) and source in zoo.names():
        file = zoo.path(source)
        return file.read_bytes() if file.suffix == ".tflite" else zoo.load(source)
    if not Path(source).exists() and not Path(source).suffix and Path(source).name == str(source):
        zoo.entry(str(source))  # raises with the nearest names
    if Path(source).is_dir() or Path(source).suffix.lower() in {".keras", ".h5", ".json"}:
        raise UsageError(f"no engine reads {source} as it is: give load_model what pocketgraph.read_model makes of it")
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise FormatError(f"cannot read {source}: {error.strerror}") from error
