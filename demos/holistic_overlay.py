"""Draws what `Holistic` finds over a picture: body, hands and face, every landmark at its place.

`overlay` is the function; `python -m pocketgraph.demos.holistic_overlay PICTURE_OR_VIDEO OUT.png` draws one picture, or
the middle frame of a video tracked from its start.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from pocketgraph.graphs import topology
from pocketgraph.graphs.holistic import Holistic, HolisticResult
from pocketgraph.models.errors import FormatError, UsageError
from pocketgraph.runtime.vision.landmarks import Landmarks

Rgb = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Lines = Sequence[Sequence[int]]

_LEFT: Colour = (255, 158, 64)
_RIGHT: Colour = (70, 170, 255)
_MIDDLE: Colour = (240, 240, 240)
_FACE: Colour = (130, 230, 190)
_EDGE: Colour = (20, 24, 30)
_FRACTION = 4  # bits of a pixel that OpenCV draws by
_LEAST_VISIBILITY = 0.5

_BODY_FROM = 11  # landmarks before are the face's
_FACE_LINES: Lines = (
    *topology.FACE_OVAL,
    *topology.LIPS,
    *topology.LEFT_EYE,
    *topology.LEFT_EYEBROW,
    *topology.RIGHT_EYE,
    *topology.RIGHT_EYEBROW,
)


def overlay(image: Rgb, result: HolisticResult) -> Rgb:
    """A copy of `image` with all landmarks of `result`; body landmarks of low visibility are left out."""
    canvas = image.copy()
    size = image.shape[1], image.shape[0]
    thick = max(1.0, min(size) / 240)
    if result.face is not None:
        points = _pixels(result.face, size)
        fine = max(1.0, _extent(points) / 160)
        _dots(canvas, points, _FACE, fine * 0.55)
        _lines(canvas, points, _FACE_LINES, _FACE, fine)
    if result.pose is not None and result.pose.visibility is not None:
        points = _pixels(result.pose, size)
        points[result.pose.visibility < _LEAST_VISIBILITY] = np.nan
        if result.face is not None:
            points[:_BODY_FROM] = np.nan
        _lines(canvas, points, topology.TORSO, _MIDDLE, thick)
        for side, lines, fingers, hand in (
            (_LEFT, topology.LEFT_BODY, topology.LEFT_FINGERS, result.left_hand),
            (_RIGHT, topology.RIGHT_BODY, topology.RIGHT_FINGERS, result.right_hand),
        ):
            if hand is not None:
                points[[tip for _, tip in topology.edges(fingers)]] = np.nan
            _lines(canvas, points, (*lines, *fingers), side, thick)
        _dots(canvas, points, _MIDDLE, thick * 1.5)
    for side, hand in ((_LEFT, result.left_hand), (_RIGHT, result.right_hand)):
        if hand is not None:
            points = _pixels(hand, size)
            fine = max(1.0, _extent(points) / 70)
            _lines(canvas, points, topology.HAND, side, fine)
            _dots(canvas, points, _MIDDLE, fine * 1.1)
    return canvas


def _pixels(landmarks: Landmarks, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    return np.asarray(landmarks.points[:, :2] * np.array(size, np.float32), np.float32)


def _extent(points: npt.NDArray[np.float32]) -> float:
    return float((points.max(axis=0) - points.min(axis=0)).max())


def _lines(canvas: Rgb, points: npt.NDArray[np.float32], lines: Lines, colour: Colour, width: float) -> None:
    """Lines along the indices, each above a darker, wider one; what is not a number is left out."""
    fixed = np.where(np.isfinite(points), points, 0) * (1 << _FRACTION)
    known: npt.NDArray[np.bool_] = np.asarray(np.isfinite(points).all(axis=1))
    pairs = [pair for pair in topology.edges(lines) if known[list(pair)].all()]
    for shade, wide in ((_EDGE, width + max(1.0, width * 0.5)), (colour, width)):
        for a, b in pairs:
            start, end = fixed[a].astype(int).tolist(), fixed[b].astype(int).tolist()
            cv2.line(canvas, start, end, shade, max(1, round(wide)), cv2.LINE_AA, _FRACTION)


def _dots(canvas: Rgb, points: npt.NDArray[np.float32], colour: Colour, radius: float) -> None:
    for point in points[np.isfinite(points).all(axis=1)] * (1 << _FRACTION):
        center = point.astype(int).tolist()
        cv2.circle(canvas, center, round(radius * (1 << _FRACTION)), colour, -1, cv2.LINE_AA, _FRACTION)


def frames_of(file: Path) -> list[Rgb]:
    """The picture in `file`, or the first half of a video with its middle frame last. Raises `FormatError`."""
    picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
    found = [] if picture is None else [picture]
    if not found:
        capture = cv2.VideoCapture(str(file))
        while (read := capture.read())[0]:
            found.append(read[1])
        found = found[: len(found) // 2 + 1]
    if not found:
        raise FormatError(f"{file} is neither a picture nor a video that OpenCV can read")
    return [np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8) for frame in found]


def main(arguments: Sequence[str]) -> None:
    """Draw one picture."""
    if len(arguments) != 2:
        raise UsageError("holistic_overlay takes a picture or video and the picture to write")
    frames = frames_of(Path(arguments[0]))
    with Holistic(static=len(frames) == 1) as holistic:
        result = list(holistic.stream(frames))[-1]
    cv2.imwrite(arguments[1], cv2.cvtColor(overlay(frames[-1], result), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main(sys.argv[1:])
