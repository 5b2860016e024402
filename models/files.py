"""Reading and writing model files whatever their format, and writing any file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pocketgraph.models.errors import FormatError, UnsupportedError, UsageError

if TYPE_CHECKING:
    from pocketgraph.models.graph import Model

_READABLE = ".tflite, .onnx, .keras, .h5, a SavedModel folder, or a TensorFlow.js layers model's model.json"
_WRITABLE = ".tflite, .onnx"


def read_model(path: str | Path) -> Model:
    """The model in `path`: .tflite, .onnx, .keras, .h5, a SavedModel folder or a TensorFlow.js model.json.

    What the first bytes say goes before what the suffix says. Raises `FormatError` for a file that is missing, empty,
    damaged or of no known kind, `MissingExtraError` where reading it needs an extra, `UnsupportedError` for a sound
    model beyond what the reader covers.
    """
    path = Path(path)
    kind = _kind(path)
    if kind == "tflite":
        from pocketgraph.models.tflite_read import read_tflite

        return read_tflite(path)
    if kind == "onnx":
        from pocketgraph.models.onnx_read import read_onnx

        return read_onnx(path)
    if kind == "tfjs":
        from pocketgraph.models.tfjs_read import read_tfjs

        return read_tfjs(path)
    from pocketgraph.models.keras_read import read_keras

    return read_keras(path)


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    try:
        if path.is_dir():
            if (path / "saved_model.pb").is_file():
                return "keras"
            raise FormatError(f"{path} is a folder without saved_model.pb; expected {_READABLE}")
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError as error:
        raise FormatError(f"there is no file {path}") from error
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if not head:
        raise FormatError(f"{path} is empty; expected {_READABLE}")
    if head[4:8] == b"TFL3" or suffix == ".tflite":
        return "tflite"
    if head.startswith(b"\x89HDF\r\n\x1a\n") or (head.startswith(b"PK\x03\x04") and suffix == ".keras"):
        return "keras"
    if suffix == ".onnx":
        return "onnx"
    if suffix == ".json":
        return "tfjs"
    if suffix in {".pt", ".pth"}:
        raise UnsupportedError(f"{path} holds PyTorch weights but no graph; export the model with torch.onnx.export")
    raise FormatError(f"{path} is no model that pocketgraph knows (it begins with {head[:8]!r}); expected {_READABLE}")


def write_model(model: Model, path: str | Path) -> None:
    """Write `model` to `path` in the format of its suffix, .tflite or .onnx; whole or not at all.

    Raises `UsageError` for another suffix or a path that cannot be written, `UnsupportedError` where the format has no
    word for something in the model.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".tflite":
        from pocketgraph.models.tflite_write import write_tflite

        data = write_tflite(model)
    elif suffix == ".onnx":
        from pocketgraph.models.onnx_write import write_onnx

        data = write_onnx(model)
    else:
        raise UsageError(f"cannot tell the format of {path} from its suffix {path.suffix!r}; expected {_WRITABLE}")
    write_atomically(path, data)


def write_atomically(path: str | Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path`: beside it first, then renamed, so a reader sees the old file or the new.

    A link is followed, the mode of an existing file is kept, and what is no ordinary file (`/dev/stdout`) is simply
    written to. Raises `UsageError` where that cannot be; the old file is then as it was and nothing is left over.
    """
    with _reporting(path):
        target = Path(os.path.realpath(path))
        content = data.encode() if isinstance(data, str) else data
        if target.is_dir():
            raise UsageError(f"cannot write {path}: it is a folder, expected a file name")
        if target.exists() and not target.is_file():
            target.write_bytes(content)
            return
        with _beside(target) as (file, temporary):
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            file.close()
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)  # noqa: PTH105 - pairs with the names above


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file in the folder of `target`, which is gone at the end unless it was renamed."""
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.part")
    file = temporary.open("xb")
    try:
        yield file, temporary
    finally:
        try:
            file.close()  # writes what is still buffered, which a full disk refuses
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _reporting(path: str | Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise UsageError(f"cannot write {path}: the folder {Path(path).parent} does not exist") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error
