"""What `solutions` of mediapipe 0.10.21, or of this project, offer, draw and give back, as JSON.

`python solutions_facts.py PACKAGE OUT.json PEOPLE`, where PACKAGE is mediapipe or pocketgraph and PEOPLE the folder
people/ of the shared data, writes all of it; `tests/graphs/test_solutions_facts.py` compares both and keeps what
mediapipe said in `tests/graphs/solutions_facts.json`. Long tables and drawings are told by checksums, results by
messages in base64 (of the landmarks of a face every 9th) and masks by the means of 12 x 12 cells.
"""

from __future__ import annotations

import base64
import enum
import importlib
import inspect
import json
import math
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np

SOLUTIONS = {  # module -> class
    "holistic": "Holistic",
    "hands": "Hands",
    "pose": "Pose",
    "face_mesh": "FaceMesh",
    "face_detection": "FaceDetection",
    "selfie_segmentation": "SelfieSegmentation",
}
CONNECTIONS = ("hands_connections", "pose_connections", "face_mesh_connections")
MODULES = (*SOLUTIONS, "drawing_utils", "drawing_styles", *CONNECTIONS)
STYLES = (
    *("hand_landmarks", "hand_connections", "face_mesh_contours", "face_mesh_tesselation"),
    *("face_mesh_iris_connections", "pose_landmarks"),
)
MESSAGES = {
    "landmark_pb2": ("Landmark", "LandmarkList", "NormalizedLandmark", "NormalizedLandmarkList",
                     "LandmarkListCollection", "NormalizedLandmarkListCollection"),
    "classification_pb2": ("Classification", "ClassificationList", "ClassificationListCollection"),
    "location_data_pb2": ("LocationData",),
    "detection_pb2": ("Detection", "DetectionList"),
}  # fmt: skip
PICTURES = (
    "openpose_media/COCO_val2014_000000000241.jpg",
    "openpose_media/COCO_val2014_000000000257.jpg",
    "mmpose_tests_data/freihand/00000355.jpg",
    "mmpose_tests_data/300w/indoor_020.png",
)
VIDEO = "videos/signing_video_9frames.mp4"


def facts(package: str) -> dict[str, Any]:
    """Everything that needs no model."""
    solutions = importlib.import_module(package).solutions
    modules = {name: getattr(solutions, name) for name in MODULES}
    styles = solutions.drawing_styles
    formats = {name: importlib.import_module(f"{package}.framework.formats.{name}") for name in MESSAGES}
    return {
        "signatures": {
            f"{module}.{name}": [[p.name, _plain(p.default)] for p in inspect.signature(function).parameters.values()]
            for module, name, function in _functions(modules)
        },
        "enums": {
            f"{module}.{name}": {member.name: member.value for member in value}
            for module in SOLUTIONS
            for name, value in vars(modules[module]).items()
            if isinstance(value, type) and issubclass(value, enum.IntEnum) and value is not enum.IntEnum
        },
        "constants": {
            f"{module}.{name}": _plain(value)
            for module in MODULES
            for name, value in vars(modules[module]).items()
            if name.isupper() and not name.startswith("_") and not isinstance(value, ModuleType)
        },
        "styles": {
            **{name: _plain(getattr(styles, f"get_default_{name}_style")()) for name in STYLES},
            "face_mesh_contours 1": _plain(styles.get_default_face_mesh_contours_style(1)),
        },
        "messages": {
            name: _fields(getattr(formats[module], name).DESCRIPTOR)
            for module, names in MESSAGES.items()
            for name in names
        },
        "drawings": {name: _drawing(draw) for name, draw in _drawings(solutions, formats).items()},
    }


def _functions(modules: dict[str, Any]) -> list[tuple[str, str, Any]]:
    found = []
    for module, name in SOLUTIONS.items():
        solution = getattr(modules[module], name)
        found += [(module, f"{name}.{method}", getattr(solution, method)) for method in ("__init__", "process")]
    for module in ("drawing_utils", "drawing_styles", "face_detection"):
        found += [
            (module, name, value)
            for name, value in sorted(vars(modules[module]).items())
            if inspect.isfunction(value) and not name.startswith("_") and value.__module__ == modules[module].__name__
        ]
    return found


def _plain(value: Any) -> Any:
    """As JSON holds it: specs as lists, tables and sets as type, length and checksum."""
    if hasattr(value, "circle_radius"):
        return [list(value.color), value.thickness, value.circle_radius]
    if isinstance(value, dict):
        items = sorted([_plain(key), _plain(item)] for key, item in value.items())
        return ["mapping", len(items), zlib.crc32(json.dumps(items).encode())]
    if isinstance(value, frozenset):
        return ["frozenset", len(value), zlib.crc32(json.dumps(sorted(value)).encode())]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, enum.IntEnum) else None if value is inspect.Parameter.empty else value


