"""Landmarks, detections and axes drawn into BGR pictures with OpenCV, or plotted in 3D with matplotlib."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pocketgraph.framework.formats import location_data_pb2
from pocketgraph.models.errors import MissingExtraError
from pocketgraph.solutions.solution_base import SolutionValueError

Color = tuple[int, int, int]
Pixel = tuple[int, int]
Edges = Iterable[tuple[int, int]]
Picture = npt.NDArray[np.uint8]

WHITE_COLOR = (224, 224, 224)
BLACK_COLOR = (0, 0, 0)
RED_COLOR = (0, 0, 255)
GREEN_COLOR = (0, 128, 0)
BLUE_COLOR = (255, 0, 0)

_LEAST = 0.5  # visibility and presence of a landmark that is drawn


@dataclass
class DrawingSpec:
    """A BGR colour, and thickness (-1 fills) and radius in pixels."""

    color: Color = WHITE_COLOR
    thickness: int = 2
    circle_radius: int = 2


_WHITE_SPEC, _RED_SPEC = DrawingSpec(), DrawingSpec(color=RED_COLOR)
_RED_PLOT_SPEC, _BLACK_PLOT_SPEC = DrawingSpec(RED_COLOR, thickness=5), DrawingSpec(BLACK_COLOR, thickness=5)


def draw_landmarks(
    image: Picture,
    landmark_list: Any,
    connections: Edges | None = None,
    landmark_drawing_spec: DrawingSpec | Mapping[int, DrawingSpec] | None = _RED_SPEC,
    connection_drawing_spec: DrawingSpec | Mapping[tuple[int, int], DrawingSpec] = _WHITE_SPEC,
    is_drawing_landmarks: bool = True,
) -> None:
    """Draw a `NormalizedLandmarkList` into a BGR picture: lines between landmarks, then dots in white rings.

    Landmarks beside the picture or of visibility or presence under 0.5 are left out, with their lines. Specs may differ
    by landmark or by connection; without one for landmarks only lines are drawn. Raises ValueError for a picture
    without three channels or a connection of landmarks that there are not.
    """
    if not landmark_list:
        return
    height, width = _size(image)
    places: dict[int, Pixel] = {}
    for index, landmark in _visible(landmark_list):
        pixel = _normalized_to_pixel_coordinates(landmark.x, landmark.y, width, height)
        if pixel is not None:
            places[index] = pixel
    for edge in _checked(connections, len(landmark_list.landmark)):
        if edge[0] in places and edge[1] in places:
            line = _spec(connection_drawing_spec, edge)
            cv2.line(image, places[edge[0]], places[edge[1]], line.color, line.thickness)
    if not is_drawing_landmarks or not landmark_drawing_spec:
        return
    for index, place in places.items():
        dot = _spec(landmark_drawing_spec, index)
        ring = max(dot.circle_radius + 1, int(dot.circle_radius * 1.2))
        cv2.circle(image, place, ring, WHITE_COLOR, dot.thickness)
        cv2.circle(image, place, dot.circle_radius, dot.color, dot.thickness)


def draw_detection(
    image: Picture,
    detection: Any,
    keypoint_drawing_spec: DrawingSpec = _RED_SPEC,
    bbox_drawing_spec: DrawingSpec = _WHITE_SPEC,
) -> None:
    """Draw keypoints and box of a `Detection` into a BGR picture; what lies beside it is cut off.

    Raises ValueError for a picture without three channels or a detection without relative coordinates.
    """
    if not detection.location_data:
        return
    height, width = _size(image)
    location = detection.location_data
    if location.format != location_data_pb2.LocationData.RELATIVE_BOUNDING_BOX:
        raise SolutionValueError(f"draw_detection takes a relative bounding box, got location format {location.format}")
    for keypoint in location.relative_keypoints:
        center = _normalized_to_pixel_coordinates(keypoint.x, keypoint.y, width, height)
        if center is not None:
            spec = keypoint_drawing_spec
            cv2.circle(image, center, spec.circle_radius, spec.color, spec.thickness)
    if location.HasField("relative_bounding_box"):
        box = location.relative_bounding_box
        start = _pixel(box.xmin, box.ymin, width, height)
        end = _pixel(box.xmin + box.width, box.ymin + box.height, width, height)
        cv2.rectangle(image, start, end, bbox_drawing_spec.color, bbox_drawing_spec.thickness)


def draw_axis(
    image: Picture,
    rotation: npt.NDArray[np.float64],
    translation: npt.NDArray[np.float64],
    focal_length: tuple[float, float] = (1.0, 1.0),
    principal_point: tuple[float, float] = (0.0, 0.0),
    axis_length: float = 0.1,
    axis_drawing_spec: DrawingSpec = _WHITE_SPEC,
) -> None:
    """Draw an object's x (red), y (green) and z (blue) axes into a BGR picture.

    `rotation` `[3, 3]` and `translation` `[3]` lead from the object to the camera, which looks along -z; focal lengths
    and principal point are in units of half the picture. Raises ValueError for a picture without three channels.
    """
    height, width = _size(image)
    ends = axis_length * np.vstack([np.zeros(3, np.float32), np.eye(3, dtype=np.float32)])
    camera = np.matmul(rotation, ends.T).T + translation
    depth = camera[:, 2] + 1e-5
    x = np.clip(-focal_length[0] * camera[:, 0] / depth + principal_point[0], -1.0, 1.0)
    y = np.clip(-focal_length[1] * camera[:, 1] / depth + principal_point[1], -1.0, 1.0)
    pixels = np.stack([(1 + x) * 0.5 * width, (1 - y) * 0.5 * height], axis=1).astype(np.int32).tolist()
    for tip, color in zip(pixels[1:], (RED_COLOR, GREEN_COLOR, BLUE_COLOR), strict=True):
        cv2.arrowedLine(image, pixels[0], tip, color, axis_drawing_spec.thickness)


def plot_landmarks(
    landmark_list: Any,
    connections: Edges | None = None,
    landmark_drawing_spec: DrawingSpec = _RED_PLOT_SPEC,
    connection_drawing_spec: DrawingSpec = _BLACK_PLOT_SPEC,
    elevation: int = 10,
    azimuth: int = 10,
) -> None:
    """Show landmarks in 3D, seen from `elevation` and `azimuth` in degrees (extra `plot`).

    Raises ValueError for a connection of landmarks that there are not.
    """
    if not landmark_list:
        return
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise MissingExtraError("plot_landmarks", "plot") from error
    plt.figure(figsize=(10, 10))
    axes: Any = plt.axes(projection="3d")
    axes.view_init(elev=elevation, azim=azimuth)
    places = {index: (-landmark.z, landmark.x, -landmark.y) for index, landmark in _visible(landmark_list)}
    for place in places.values():
        color = _normalize_color(landmark_drawing_spec.color[::-1])
        axes.scatter3D(*([value] for value in place), color=color, linewidth=landmark_drawing_spec.thickness)
    for start, end in _checked(connections, len(landmark_list.landmark)):
        if start in places and end in places:
            color = _normalize_color(connection_drawing_spec.color[::-1])
            line = zip(places[start], places[end], strict=True)
            axes.plot3D(*line, color=color, linewidth=connection_drawing_spec.thickness)
    plt.show()


def _size(image: Picture) -> tuple[int, int]:
    if image.ndim != 3 or image.shape[2] != 3:
        raise SolutionValueError(f"a picture to draw into has three channels, [height, width, 3] in BGR: {image.shape}")
    return image.shape[0], image.shape[1]


def _visible(landmark_list: Any) -> list[tuple[int, Any]]:
    """Index and landmark of those whose visibility and presence, where told, suffice."""
    return [
        (index, landmark)
        for index, landmark in enumerate(landmark_list.landmark)
        if not (landmark.HasField("visibility") and landmark.visibility < _LEAST)
        and not (landmark.HasField("presence") and landmark.presence < _LEAST)
    ]


def _checked(connections: Edges | None, landmarks: int) -> Iterable[tuple[int, int]]:
    for edge in connections or ():
        if not (0 <= edge[0] < landmarks and 0 <= edge[1] < landmarks):
            raise SolutionValueError(f"connection {edge} is out of range: there are {landmarks} landmarks")
        yield edge


def _spec(specs: Any, key: Any) -> DrawingSpec:
    return specs[key] if isinstance(specs, Mapping) else specs


def _pixel(x: float, y: float, width: int, height: int) -> Pixel:
    return min(math.floor(x * width), width - 1), min(math.floor(y * height), height - 1)


def _normalized_to_pixel_coordinates(
    normalized_x: float, normalized_y: float, image_width: int, image_height: int
) -> Pixel | None:
    """The pixel at parts of the width and height, or None beside the picture (scripts use it, private as it is)."""
    inside = all(0 <= value < 1 or math.isclose(value, 1) for value in (normalized_x, normalized_y))
    return _pixel(normalized_x, normalized_y, image_width, image_height) if inside else None


def _normalize_color(color: Iterable[int]) -> tuple[float, ...]:
    return tuple(value / 255.0 for value in color)
