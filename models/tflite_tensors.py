"""The tensors of a .tflite file: shape, constant data, quantisation and sparsity, each checked against the others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pocketgraph.models.errors import FormatError, UnsupportedError
from pocketgraph.models.graph import Array, DType, Quantization, Tensor
from pocketgraph.models.sparsity import Csr, Dense, Sparsity, check

_UNTYPED = {DType.STRING, DType.RESOURCE, DType.VARIANT}
_BITS = {DType.BFLOAT16: 16, DType.INT2: 2, DType.INT4: 4, DType.UINT4: 4, DType.FLOAT8_E4M3FN: 8, DType.FLOAT8_E5M2: 8}
_MOST_DIMENSIONS = 32
_MOST_ELEMENTS = 2**58
"""What NumPy can describe in any element type; a shape with a 0 counts with 1 in its place, as there."""


def read_tensor(table: dict[str, Any], stored: Array, where: str) -> Tensor:
    """The tensor that a decoded `Tensor` table describes, with `stored`, the bytes of its buffer, as its data.

    `data` is None where there are no bytes. Raises `FormatError` for parts that contradict each other.
    """
    shape = tuple(ints(table["shape"]))
    if any(size < 0 for size in shape) or len(shape) > _MOST_DIMENSIONS:
        raise FormatError(f"{where} has the impossible shape {list(shape[: _MOST_DIMENSIONS + 1])}")
    if math.prod(max(size, 1) for size in shape) > _MOST_ELEMENTS:
        raise FormatError(f"{where} has the shape {list(shape)}: more elements than can be addressed")
    signature = table["shape_signature"]
    result = Tensor(
        table["name"] or "",
        shape,
        DType(table["type"].lower()),
        shape_signature=None if signature is None else tuple(ints(signature)),
        quantization=_quantization(table["quantization"], shape, where),
        sparsity=None if table["sparsity"] is None else _sparsity(table["sparsity"], where),
        is_variable=table["is_variable"],
        has_rank=table["has_rank"],
        variants=tuple(
            (tuple(ints(each["shape"])), DType(each["type"].lower()), each["has_rank"])
            for each in table["variant_tensors"] or []
        ),
    )
    if table["buffer"] and (stored.size or 0 in shape):
        result.data = _constant(stored, result, where)
    return result


def _quantization(table: dict[str, Any] | None, shape: tuple[int, ...], where: str) -> Quantization | None:
    if table is None:
        return None
    if table["details"] is not None:
        raise UnsupportedError(
            f"{where} is quantised with {table['details'][0]}: only quantisation per tensor and per channel is read"
        )
    scale, minimum, maximum = (_array(table[name], np.float32) for name in ("scale", "min", "max"))
    zero_point = _array(table["zero_point"], np.int64)
    if not (scale.size or zero_point.size or minimum.size or maximum.size):
        return None
    if zero_point.size not in (scale.size, 1, 0):
        raise FormatError(f"{where} has {scale.size} scales and {zero_point.size} zero points")
    if scale.size and zero_point.size < scale.size:
        zero_point = np.full(scale.size, zero_point[0] if zero_point.size else 0, np.int64)
    axis = table["quantized_dimension"]
    if scale.size > 1 and not (0 <= axis < len(shape) and shape[axis] == scale.size):
        raise FormatError(f"{where} has {scale.size} scales along dimension {axis} of the shape {list(shape)}")
    return Quantization(scale, zero_point, axis, minimum, maximum)


def _sparsity(table: dict[str, Any], where: str) -> Sparsity:
    levels: list[Dense | Csr] = []
    for level in table["dim_metadata"] or []:
        if level["format"] == "DENSE":
            levels.append(Dense(level["dense_size"]))
            continue
        parts = [level[name] for name in ("array_segments", "array_indices")]
        if any(part is None for part in parts):
            raise FormatError(f"{where}: a compressed dimension lacks its segments or indices")
        levels.append(Csr(*(_array(part[1]["values"], np.int64) for part in parts)))
    return Sparsity(tuple(ints(table["traversal_order"])), tuple(ints(table["block_map"])), tuple(levels))


def _constant(stored: Array, tensor: Tensor, where: str) -> Array:
    kind = tensor.dtype.numpy
    if kind is None and tensor.sparsity is not None:
        raise UnsupportedError(f"{where} is sparse {tensor.dtype.value}, which is not covered")
    if tensor.dtype in _UNTYPED:
        return stored
    bits = _BITS[tensor.dtype] if kind is None else kind.itemsize * 8
    count = tensor.size if tensor.sparsity is None else check(tensor.sparsity, tensor.shape, where)
    if stored.size != (count * bits + 7) // 8:
        raise FormatError(
            f"{where} is {tensor.dtype.value}{list(tensor.shape)}, so {count} stored values need"
            f" {(count * bits + 7) // 8} bytes; its buffer has {stored.size}"
        )
    if kind is None:
        return stored
    values = stored.view(kind.newbyteorder("<"))
    return values if tensor.sparsity is not None else values.reshape(tensor.shape)


def _array(values: Any, kind: Any) -> Array:
    return np.zeros(0, kind) if values is None else values.astype(kind)


def ints(values: Any) -> list[int]:
    """A decoded vector of integers as a list; empty where it is absent."""
    return [] if values is None else values.tolist()
