"""Reads Keras models (.keras, .h5) and SavedModel folders through TensorFlow's own TFLite converter, batch 1.

The model is traced with static shapes, its variables are frozen, and the converter folds what it can. Needs the extra
`train`. TensorFlow runs code that a SavedModel contains: read only those you trust.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pocketgraph.models.errors import FormatError, MissingExtraError, UnsupportedError
from pocketgraph.models.graph import Model, Signature
from pocketgraph.models.tflite_read import read_tflite

_Call = Callable[..., dict[str, Any]]
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

    Inputs have the names they had in Keras, or in the serving signature of a SavedModel; outputs are `output_0`,
    `output_1`, … or the keys of a dict. Raises `MissingExtraError` without TensorFlow, `FormatError` where the file
    cannot be loaded, `UnsupportedError` where a shape is open beyond the batch or an operation has no TFLite operator.
    """
    path = Path(path)
    with _quiet() as log:
        tf = _import_tensorflow()
        call, inputs = _load_saved_model(tf, path) if path.is_dir() else _load_keras(tf, path)
        content, outputs = _convert(tf, call, inputs, path, log)
    return _named(read_tflite(content), [spec.name for spec in inputs], outputs)


def _import_tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import keras  # noqa: F401 - both or none
        import tensorflow as tf
    except ImportError as error:
        raise MissingExtraError("reading a Keras model", "train") from error
    return tf


def _load_keras(tf: Any, path: Path) -> tuple[_Call, list[Any]]:
    """The Keras model in `path` and its inputs; layers with code of their own are refused, as Keras does by default."""
    import keras

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except _LOADING_ERRORS as error:
        raise FormatError(f"Keras cannot load {path}: {_first_line(error)}") from error
    if not getattr(model, "inputs", None):
        raise UnsupportedError(f"{path} was saved before its input shape was known; call the model once, then save it")
    inputs = [
        tf.TensorSpec(_static_shape(list(given.shape), given.name, path), given.dtype, name=given.name)
        for given in model.inputs
    ]

    def call(*tensors: Any) -> dict[str, Any]:
        result = model(tensors[0] if len(tensors) == 1 else list(tensors), training=False)
        if isinstance(result, dict):
            return result
        return {f"output_{index}": tensor for index, tensor in enumerate(keras.tree.flatten(result))}

    return call, inputs


def _load_saved_model(tf: Any, path: Path) -> tuple[_Call, list[Any]]:
    """The serving function of a SavedModel folder and its inputs."""
    try:
        loaded = tf.saved_model.load(str(path))
    except (*_LOADING_ERRORS, tf.errors.OpError) as error:
        raise FormatError(f"TensorFlow cannot load {path}: {_first_line(error)}") from error
    name = "serving_default" if "serving_default" in loaded.signatures else next(iter(loaded.signatures), None)
    if name is None or (len(loaded.signatures) > 1 and name != "serving_default"):
        found = ", ".join(loaded.signatures) or "none"
        raise UnsupportedError(f"{path} has the signatures {found}; expected serving_default, or a single one")
    serve = loaded.signatures[name]
    inputs = []
    for key, given in sorted(serve.structured_input_signature[1].items()):
        if given.shape.rank is None:
            raise UnsupportedError(f"input {key!r} of {path} has no known rank; save it with static shapes")
        inputs.append(tf.TensorSpec(_static_shape(given.shape.as_list(), key, path), given.dtype, name=key))

    def call(*tensors: Any) -> dict[str, Any]:
        assert loaded is not None  # keeps the variables alive
        result = serve(**{spec.name: tensor for spec, tensor in zip(inputs, tensors, strict=True)})
        return {key: result[key] for key in sorted(result, key=_natural)}

    return call, inputs


def _static_shape(shape: list[int | None], name: str, source: Path) -> list[int]:
    """`shape` with an open batch dimension set to 1."""
    sizes = [1 if size is None and index == 0 else size for index, size in enumerate(shape)]
    known = [size for size in sizes if size is not None]
    if len(known) != len(sizes):
        raise UnsupportedError(f"input {name!r} of {source} has the shape {tuple(shape)}; only the batch may be open")
    return known


def _convert(tf: Any, call: _Call, inputs: list[Any], source: Path, log: Path) -> tuple[bytes, list[str]]:
    """The bytes of a .tflite file that computes `call`, and the names of its outputs in order."""
    from tensorflow.lite.python.convert_phase import ConverterError
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    outputs: list[str] = []

    def flat(*tensors: Any) -> list[Any]:
        result = call(*tensors)
        outputs[:] = result
        return [tf.identity(tensor) for tensor in result.values()]

    try:
        traced = tf.function(flat, autograph=False).get_concrete_function(*inputs)
        frozen = convert_variables_to_constants_v2(traced)
        return tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert(), outputs
    except (*_LOADING_ERRORS, tf.errors.OpError, ConverterError) as error:
        if operators := _missing_operators(log):
            raise UnsupportedError(f"{source} uses {operators}, for which TFLite has no operator") from error
        raise UnsupportedError(f"TensorFlow cannot convert {source} to TFLite: {_first_line(error)}") from error


def _named(model: Model, inputs: list[str], outputs: list[str]) -> Model:
    """Give the inputs and outputs of `model`, which come in order, their names, and a signature of these."""
    graph = model.main
    taken = {tensor.name: tensor for tensor in graph.tensors()}
    for name, tensor in zip((*inputs, *outputs), (*graph.inputs, *graph.outputs), strict=True):
        if (other := taken.get(name, tensor)) is not tensor:
            other.name = graph.unique_name(f"{name}_inner")
        tensor.name = name
        taken[name] = tensor
    signature = Signature(
        "serving_default",
        dict(zip(inputs, graph.inputs, strict=True)),
        dict(zip(outputs, graph.outputs, strict=True)),
    )
    model.signatures = [signature]
    return model


def _natural(name: str) -> tuple[bool, int, str]:
    """Sorts `output_10` after `output_9`."""
    number = name.removeprefix("output_")
    return (False, int(number), "") if number.isdigit() and number != name else (True, 0, name)


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def _missing_operators(log: Path) -> str:
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
