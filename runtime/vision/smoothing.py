"""Landmarks steadied over time: an exponential mean for visibility, the one-euro filter for places.

The one-euro filter (Casiez, Roussel, Vogel: "1 Euro filter", CHI 2012) is a low pass whose cutoff rises with speed: it
holds still what rests and lets through what moves.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.landmarks import Landmarks
from pocketgraph.runtime.vision.rect import Rect, Size

Float64Array = npt.NDArray[np.float64]


class VisibilitySmoothing:
    """An exponential mean of each landmark's visibility: `alpha` of the new value and the rest of the old mean.

    MediaPipe: `VisibilitySmoothingCalculator` with `low_pass_filter`, which survives frames without landmarks.
    """

    def __init__(self, alpha: float = 0.1) -> None:
        if not 0 <= alpha <= 1:
            raise UsageError(f"alpha must be 0 to 1, got {alpha}")
        self._alpha = np.float32(alpha)
        self._mean: npt.NDArray[np.float32] | None = None

    def reset(self) -> None:
        """Forget the past."""
        self._mean = None

    def __call__(self, landmarks: Landmarks) -> Landmarks:
        """`landmarks` with smoothed visibility."""
        if landmarks.visibility is None:
            raise UsageError("these landmarks have no visibility to smooth")
        seen = landmarks.visibility
        self._mean = seen if self._mean is None else self._alpha * seen + (1 - self._alpha) * self._mean
        return replace(landmarks, visibility=self._mean)


class OneEuro:
    """The one-euro filter over an array of any shape, each element on its own.

    `min_cutoff` and `derivate_cutoff` are in Hz, `beta` in Hz per unit of speed. `frequency` (Hz) serves until two
    timestamps tell the real one.
    """

    def __init__(self, min_cutoff: float, beta: float, derivate_cutoff: float = 1.0, frequency: float = 30.0) -> None:
        if min(min_cutoff, derivate_cutoff, frequency) <= 0:
            raise UsageError(f"cutoffs and frequency must be above 0: {min_cutoff}, {derivate_cutoff}, {frequency}")
        # in single precision, as the options of graph files are
        self._min_cutoff, self._beta, self._derivate_cutoff = map(
            float, np.array([min_cutoff, beta, derivate_cutoff], "f")
        )
        self._first_frequency = frequency
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._frequency = self._first_frequency
        self._time: int | None = None
        self._raw: Float64Array | None = None
        self._value: Float64Array | None = None
        self._speed: Float64Array | None = None

    def __call__(self, value: npt.NDArray[np.float32], timestamp_us: int, value_scale: float = 1.0) -> Float64Array:
        """The filtered value. Speed counts in units of `value` x `value_scale` a second; timestamps must rise."""
        if self._time is not None:
            if timestamp_us <= self._time:
                return value.astype(np.float64)
            self._frequency = 1e6 / (timestamp_us - self._time)
        if self._raw is not None and value.shape != self._raw.shape:
            raise UsageError(f"values {list(value.shape)} came after values {list(self._raw.shape)}: reset in between")
        self._time = timestamp_us
        new = value.astype(np.float64)
        if self._value is None or self._raw is None or self._speed is None:
            self._speed = np.zeros_like(new)
            self._value = new
        else:
            speed = (new - self._raw) * (value_scale * self._frequency)
            keep = self._share(self._derivate_cutoff)
            self._speed = keep * speed + (1 - keep) * self._speed
            follow = self._share(self._min_cutoff + self._beta * np.abs(self._speed))
            self._value = follow * new + (1 - follow) * self._value
        self._raw = new
        return self._value

    def _share(self, cutoff: float | Float64Array) -> float | Float64Array:
        """What a low pass with `cutoff` takes of a new value."""
        return 1.0 / (1.0 + self._frequency / (2 * math.pi * cutoff))


class LandmarkSmoothing:
    """One-euro smoothing of landmarks: of normalised ones in pixels, speeds relative to the object's size.

    `by_size` divides speeds by the object's size (off for world landmarks); below `min_size` pixels there is nothing to
    divide by and landmarks pass as they are. MediaPipe: `LandmarksSmoothingCalculator`.
    """

    def __init__(
        self,
        min_cutoff: float,
        beta: float,
        derivate_cutoff: float = 1.0,
        by_size: bool = True,
        frequency: float = 30.0,
        min_size: float = 1e-6,
    ) -> None:
        self._filter = OneEuro(min_cutoff, beta, derivate_cutoff, frequency)
        self._by_size = by_size
        self._min_size = min_size

    def reset(self) -> None:
        """Forget the past, as when the object was lost."""
        self._filter.reset()

    def __call__(
        self, landmarks: Landmarks, timestamp_us: int, size: Size = (1, 1), rect: Rect | None = None
    ) -> Landmarks:
        """Smoothed landmarks. `size` is the picture's (leave it out for world landmarks), `rect` the object's extent;

        without it the extent is that of the landmarks.
        """
        unit = np.array([size[0], size[1], size[0]], np.float32)
        pixels = landmarks.points * unit
        scale = 1.0
        if self._by_size:
            if rect is None:
                sides = pixels[:, :2].max(axis=0) - pixels[:, :2].min(axis=0)
                extent = float(sides.sum()) / 2
            else:
                extent = (rect.width * size[0] + rect.height * size[1]) / 2
            if extent < self._min_size:
                return landmarks
            scale = 1.0 / extent
        smoothed = self._filter(pixels, timestamp_us, scale)
        return replace(landmarks, points=(smoothed / unit).astype(np.float32))