def _fields(descriptor: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        field.name: [field.number, field.type, field.message_type.full_name if field.message_type else "",
                     bool(field.GetOptions().packed), field.default_value == []]
        for field in descriptor.fields
    }  # fmt: skip
    nested = {message.name: _fields(message) for message in descriptor.nested_types}
    enums = {item.name: {value.name: value.number for value in item.values} for item in descriptor.enum_types}
    return {"name": descriptor.full_name, "fields": fields, "nested": nested, "enums": enums}


def _drawing(draw: Any) -> int:
    across, down = np.meshgrid(np.arange(301), np.arange(203))
    image = np.stack([across % 256, down, (across * down) % 256], axis=2).astype(np.uint8)
    draw(image)
    return zlib.crc32(image)


def _drawings(solutions: Any, formats: dict[str, Any]) -> dict[str, Any]:
    utils, styles = solutions.drawing_utils, solutions.drawing_styles
    landmark, location = formats["landmark_pb2"], formats["location_data_pb2"].LocationData

    def spread(count: int, *, visibility: bool = False) -> Any:
        """Landmarks strewn over the picture and a little beside it, some of them hardly visible."""
        found = landmark.NormalizedLandmarkList()
        for i in range(count):
            x, y = (math.modf(i * step)[0] * 1.1 - 0.05 for step in (0.6180339887, 0.7548776662))
            point = found.landmark.add(x=x, y=y, z=0.1)
            if visibility:
                point.visibility = math.modf(i * 0.5698402910)[0]
            if i % 7 == 3:
                point.presence = 0.4
        found.landmark[0].x, found.landmark[1].y = 1.0, 0.0
        return found

    def detection() -> Any:
        found = formats["detection_pb2"].Detection(score=[0.5])
        found.location_data.format = location.RELATIVE_BOUNDING_BOX
        box = found.location_data.relative_bounding_box
        box.xmin, box.ymin, box.width, box.height = 0.2, 0.1, 0.5, 0.6
        for i in range(6):
            found.location_data.relative_keypoints.add(x=0.1 * i, y=1 - 0.2 * i)
        return found

    hand, body, face = spread(21), spread(33, visibility=True), spread(478)
    spec = utils.DrawingSpec(color=(10, 200, 100), thickness=3, circle_radius=11)
    hands, mesh = solutions.hands_connections.HAND_CONNECTIONS, solutions.face_mesh_connections
    rotations = {
        "straight": np.eye(3),
        "turned": cv2.Rodrigues(np.array([0.3, -0.5, 0.2]))[0],
        "away": cv2.Rodrigues(np.array([2.0, 1.0, 0.0]))[0],
    }
    here = np.array([0.05, 0.02, -0.4])
    return {
        "landmarks": lambda image: utils.draw_landmarks(image, hand),
        "nothing": lambda image: utils.draw_landmarks(image, None),
        "lines": lambda image: utils.draw_landmarks(image, hand, hands),
        "lines only": lambda image: utils.draw_landmarks(image, hand, hands, None, spec),
        "no dots": lambda image: utils.draw_landmarks(image, hand, hands, spec, spec, False),
        "hand": lambda image: utils.draw_landmarks(
            image, hand, hands, styles.get_default_hand_landmarks_style(), styles.get_default_hand_connections_style()
        ),
        "body": lambda image: utils.draw_landmarks(
            image, body, solutions.pose_connections.POSE_CONNECTIONS, styles.get_default_pose_landmarks_style()
        ),
        "tesselation": lambda image: utils.draw_landmarks(
            image, face, mesh.FACEMESH_TESSELATION, None, styles.get_default_face_mesh_tesselation_style()
        ),
        "contours": lambda image: utils.draw_landmarks(
            image, face, mesh.FACEMESH_CONTOURS, None, styles.get_default_face_mesh_contours_style()
        ),
        "contours 1": lambda image: utils.draw_landmarks(
            image, face, mesh.FACEMESH_CONTOURS, spec, styles.get_default_face_mesh_contours_style(1)
        ),
        "irises": lambda image: utils.draw_landmarks(
            image, face, mesh.FACEMESH_IRISES, None, styles.get_default_face_mesh_iris_connections_style()
        ),
        "detection": lambda image: utils.draw_detection(image, detection()),
        "detection in green": lambda image: utils.draw_detection(image, detection(), spec, spec),
        **{
            f"axis {name}": lambda image, rotation=rotation: utils.draw_axis(image, rotation, here)
            for name, rotation in rotations.items()
        },
        "axis, other camera": lambda image: utils.draw_axis(
            image, rotations["turned"], here, (1.5, 1.2), (0.1, -0.1), 0.2, spec
        ),
    }


