"""Draws what a pipeline finds over a picture: body, hands, faces, boxes and the person's mask, each at its place."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from pocketgraph.demos.pipelines import PARTS, Found
from pocketgraph.graphs import topology
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.landmarks import Landmarks

Rgb = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Lines = Sequence[Sequence[int]]

LEFT: Colour = (255, 158, 64)
RIGHT: Colour = (70, 170, 255)
MIDDLE: Colour = (240, 240, 240)
FACE: Colour = (130, 230, 190)
_EDGE: Colour = (20, 24, 30)
COLOURS = {"left": LEFT, "right": RIGHT, "middle": MIDDLE, "face": FACE}
_FRACTION = 4  # bits of a pixel that OpenCV draws by
_FARTHEST = 1 << 15  # pixels from the corner: what lies beyond is no place, and more than OpenCV takes
LEAST_VISIBILITY = 0.5

BODY_FROM = 11  # landmarks before are the face's
FACE_LINES: Lines = (
    *topology.FACE_OVAL,
    *topology.LIPS,
    *topology.LEFT_EYE,
    *topology.LEFT_EYEBROW,
    *topology.RIGHT_EYE,
    *topology.RIGHT_EYEBROW,
)
_DARK = 90  # of 255: how bright the background stays


def overlay(image: Rgb, found: Found, parts: Collection[str] = PARTS) -> Rgb:
    """A copy of `image` with what was found of `parts`; body landmarks of low visibility are left out."""
    canvas = image.copy()
    if found.mask is not None and "segmentation" in parts:
        canvas = _lit(canvas, found.mask)
    if "face" in parts:
        for face in found.faces:
            _draw_face(canvas, face)
        if found.detections is not None:
            _draw_boxes(canvas, found.detections)
    hands = found.hands if "hands" in parts else ()
    if found.pose is not None and "pose" in parts:
        seen = {hand.side for hand in hands}
        _draw_body(canvas, found.pose, face=bool(found.faces) and "face" in parts, hands=seen)
    for hand in hands:
        _draw_hand(canvas, hand.landmarks, LEFT if hand.side == "left" else RIGHT)
    return canvas


def _size(canvas: Rgb) -> tuple[int, int]:
    return canvas.shape[1], canvas.shape[0]


def _draw_face(canvas: Rgb, face: Landmarks) -> None:
    points = face.pixels(_size(canvas))
    fine = max(1.0, _extent(points) / 160)
    _dots(canvas, points, FACE, fine * 0.55)
    _lines(canvas, points, FACE_LINES, FACE, fine)


def _draw_hand(canvas: Rgb, hand: Landmarks, side: Colour) -> None:
    points = hand.pixels(_size(canvas))
    fine = max(1.0, _extent(points) / 70)
    _lines(canvas, points, topology.HAND, side, fine)
    _dots(canvas, points, MIDDLE, fine * 1.1)


def _draw_body(canvas: Rgb, pose: Landmarks, *, face: bool, hands: Collection[str]) -> None:
    """The skeleton, without head and fingers where face and `hands` are drawn by themselves."""
    points = pose.pixels(_size(canvas))
    thick = max(1.0, min(_size(canvas)) / 240)
    if pose.visibility is not None:
        points[pose.visibility < LEAST_VISIBILITY] = np.nan
    if face:
        points[:BODY_FROM] = np.nan
    _lines(canvas, points, topology.TORSO, MIDDLE, thick)
    for side, lines, fingers, name in (
        (LEFT, topology.LEFT_BODY, topology.LEFT_FINGERS, "left"),
        (RIGHT, topology.RIGHT_BODY, topology.RIGHT_FINGERS, "right"),
    ):
        if name in hands:
            points[[tip for _, tip in topology.edges(fingers)]] = np.nan
        _lines(canvas, points, (*lines, *fingers), side, thick)
    _dots(canvas, points, MIDDLE, thick * 1.5)


def _draw_boxes(canvas: Rgb, found: Detections) -> None:
    size = np.array(_size(canvas), np.float32)
    for box, keypoints in zip(found.boxes, found.keypoints, strict=True):
        x_min, y_min, x_max, y_max = (box.reshape(2, 2) * size).reshape(-1)
        corners = np.array([(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)], np.float32)
        fine = max(1.0, _extent(corners) / 110)
        _lines(canvas, corners, ((0, 1, 2, 3, 0),), FACE, fine)
        _dots(canvas, keypoints * size, MIDDLE, fine * 1.6)


def _lit(canvas: Rgb, mask: npt.NDArray[np.float32]) -> Rgb:
    """The picture with all but the person darkened, and a line around the person."""
    weights = (np.clip(np.nan_to_num(mask), 0, 1) * (255 - _DARK) + _DARK).astype(np.uint8)
    lit = np.asarray(cv2.multiply(canvas, cv2.merge([weights] * 3), scale=1 / 255), np.uint8)
    outlines, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    width = max(1, round(min(_size(canvas)) / 300))
    cv2.drawContours(lit, outlines, -1, FACE, width, cv2.LINE_AA)
    return lit


def _extent(points: npt.NDArray[np.float32]) -> float:
    places = points[_known(points)]
    return float(np.ptp(places, axis=0).max()) if len(places) else 0.0


def _known(points: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    return np.asarray((np.abs(points) < _FARTHEST).all(axis=1))


def _lines(canvas: Rgb, points: npt.NDArray[np.float32], lines: Lines, colour: Colour, width: float) -> None:
    """Lines along the indices, each above a darker, wider one; what is no number or far away is left out."""
    known = _known(points)
    fixed = np.where(known[:, None], points, 0) * (1 << _FRACTION)
    pairs = [pair for pair in topology.edges(lines) if known[list(pair)].all()]
    for shade, wide in ((_EDGE, width + max(1.0, width * 0.5)), (colour, width)):
        for a, b in pairs:
            start, end = fixed[a].astype(int).tolist(), fixed[b].astype(int).tolist()
            cv2.line(canvas, start, end, shade, max(1, round(wide)), cv2.LINE_AA, _FRACTION)


def _dots(canvas: Rgb, points: npt.NDArray[np.float32], colour: Colour, radius: float) -> None:
    for point in points[_known(points)] * (1 << _FRACTION):
        center = point.astype(int).tolist()
        cv2.circle(canvas, center, round(radius * (1 << _FRACTION)), colour, -1, cv2.LINE_AA, _FRACTION)
