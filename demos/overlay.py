"""Draws what a pipeline finds over a picture: bodies, hands, faces, boxes and masks, each at its place."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pocketgraph.demos.pipelines import PARTS, people
from pocketgraph.graphs import HolisticResult, Timed, topology
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
PEOPLE: tuple[Colour, ...] = (
    *((255, 158, 64), (70, 170, 255), (130, 230, 110), (255, 110, 150)),
    *((190, 140, 255), (255, 224, 80), (70, 225, 215), (235, 120, 240)),
)
"""Of several people, each by the number."""
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
DARK = 90  # of 255: how bright the background stays


def overlay(image: Rgb, seen: Timed[Any], parts: Collection[str] = PARTS) -> Rgb:
    """A copy of `image` with what was seen of `parts`; body landmarks of low visibility are left out.

    Several people have a colour and their number each.
    """
    canvas = image.copy()
    everyone = people(seen)
    masks = [(person, person.mask) for person in everyone if person.mask is not None]
    if masks and "segmentation" in parts:
        canvas = _lit(canvas, np.maximum.reduce([mask for _, mask in masks]))
        for person, mask in masks:
            _outline(canvas, mask, _colour(person, FACE))
    if seen.kind == "faces" and "face" in parts:
        _draw_boxes(canvas, seen.found)
    for person in everyone:
        _draw_person(canvas, person, parts)
    return canvas


def _draw_person(canvas: Rgb, person: HolisticResult, parts: Collection[str]) -> None:
    hands = {"left": person.left_hand, "right": person.right_hand} if "hands" in parts else {}
    seen = {side for side, hand in hands.items() if hand is not None}
    face = person.face if "face" in parts else None
    if face is not None:
        _draw_face(canvas, face, _colour(person, FACE))
    if person.pose is not None and "pose" in parts:
        _draw_body(canvas, person.pose, person, face=face is not None, hands=seen)
    for side, hand in hands.items():
        if hand is not None:
            _draw_hand(canvas, hand, _colour(person, COLOURS[side]))
    if person.id is not None and person.pose is not None:
        _number(canvas, person.pose, person.id)


def _colour(person: HolisticResult, usual: Colour) -> Colour:
    return usual if person.id is None else PEOPLE[person.id % len(PEOPLE)]


def _size(canvas: Rgb) -> tuple[int, int]:
    return canvas.shape[1], canvas.shape[0]


def _draw_face(canvas: Rgb, face: Landmarks, colour: Colour) -> None:
    points = face.pixels(_size(canvas))
    fine = max(1.0, _extent(points) / 160)
    _dots(canvas, points, colour, fine * 0.55)
    _lines(canvas, points, FACE_LINES, colour, fine)


def _draw_hand(canvas: Rgb, hand: Landmarks, side: Colour) -> None:
    points = hand.pixels(_size(canvas))
    fine = max(1.0, _extent(points) / 70)
    _lines(canvas, points, topology.HAND, side, fine)
    _dots(canvas, points, MIDDLE, fine * 1.1)


def _draw_body(canvas: Rgb, pose: Landmarks, person: HolisticResult, *, face: bool, hands: Collection[str]) -> None:
    """The skeleton, without head and fingers where face and `hands` are drawn by themselves."""
    points = pose.pixels(_size(canvas))
    thick = max(1.0, min(min(_size(canvas)) / 240, _extent(points) / 130))
    if pose.visibility is not None:
        points[pose.visibility < LEAST_VISIBILITY] = np.nan
    if face:
        points[:BODY_FROM] = np.nan
    _lines(canvas, points, topology.TORSO, _colour(person, MIDDLE), thick)
    for side, lines, fingers, name in (
        (LEFT, topology.LEFT_BODY, topology.LEFT_FINGERS, "left"),
        (RIGHT, topology.RIGHT_BODY, topology.RIGHT_FINGERS, "right"),
    ):
        if name in hands:
            points[[tip for _, tip in topology.edges(fingers)]] = np.nan
        _lines(canvas, points, (*lines, *fingers), _colour(person, side), thick)
    _dots(canvas, points, MIDDLE, thick * 1.5)


def _number(canvas: Rgb, pose: Landmarks, number: int) -> None:
    """A person's number above the head."""
    head = pose.pixels(_size(canvas))[:BODY_FROM]
    if not _known(head).all():
        return
    scale = max(0.5, min(_size(canvas)) / 700)
    width, height = cv2.getTextSize(str(number), cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0]
    left = round(float(head[:, 0].mean()) - width / 2)
    base = max(height + 2, round(float(head[:, 1].min() - np.ptp(head[:, 0]))))
    for shade, wide in ((_EDGE, 6), (PEOPLE[number % len(PEOPLE)], 2)):
        thick = max(1, round(wide * scale))
        cv2.putText(canvas, str(number), (left, base), cv2.FONT_HERSHEY_SIMPLEX, scale, shade, thick, cv2.LINE_AA)


def _draw_boxes(canvas: Rgb, found: Detections) -> None:
    size = np.array(_size(canvas), np.float32)
    for box, keypoints in zip(found.boxes, found.keypoints, strict=True):
        x_min, y_min, x_max, y_max = (box.reshape(2, 2) * size).reshape(-1)
        corners = np.array([(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)], np.float32)
        fine = max(1.0, _extent(corners) / 110)
        _lines(canvas, corners, ((0, 1, 2, 3, 0),), FACE, fine)
        _dots(canvas, keypoints * size, MIDDLE, fine * 1.6)


def _lit(canvas: Rgb, mask: npt.NDArray[np.float32]) -> Rgb:
    """The picture with all but the people darkened."""
    weights = (np.clip(np.nan_to_num(mask), 0, 1) * (255 - DARK) + DARK).astype(np.uint8)
    return np.asarray(cv2.multiply(canvas, cv2.merge([weights] * 3), scale=1 / 255), np.uint8)


def _outline(canvas: Rgb, mask: npt.NDArray[np.float32], colour: Colour) -> None:
    """A line around a person."""
    outlines, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    width = max(1, round(min(_size(canvas)) / 300))
    cv2.drawContours(canvas, outlines, -1, colour, width, cv2.LINE_AA)


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
