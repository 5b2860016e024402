"""Pictures for the report and the demos: what a model saw and what it answered, embedded as data URIs."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.models.preprocess import Preprocess

Rgb = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]

MASK_COLOUR = (38, 132, 255)
DENSE_COLOUR = (38, 132, 255)
SPARSE_COLOUR = (255, 122, 0)
_MAX_POINTS = 1000


def from_input(values: Array, preprocess: Preprocess) -> Rgb | None:
    """The picture behind an input tensor [1, h, w, 3], undoing its preprocessing; None for any other shape."""
    if values.ndim != 4 or values.shape[0] != 1 or values.shape[3] != 3:
        return None
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values[0])
    scale, offset = np.asarray(preprocess.scale, np.float32), np.asarray(preprocess.offset, np.float32)
    pixels = (values[0].astype(np.float32) - offset) / np.where(scale == 0, 1, scale)
    return np.clip(np.rint(np.nan_to_num(pixels)), 0, 255).astype(np.uint8)


def probability(mask: Array) -> npt.NDArray[np.float32]:
    """A mask output [1, h, w, c] as one plane in 0..1: the probability, or of several classes all but the first."""
    plane = mask[0] if mask.ndim == 4 else mask
    if plane.ndim == 2:
        plane = plane[..., None]
    if plane.dtype.kind in "iu":
        return (plane[..., 0] != 0).astype(np.float32)
    if plane.shape[-1] > 1:
        powers = np.exp(plane - plane.max(axis=-1, keepdims=True))
        return (1 - powers[..., 0] / powers.sum(axis=-1)).astype(np.float32)
    values = plane[..., 0].astype(np.float32)
    if values.min() < -0.01 or values.max() > 1.01:
        values = 1 / (1 + np.exp(-np.clip(values, -30, 30)))
    return np.clip(values, 0, 1)


def overlay(rgb: Rgb, mask: npt.NDArray[np.float32], colour: tuple[int, int, int] = MASK_COLOUR) -> Rgb:
    """`rgb` with `mask` [h', w'] in 0..1 laid over it: the masked part tinted, the rest dimmed and grey."""
    weight = fit_mask(mask, rgb.shape[0], rgb.shape[1])[..., None]
    grey = rgb.mean(axis=-1, keepdims=True)
    background = 0.35 * grey + 0.08 * rgb + 24
    person = 0.62 * rgb + 0.38 * np.asarray(colour, np.float32)
    return np.clip(weight * person + (1 - weight) * background, 0, 255).astype(np.uint8)


def difference(dense: npt.NDArray[np.float32], sparse: npt.NDArray[np.float32], size: tuple[int, int]) -> Rgb:
    """Where two masks differ, at (height, width): blue where only the dense is set, orange where only the sparse."""
    signed = fit_mask(sparse, *size) - fit_mask(dense, *size)
    strength = np.abs(signed)[..., None]
    colour = np.where(
        signed[..., None] > 0, np.asarray(SPARSE_COLOUR, np.float32), np.asarray(DENSE_COLOUR, np.float32)
    )
    return np.clip(strength * colour + (1 - strength) * 244, 0, 255).astype(np.uint8)


def fit_mask(mask: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """`mask` resized to the picture, smoothly."""
    import cv2

    if mask.shape == (height, width):
        return mask
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def landmark_points(values: Array, height: int, width: int) -> npt.NDArray[np.float32] | None:
    """Points [n, 2] in pixels of the input from an output of n points with 2, 3 or 5 numbers each, else None.

    Coordinates are taken as pixels where they exceed 2, as fractions of the picture otherwise.
    """
    flat = values.astype(np.float32).ravel()
    for numbers in (5, 3, 2):
        # five numbers a point (x, y, z, visibility, presence) is how MediaPipe's pose models answer: 39 points
        if flat.size % numbers or (numbers == 5 and flat.size != 195):
            continue
        points = flat.reshape(-1, numbers)[:_MAX_POINTS, :2]
        if np.abs(points).max(initial=0) <= 2:
            points = points * np.asarray([width, height], np.float32)
        return points
    return None


def dots(rgb: Rgb, points: npt.NDArray[np.float32], colour: tuple[int, int, int]) -> Rgb:
    """`rgb` with a dot at each point [n, 2] (x, y in pixels) that lies inside."""
    import cv2

    canvas = rgb.copy()
    radius = max(1, round(min(rgb.shape[:2]) / (70 if len(points) < 100 else 140)))
    for x, y in points:
        if 0 <= x < rgb.shape[1] and 0 <= y < rgb.shape[0]:
            cv2.circle(canvas, (round(float(x)), round(float(y))), radius, colour, -1, cv2.LINE_AA)
    return canvas


def enlarge(rgb: Rgb, least: int = 320) -> Rgb:
    """`rgb` scaled up so that its smaller side has at least `least` pixels."""
    import cv2

    factor = least / min(rgb.shape[:2])
    if factor <= 1:
        return rgb
    size = (round(rgb.shape[1] * factor), round(rgb.shape[0] * factor))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def encode(rgb: Rgb, suffix: str = ".jpg", quality: int = 88) -> bytes:
    """`rgb` as a JPEG or PNG file's bytes."""
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
    return bytes(cv2.imencode(suffix, np.ascontiguousarray(rgb[..., ::-1]), options)[1])


def data_uri(rgb: Rgb) -> str:
    """`rgb` as a `data:` address for an <img> of a self-contained page."""
    return "data:image/jpeg;base64," + base64.b64encode(encode(rgb)).decode("ascii")
