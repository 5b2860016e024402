"""The spellings of generic calculators: graph files name the type of the items, which matters to nobody here."""

from __future__ import annotations

_KINDS = (
    "", "Float", "Int", "Integer", "Int64", "UInt64", "Bool", "Boolean", "String", "Detection", "Rect",
    "NormalizedRect", "Landmark", "LandmarkList", "LandmarkListVector", "NormalizedLandmarkList",
    "NormalizedLandmarkListVector", "Classification", "ClassificationList", "Matrix", "Tensor", "TensorVector",
    "TfLiteTensor", "Image", "ImageFrame", "RenderData", "RenderScale", "ModelMatrix",
)  # fmt: skip


def typed(pattern: str) -> list[str]:
    """`pattern` with every kind of item in the place of `{}`, the one without a kind first."""
    return [pattern.format(kind) for kind in _KINDS]
