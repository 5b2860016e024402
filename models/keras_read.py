"""Reads Keras models (.keras, .h5) and SavedModel folders through TensorFlow's own TFLite converter, batch 1.

Everything becomes a SavedModel, whose serving function is traced again with static shapes; the converter then folds
what it can. Needs the extra `train`. TensorFlow runs code that a SavedModel contains: read only files you trust.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pocketgraph.models.errors import FormatError, MissingExtraError, UnsupportedError
from pocketgraph.models.graph import Model, Tensor
from pocketgraph.models.tflite_read import read_tflite

_LOADING_ERRORS = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
)


def read_keras(path: str | Path) -> Model:
    """The graph of a .keras or .h5 file or a SavedModel folder, for inference, with an open batch dimension set to 1.

    Inputs and outputs have the names of the serving signature, in Keras' order. Raises `MissingExtraError` without
    TensorFlow, `FormatError` where the file cannot be loaded, `UnsupportedError` where a shape is open beyond the batch
    or an operation has no TFLite counterpart.
    """
    path = Path(path)
    with _quiet() as log:
        tf = _import_tensorflow()
        try:
            if path.is_dir():
                return _from_saved_model(tf, path, path)
            with tempfile.TemporaryDirectory(prefix="pocketgraph-") as folder:
                model = _load_keras(path)
                try:
                    model.export(folder, verbose=False)
                except _LOADING_ERRORS as error:
                    raise UnsupportedError(f"Keras cannot export {path} for inference: {_first_line(error)}") from error
                return _from_saved_model(tf, Path(folder), path, [tensor.name for tensor in model.inputs])
        except UnsupportedError as error:
            if operators := _select_operators(log):
                raise UnsupportedError(f"{path} uses {operators}, which TFLite has no operator for") from error
            raise


def _import_tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import keras  # noqa: F401 - both or none
        import tensorflow as tf
    except ImportError as error:
        raise MissingExtraError("reading a Keras model", "train") from error
    return tf


def _load_keras(path: Path) -> Any:
    """The Keras model in `path`; layers with code of their own are refused, as Keras does by default."""
    import keras

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except _LOADING_ERRORS as error:
        raise FormatError(f"Keras cannot load {path}: {_first_line(error)}") from error
    if not getattr(model, "inputs", None):
        raise UnsupportedError(f"{path} was saved before its input shape was known; call the model once, then save it")
    return model


def _from_saved_model(tf: Any, folder: Path, source: Path, input_names: list[str] | None = None) -> Model:
    try:
        loaded = tf.saved_model.load(str(folder))
    except (*_LOADING_ERRORS, tf.errors.OpError) as error:
        raise FormatError(f"TensorFlow cannot load {source}: {_first_line(error)}") from error
    serve = _signature(loaded.signatures, source)
    given = serve.structured_input_signature[1]
    specs = {
        name: tf.TensorSpec(_static_shape(spec.shape, name, source), spec.dtype, name=name)
        for name, spec in given.items()
    }
    outputs = sorted(serve.structured_outputs, key=_natural)
    try:
        traced = tf.function(lambda **tensors: serve(**tensors)).get_concrete_function(**specs)  # noqa: PLW0108 - traced anew
        content = tf.lite.TFLiteConverter.from_concrete_functions([traced], loaded).convert()
    except (*_LOADING_ERRORS, tf.errors.OpError, _converter_error()) as error:
        raise UnsupportedError(f"TensorFlow cannot convert {source} to TFLite: {_first_line(error)}") from error
    inputs = input_names if input_names is not None and set(input_names) == set(specs) else list(specs)
    return _named(read_tflite(content), inputs, outputs)


def _signature(signatures: Mapping[str, Any], source: Path) -> Any:
    name = "serving_default" if "serving_default" in signatures else next(iter(signatures), None)
    if name is None or (len(signatures) > 1 and name != "serving_default"):
        found = ", ".join(signatures) or "none"
        raise UnsupportedError(f"{source} has the signatures {found}; expected serving_default, or a single one")
    return signatures[name]


def _static_shape(shape: Any, name: str, source: Path) -> list[int]:
    """`shape` with an open batch dimension set to 1."""
    if shape.rank is None:
        raise UnsupportedError(f"input {name!r} of {source} has no known rank; save it with static shapes")
    sizes = [1 if size is None and index == 0 else size for index, size in enumerate(shape.as_list())]
    if None in sizes:
        raise UnsupportedError(f"input {name!r} of {source} has the shape {shape}; only the batch may be open")
    return [int(size) for size in sizes]


def _named(model: Model, inputs: list[str], outputs: list[str]) -> Model:
    """Name and order the inputs and outputs of `model` as its signature does."""
    if model.signatures:
        signature = model.signatures[0]
        for side, wanted, ports in (
            ("inputs", inputs, signature.inputs),
            ("outputs", outputs, signature.outputs),
        ):
            if set(wanted) == set(ports) and len(set(ports.values())) == len(ports):
                _rename(model, {name: ports[name] for name in wanted})
                setattr(model.main, side, [ports[name] for name in wanted])
    return model


def _rename(model: Model, ports: Mapping[str, Tensor]) -> None:
    taken = {tensor.name: tensor for tensor in model.main.tensors()}
    for name, tensor in ports.items():
        if taken.setdefault(name, tensor) is not tensor:
            taken[name].name = model.main.unique_name(f"{name}_inner")
        tensor.name = name


def _natural(name: str) -> tuple[bool, int, str]:
    """`output_10` after `output_9`."""
    number = name.removeprefix("output_")
    return (False, int(number), "") if number.isdigit() and number != name else (True, 0, name)


def _converter_error() -> type[Exception]:
    from tensorflow.lite.python.convert_phase import ConverterError

    return ConverterError  # type: ignore[no-any-return]


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def _select_operators(log: Path) -> str:
    """The operators that the converter says TFLite lacks."""
    marks = ("TF Select ops:", "Custom ops:")
    for line in log.read_text(errors="replace").splitlines():
        for mark in marks:
            if line.startswith(mark):
                return line.removeprefix(mark).strip()
    return ""


@contextlib.contextmanager
def _quiet() -> Iterator[Path]:
    """TensorFlow writes straight to file descriptor 2: that goes to a file meanwhile, Python's warnings nowhere."""
    with tempfile.TemporaryDirectory(prefix="pocketgraph-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log = Path(folder) / "stderr"
        with log.open("wb") as sink:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                sys.stderr.flush()
            saved = os.dup(2)
            os.dup2(sink.fileno(), 2)
            try:
                yield log
            finally:
                os.dup2(saved, 2)
                os.close(saved)
