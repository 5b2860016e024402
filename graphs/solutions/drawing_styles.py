"""Colours and widths for `drawing_utils.draw_landmarks`, by landmark or by connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pocketgraph.solutions import face_mesh_connections as face
from pocketgraph.solutions import hands_connections as hand
from pocketgraph.solutions.drawing_utils import Color, DrawingSpec
from pocketgraph.solutions.hands import HandLandmark
from pocketgraph.solutions.pose import PoseLandmark

Edge = tuple[int, int]

# BGR
_RED, _GREEN, _BLUE = (48, 48, 255), (48, 255, 48), (192, 101, 21)
_YELLOW, _GRAY, _PURPLE, _PEACH = (0, 204, 255), (128, 128, 128), (128, 64, 128), (180, 229, 255)
_CYAN, _MAGENTA, _WHITE = (192, 255, 48), (192, 48, 255), (224, 224, 224)
_LEFT_BODY, _RIGHT_BODY = (0, 138, 255), (231, 217, 0)

_FINGERS = {  # colour -> connections
    _PEACH: hand.HAND_THUMB_CONNECTIONS,
    _PURPLE: hand.HAND_INDEX_FINGER_CONNECTIONS,
    _YELLOW: hand.HAND_MIDDLE_FINGER_CONNECTIONS,
    _GREEN: hand.HAND_RING_FINGER_CONNECTIONS,
    _BLUE: hand.HAND_PINKY_FINGER_CONNECTIONS,
}


def get_default_hand_landmarks_style() -> Mapping[int, DrawingSpec]:
    """Red dots for the palm and a colour for each finger."""
    colors = {end: color for color, edges in _FINGERS.items() for _, end in edges}
    return {landmark: DrawingSpec(colors.get(landmark, _RED), -1, 5) for landmark in HandLandmark}


def get_default_hand_connections_style() -> Mapping[Edge, DrawingSpec]:
    """Gray lines for the palm and a colour for each finger."""
    palm = dict.fromkeys(hand.HAND_PALM_CONNECTIONS, DrawingSpec(_GRAY, 3))
    return palm | _style(*((edges, color) for color, edges in _FINGERS.items()))


def get_default_face_mesh_contours_style(i: int = 0) -> Mapping[Edge, DrawingSpec]:
    """Green for the left eye and brow and red for the right, or, with `i` 1, a colour for each feature and the nose."""
    if i == 1:
        return _style(
            (face.FACEMESH_LIPS, _BLUE),
            (face.FACEMESH_LEFT_EYE, _CYAN),
            (face.FACEMESH_LEFT_EYEBROW, _GREEN),
            (face.FACEMESH_RIGHT_EYE, _MAGENTA),
            (face.FACEMESH_RIGHT_EYEBROW, _RED),
            (face.FACEMESH_FACE_OVAL, _WHITE),
            (face.FACEMESH_NOSE, _YELLOW),
        )
    return _style(
        (face.FACEMESH_LIPS | face.FACEMESH_FACE_OVAL, _WHITE),
        (face.FACEMESH_LEFT_EYE | face.FACEMESH_LEFT_EYEBROW, _GREEN),
        (face.FACEMESH_RIGHT_EYE | face.FACEMESH_RIGHT_EYEBROW, _RED),
    )


def get_default_face_mesh_tesselation_style() -> DrawingSpec:
    """Thin gray lines."""
    return DrawingSpec(_GRAY, 1)


def get_default_face_mesh_iris_connections_style() -> Mapping[Edge, DrawingSpec]:
    """Green for the left iris, red for the right."""
    return _style((face.FACEMESH_LEFT_IRIS, _GREEN), (face.FACEMESH_RIGHT_IRIS, _RED))


def get_default_pose_landmarks_style() -> Mapping[int, DrawingSpec]:
    """Orange for the left of the body, blue for the right, white for the nose."""
    colors = {"LEFT": _LEFT_BODY, "RIGHT": _RIGHT_BODY, "NOSE": _WHITE}
    return {
        landmark: DrawingSpec(next(color for side, color in colors.items() if side in landmark.name))
        for landmark in PoseLandmark
    }


def _style(*parts: tuple[Iterable[Edge], Color]) -> dict[Edge, DrawingSpec]:
    return {edge: spec for edges, color in parts for spec in [DrawingSpec(color)] for edge in edges}