def results(package: str, people: Path) -> dict[str, Any]:
    """What each solution gives for pictures and a video, and which errors it raises."""
    solutions = importlib.import_module(package).solutions
    still = [_rgb(cv2.imread(str(people / name))) for name in PICTURES]
    capture = cv2.VideoCapture(str(people / VIDEO))
    video = [_rgb(frame) for good, frame in iter(capture.read, (False, None)) if good]
    static: dict[str, tuple[Any, list[np.ndarray]]] = {
        "holistic": (
            solutions.holistic.Holistic(True, enable_segmentation=True, refine_face_landmarks=True),
            still[:1],
        ),
        "holistic, nobody": (solutions.holistic.Holistic(True, enable_segmentation=True), still[1:2]),
        "holistic, video": (solutions.holistic.Holistic(), video[:4]),
        "hands": (solutions.hands.Hands(True), still),
        "hands, lite": (solutions.hands.Hands(True, 1, 0), still),
        "hands, video": (solutions.hands.Hands(), video[:4]),
        "pose": (solutions.pose.Pose(True, enable_segmentation=True), still),
        "pose, video": (solutions.pose.Pose(enable_segmentation=True), video[:4]),
        "face_mesh": (solutions.face_mesh.FaceMesh(True, 2), still),
        "face_mesh, refined": (solutions.face_mesh.FaceMesh(refine_landmarks=True), still[3:]),
        "face_detection": (solutions.face_detection.FaceDetection(), still),
        "face_detection, full": (solutions.face_detection.FaceDetection(0.6, 1), still),
        "selfie_segmentation": (solutions.selfie_segmentation.SelfieSegmentation(), still),
        "selfie_segmentation, landscape": (solutions.selfie_segmentation.SelfieSegmentation(1), still),
    }
    found: dict[str, Any] = {}
    for name, (solution, images) in static.items():
        with solution:
            found[name] = []
            for image in images:
                image.flags.writeable = False
                outputs = solution.process(image)
                found[name].append({field: _result(getattr(outputs, field)) for field in outputs._fields})
    return found | {"errors": _errors(solutions)}


def _rgb(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _result(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        cells = cv2.resize(value, (12, 12), interpolation=cv2.INTER_AREA)
        return {"dtype": str(value.dtype), "shape": value.shape, "cells": np.round(cells.astype(float), 3).tolist()}
    if isinstance(value, list):
        return [_result(item) for item in value]
    if value is None:
        return None
    if len(getattr(value, "landmark", ())) > 100:
        return [len(value.landmark), _result(type(value)(landmark=value.landmark[::9]))]
    return {value.DESCRIPTOR.full_name: base64.b64encode(value.SerializeToString()).decode()}


def _errors(solutions: Any) -> dict[str, str]:
    faces = solutions.face_detection.FaceDetection()
    black = np.zeros((20, 20, 3), np.uint8)

    def after_close() -> None:
        faces.close()
        faces.process(black)

    attempts = {
        "four channels": lambda: faces.process(np.zeros((20, 20, 4), np.uint8)),
        "a batch": lambda: faces.process(black[None]),
        "floats": lambda: faces.process(black / 255.0),
        "whole numbers": lambda: faces.process(black.astype(int)),
        "half a complexity": lambda: solutions.hands.Hands(False, 2, 0.5, 0.5),
        "no number": lambda: solutions.hands.Hands(min_detection_confidence="high"),
        "another argument": lambda: solutions.hands.Hands(smooth=True),
        "two channels to draw into": lambda: solutions.drawing_utils.draw_landmarks(black[..., :2], "nobody"),
        "after close": after_close,
    }
    return {name: _error(attempt) for name, attempt in attempts.items()}


def _error(attempt: Any) -> str:
    try:
        attempt()
    except Exception as error:  # noqa: BLE001
        return next(base.__name__ for base in (ValueError, TypeError, Exception) if isinstance(error, base))
    return "none"


def main() -> None:
    package, out, people = sys.argv[1:]
    found = facts(package) | {"results": results(package, Path(people))}
    parts = (f"{json.dumps(part)}:{_rows(value)}" for part, value in found.items())
    Path(out).write_text("{" + ",\n".join(parts) + "}\n")


def _rows(table: dict[str, Any]) -> str:
    rows = (f"{json.dumps(name)}:{json.dumps(value, separators=(',', ':'))}" for name, value in table.items())
    return "{\n" + ",\n".join(rows) + "}"


if __name__ == "__main__":
    main()
