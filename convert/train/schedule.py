"""When and how much: the sparsity ramp of magnitude pruning, RigL's drop fraction, the learning rate's cosine."""

from __future__ import annotations

import math

import numpy as np


def polynomial_sparsity(step: int, initial: float, final: float, begin: int, end: int, power: float = 3) -> np.float32:
    """Sparsity at `step`: `final + (initial - final) * (1 - (step - begin) / (end - begin)) ** power`, 0..1.

    It is `initial` up to `begin` and `final` from `end` on (Zhu and Gupta, arXiv 1710.01878, equation 1). Computed in
    float32 as tensorflow-model-optimization does, so that the same number of weights is kept.
    """
    progress = np.clip(np.float32(step - begin) / np.float32(max(1, end - begin)), np.float32(0), np.float32(1))
    remaining = np.power(np.float32(1) - progress, np.float32(power))
    return np.float32(np.float32(initial - final) * remaining + np.float32(final))


def cosine_drop_fraction(step: int, alpha: float, end: int) -> float:
    """Fraction of a layer's connections that RigL moves at `step`: `alpha / 2 * (1 + cos(pi * step / end))`.

    Zero from `end` on (arXiv 1911.11134, section 3, "update schedule").
    """
    return 0.0 if step >= end else alpha / 2 * (1 + math.cos(math.pi * step / end))


def cosine_rate(step: int, steps: int, rate: float, warmup: int = 0, floor: float = 0.0) -> float:
    """Learning rate at `step` of `steps`: a linear warm-up to `rate`, then a cosine down to `floor * rate`."""
    if step < warmup:
        return rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    return rate * (floor + (1 - floor) * (1 + math.cos(math.pi * min(1.0, progress))) / 2)
