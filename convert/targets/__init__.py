"""Export targets: one file each, named for the suffix it writes. A new target is a new file here.

A target module has `export(model, path, dtype, calibration, *, sparse_initializers, engine) -> list[str]`: it leaves
`model` as it is, writes `path` whole or not at all, and says line by line what it rewrote.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import Model

if TYPE_CHECKING:
    from pocketgraph.convert.prune.calibration import Calibration

__all__ = ["WEIGHT_TYPES", "export", "names"]

WEIGHT_TYPES = ("f32", "f16", "int8")


def names() -> list[str]:
    """The targets there are: suffixes without their dot."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def export(
    model: Model,
    path: str | Path,
    dtype: str = "f32",
    calibration: Calibration | None = None,
    *,
    sparse_initializers: bool = False,
    engine: Literal["xnnpack", "chw"] = "xnnpack",
) -> list[str]:
    """Write `model` to `path` in the format of its suffix, with weights stored as `dtype`.

    `dtype` is `"f32"`, `"f16"` or `"int8"`; int8 quantises activations too when `calibration` inputs are given. With
    `sparse_initializers` an .onnx file stores its sparse weights sparse; a .tflite file always does, and is rewritten
    so that `engine` runs it sparse: XNNPACK has its rules, our CHW engine takes models as they are.
    Returns the rewrites, one line each. Raises `UsageError` on an unknown suffix or type, `MissingExtraError` where the
    format needs an extra, `UnsupportedError` where it cannot hold the model.
    """
    path = Path(path)
    if dtype not in WEIGHT_TYPES:
        raise UsageError(f"the weight type is {dtype!r}: choose one of {', '.join(WEIGHT_TYPES)}")
    result: list[str] = _target(path).export(
        model, path, dtype, calibration, sparse_initializers=sparse_initializers, engine=engine
    )
    return result


def _target(path: Path) -> ModuleType:
    name = path.suffix.lower().lstrip(".")
    if name not in names():
        known = " or ".join(f".{target}" for target in names())
        raise UsageError(f"cannot tell the format of {path} from its suffix {path.suffix!r}: use {known}")
    return importlib.import_module(f"{__name__}.{name}")
