"""What `mediapipe.solutions` 0.10.21 was, as `pocketgraph.solutions`: scripts run with another import line.

    import pocketgraph as mp

    with mp.solutions.holistic.Holistic(static_image_mode=True) as holistic:
        results = holistic.process(rgb)
    mp.solutions.drawing_utils.draw_landmarks(picture, results.face_landmarks, mp.solutions.holistic.FACEMESH_CONTOURS)

Constructors, results, enumerations, connections and drawing are the same; the work is done by `pocketgraph.graphs`.
Results are protobuf messages (`pocketgraph.framework.formats`). Modules are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if __name__ != "pocketgraph.solutions":
    raise ImportError(f"this package is pocketgraph.solutions, it cannot be imported as {__name__}")

if TYPE_CHECKING:
    from pocketgraph.solutions import (
        drawing_styles,
        drawing_utils,
        face_detection,
        face_mesh,
        face_mesh_connections,
        hands,
        hands_connections,
        holistic,
        pose,
        pose_connections,
        selfie_segmentation,
    )

__all__ = [
    "drawing_styles",
    "drawing_utils",
    "face_detection",
    "face_mesh",
    "face_mesh_connections",
    "hands",
    "hands_connections",
    "holistic",
    "pose",
    "pose_connections",
    "selfie_segmentation",
]


def __getattr__(name: str) -> Any:
    if name == "objectron":
        raise AttributeError("there is no objectron: its models were in no package, mediapipe downloaded them")
    if name not in __all__:
        raise AttributeError(f"module 'pocketgraph.solutions' has no attribute {name!r}")
    return importlib.import_module(f"pocketgraph.solutions.{name}")


def __dir__() -> list[str]:
    return sorted(__all__)
